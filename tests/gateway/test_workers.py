"""`inhouse serve --workers 2`: two processes on one port are one gateway, and a killed one is no outage."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import aiohttp
import psutil
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families
from switchable_server import SwitchableServer, switchable

from inhouse.gateway.identity import KeyLimits
from inhouse.gateway.key_store import KeyStore
from inhouse.gateway.usage import sum_usage
from inhouse.store.database import Database

INHOUSE = Path(sys.executable).with_name("inhouse")


def processes_of(parent: int, module: str) -> list[int]:
    found = []
    for child in psutil.Process(parent).children():
        with suppress(psutil.Error):  # it is just ending
            if module in child.cmdline():
                found.append(child.pid)
    return found


class Workers:
    """A running gateway of several processes, and its log."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.lines: list[dict] = []
        self.url = ""

    async def read_log(self) -> None:
        async for line in self.process.stderr:
            if line.startswith(b"{"):
                self.lines.append(json.loads(line))
                if "workers" in self.lines[-1]:
                    self.serving.set()
                if address := self.lines[-1].get("address"):
                    self.url = f"http://{address}"

    @property
    def pids(self) -> list[int]:
        """The worker processes that live now."""
        return processes_of(self.process.pid, "inhouse.gateway.worker_process")

    def usage(self) -> int:
        with closing(Database(f"sqlite:///{self.folder}/inhouse.db")) as database:
            return sum(row.requests for row in sum_usage(database, ["day"]))


@asynccontextmanager
async def workers(
    folder: Path, redis_url: str, *options: str, keys: dict[str, KeyLimits] | None = None, **environment: str
) -> AsyncIterator[tuple[Workers, dict[str, str]]]:
    with closing(Database(f"sqlite:///{folder}/inhouse.db")) as database:
        store = KeyStore(database)
        texts = {name: store.create(name, role="admin", limits=limits)[1] for name, limits in (keys or {}).items()}
    ours = {"INHOUSE_DATA_DIR": str(folder), "INHOUSE_GATEWAY_REDIS_URL": redis_url, "TMPDIR": str(folder)}
    process = await asyncio.create_subprocess_exec(
        *(INHOUSE, "serve", "--port", "0", "--workers", "2", *options),
        env=os.environ | ours | environment,
        cwd=folder,
        stderr=asyncio.subprocess.PIPE,
    )
    running = Workers(process, folder)
    running.serving = asyncio.Event()
    reading = asyncio.create_task(running.read_log())
    try:
        await asyncio.wait_for(running.serving.wait(), 40)
        yield running, texts
    finally:
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.wait(), 20)
        await reading


def upstream_config(folder: Path, upstream: SwitchableServer, slots: int = 64) -> tuple[str, str]:
    (folder / "g.toml").write_text(
        f'drain_s = 5\n[[models]]\nname = "parrot"\n'
        f'replicas = [{{ engine = "openai", url = "{upstream.url}/v1", model = "m", slots = {slots} }}]\n'
    )
    return "--config", str(folder / "g.toml")


async def ask(url: str, key: str, **options: object) -> int:
    """Over a connection of its own, which either process may take."""
    body = {"model": "parrot", "messages": [{"role": "user", "content": "hello"}], **options}
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session,
        session.post(f"{url}/v1/chat/completions", json=body) as response,
    ):
        await response.read()
        return response.status


async def metric(url: str, key: str, name: str) -> float:
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics", headers=headers) as response:
        families = text_string_to_metric_families(await response.text())
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


def requests_of(pids: list[int]) -> list[float]:
    """What each worker itself has counted."""
    folder = Path(psutil.Process(pids[0]).environ()["PROMETHEUS_MULTIPROC_DIR"])
    merged = [MultiProcessCollector.merge([str(folder / f"counter_{pid}.db")]) for pid in pids]
    return [
        sum(s.value for metric in found for s in metric.samples if s.name == "inhouse_requests_total")
        for found in merged
    ]


async def test_limits_slots_ledger_and_metrics_are_those_of_one_gateway(redis_url, tmp_path):
    keys = {"limited": KeyLimits(requests_per_minute=9), "free": KeyLimits()}
    async with (
        switchable("a", tokens=2, token_s=0.01) as upstream,
        workers(tmp_path, redis_url, *upstream_config(tmp_path, upstream, slots=3), keys=keys) as (gateway, texts),
    ):
        codes = Counter(await asyncio.gather(*(ask(gateway.url, texts["limited"]) for _ in range(30))))
        assert codes == {200: 9, 429: 21}
        upstream.most_under_way = 0
        codes = Counter(await asyncio.gather(*(ask(gateway.url, texts["free"]) for _ in range(120))))
        assert codes == {200: 120}
        assert upstream.most_under_way == 3
        assert len(gateway.pids) == 2
        await asyncio.sleep(0.2)
        assert gateway.usage() == 150
        assert await metric(gateway.url, texts["free"], "inhouse_requests_total") == 150
        assert all(served > 0 for served in requests_of(gateway.pids))


async def test_whichever_worker_answers_it_tells_of_the_requests_of_both(redis_url, tmp_path):
    async with (
        switchable("a", tokens=60, token_s=0.1) as upstream,
        workers(tmp_path, redis_url, *upstream_config(tmp_path, upstream), keys={"k": KeyLimits()}) as (gateway, texts),
    ):
        key = texts["k"]
        asking = [asyncio.create_task(ask(gateway.url, key, stream=True)) for _ in range(12)]
        while upstream.under_way < 12:
            await asyncio.sleep(0.02)
        await asyncio.sleep(1.5)  # by then each worker has shown the other what it has
        for _ in range(8):  # each over a connection of its own, which either may take
            assert await metric(gateway.url, key, "inhouse_replica_requests_running") == 12
            assert await metric(gateway.url, key, "inhouse_slots_used") == 12
        headers = {"Authorization": f"Bearer {key}"}
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{gateway.url}/admin/flow", headers=headers) as told,
        ):
            flow = await told.json()
        assert flow["processes"] == 2
        assert [replica["running"] for model in flow["models"] for replica in model["replicas"]] == [12]
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def test_the_dashboard_of_either_worker_shows_the_requests_of_both(redis_url, tmp_path):
    async with (
        switchable("a", tokens=2) as upstream,
        workers(tmp_path, redis_url, *upstream_config(tmp_path, upstream), keys={"k": KeyLimits()}) as (gateway, texts),
    ):
        key = texts["k"]
        connector = aiohttp.TCPConnector(force_close=True)  # each page from whichever takes it
        async with aiohttp.ClientSession(connector=connector) as session:
            cookies = await signed_in(session, gateway.url, key)
            async with session.get(f"{gateway.url}/ui/dashboard/live", cookies=cookies) as stream:
                await anext(aiter(stream.content))
                await asyncio.sleep(2.5)  # by then the other knows that someone watches
                assert [await ask(gateway.url, key) for _ in range(40)] == [200] * 40
                assert all(served > 0 for served in requests_of(gateway.pids))
                async with asyncio.timeout(20):
                    async for line in stream.content:
                        if line.startswith(b"data: ") and json.loads(line[6:])["minute"].get("requests") == 40:
                            break
            async with asyncio.timeout(20):  # the history too, once its step is over
                total: dict = {}
                while total.get("requests") != 40:
                    url = f"{gateway.url}/ui/dashboard/history?range=1h"
                    async with session.get(url, cookies=cookies) as answer:
                        total = (await answer.json())["total"]
                    await asyncio.sleep(0.5)


async def signed_in(session: aiohttp.ClientSession, url: str, key: str) -> dict[str, str]:
    """The cookies of who has signed in to the pages."""
    async with session.get(f"{url}/ui/sign-in") as page:
        token = re.search(r'data-csrf="([^"]+)"', await page.text())[1]
        before = {name: one.value for name, one in page.cookies.items()}
    form = {"key": key, "csrf": token}
    async with session.post(f"{url}/ui/sign-in", data=form, cookies=before, allow_redirects=False) as answer:
        assert answer.status == 303
        return {name: one.value for name, one in answer.cookies.items()}


async def test_a_killed_worker_is_replaced_and_what_it_had_promised_stays_counted(redis_url, tmp_path):
    async with (
        switchable("a", tokens=2) as upstream,
        workers(tmp_path, redis_url, *upstream_config(tmp_path, upstream), keys={"k": KeyLimits()}) as (gateway, texts),
    ):
        key = texts["k"]
        assert [await ask(gateway.url, key) for _ in range(10)] == [200] * 10
        first, other = gateway.pids
        os.kill(first, signal.SIGKILL)
        begin = time.perf_counter()
        answered = 10
        while len(set(gateway.pids) - {first}) < 2 or answered < 60:
            assert await ask(gateway.url, key) == 200  # none of the new connections meets the dead process
            answered += 1
            assert time.perf_counter() - begin < 20
        assert other in gateway.pids
        died = next(line for line in gateway.lines if line["event"] == "worker_died")
        assert died["how"] == "signal SIGKILL"
        while sum(line["event"] == "serving" and "address" in line for line in gateway.lines) < 3:
            await asyncio.sleep(0.05)
        assert gateway.usage() == answered
        assert await metric(gateway.url, key, "inhouse_requests_total") == answered


async def test_sigterm_lets_the_streams_of_both_finish_and_leaves_nothing_behind(redis_url, tmp_path):
    async with (
        switchable("a", tokens=8, token_s=0.15) as upstream,
        workers(tmp_path, redis_url, *upstream_config(tmp_path, upstream), keys={"k": KeyLimits()}) as (gateway, texts),
    ):
        pids = gateway.pids
        streams = [asyncio.create_task(ask(gateway.url, texts["k"], stream=True)) for _ in range(20)]
        while upstream.under_way < 20:
            await asyncio.sleep(0.02)
        gateway.process.terminate()
        assert await asyncio.gather(*streams) == [200] * 20
        assert await asyncio.wait_for(gateway.process.wait(), 10) == 0
        assert not any(psutil.pid_exists(pid) for pid in pids)
        assert gateway.usage() == 20


async def test_workers_end_with_their_parent(redis_url, tmp_path):
    async with (
        switchable("a") as upstream,
        workers(tmp_path, redis_url, *upstream_config(tmp_path, upstream)) as (gateway, _),
    ):
        left = [psutil.Process(pid) for pid in gateway.pids]
        gateway.process.kill()
        await gateway.process.wait()
        _, alive = await asyncio.to_thread(psutil.wait_procs, left, 10)
        assert alive == []


async def test_an_embedded_model_runs_once_for_all_workers_and_again_when_it_dies(redis_url, tmp_path, tiny_model):
    options = ("--model", "smollm2:135m")
    async with workers(tmp_path, redis_url, *options, INHOUSE_SLOTS="2", INHOUSE_CONTEXT="512") as (gateway, _):
        request = {"model": "smollm2:135m", "max_tokens": 4}
        codes = await asyncio.gather(*(ask(gateway.url, "none", **request) for _ in range(6)))
        assert codes == [200] * 6

        (model,) = processes_of(gateway.process.pid, "inhouse.engines.worker")
        os.kill(model, signal.SIGKILL)
        left = 6
        while left:  # on a busy machine it may take longer than a request waits for a model that is down
            codes = await asyncio.gather(*(ask(gateway.url, "none", **request) for _ in range(left)))
            assert set(codes) <= {200, 503}
            left -= codes.count(200)
        (successor,) = processes_of(gateway.process.pid, "inhouse.engines.worker")
        assert successor != model
        assert gateway.usage() >= 12


def serve(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [INHOUSE, "serve", "--port", "0", "--workers", "2", *options],
        env=os.environ | {"INHOUSE_DATA_DIR": str(folder)} | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_without_a_redis_several_workers_are_refused(tmp_path):
    done = serve(tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: 2 workers need a Redis")
    assert "INHOUSE_GATEWAY_REDIS_URL" in done.stderr


def test_what_keeps_a_worker_from_beginning_is_told_once_and_ends_the_gateway(tmp_path):
    (tmp_path / "g.toml").write_text(
        '[[models]]\nname = "m"\nreplicas = [{ engine = "openai", url = "http://h/v1" }]\n'
    )
    done = serve(
        tmp_path, "--config", "g.toml", INHOUSE_GATEWAY_REDIS_URL="redis://127.0.0.1:9/0", INHOUSE_BASE_URL="http://h"
    )
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "Redis" in errors[0]
