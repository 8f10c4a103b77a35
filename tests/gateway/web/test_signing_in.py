"""Signing in to the pages: only with a key, never with a session that somebody else chose, and no further than it."""

from __future__ import annotations

import asyncio
import re
import time
from datetime import timedelta

import httpx
import pytest

from inhouse.store.web_tables import web_sessions

HTML = {"accept": "text/html"}


@pytest.fixture
async def site(start):
    """A gateway with an admin's key and a user's; asked with httpx."""
    running = await start(open_to_all=False)
    running.admin = running.keys.create("boss", role="admin")
    running.user = running.keys.create("worker")
    await asyncio.to_thread(running.gateway.keys.refresh)
    return running


def client(site, **options) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=site.url, headers=HTML, **options)


async def token(http: httpx.AsyncClient, path: str = "/ui/sign-in") -> str:
    return re.search(r'data-csrf="([^"]+)"', (await http.get(path)).text)[1]


async def sign_in(http: httpx.AsyncClient, key: str, **fields: str) -> httpx.Response:
    return await http.post("/ui/sign-in", data={"key": key, "csrf": await token(http), **fields})


async def test_who_has_not_signed_in_is_led_to_sign_in_and_back(site):
    async with client(site) as http:
        answer = await http.get("/ui/me")
        assert (answer.status_code, answer.headers["location"]) == (303, "/ui/sign-in?next=%2Fui%2Fme")
        answer = await sign_in(http, site.user[1], next="/ui/me")
        assert (answer.status_code, answer.headers["location"]) == (303, "/ui/me")
        assert "worker" in (await http.get("/ui/me")).text


async def test_the_cookie_is_kept_from_scripts_and_other_sites_and_the_store_holds_only_its_hash(site):
    async with client(site) as http:
        answer = await sign_in(http, site.user[1])
        cookie = answer.headers["set-cookie"].lower()
        assert all(part in cookie for part in ("httponly", "samesite=lax", "path=/ui"))
        with site.database.read() as connection:
            kept = [dict(row) for row in connection.execute(web_sessions.select()).mappings()]
        assert len(kept) == 1
        assert http.cookies["inhouse_session"] not in str(kept)


async def test_behind_a_proxy_that_speaks_tls_the_cookie_goes_over_tls_only(site):
    async with client(site) as http:
        answer = await http.post(
            "/ui/sign-in",
            data={"key": site.user[1], "csrf": await token(http)},
            headers={"x-forwarded-proto": "https"},
        )
        assert "secure" in answer.headers["set-cookie"].lower()


async def test_a_session_that_was_planted_before_signing_in_is_not_the_one_afterwards(site):
    planted = "chosen-by-the-attacker"
    async with client(site) as victim:
        victim.cookies.set("inhouse_session", planted, domain="127.0.0.1", path="/ui")
        await sign_in(victim, site.admin[1])
        assert victim.cookies["inhouse_session"] != planted
        assert (await victim.get("/ui/me")).status_code == 200
    async with client(site, cookies={"inhouse_session": planted}) as attacker:
        assert (await attacker.get("/ui/me")).status_code == 303


@pytest.mark.parametrize("headers", [{}, {"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}])
async def test_a_form_from_elsewhere_does_nothing(site, headers):
    async with client(site) as http:
        await sign_in(http, site.user[1])
        right = await token(http, "/ui/me")
        for csrf in ("", "0" * 64) if not headers else (right,):
            answer = await http.post("/ui/sign-out", data={"csrf": csrf}, headers=headers)
            assert answer.status_code == 403
        assert (await http.get("/ui/me")).status_code == 200
        assert (await http.post("/ui/sign-out", data={"csrf": right})).status_code == 303
        assert (await http.get("/ui/me")).status_code == 303


async def test_the_token_of_another_session_does_not_serve(site):
    async with client(site) as attacker, client(site) as victim:
        await sign_in(attacker, site.user[1])
        await sign_in(victim, site.admin[1])
        stolen = await token(attacker, "/ui/me")
        assert (await victim.post("/ui/sign-out", data={"csrf": stolen})).status_code == 403


async def test_signing_out_ends_the_session_for_whoever_has_its_cookie(site):
    async with client(site) as http:
        await sign_in(http, site.user[1])
        copied = http.cookies["inhouse_session"]
        await http.post("/ui/sign-out", data={"csrf": await token(http, "/ui/me")})
    async with client(site, cookies={"inhouse_session": copied}) as thief:
        assert (await thief.get("/ui/me")).status_code == 303


@pytest.mark.parametrize("change", ["revoke", "rotate"])
async def test_a_session_ends_with_the_key_that_began_it(site, change):
    key, text = site.user
    async with client(site) as http:
        await sign_in(http, text)
        getattr(site.keys, change)(key.id)
        await asyncio.to_thread(site.gateway.keys.refresh)
        assert (await http.get("/ui/me")).status_code == 303


async def test_a_session_goes_on_through_the_grace_of_a_rotation(site):
    key, text = site.user
    async with client(site) as http:
        await sign_in(http, text)
        site.keys.rotate(key.id, grace=timedelta(hours=1))
        await asyncio.to_thread(site.gateway.keys.refresh)
        assert (await http.get("/ui/me")).status_code == 200


async def test_a_session_is_over_when_its_time_is(start):
    now = [time.time()]
    running = await start(open_to_all=False, clock=lambda: now[0])
    _, text = running.keys.create("worker")
    await asyncio.to_thread(running.gateway.keys.refresh)
    async with client(running) as http:
        await sign_in(http, text)
        now[0] += 11.9 * 3600
        assert (await http.get("/ui/me")).status_code == 200
        now[0] += 0.2 * 3600
        assert (await http.get("/ui/me")).status_code == 303


async def test_a_wrong_key_is_refused_and_too_many_attempts_are_even_with_the_right_one(start):
    running = await start(open_to_all=False, settings={"sign_ins_per_minute": 4})
    _, text = running.keys.create("worker")
    await asyncio.to_thread(running.gateway.keys.refresh)
    async with client(running) as http:
        statuses = [(await sign_in(http, "ih-wrong")).status_code for _ in range(4)]
        assert statuses == [401] * 4
        answer = await sign_in(http, text)
        assert answer.status_code == 429
        assert "inhouse_session" not in answer.headers.get("set-cookie", "")
    refused = [line for line in running.logged() if line["event"] == "sign_in_refused"]
    assert len(refused) == 5
    assert "ih-wrong" not in str(running.logged())


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example/ui", "/\\evil.example", "javascript:alert(1)", "/v1/models"]
)
async def test_signing_in_leads_nowhere_but_to_our_pages(site, elsewhere):
    async with client(site) as http:
        answer = await sign_in(http, site.user[1], next=elsewhere)
        assert answer.headers["location"] == "/ui"


async def test_without_keys_nobody_signs_in_but_only_by_this_machines_own_name(running):
    async with httpx.AsyncClient(base_url=running.url, headers=HTML) as http:
        assert (await http.get("/ui/me")).status_code == 200
        for host in ("evil.example", f"evil.example:{running.port}", "127.0.0.1.evil.example", ""):
            assert (await http.get("/ui/me", headers={"host": host})).status_code == 403, host
        for host in (f"localhost:{running.port}", f"127.0.0.1:{running.port}", "[::1]:1"):
            assert (await http.get("/ui/me", headers={"host": host})).status_code == 200, host


async def test_the_pages_can_be_turned_off(start):
    running = await start(settings={"web": False})
    async with httpx.AsyncClient(base_url=running.url, headers=HTML) as http:
        assert (await http.get("/ui/me")).status_code == 404
        assert (await http.get("/")).text == "Ollama is running"


async def test_every_answer_tells_the_browser_to_run_and_keep_nothing_of_others(site):
    async with client(site) as http:
        await sign_in(http, site.user[1])
        for path in ("/ui", "/ui/me", "/ui/nothing"):
            headers = (await http.get(path)).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert headers["cache-control"] == "no-store"
            assert headers["x-content-type-options"] == "nosniff"
        page = (await http.get("/ui/me")).text
        assert not re.search(r"<script(?! src)|<style|\son\w+=|\sstyle=|(src|href)=\"https?:", page)


async def test_scripts_and_styles_are_kept_for_ever_and_small(site):
    async with client(site) as http:
        page = (await http.get("/ui/sign-in")).text
        found = re.findall(r'(?:src|href)="(/ui/static/[^"]+)"', page)
        assert len(found) >= 4
        for path in found:
            answer = await http.get(path)
            assert answer.status_code == 200
            assert "immutable" in answer.headers["cache-control"]
            assert answer.headers["content-encoding"] == "gzip"
            assert int(answer.headers["content-length"]) < 30_000
        old = re.sub(r"/static/\w+/", "/static/000000000000/", found[0])
        assert "immutable" not in (await http.get(old)).headers["cache-control"]
        for path in ("/ui/static/x/..%2froutes.py", "/ui/static/x/web.py", "/ui/static/x/none.js"):
            assert (await http.get(path)).status_code == 404, path
