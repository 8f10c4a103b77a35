"""The dashboard's figures: who may see which, that they are those of the requests, and that the stream ends in time."""

from __future__ import annotations

import asyncio
import json
import re
import time
from contextlib import asynccontextmanager
from decimal import Decimal

import httpx
import pytest

from inhouse.gateway.identity import Budget
from inhouse.gateway.prices import Price

HTML = {"accept": "text/html"}
PRICE = Price((10**9,) * 3, (10**12,) * 3)  # a won for a token


@pytest.fixture
async def site(start):
    """A gateway with prices, an admin's key and two users'."""
    running = await start(open_to_all=False, prices={"parrot": PRICE})
    running.admin = running.keys.create("boss", role="admin")
    budget = Budget(krw_per_month=Decimal(100))
    running.user = running.keys.create("worker", team="search", budget=budget)
    running.other = running.keys.create("stranger<b>", team="sales")
    await asyncio.to_thread(running.gateway.keys.refresh)
    return running


@asynccontextmanager
async def signed_in(site, key):
    async with httpx.AsyncClient(base_url=site.url, headers=HTML) as http:
        token = re.search(r'data-csrf="([^"]+)"', (await http.get("/ui/sign-in")).text)[1]
        assert (await http.post("/ui/sign-in", data={"key": key[1], "csrf": token})).status_code == 303
        yield http


async def ask(site, key, words=4, **body) -> int:
    body = {"model": "parrot", "messages": [{"role": "user", "content": "word " * (words - 1) + "word"}], **body}
    async with httpx.AsyncClient() as http:
        answer = await http.post(
            f"{site.url}/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key[1]}"}
        )
        return answer.status_code


async def frames(http, path="/ui/dashboard/live"):
    """The stream's frames; an event with a name comes as that name."""
    async with http.stream("GET", path, timeout=20) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = ""
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield name or json.loads(line.removeprefix("data: "))


async def first_with(http, wanted, path="/ui/dashboard/live"):
    """The first frame that is as wanted."""
    async with asyncio.timeout(20):
        async for frame in frames(http, path):
            if wanted(frame):
                return frame
    return None


async def test_an_admin_sees_everyones_requests_as_they_come(site):
    def told(frame: dict) -> bool:
        return frame["minute"].get("requests") == 4 and bool(frame["machines"])

    async with signed_in(site, site.admin) as http:
        waiting = asyncio.create_task(first_with(http, told))
        await asyncio.sleep(0.1)
        assert await ask(site, site.user) == 200
        assert await ask(site, site.user) == 200
        assert await ask(site, site.other) == 200
        assert await ask(site, site.other, model="none") == 404
        frame = await waiting
    minute = frame["minute"]
    assert (minute["completion"], minute["refused"]) == (12, 1)
    assert minute["error"] == {"model_not_found": 1}
    assert all(0 < one < 10 for one in minute["e2e"])
    assert minute["micro_krw"] == 24 * 10**6
    assert {one["name"]: one["requests"] for one in frame["keys"]} == {"worker": 2, "stranger<b>": 2}
    assert frame["spent"]["month_krw"] == 24
    (model,) = frame["models"]
    assert (model["model"], model["state"], model["slots"]) == ("parrot", "ready", 64)
    (machine,) = frame["machines"].values()
    assert 0 < machine["memory"] < 1
    assert machine["own_bytes"] > 10**7


async def test_who_is_no_admin_sees_nothing_of_others(site):
    async with signed_in(site, site.user) as http:
        waiting = asyncio.create_task(first_with(http, lambda frame: frame["minute"].get("requests") == 1))
        await asyncio.sleep(0.1)
        await ask(site, site.other)
        await ask(site, site.other)
        await ask(site, site.user)
        frame = await waiting
        assert frame["minute"]["completion"] == 4
        assert frame["spent"]["month_krw"] == 8
        assert frame["models"] == [{"model": "parrot", "state": "ready"}]
        assert not {"keys", "machines", "alerts"} & frame.keys()
        history = (await http.get("/ui/dashboard/history?range=1h")).json()
        assert "machines" not in history
        page = (await http.get("/ui/dashboard")).text
        assert "stranger" not in page
        assert "sales" not in page
        assert "₩100" in page  # its own budget
        assert (await http.get("/ui/dashboard/alerts")).status_code == 403


@pytest.mark.parametrize("path", ["/ui/dashboard", "/ui/dashboard/live", "/ui/dashboard/history"])
async def test_who_is_no_admin_cannot_ask_for_anothers_figures(site, path):
    async with signed_in(site, site.user) as http:
        for of in (f"key:{site.other[0].id}", "model:parrot", "team:sales", "team:search", "all", "host:x"):
            assert (await http.get(path, params={"of": of})).status_code == 403, of
    async with httpx.AsyncClient(base_url=site.url, headers=HTML) as http:
        assert (await http.get(path)).status_code == 303  # to sign in


async def test_an_admin_can_look_at_one_key_team_or_model_alone(site):
    async with signed_in(site, site.admin) as http:
        for of, requests in ((f"key:{site.user[0].id}", 1), ("team:sales", 2), ("model:parrot", 3)):
            if of.startswith("key"):
                await ask(site, site.user)
                await ask(site, site.other)
                await ask(site, site.other)
            found = await first_with(http, lambda frame: frame["minute"].get("requests"), f"/ui/dashboard/live?of={of}")
            assert found["minute"]["requests"] == requests, of
            page = (await http.get("/ui/dashboard", params={"of": of})).text
            assert f'value="{of}" selected' in page
        page = (await http.get("/ui/dashboard", params={"of": "team:<script>"})).text
        assert "<script>" not in page.replace("<script src", "")


async def test_cost_stands_by_key_team_and_model_against_the_budget(site):
    for _ in range(2):
        await ask(site, site.user, words=20)
    await ask(site, site.other)
    await asyncio.to_thread(site.gateway.spending.refresh)
    async with signed_in(site, site.admin) as http:
        page = (await http.get("/ui/dashboard")).text
    assert "stranger&lt;b&gt;" in page
    assert 'value="0.8"' in page  # 80 of 100 won
    for shown in ("By model", "By team", "By key", "₩88", "₩80"):
        assert shown in page


async def test_what_the_history_holds_is_drawn_after_a_restart(start):
    first = await start(open_to_all=True)
    async with httpx.AsyncClient() as http:
        body = {"model": "parrot", "messages": [{"role": "user", "content": "one two"}]}
        for _ in range(3):
            await http.post(f"{first.url}/v1/chat/completions", json=body)
    await first.gateway.traffic.close()  # as a restart does
    now = time.time()
    second = await start(open_to_all=True, clock=lambda: now + 60)
    async with httpx.AsyncClient(base_url=second.url) as http:
        found = (await http.get("/ui/dashboard/history?range=1h")).json()
    assert found["total"]["requests"] == 3
    assert sum(found["requests"]) * 10 == pytest.approx(3)
    assert len(found["at"]) == 360


async def test_the_stream_ends_when_its_key_does(site):
    async with signed_in(site, site.user) as http:
        seen = []
        async with asyncio.timeout(30):
            async for frame in frames(http):
                seen.append(frame)
                if len(seen) == 1:
                    await asyncio.to_thread(site.keys.revoke, site.user[0].id)
        assert seen[-1] == "over"
        assert len(seen) <= 7


async def test_all_viewers_share_one_sampler_and_leave_nothing_behind(site):
    traffic = site.gateway.traffic
    async with signed_in(site, site.admin) as http:
        before = len(asyncio.all_tasks())
        watching = [asyncio.create_task(first_with(http, lambda frame: False)) for _ in range(5)]
        while traffic.viewers < 5:
            await asyncio.sleep(0.05)
        two = await asyncio.gather(*(first_with(http, lambda frame: True) for _ in range(2)))
        assert two[0] == two[1]  # the very same moment
        for one in watching:
            one.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        async with asyncio.timeout(10):
            while traffic.viewers or len(asyncio.all_tasks()) > before + 2:
                await asyncio.sleep(0.05)


async def test_a_page_is_small_even_without_a_cache(site):
    async with signed_in(site, site.admin) as http:
        answer = await http.get("/ui/dashboard")
        whole = len(answer.content)
        for path in set(re.findall(r'(?:src|href)="(/ui/static/[^"]+)"', answer.text)):
            whole += int((await http.get(path)).headers["content-length"])
    assert whole < 150_000


async def test_whoever_watches_does_not_hold_up_the_gateways_end(site):
    async with signed_in(site, site.admin) as http:
        watching = asyncio.create_task(first_with(http, lambda frame: False))
        while not site.gateway.traffic.viewers:
            await asyncio.sleep(0.05)
        site.server.stop()
        async with asyncio.timeout(5):
            assert await watching is None  # it ended whole, and not in the middle of a frame
            await site.task
