"""Who may see and do what on the pages of runs, reports and administration; and that each form is one of ours."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from kept_runs import build_runs, keep_trace
from kept_site import ADMIN_PATHS

from inhouse.gateway.key_store import Team
from inhouse.gateway.retention import forget_conversations
from inhouse.quality.answers import Answers
from inhouse.store.repository import Store

HTML = {"accept": "text/html"}


@pytest.fixture
async def site(start):
    return await _site(await start(open_to_all=False, report=_never))


def _never(study_id: str, lang: str, theme: str) -> str:
    raise AssertionError("nobody here asks for a report")


async def _site(running):
    running.boss, running.admin = running.keys.create("boss", role="admin")
    running.worker, running.user = running.keys.create("worker")
    await asyncio.to_thread(running.gateway.keys.refresh)
    running.runs = await asyncio.to_thread(build_runs, Store.over(running.database))
    return running


async def signed_in(site, key: str) -> httpx.AsyncClient:
    http = httpx.AsyncClient(base_url=site.url, headers=HTML)
    http.csrf = token((await http.get("/ui/sign-in")).text)
    await http.post("/ui/sign-in", data={"key": key, "csrf": http.csrf})
    http.csrf = token((await http.get("/ui/me")).text)
    return http


def token(page: str) -> str:
    return re.search(r'data-csrf="([^"]+)"', page)[1]


def paths_of(site) -> list[str]:
    runs = site.runs
    return [
        "/ui/runs",
        f"/ui/runs/{runs.eval}",
        f"/ui/runs/{runs.bench}/samples",
        f"/ui/runs/{runs.bench}/samples/0",
        f"/ui/runs/{runs.eval}/answers",
        f"/ui/runs/{runs.eval}/answers/1",
        f"/ui/runs/compare?run={runs.eval}&run={runs.eval_after}",
        f"/ui/runs/compare/rows?a={runs.eval}&b={runs.eval_after}",
        "/ui/runs/review",
        f"/ui/runs/{runs.eval}/review",
        f"/ui/runs/{runs.eval}/review/trust",
        "/ui/runs/traces",
        "/ui/report",
        f"/ui/report/{runs.study}",
        f"/ui/report/{runs.study}/en",
    ]


async def test_runs_and_administration_are_for_admins(site):
    user, admin = await signed_in(site, site.user), await signed_in(site, site.admin)
    more = ["/ui/admin", f"/ui/admin/keys/{site.worker.id}", "/ui/admin/audit/export", "/ui/admin/usage?form=csv"]
    for path in [*paths_of(site), *ADMIN_PATHS, *more]:
        answer = await user.get(path)
        assert answer.status_code == 403, path
        assert "capitals" not in answer.text
    page = (await user.get("/ui/me")).text
    assert "/ui/runs" not in page
    assert "/ui/admin" not in page
    for path in [*paths_of(site)[:-1], *ADMIN_PATHS]:
        assert (await admin.get(path)).status_code == 200, path


async def test_nobody_sees_any_of_it_without_signing_in(site):
    async with httpx.AsyncClient(base_url=site.url, headers=HTML) as http:
        for path in [*paths_of(site), *ADMIN_PATHS]:
            answer = await http.get(path)
            assert answer.status_code == 303, path
            assert answer.headers["location"].startswith("/ui/sign-in")


async def test_runs_can_be_opened_to_everyone_but_no_administration_with_them(start):
    site = await _site(await start(open_to_all=False, report=_never, settings={"runs_for": "everyone"}))
    user = await signed_in(site, site.user)
    for path in paths_of(site)[:-1]:
        assert (await user.get(path)).status_code == 200, path
    for path in ADMIN_PATHS:
        assert (await user.get(path)).status_code == 403, path


async def test_a_trace_is_its_keys_alone_and_the_command_lines_are_for_admins(start):
    site = await _site(await start(open_to_all=False, settings={"runs_for": "everyone"}))
    of_user = await keep_trace(site.database, f"key:{site.worker.id}", "of a page")
    of_api = await keep_trace(site.database, site.worker.id, "of an agent")
    of_boss = await keep_trace(site.database, f"key:{site.boss.id}", "of the boss")
    of_shell = await keep_trace(site.database, "jiho", "of the command line")
    user, admin = await signed_in(site, site.user), await signed_in(site, site.admin)
    for http, seen, unseen in (
        (user, (of_user, of_api), (of_boss, of_shell)),
        (admin, (of_boss, of_shell), (of_user, of_api)),
    ):
        page = (await http.get("/ui/runs/traces")).text
        for one in seen:
            assert one in page
            assert (await http.get(f"/ui/runs/traces/{one}")).status_code == 200
            assert (await http.get(f"/ui/runs/traces/{one}/1")).status_code == 200
        for one in unseen:
            assert one not in page
            assert (await http.get(f"/ui/runs/traces/{one}")).status_code == 404
            assert (await http.get(f"/ui/runs/traces/{one}/1")).status_code == 404
            assert (await http.get(f"/ui/chat/{one}")).status_code == 404


async def test_each_form_is_refused_from_elsewhere_and_from_who_may_not_send_it(site):
    user, admin = await signed_in(site, site.user), await signed_in(site, site.admin)
    key = f"/ui/admin/keys/{site.worker.id}"
    forms = {
        "/ui/admin/keys": {"name": "x"},
        f"{key}/allowances": {"tokens_per_day": "5"},
        f"{key}/rotate": {},
        f"{key}/revoke": {},
        "/ui/admin/teams": {"name": "x"},
        "/ui/admin/audit": {},
        "/ui/admin/guard": {"text": "x"},
        f"/ui/runs/{site.runs.eval}/review": {"answer": "1", "verdict": "y"},
    }
    for path, fields in forms.items():
        for csrf in ({}, {"csrf": "0" * 64}, {"csrf": user.csrf}):
            assert (await admin.post(path, data={**fields, **csrf})).status_code == 403, path
        elsewhere = {"origin": "http://evil.example"}
        assert (await admin.post(path, data={**fields, "csrf": admin.csrf}, headers=elsewhere)).status_code == 403, path
        assert (await user.post(path, data={**fields, "csrf": user.csrf})).status_code == 403, path
    assert len(await asyncio.to_thread(site.keys.all)) == 2
    assert (await asyncio.to_thread(site.keys.get, site.worker.id)).prefix == site.worker.prefix
    assert await asyncio.to_thread(Answers(site.database).labels, site.runs.eval) == []


async def test_a_verdict_belongs_to_an_answer_of_its_run(site):
    admin = await signed_in(site, site.admin)
    answers = Answers(site.database)
    of_other = (await asyncio.to_thread(answers.of_run, site.runs.eval_after))[0].id
    path = f"/ui/runs/{site.runs.eval}/review"
    for fields in ({"answer": str(of_other), "verdict": "y"}, {"answer": "1", "verdict": "z"}, {"answer": "x"}):
        assert (await admin.post(path, data={**fields, "csrf": admin.csrf})).status_code == 400
    skipped = await admin.post(path, data={"answer": "1", "verdict": "s", "csrf": admin.csrf})
    assert skipped.status_code == 303
    assert await asyncio.to_thread(answers.labels, site.runs.eval) == []
    assert await asyncio.to_thread(answers.labels, site.runs.eval_after) == []


async def test_what_is_not_there_is_said_so(site):
    admin = await signed_in(site, site.admin)
    beginning = site.runs.eval[:12]
    for path in ("/ui/runs/01nothing", f"/ui/runs/{beginning}", f"/ui/runs/{site.runs.eval}/samples/0",
                 f"/ui/runs/{site.runs.eval_after}/answers/1", f"/ui/report/{site.runs.eval}"):  # fmt: skip
        assert (await admin.get(path)).status_code == 404, path
    for path in ("/ui/runs/compare", f"/ui/runs/compare?run={site.runs.eval}", "/ui/admin/usage?since=yesterday"):
        assert (await admin.get(path)).status_code == 400, path


async def test_an_error_in_a_frame_is_its_words_and_no_page_within_the_page(site):
    admin = await signed_in(site, site.admin)
    path = f"/ui/report/{site.runs.eval}/en"
    assert "<h1>" in (await admin.get(path)).text
    framed = await admin.get(path, headers={"sec-fetch-dest": "iframe"})
    assert framed.status_code == 404
    assert framed.headers["content-type"].startswith("text/plain")
    assert "is no study" in framed.text


async def test_evaluations_without_an_item_in_common_are_compared_by_what_they_have(site):
    admin = await signed_in(site, site.admin)
    answer = await admin.get(f"/ui/runs/compare/rows?a={site.runs.eval}&b={site.runs.needles}")
    assert "no figure in common" in answer.text
    answer = await admin.get(f"/ui/runs/compare/rows?a={site.runs.needles}&b={site.runs.needles}")
    assert "A and B are the same run" in answer.text
    assert answer.text.count("<caption>needle_found, ko</caption>") == 2


async def test_the_first_key_is_an_admins_and_ends_the_open_access(running):
    async with httpx.AsyncClient(base_url=running.url, headers=HTML) as http:
        csrf = token((await http.get("/ui/admin/keys")).text)
        refused = await http.post("/ui/admin/keys", data={"name": "worker", "csrf": csrf})
        assert refused.status_code == 400
        made = await http.post("/ui/admin/keys", data={"name": "boss", "role": "admin", "csrf": csrf})
        assert re.search(r"ih-\w{8}-[\w-]{40,}", made.text)
        assert (await http.get("/ui/admin/keys")).status_code == 303


async def test_a_keys_allowances_are_replaced_over_the_api_too(site):
    async with httpx.AsyncClient(base_url=site.url, headers={"authorization": f"Bearer {site.admin}"}) as http:
        path = f"/admin/keys/{site.worker.id}/allowances"
        answer = await http.put(path, json={"requests_per_minute": 7, "krw_per_day": 1000})
        assert answer.json()["limits"]["requests_per_minute"] == 7
        again = await http.put(path, json={"tokens_per_day": 9})
        assert (again.json()["limits"]["requests_per_minute"], again.json()["budget"]["tokens_per_day"]) == (None, 9)
    await asyncio.to_thread(site.gateway.keys.refresh)
    key = await asyncio.to_thread(site.keys.get, site.worker.id)
    assert key.budget.tokens_per_day == 9


async def test_conversations_of_keys_are_removed_in_time_and_no_others(site):
    await asyncio.to_thread(site.keys.set_team, Team("search"))
    kept = {}
    for person in (f"key:{site.worker.id}", site.worker.id, "local", "jiho"):
        kept[person] = await keep_trace(site.database, person)
    await asyncio.to_thread(site.keys.revoke, site.worker.id)  # a revoked key's go as well
    now = datetime.now(UTC)

    def left() -> set[str]:
        from inhouse.agent.conversations import Conversations

        return {one.person for one in Conversations(site.database).listed()}

    assert await asyncio.to_thread(forget_conversations, site.database, timedelta(days=30), now=now) == 0
    later = now + timedelta(days=31)
    assert await asyncio.to_thread(forget_conversations, site.database, timedelta(days=30), now=later) == 3
    assert await asyncio.to_thread(left) == {"jiho"}


async def test_the_chat_says_how_long_conversations_are_kept(start):
    site = await _site(await start(open_to_all=False, settings={"keep_conversations_days": 30}))
    user = await signed_in(site, site.user)
    assert "removed 30 days after" in (await user.get("/ui/chat", headers={"accept-language": "en"})).text
