"""The cache of answers: what is alike, whose it is, how old it may be, and that nobody reads it in the Redis."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from inhouse.engines.base import (
    ChatRequest,
    DoneEvent,
    Message,
    TextEvent,
    TokenLogprob,
    ToolCall,
    ToolCallEvent,
    ToolSpec,
    UsageEvent,
)
from inhouse.gateway.base import Answer
from inhouse.gateway.cache import AnswerCache, CacheKey, digest
from inhouse.gateway.cache_store import MemoryStore, RedisStore
from inhouse.gateway.identity import Caller
from inhouse.gateway.shared import Shared

KIM, LEE = Caller("kim", "kim", team="sales"), Caller("lee", "lee", team="sales")
ASK = ChatRequest("m", (Message("system", "Be brief."), Message("user", "연차는 며칠인가요?")), temperature=0.0)
ANSWER = Answer("15일입니다.", "stop", prompt_tokens=20, completion_tokens=5)


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1.7e9

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture(params=["memory", "redis"])
async def cache(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[AnswerCache]:
    if request.param == "memory":
        yield AnswerCache(MemoryStore(ttl_s=100, clock=clock), clock=clock)
        return
    shared = Shared(request.getfixturevalue("redis_url"), namespace=uuid.uuid4().hex)
    await shared.start()
    yield AnswerCache(RedisStore(shared, ttl_s=100), clock=clock)
    await shared.close()


async def keep(
    cache: AnswerCache, request: ChatRequest = ASK, caller: Caller = KIM, control: str = "", answer: Answer = ANSWER
) -> None:
    key = cache.key(request, caller, control)
    assert key is not None
    await cache.put(key, answer)
    await asyncio.sleep(0.05 if isinstance(cache.store, RedisStore) else 0)


async def found(
    cache: AnswerCache, request: ChatRequest = ASK, caller: Caller = KIM, control: str = ""
) -> Answer | None:
    key = cache.key(request, caller, control)
    hit = None if key is None else await cache.get(key)
    return None if hit is None else hit.answer


async def test_an_equal_request_gets_the_answer_again(cache):
    assert await found(cache) is None
    await keep(cache)
    assert await found(cache) == ANSWER


async def test_an_answer_keeps_its_tool_calls_and_probabilities(cache):
    answer = Answer(
        "ok",
        "tool_calls",
        (ToolCall("call_1", "weather", '{"city": "서울"}'),),
        (TokenLogprob("ok", -0.25, (("ok", -0.25), ("no", -3.5))),),
        7,
        3,
    )
    await keep(cache, answer=answer)
    assert await found(cache) == answer


async def test_a_key_does_not_get_another_keys_answers(cache):
    await keep(cache)
    assert await found(cache, caller=LEE) is None


@pytest.mark.parametrize(("scope", "shared_with"), [("team", {"lee"}), ("all", {"lee", "park"})])
async def test_answers_are_shared_as_far_as_the_operator_says(scope, shared_with):
    cache = AnswerCache(MemoryStore(), scope=scope)
    await keep(cache)
    park = Caller("park", "park", team="legal")
    got = {who.name for who in (LEE, park) if await found(cache, caller=who) is not None}
    assert got == shared_with


async def test_keys_without_a_team_share_nothing_by_team():
    cache = AnswerCache(MemoryStore(), scope="team")
    await keep(cache, caller=Caller("a", "a"))
    assert await found(cache, caller=Caller("b", "b")) is None


ALIKE = {
    "white space at the ends": replace(ASK, messages=(ASK.messages[0], Message("user", "  연차는 며칠인가요?\n"))),
    "Unicode composition": replace(
        ASK, messages=(ASK.messages[0], Message("user", "\u110b\u1167\u11ab\u110e\u1161\u1102\u1173\u11ab 며칠인가요?"))
    ),
    "what steers a draw that is not made": replace(ASK, seed=3, top_p=0.5, top_k=10),
}


@pytest.mark.parametrize("what", ALIKE)
async def test_requests_are_equal_whatever_their(what):
    cache = AnswerCache(MemoryStore())
    await keep(cache)
    assert await found(cache, ALIKE[what]) == ANSWER


TOOL = ToolSpec("f", "does f", {"type": "object", "properties": {"a": {}, "b": {}}})
OTHERS = {
    "text": replace(ASK, messages=(ASK.messages[0], Message("user", "연차는 며칠이었나요?"))),
    "system prompt": replace(ASK, messages=(Message("system", "Be long."), ASK.messages[1])),
    "role": replace(ASK, messages=(Message("user", "Be brief."), ASK.messages[1])),
    "order": replace(ASK, messages=ASK.messages[::-1]),
    "model": replace(ASK, model="n"),
    "length": replace(ASK, max_tokens=10),
    "stop": replace(ASK, stop=("x",)),
    "schema": replace(ASK, json_schema={"type": "object"}),
    "tools": replace(ASK, tools=(TOOL,)),
    "probabilities": replace(ASK, top_logprobs=2),
    "penalty": replace(ASK, repeat_penalty=1.2),
}


@pytest.mark.parametrize("what", OTHERS)
async def test_requests_are_not_equal_with_another(what):
    cache = AnswerCache(MemoryStore())
    await keep(cache)
    assert await found(cache, OTHERS[what]) is None


async def test_a_schema_is_the_same_whatever_the_order_of_its_keys():
    cache = AnswerCache(MemoryStore())
    await keep(cache, replace(ASK, json_schema={"type": "object", "properties": {"a": {}, "b": {}}}))
    assert await found(cache, replace(ASK, json_schema={"properties": {"b": {}, "a": {}}, "type": "object"})) == ANSWER


@pytest.mark.parametrize("temperature", [None, 0.7])
async def test_an_answer_that_was_drawn_is_cached_only_where_the_client_asks(cache, temperature):
    request = replace(ASK, temperature=temperature)
    assert cache.key(request, KIM, "") is None
    await keep(cache, request, control="max-age=60")
    assert await found(cache, request, control="max-age=60") == ANSWER
    assert await found(cache, request) is None


async def test_no_store_neither_reads_nor_keeps(cache):
    assert cache.key(ASK, KIM, "no-store") is None
    await keep(cache)
    assert await found(cache, control="No-Store, max-age=100") is None


async def test_no_cache_asks_the_model_again_and_keeps_the_new_answer(cache):
    await keep(cache)
    assert await found(cache, control="no-cache") is None
    fresh = replace(ANSWER, text="16일입니다.")
    await keep(cache, control="no-cache", answer=fresh)
    assert await found(cache) == fresh


async def test_max_age_takes_no_older_answer(cache, clock):
    await keep(cache)
    clock.now += 30
    assert await found(cache, control="max-age=20") is None
    assert await found(cache, control="max-age=40") == ANSWER
    assert await found(cache, control="max-age=0") is None
    assert await found(cache) == ANSWER


async def test_a_hit_tells_how_old_it_is(cache, clock):
    await keep(cache)
    clock.now += 30
    hit = await cache.get(cache.key(ASK, KIM, ""))
    assert (hit.how, hit.age_s) == ("exact", 30)


async def test_an_answer_is_forgotten_after_its_time(clock):
    cache = AnswerCache(MemoryStore(ttl_s=100, clock=clock), clock=clock)
    await keep(cache)
    clock.now += 99
    assert await found(cache) == ANSWER
    clock.now += 2
    assert await found(cache) is None
    assert (len(cache.store), cache.store.size_bytes) == (0, 0)


async def test_the_redis_forgets_an_answer_after_its_time(redis_url):
    shared = Shared(redis_url, namespace=uuid.uuid4().hex)
    await shared.start()
    cache = AnswerCache(RedisStore(shared, ttl_s=0.3))
    await keep(cache)
    assert await found(cache) == ANSWER
    await asyncio.sleep(0.4)
    assert await found(cache) is None
    await shared.close()


async def test_an_answer_that_a_filter_ended_is_not_kept(cache):
    await keep(cache, answer=replace(ANSWER, finish_reason="content_filter"))
    assert await found(cache) is None


async def test_all_answers_of_a_key_can_be_deleted(cache):
    for number in range(5):
        await keep(cache, replace(ASK, max_tokens=number + 1))
    await keep(cache, caller=LEE)
    assert await cache.forget(KIM) == 5
    assert await found(cache, replace(ASK, max_tokens=1)) is None
    assert await found(cache, caller=LEE) == ANSWER


async def test_the_memory_is_bounded_and_what_is_used_stays():
    store = MemoryStore(max_bytes=50_000)
    cache = AnswerCache(store)
    await keep(cache)
    for number in range(200):
        await keep(cache, replace(ASK, max_tokens=number + 1), answer=replace(ANSWER, text="x" * 1000))
        assert await found(cache) == ANSWER
        assert store.size_bytes <= 50_000
    assert 25 < len(store) < 50
    await keep(cache, replace(ASK, max_tokens=999), answer=replace(ANSWER, text="x" * 49_000))
    assert await found(cache, replace(ASK, max_tokens=999)) is None
    assert await found(cache) == ANSWER


async def test_nothing_of_request_or_answer_can_be_read_in_the_redis(redis_url):
    shared = Shared(redis_url, namespace=uuid.uuid4().hex)
    await shared.start()
    cache = AnswerCache(RedisStore(shared))
    answer = replace(ANSWER, text="the secret figure is 4711")
    await keep(cache, replace(ASK, messages=(Message("user", "what is the secret figure?"),)), answer=answer)
    names = [name async for name in shared._raw.scan_iter(match=f"{shared.namespace}:cache:*")]
    assert len(names) == 1
    everything = names[0] + await shared._raw.get(names[0])
    assert b"secret" not in everything
    assert b"4711" not in everything
    await shared.close()


@pytest.mark.parametrize("how", ["changed", "shortened", "emptied"])
async def test_what_somebody_forged_in_the_redis_is_no_answer(redis_url, how):
    shared = Shared(redis_url, namespace=uuid.uuid4().hex)
    await shared.start()
    cache = AnswerCache(RedisStore(shared))
    await keep(cache)
    (name,) = [name async for name in shared._raw.scan_iter(match=f"{shared.namespace}:cache:*")]
    kept = await shared._raw.get(name)
    forged = {"changed": kept[:-1] + bytes([kept[-1] ^ 1]), "shortened": kept[:25], "emptied": b""}[how]
    await shared._raw.set(name, forged)
    assert await found(cache) is None
    await shared.close()


async def test_two_processes_share_the_answers(redis_url):
    namespace = uuid.uuid4().hex
    one, other = Shared(redis_url, namespace=namespace), Shared(redis_url, namespace=namespace)
    await one.start()
    await other.start()
    await keep(AnswerCache(RedisStore(one)))
    assert await found(AnswerCache(RedisStore(other))) == ANSWER
    await one.close()
    await other.close()


async def test_an_answer_plays_again_as_a_stream_of_events():
    answer = replace(ANSWER, tool_calls=(ToolCall("1", "f", "{}"),))
    kinds = [type(event) for event in answer.events(0.0)]
    assert kinds == [TextEvent, ToolCallEvent, UsageEvent, DoneEvent]


def test_a_cache_key_tells_nothing_of_the_request():
    key = AnswerCache(MemoryStore()).key(ASK, KIM, "")
    assert isinstance(key, CacheKey)
    other = AnswerCache(MemoryStore()).key(ASK, LEE, "")
    assert key.id != other.id
    assert key.secret != other.secret


def test_a_schema_with_an_integer_beyond_64_bits_has_a_digest_of_its_own():
    def at_most(most: int) -> bytes:
        schema = {"type": "integer", "maximum": most}
        return digest(ChatRequest(model="m", messages=(Message("user", "?"),), json_schema=schema), "all")

    assert at_most(10**20) == at_most(10**20) != at_most(10**20 + 1)
