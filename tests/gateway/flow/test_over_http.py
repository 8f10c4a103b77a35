"""What callers of a running gateway see of limits, queue, failover and cache; and of several gateways as of one."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path

import aiohttp
import openai
import pytest
from running_gateway import Running
from switchable_server import SwitchableServer, switchable
from talking_engine import TalkingEngine

from inhouse.engines.openai_compatible import OpenAICompatibleEngine
from inhouse.gateway.cache import AnswerCache
from inhouse.gateway.cache_store import MemoryStore
from inhouse.gateway.failover import Router
from inhouse.gateway.identity import KeyLimits
from inhouse.gateway.key_store import KeyStore
from inhouse.gateway.pool import Offer
from inhouse.gateway.prices import Price
from inhouse.gateway.replica import Replica
from inhouse.store.database import Database


def client(running: Running, key: str = "none") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key=key, max_retries=0)


async def ask(who: openai.AsyncOpenAI, text: str = "one two three", **options: object) -> object:
    messages = [{"role": "user", "content": text}]
    return await who.chat.completions.with_raw_response.create(model="parrot", messages=messages, **options)


# --- the cache ------------------------------------------------------------------------------------------


async def test_an_equal_request_is_answered_from_the_cache_and_its_saving_is_in_the_ledger(start):
    price = Price((0, 0, 0), (1_000_000_000, 0, 2_000_000_000))
    running = await start(cache=AnswerCache(MemoryStore()), prices={"parrot": price})
    async with client(running) as who:
        first = await ask(who, temperature=0)
        second = await ask(who, temperature=0)
        assert "x-cache" not in first.headers
        assert (second.headers["x-cache"], second.headers["age"]) == ("hit", "0")
        assert second.parse().choices[0].message.content == "one two three"
        assert second.parse().usage.completion_tokens == first.parse().usage.completion_tokens
    assert len(running.engine.requests) == 1
    rows = running.rows()
    assert [row["cache"] for row in rows] == [None, "exact"]
    assert rows[1]["completion_tokens"] == rows[0]["completion_tokens"]
    assert rows[0]["micro_krw"] > rows[1]["micro_krw"] == 0
    assert rows[1]["saved_micro_krw"] == rows[0]["micro_krw"]


async def test_a_hit_streams_to_a_client_that_streams(start):
    running = await start(cache=AnswerCache(MemoryStore()))
    async with client(running) as who:
        await ask(who, temperature=0)
        stream = await who.chat.completions.create(
            model="parrot", messages=[{"role": "user", "content": "one two three"}], temperature=0, stream=True
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "one two three"
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert stream.response.headers["x-cache"] == "hit"
        assert stream.response.headers["content-type"].startswith("text/event-stream")


async def test_a_streamed_answer_is_kept_and_one_that_was_broken_off_is_not(start):
    engine = TalkingEngine()
    engine.word_s = 0.02
    running = await start(engine, cache=AnswerCache(MemoryStore()))
    async with client(running) as who:
        options = {"model": "parrot", "messages": [{"role": "user", "content": "a b c d e f g h"}], "temperature": 0}
        stream = await who.chat.completions.create(**options, stream=True)
        async for _ in stream:
            break
        await stream.close()
        stream = await who.chat.completions.create(**options, stream=True)
        assert "x-cache" not in stream.response.headers
        async for _ in stream:
            pass
        whole = await who.chat.completions.with_raw_response.create(**options)
        assert whole.headers["x-cache"] == "hit"


@pytest.mark.parametrize("control", ["no-cache", "no-store"])
async def test_a_client_can_have_a_fresh_answer(start, control):
    running = await start(cache=AnswerCache(MemoryStore()))
    async with client(running) as who:
        await ask(who, temperature=0)
        answer = await ask(who, temperature=0, extra_headers={"Cache-Control": control})
        assert "x-cache" not in answer.headers
    assert len(running.engine.requests) == 2


async def test_one_keys_answers_are_not_anothers(start):
    running = await start(cache=AnswerCache(MemoryStore()), open_to_all=False)
    keys = [running.keys.create(name)[1] for name in ("one", "other")]
    await asyncio.sleep(0.6)  # until the gateway has seen them
    for key in keys:
        async with client(running, key) as who:
            assert "x-cache" not in (await ask(who, temperature=0)).headers


async def test_what_another_model_stood_in_with_is_not_kept(start):
    async with switchable("a", mode="fail") as a, switchable("b") as b:
        offers = {
            "parrot": Offer((Replica("a", OpenAICompatibleEngine(a.url), "m", 2),), fallback="spare"),
            "spare": Offer((Replica("b", OpenAICompatibleEngine(b.url), "m", 2),)),
        }
        running = await start(upstream=Router(offers), cache=AnswerCache(MemoryStore()))
        async with client(running) as who:
            for _ in range(2):
                answer = await ask(who, temperature=0)
                assert "x-cache" not in answer.headers
                assert answer.parse().model == "spare"
        assert len(b.requests) == 2


# --- limits ---------------------------------------------------------------------------------------------


async def test_a_key_over_its_rate_is_told_when_to_come_back(start):
    running = await start(open_to_all=False)
    _, key = running.keys.create("k", limits=KeyLimits(requests_per_minute=2, tokens_per_minute=10_000))
    await asyncio.sleep(0.6)
    async with client(running, key) as who:
        first = await ask(who)
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        assert int(first.headers["x-ratelimit-remaining-tokens"]) < 10_000
        await ask(who)
        with pytest.raises(openai.RateLimitError) as refused:
            await ask(who)
        headers = refused.value.response.headers
        assert 1 <= int(headers["retry-after"]) <= 30
        assert headers["x-ratelimit-remaining-requests"] == "0"
        assert refused.value.code == "rate_limit_exceeded"


async def test_what_an_answer_did_not_use_of_its_tokens_is_given_back(start):
    running = await start(open_to_all=False)
    _, key = running.keys.create("k", limits=KeyLimits(tokens_per_minute=10_000))
    await asyncio.sleep(0.6)
    async with client(running, key) as who:
        await ask(who, max_tokens=5000)
        answer = await ask(who, max_tokens=5)
        assert int(answer.headers["x-ratelimit-remaining-tokens"]) > 9_900


# --- queue and failover ---------------------------------------------------------------------------------


def before(*servers: SwitchableServer, slots: int = 2, **options: object) -> Router:
    replicas = tuple(Replica(s.name, OpenAICompatibleEngine(s.url), "m", slots) for s in servers)
    return Router({"parrot": Offer(replicas, **options)})


async def test_what_finds_no_place_is_refused_at_once_and_what_cannot_start_in_time_too(start):
    async with switchable("a", tokens=10, token_s=0.05) as a:
        running = await start(upstream=before(a, slots=1, max_waiting=1))
        async with client(running) as who:
            await ask(who)  # half a second: now the queue knows
            tasks = [asyncio.create_task(ask(who)) for _ in range(2)]
            await asyncio.sleep(0.1)
            begin = time.perf_counter()
            with pytest.raises(openai.InternalServerError) as full:
                await ask(who)
            with pytest.raises(openai.InternalServerError) as late:
                await ask(who, extra_headers={"X-Deadline-Seconds": "0.2"})
            assert time.perf_counter() - begin < 0.25
            assert (full.value.status_code, full.value.code) == (503, "queue_full")
            assert (late.value.status_code, late.value.code) == (503, "deadline_exceeded")
            assert int(full.value.response.headers["retry-after"]) >= 1
            await asyncio.gather(*tasks)


async def test_the_ledger_tells_of_the_queue_the_replica_and_the_retries(start):
    async with switchable("a", mode="fail") as a, switchable("b") as b:
        running = await start(upstream=before(a, b))
        async with client(running) as who:
            for number in range(4):
                answer = await ask(who, f"question {number}")
                assert answer.parse().choices[0].message.content == "b0 b1 b2 "
    rows = running.rows()
    assert {row["replica"] for row in rows} == {"b"}
    assert sum(row["retries"] for row in rows) >= 1
    assert all(row["queue_s"] is not None for row in rows)


async def test_when_the_client_leaves_the_server_stops(start):
    async with switchable("a", tokens=1000, token_s=0.01) as a:
        running = await start(upstream=before(a, slots=1))
        async with client(running) as who:
            stream = await who.chat.completions.create(
                model="parrot", messages=[{"role": "user", "content": "x"}], stream=True
            )
            async for _ in stream:
                break
            await stream.close()
        deadline = time.perf_counter() + 3
        while not a.left_early:
            assert time.perf_counter() < deadline
            await asyncio.sleep(0.01)
        assert running.gateway.upstream.status()[0].running == 0


# --- several processes ----------------------------------------------------------------------------------

CONFIG = """
log_level = "error"
redis_url = "{redis}"
cache = "key"

[[models]]
name = "parrot"
max_waiting = 200
replicas = [{{ engine = "openai", url = "{upstream}/v1", model = "m", slots = 2 }}]
"""


@contextmanager
def process(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A gateway in a process of its own, as a person starts it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("inhouse"), "serve", "--port", str(port), "--config", folder / "g.toml"]
    environment = os.environ | {"INHOUSE_DATA_DIR": str(folder)}
    server = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    try:
        yield f"http://127.0.0.1:{port}", server
    finally:
        server.terminate()
        server.wait(20)
        assert server.stderr is not None
        server.stderr.close()


@asynccontextmanager
async def two_processes(
    redis_url: str, tmp_path: Path, upstream: SwitchableServer, keys: dict[str, KeyLimits]
) -> AsyncIterator[tuple[list[str], dict[str, str], list[subprocess.Popen[bytes]]]]:
    """Two gateways on one store and one Redis; their addresses, the keys' texts, the processes."""
    (tmp_path / "g.toml").write_text(CONFIG.format(redis=redis_url, upstream=upstream.url))
    with closing(Database(f"sqlite:///{tmp_path}/inhouse.db")) as database:
        store = KeyStore(database)
        texts = {name: store.create(name, limits=limits)[1] for name, limits in keys.items()}
    with ExitStack() as stack:
        started = [stack.enter_context(process(tmp_path)) for _ in range(2)]
        async with aiohttp.ClientSession() as session:
            for url, server in started:
                deadline = time.perf_counter() + 30
                while True:
                    assert server.poll() is None, server.stderr.read().decode()
                    assert time.perf_counter() < deadline
                    try:
                        async with session.get(f"{url}/readyz") as response:
                            if response.status == 200:
                                break
                    except aiohttp.ClientError:
                        pass
                    await asyncio.sleep(0.1)
        yield [url for url, _ in started], texts, [server for _, server in started]


async def status(session: aiohttp.ClientSession, url: str, key: str, text: str = "hello") -> tuple[int, str | None]:
    body = {"model": "parrot", "messages": [{"role": "user", "content": text}], "temperature": 0}
    headers = {"Authorization": f"Bearer {key}"}
    async with session.post(f"{url}/v1/chat/completions", json=body, headers=headers) as response:
        await response.read()
        return response.status, response.headers.get("x-cache")


async def test_two_processes_keep_one_limit_one_queue_one_share_and_one_cache(redis_url, tmp_path):
    keys = {"limited": KeyLimits(requests_per_minute=8), "greedy": KeyLimits(), "modest": KeyLimits()}
    async with (
        switchable("a", tokens=2, token_s=0.02) as upstream,
        two_processes(redis_url, tmp_path, upstream, keys) as (urls, texts, servers),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        outcomes = [await status(session, urls[n % 2], texts["limited"], f"limited {n}") for n in range(14)]
        assert sorted(code for code, _ in outcomes) == [200] * 8 + [429] * 6

        # Twenty to one, and on different processes: the greedy key's requests do not starve the modest one's.
        served = {"greedy": 0, "modest": 0}
        end = time.perf_counter() + 3

        async def stream(name: str, number: int) -> None:
            while time.perf_counter() < end:
                served[name] += 1
                url = urls[0 if name == "greedy" else 1]
                code, _ = await status(session, url, texts[name], f"{name} {number} {served[name]}")
                assert code == 200

        upstream.most_under_way = 0
        await asyncio.gather(*(stream("greedy", n) for n in range(80)), *(stream("modest", n) for n in range(4)))
        assert upstream.most_under_way == 2
        assert served["modest"] > 0.35 * (served["greedy"] - 80)

        assert await status(session, urls[0], texts["modest"], "once more") == (200, None)
        assert await status(session, urls[1], texts["modest"], "once more") == (200, "hit")

        # One of them is killed in the middle of its answers: what it held does not stay taken.
        upstream.token_s = 0.5
        lost = [asyncio.create_task(status(session, urls[0], texts["greedy"], f"lost {n}")) for n in range(4)]
        await asyncio.sleep(0.3)
        servers[0].send_signal(signal.SIGKILL)
        results = await asyncio.gather(*lost, return_exceptions=True)
        assert all(isinstance(result, aiohttp.ClientError) for result in results)
        upstream.token_s = 0.0
        begin = time.perf_counter()
        assert (await status(session, urls[1], texts["greedy"], "after"))[0] == 200
        assert time.perf_counter() - begin < 8
