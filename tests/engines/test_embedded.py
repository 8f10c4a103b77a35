"""The embedded engine's processes: they come back when killed, end when they should, and say what is wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import psutil
import pytest

from inhouse.core.errors import (
    CorruptModel,
    EngineCrashed,
    EngineFailed,
    EngineModelMissing,
    EngineStalled,
    UnsupportedFeature,
)
from inhouse.engines.base import ChatRequest, DoneEvent, Message, TextEvent, UsageEvent
from inhouse.engines.embedded import EmbeddedEngine
from inhouse.engines.launch import LaunchSpec

MODEL = "smollm2:135m"


def ask(max_tokens: int = 4) -> ChatRequest:
    return ChatRequest(MODEL, (Message("user", "Tell me a long story."),), max_tokens=max_tokens, ignore_eos=True)


def spec(path: Path, **changes: object) -> LaunchSpec:
    return LaunchSpec(MODEL, path, **({"context": 512, "slots": 2, "threads": 1} | changes))  # type: ignore[arg-type]


@asynccontextmanager
async def running(path: Path, *, stall_s: float = 60.0, log: Path | None = None) -> AsyncIterator[EmbeddedEngine]:
    engine = EmbeddedEngine(lambda _: spec(path), stall_s=stall_s, log=log)
    try:
        yield engine
    finally:
        await engine.close()


async def pid_of(engine: EmbeddedEngine) -> int:
    (loaded,) = await engine.loaded()
    (pid,) = loaded.pids
    return pid


async def answer(engine: EmbeddedEngine, max_tokens: int = 4) -> list[object]:
    return [event async for event in engine.chat(ask(max_tokens))]


async def until(true: Callable[[], bool], limit_s: float = 5.0) -> None:
    deadline = time.perf_counter() + limit_s
    while not true():
        assert time.perf_counter() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


async def test_a_worker_killed_under_load_fails_its_requests_and_is_back_by_itself(tiny_model):
    async with running(tiny_model) as engine:
        await engine.load(MODEL)
        killed = await pid_of(engine)
        begun = asyncio.Event()

        async def read() -> None:
            async for event in engine.chat(ask(400)):
                if isinstance(event, TextEvent):
                    begun.set()

        tasks = [asyncio.create_task(read()) for _ in range(4)]  # two decode, two queue
        await begun.wait()
        os.kill(killed, signal.SIGKILL)
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert type(result) is EngineCrashed
            assert "SIGKILL" in str(result)
            assert "again" in result.do

        assert isinstance((await answer(engine))[-1], DoneEvent)
        assert await pid_of(engine) != killed
        assert (await engine.health()).ok


async def test_a_worker_that_keeps_dying_is_started_again_ever_later(tiny_model):
    async with running(tiny_model) as engine:
        await engine.load(MODEL)
        worker = engine._models[MODEL].worker
        gaps = []
        for _ in range(3):
            pid = await pid_of(engine)
            os.kill(pid, signal.SIGKILL)
            begin = time.perf_counter()
            await until(lambda pid=pid: worker.pid not in (pid, None))
            gaps.append(time.perf_counter() - begin)
            await until(lambda: worker.ready, 20.0)
        assert gaps[0] >= 0.1
        assert gaps[1] >= 0.2
        assert gaps[2] >= 0.4


async def test_a_worker_that_dies_while_loading_is_given_up_after_some_tries(tiny_model):
    async with running(tiny_model) as engine:
        loading = asyncio.create_task(engine.load(MODEL))
        seen: set[int] = set()
        while not loading.done():
            worker = engine._models[MODEL].worker if MODEL in engine._models else None
            if worker is not None and worker.pid is not None:
                seen.add(worker.pid)
                with suppress(ProcessLookupError):  # it is gone already
                    os.kill(worker.pid, signal.SIGKILL)
            await asyncio.sleep(0.002)
        with pytest.raises(EngineCrashed) as caught:
            await loading
        assert "while it loaded" in caught.value.what
        assert len(seen) == 3

        assert (await engine.load(MODEL)).load_s > 0  # asked for anew, it is tried anew


async def test_a_cold_start_is_timed_by_its_parts_and_a_warm_one_is_none(tiny_model):
    async with running(tiny_model) as engine:
        begin = time.perf_counter()
        cold = await engine.load(MODEL)
        took = time.perf_counter() - begin

        assert 0.01 < cold.process_s < took
        assert 0.05 < cold.load_s < took
        assert cold.total_s == pytest.approx(took, abs=0.2)
        assert (await engine.load(MODEL)).total_s == 0.0


async def test_the_first_requests_at_once_start_one_process_and_say_that_they_waited_for_it(tiny_model):
    async with running(tiny_model) as engine:
        answers = await asyncio.gather(*(answer(engine) for _ in range(4)))
        assert engine._models[MODEL].worker.restarts == 0
        for events in answers:
            usage = next(event for event in events if isinstance(event, UsageEvent))
            assert usage.timings["load_s"] > 0.05

        (usage,) = (event for event in await answer(engine) if isinstance(event, UsageEvent))
        assert "load_s" not in usage.timings


async def test_memory_is_that_of_the_process(tiny_model):
    async with running(tiny_model) as engine:
        await engine.load(MODEL)
        (loaded,) = await engine.loaded()
        assert loaded.rss_bytes == pytest.approx(psutil.Process(loaded.pids[0]).memory_info().rss, rel=0.1)
        assert tiny_model.stat().st_size < loaded.rss_bytes < 10 * tiny_model.stat().st_size
        assert loaded.context == 512


async def test_unloading_ends_the_process_and_the_next_request_starts_another(tiny_model):
    async with running(tiny_model) as engine:
        await engine.load(MODEL)
        pid = await pid_of(engine)
        await engine.unload(MODEL)

        assert not psutil.pid_exists(pid)
        assert await engine.loaded() == ()
        await engine.unload(MODEL)  # nothing to do, nothing to complain of
        assert isinstance((await answer(engine))[-1], DoneEvent)


async def test_closing_ends_the_process_even_while_it_loads(tiny_model):
    engine = EmbeddedEngine(lambda _: spec(tiny_model))
    loading = asyncio.create_task(engine.load(MODEL))
    await until(lambda: MODEL in engine._models and engine._models[MODEL].worker.pid is not None)
    pid = engine._models[MODEL].worker.pid
    await engine.close()

    assert not psutil.pid_exists(pid)
    with pytest.raises(EngineCrashed):
        await loading


async def test_a_damaged_file_is_given_up_at_once_with_the_reason_from_the_log(tiny_model, tmp_path):
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(tiny_model.read_bytes()[:20_000_000])
    async with running(damaged) as engine:
        begin = time.perf_counter()
        with pytest.raises(EngineFailed) as caught:
            await answer(engine)
        assert time.perf_counter() - begin < 5.0
        assert str(damaged) in caught.value.what
        assert "not within the file bounds" in caught.value.why
        assert "verify" in caught.value.do

        damaged.write_bytes(tiny_model.read_bytes())
        assert isinstance((await answer(engine))[-1], DoneEvent)


async def test_a_file_that_is_no_model_is_said_to_be_none(tmp_path):
    other = tmp_path / "other.gguf"
    other.write_bytes(b"not a model" * 1000)
    async with running(other) as engine:
        with pytest.raises(EngineFailed) as caught:
            await engine.load(MODEL)
        assert "magic" in caught.value.why


async def test_a_file_that_is_not_there_is_a_missing_model(tmp_path):
    async with running(tmp_path / "gone.gguf") as engine:
        with pytest.raises(EngineModelMissing) as caught:
            await engine.load(MODEL)
        assert "pull" in caught.value.do


async def test_what_the_resolver_finds_wrong_with_the_file_is_passed_on():
    def resolve(name: str) -> LaunchSpec:
        raise CorruptModel("no GGUF", why="bad magic", do="Pull it again")

    engine = EmbeddedEngine(resolve)
    with pytest.raises(EngineFailed) as caught:
        await engine.load(MODEL)
    assert (caught.value.what, caught.value.why, caught.value.do) == ("no GGUF", "bad magic", "Pull it again")


async def test_a_frozen_worker_is_a_stall(tiny_model):
    async with running(tiny_model, stall_s=3.0) as engine:
        await engine.load(MODEL)
        pid = await pid_of(engine)
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(EngineStalled):
                await answer(engine)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert isinstance((await answer(engine))[-1], DoneEvent)


async def test_a_request_given_up_while_it_queues_is_never_generated(tiny_model):
    engine = EmbeddedEngine(lambda _: spec(tiny_model, slots=1))
    await engine.load(MODEL)
    begin = time.perf_counter()
    first = asyncio.create_task(answer(engine, 60))
    await asyncio.sleep(0.1)
    given_up = asyncio.create_task(answer(engine, 400))
    await asyncio.sleep(0.1)
    given_up.cancel()
    last = asyncio.create_task(answer(engine, 4))
    await first
    sixty_tokens_s = time.perf_counter() - begin
    await last

    assert time.perf_counter() - begin < 4 * sixty_tokens_s  # four hundred more would make it over seven times
    await engine.close()


async def test_other_users_of_the_machine_cannot_use_the_server(tiny_model):
    async with running(tiny_model) as engine:
        await engine.load(MODEL)
        address = await engine._models[MODEL].worker.address()
        assert address.startswith("http://127.0.0.1:")
        async with aiohttp.ClientSession() as session:
            for path in ("/slots", "/v1/chat/completions"):
                async with session.post(address + path, json={"messages": []}) as response:
                    assert response.status == 401


async def test_embeddings_are_refused_where_the_model_was_launched_without(tiny_model):
    async with running(tiny_model) as engine:
        with pytest.raises(UnsupportedFeature):
            await engine.embed(MODEL, ["text"])


async def test_what_the_worker_prints_goes_to_the_log_and_nowhere_else(tmp_path, capfd):
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(b"GGUF")
    log = tmp_path / "logs" / "worker.log"
    async with running(damaged, log=log) as engine:
        with pytest.raises(EngineFailed):
            await engine.load(MODEL)
    assert "failed to load model" in log.read_text()
    assert capfd.readouterr() == ("", "")


PARENT = """
import asyncio, sys
from pathlib import Path
from inhouse.engines.base import ChatRequest, Message
from inhouse.engines.embedded import EmbeddedEngine
from inhouse.engines.launch import LaunchSpec

async def main():
    engine = EmbeddedEngine(lambda name: LaunchSpec(name, Path(sys.argv[1]), context=512, slots=1, threads=1))
    await engine.load("m")
    print((await engine.loaded())[0].pids[0], flush=True)
    if sys.argv[2] == "forget":
        return
    try:
        async for _ in engine.chat(ChatRequest("m", (Message("user", "A story."),), max_tokens=500, ignore_eos=True)):
            pass
    finally:
        await engine.close()

try:
    asyncio.run(main())
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize(
    ("deed", "ends_with"),
    [("kill -9", -signal.SIGKILL), ("Ctrl-C", 130), ("SIGTERM", -signal.SIGTERM), ("forget", 0)],
)
def test_no_worker_outlives_its_parent(tiny_model, deed, ends_with):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, tiny_model, deed],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    worker = psutil.Process(int(parent.stdout.readline()))
    if deed == "kill -9":
        parent.kill()
    elif deed == "Ctrl-C":
        os.killpg(parent.pid, signal.SIGINT)  # a terminal sends it to the whole foreground group
    elif deed == "SIGTERM":
        parent.terminate()
    _, errors = parent.communicate(timeout=10)

    assert parent.returncode == ends_with
    assert errors == ""
    psutil.wait_procs([worker], timeout=3)
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
