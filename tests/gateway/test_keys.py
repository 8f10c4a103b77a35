"""Keys: who gets in, to what, until when; and how they are kept."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from talking_engine import TalkingEngine

from inhouse.core.errors import UsageError
from inhouse.gateway.identity import Budget, KeyLimits
from inhouse.gateway.key_store import KeyStore, Team

BODY = {"model": "parrot", "messages": [{"role": "user", "content": "one two"}]}


async def ask(running, key: str | None = None, **options) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient() as http:
        return await http.post(
            f"{running.url}/v1/chat/completions", json={**BODY, **options}, headers={**headers, **options.pop("h", {})}
        )


async def settled(*gateways) -> None:
    """The gateways look for changed keys now, as they do by themselves twice a second."""
    for running in gateways:
        await asyncio.to_thread(running.gateway.keys.refresh)


@pytest.fixture
async def locked(start):
    return await start(TalkingEngine("parrot", "raven"), open_to_all=False)


async def test_without_a_key_nobody_gets_in(locked):
    for key in (None, "ih-abcd2345-wrong", "nonsense"):
        answer = await ask(locked, key)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
    assert locked.engine.requests == []
    assert locked.rows() == []


async def test_a_key_is_shown_once_and_only_its_hash_is_kept(locked, store_url):
    key, text = locked.keys.create("alice")
    assert re.fullmatch(r"ih-[a-z2-9]{8}-[A-Za-z0-9_-]{43}", text)
    assert text.startswith(key.prefix)
    locked.gateway.database.close()
    kept = b"".join(path.read_bytes() for path in locked.database.path.parent.glob("g.db*"))
    assert key.prefix.encode() in kept
    assert text.rsplit("-", 1)[-1].encode() not in kept
    assert text.encode() not in kept


async def test_a_key_works_within_a_second_and_a_revoked_one_no_longer(locked):
    key, text = locked.keys.create("alice")
    await asyncio.sleep(0.9)
    assert (await ask(locked, text)).status_code == 200
    locked.keys.revoke(key.prefix)
    await asyncio.sleep(0.9)
    assert (await ask(locked, text)).status_code == 401


async def test_the_key_may_come_in_the_headers_of_other_clients(locked):
    _, text = locked.keys.create("alice")
    await settled(locked)
    for header in ({"x-api-key": text}, {"api-key": text}, {"authorization": f"bearer {text}"}):
        assert (await ask(locked, h=header)).status_code == 200


async def test_a_rotated_key_has_a_new_secret_and_the_old_one_its_grace(locked):
    key, old = locked.keys.create("alice")
    _, new = locked.keys.rotate(key.id, grace=timedelta(hours=1))
    await settled(locked)
    assert [(await ask(locked, text)).status_code for text in (old, new)] == [200, 200]
    assert {row["key_id"] for row in locked.rows()} == {key.id}
    _, newest = locked.keys.rotate(key.id)
    await settled(locked)
    assert [(await ask(locked, text)).status_code for text in (old, new, newest)] == [401, 401, 200]


async def test_a_key_expires(start):
    clock = [datetime.now(UTC).timestamp()]
    running = await start(open_to_all=False, clock=lambda: clock[0])
    _, text = running.keys.create("alice", expires_at=datetime.fromtimestamp(clock[0] + 60, UTC))
    await settled(running)
    assert (await ask(running, text)).status_code == 200
    clock[0] += 61
    answer = await ask(running, text)
    assert answer.status_code == 401
    assert "expired" in answer.text


async def test_a_key_is_good_for_its_models_only(locked):
    _, text = locked.keys.create("alice", models=["raven"])
    await settled(locked)
    assert (await ask(locked, text)).status_code == 403
    assert (await ask(locked, text, model="raven")).status_code == 200
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {text}"}) as http:
        models = (await http.get(f"{locked.url}/v1/models")).json()["data"]
        assert [model["id"] for model in models] == ["raven"]
        assert [model["name"] for model in (await http.get(f"{locked.url}/api/tags")).json()["models"]] == ["raven"]


async def test_on_the_loopback_interface_anyone_may_until_the_first_key_is_made(running):
    assert (await ask(running)).status_code == 200
    assert (await ask(running, "whatever")).status_code == 200
    key, text = running.keys.create("alice")
    await settled(running)
    assert (await ask(running)).status_code == 401
    assert (await ask(running, text)).status_code == 200
    running.keys.revoke(key.id)
    await settled(running)
    assert (await ask(running)).status_code == 401  # revoking the last key opens nothing


async def test_rates_are_those_of_the_key_with_the_headers_that_clients_know(locked):
    _, text = locked.keys.create("alice", limits=KeyLimits(requests_per_minute=2))
    await settled(locked)
    first = await ask(locked, text)
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    await ask(locked, text)
    refused = await ask(locked, text)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert refused.headers["x-should-retry"] == "true"
    assert refused.json()["error"]["type"] == "rate_limit_error"


@pytest.mark.parametrize("whose", ["key", "team"])
async def test_a_budget_is_enforced_from_the_ledger(locked, whose):
    budget = Budget(tokens_per_day=5)
    if whose == "team":
        locked.keys.set_team(Team("search", budget=budget))
        _, text = locked.keys.create("alice", team="search")
    else:
        _, text = locked.keys.create("alice", budget=budget)
    await settled(locked)
    statuses = [(await ask(locked, text)).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]  # 4 tokens each: the third begins at 8
    refused = await ask(locked, text)
    assert refused.json()["error"]["code"] == "insufficient_quota"
    assert refused.headers["x-should-retry"] == "false"
    assert 0 < int(refused.headers["retry-after"]) <= 86400


async def test_a_budget_holds_for_what_another_process_served(start):
    one, other = await start(open_to_all=False), await start(open_to_all=False)
    _, text = one.keys.create("alice", budget=Budget(tokens_per_day=4))
    await settled(one, other)
    assert (await ask(one, text)).status_code == 200
    await asyncio.sleep(1.2)
    assert (await ask(other, text)).status_code == 429


def test_keys_that_cannot_be(store_url):
    from inhouse.store.database import Database

    keys = KeyStore(Database(store_url))
    with pytest.raises(UsageError):
        keys.create(" ")
    with pytest.raises(UsageError):
        keys.create("a", expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(UsageError):
        keys.get("ih-none2345")
    key, _ = keys.create("a")
    keys.revoke(key.id)
    with pytest.raises(UsageError):
        keys.rotate(key.id)


async def test_keys_are_known_by_the_beginning_of_their_id_or_text(locked):
    key, text = locked.keys.create("alice")
    assert locked.keys.get(key.id[:12]).id == key.id
    assert locked.keys.get(text).id == key.id
    assert [one.name for one in locked.keys.all()] == ["alice"]
    locked.keys.revoke(text)
    assert locked.keys.all() == []
    assert locked.keys.all(revoked=True)[0].revoked_at is not None
