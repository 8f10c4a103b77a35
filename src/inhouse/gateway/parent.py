"""The parent of several gateway processes: opens the port, starts the workers on it, starts a dead one again.

It answers no request itself. The workers share limits, queues and cached answers in a Redis, keys and ledger in the
store; embedded models run once, here, for all of them.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from prometheus_client import multiprocess

from inhouse.core.errors import EngineFailed, InhouseError, UsageError
from inhouse.core.settings import Settings
from inhouse.gateway.lending import Lending
from inhouse.gateway.lent_engine import Standing
from inhouse.gateway.logs import Log, open_log
from inhouse.gateway.offers import embedded_specs, with_own_model
from inhouse.gateway.open import StudyPage, check_keys, open_database
from inhouse.gateway.server import listen, serving_line
from inhouse.gateway.settings import GatewaySettings
from inhouse.gateway.worker_words import Failed, Launch, LoadWanted, News, Serving, heard, word

FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 10.0
STABLE_S = 30.0
"""A worker that served for so long starts a new count of failures."""
_LAST_S = 5.0  # what a worker gets beyond its drain before it is killed


async def run_workers(
    settings: Settings,
    gateway_settings: GatewaySettings,
    tell: Callable[[str], None],
    report: StudyPage | None = None,
) -> None:
    """Serves with `gateway_settings.workers` processes until SIGTERM or SIGINT. `tell` gets the address.

    Raises:
        UsageError: the settings do not allow it.
        InhouseError: a worker could not begin for the first time.
    """
    if not gateway_settings.redis_url.get_secret_value():
        raise UsageError(
            f"{gateway_settings.workers} workers need a Redis",
            why="limits, queues and cached answers would be each worker's own",
            do="Name one: INHOUSE_GATEWAY_REDIS_URL=redis://127.0.0.1:6379/0, or serve with one worker",
        )
    gateway_settings = with_own_model(settings, gateway_settings)
    database = open_database(settings)  # brings the schema up to date before many could try to
    try:
        check_keys(database, gateway_settings)
    finally:
        database.close()
    listening = listen(gateway_settings.host, gateway_settings.port)
    metrics = tempfile.mkdtemp(prefix="inhouse-metrics-")
    parent = _Parent(settings, gateway_settings, listening, Path(metrics), report)
    try:
        await parent.run(tell)
    finally:
        listening.close()
        shutil.rmtree(metrics, ignore_errors=True)


class _Parent:
    """The workers and the models."""

    def __init__(
        self,
        settings: Settings,
        gateway_settings: GatewaySettings,
        listening: socket.socket,
        metrics: Path,
        report: StudyPage | None,
    ) -> None:
        # Settings that were read from a file have a class of their own, which the workers do not know.
        plain = GatewaySettings.model_construct(**dict(gateway_settings))
        self._launch = (settings, plain, listening.fileno(), secrets.token_hex(6))
        self._listening = listening
        self._report = report
        self._metrics = metrics
        self._log = open_log(gateway_settings.log_level)
        self._lending = Lending(embedded_specs(settings, gateway_settings), self._tell, stall_s=settings.stall_s)
        self._workers = [
            _Worker(number, self._begin, self._lending.load, metrics, self._log)
            for number in range(gateway_settings.workers)
        ]
        self._drain_s = gateway_settings.drain_s
        self._stopping = asyncio.Event()
        self._at_once = asyncio.Event()

    async def run(self, tell: Callable[[str], None]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        watches = [asyncio.create_task(worker.run(), name=f"worker {worker.number}") for worker in self._workers]
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            serving = asyncio.ensure_future(asyncio.gather(*(worker.served.wait() for worker in self._workers)))
            await _first(*watches, stopping, serving)
            if serving.done():
                tell(f"{serving_line(self._listening)}; {len(self._workers)} processes")
                self._log.info("serving", workers=len(self._workers), pids=[w.pid for w in self._workers])
            else:
                serving.cancel()
            await _first(*watches, stopping)
        finally:
            stopping.cancel()
            await self._end(watches)
            await self._lending.close()
            self._log.info("stopped")
        for watch in watches:
            watch.result()

    def _begin(self) -> Launch:
        return Launch(*self._launch, self._lending.standings(), self._report)

    def _tell(self, name: str, standing: Standing) -> None:
        for worker in self._workers:
            worker.say(News(name, standing))

    def _stop(self) -> None:
        """On a signal: lets the workers finish; on a second one, ends them."""
        (self._at_once if self._stopping.is_set() else self._stopping).set()

    async def _end(self, watches: list[asyncio.Task[None]]) -> None:
        self._log.info("draining", workers=len(self._workers))
        for worker in self._workers:
            worker.stop()
        at_once = asyncio.create_task(self._at_once.wait())
        every = asyncio.gather(*watches, return_exceptions=True)
        await _first(every, at_once, timeout_s=self._drain_s + _LAST_S)
        at_once.cancel()
        for worker in self._workers:
            worker.kill()
        await every


class _Worker:
    """One worker process, started again with back-off whenever it ends before it is told to."""

    def __init__(
        self,
        number: int,
        launch: Callable[[], Launch],
        load: Callable[[str], None],
        metrics: Path,
        log: Log,
    ) -> None:
        self.number = number
        self.served = asyncio.Event()
        """Whether it has served, once at least."""
        self._launch = launch
        self._load = load
        self._metrics = metrics
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._ending = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """Its process, if there is one."""
        return None if self._process is None else self._process.pid

    async def run(self) -> None:
        """Keeps it alive until `stop`. Raises what kept it from serving for the first time."""
        backoff_s = FIRST_BACKOFF_S
        while not self._ending.is_set():
            began = time.monotonic()
            error, how = await self._once()
            if self._ending.is_set():
                return
            if not self.served.is_set():
                raise error or EngineFailed("A worker process of the gateway could not begin", why=how)
            if time.monotonic() - began >= STABLE_S:
                backoff_s = FIRST_BACKOFF_S
            self._log.error("worker_died", worker=self.number, how=str(error) if error else how, again_in_s=backoff_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(backoff_s):
                    await self._ending.wait()
            backoff_s = min(backoff_s * 2, LONGEST_BACKOFF_S)

    def say(self, value: object) -> None:
        """Tells the process something, if there is one."""
        if self._process is not None and self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(word(value))

    def stop(self) -> None:
        """Lets it finish its answers and end."""
        self._ending.set()
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it at once."""
        self._ending.set()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _once(self) -> tuple[InhouseError | None, str]:
        """Starts it and waits for its end: the error that it named, and how it ended."""
        launch = self._launch()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "inhouse.gateway.worker_process"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(self._metrics)},
            pass_fds=[launch.socket],
            start_new_session=True,  # Ctrl-C at the terminal is the parent's to handle
            limit=2**22,
        )
        self._process = process
        assert process.stdout is not None
        self.say(launch)
        if self._ending.is_set():
            self._signal(signal.SIGTERM)
        error: InhouseError | None = None
        while (said := heard(await process.stdout.readline())) is not None:
            if isinstance(said, Serving):
                self.served.set()
            elif isinstance(said, LoadWanted):
                self._load(said.name)
            elif isinstance(said, Failed):
                error = said.error
        code = await process.wait()
        multiprocess.mark_process_dead(process.pid, str(self._metrics))  # type: ignore[no-untyped-call]
        return error, f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


async def _first(*those: asyncio.Future[Any], timeout_s: float | None = None) -> None:
    """Waits for the first of them."""
    await asyncio.wait(those, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
