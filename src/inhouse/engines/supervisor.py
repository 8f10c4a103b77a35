"""Keeps one model's worker process alive: starts it, watches it, starts it again with back-off, ends it.

Knows processes and the worker's few words; nothing of HTTP or of what the worker is asked.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

from inhouse.core.errors import EngineCrashed, EngineError, EngineFailed, EngineModelMissing
from inhouse.engines.base import LoadTimes
from inhouse.engines.launch import LaunchSpec

FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 10.0
STABLE_S = 60.0  # a worker that served for so long starts a new count of failures
LOAD_ATTEMPTS = 3  # deaths while loading, one after another, before it is given up
_TAIL_BYTES = 16 * 1024
_PING_S = 30


class Worker:
    """The process that serves `spec`, restarted whenever it dies, until `stop`.

    `log` gets all that the process prints; without one it goes to a file that vanishes with us. `stall_s` is
    after how much silence its client gives up: the worker makes itself heard more often than that. `changed` is
    called when it begins to serve, when it no longer does, and when it is given up.
    """

    def __init__(
        self,
        spec: LaunchSpec,
        *,
        log: Path | None = None,
        stall_s: float = 120.0,
        backoff_s: float = FIRST_BACKOFF_S,
        clock: Callable[[], float] = time.perf_counter,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.spec = spec
        self.api_key = secrets.token_urlsafe(24)
        self.failure: EngineError | None = None
        self.times: LoadTimes | None = None
        self.restarts = 0
        self._ping_s = max(1, min(_PING_S, int(stall_s / 3)))
        self._backoff_s = backoff_s
        self._clock = clock
        self._changed = changed
        self._log = _open_log(log)
        self._log_start = 0
        self._process: asyncio.subprocess.Process | None = None
        self._address = ""
        self._settled = asyncio.Event()  # ready or given up
        self._task = asyncio.create_task(self._supervise(), name=f"supervise {spec.model}")

    @property
    def ready(self) -> bool:
        """Whether it serves now."""
        return bool(self._address)

    @property
    def served_at(self) -> str:
        """The base URL it serves at now; "" while it does not."""
        return self._address

    @property
    def process(self) -> asyncio.subprocess.Process | None:
        """The process that serves, or did last."""
        return self._process

    @property
    def pid(self) -> int | None:
        """The process's id while there is one."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    @property
    def rss_bytes(self) -> int | None:
        """Resident memory of the process. Weights are mapped from the file: their pages count once touched."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss) if self.pid is not None else None
        except psutil.Error:
            return None

    async def address(self) -> str:
        """The base URL it serves at, waited for while it (re)starts; an error once it was given up."""
        while True:
            await self._settled.wait()
            if self.failure is not None:
                raise type(self.failure)(self.failure.what, why=self.failure.why, do=self.failure.do)
            if self._address:
                return self._address

    async def stop(self) -> None:
        """Ends the process and the supervision. Idempotent."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._log.close()

    async def _supervise(self) -> None:
        deaths_loading = 0
        backoff_s = self._backoff_s
        try:
            while True:
                try:
                    self._address = await self._start()
                except EngineCrashed as error:
                    deaths_loading += 1
                    if deaths_loading >= LOAD_ATTEMPTS:
                        raise error
                else:
                    deaths_loading = 0
                    since = self._clock()
                    self._settled.set()
                    self._changed()
                    assert self._process is not None
                    await self._process.wait()
                    self._settled.clear()
                    self._address = ""
                    self._changed()
                    if self._clock() - since >= STABLE_S:
                        backoff_s = self._backoff_s
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, LONGEST_BACKOFF_S)
                self.restarts += 1
        except EngineError as error:
            self.failure = error
        except OSError as error:  # no memory or no processes left to start one
            self.failure = EngineFailed("The model's process cannot be started", why=str(error))
        except asyncio.CancelledError:
            self.failure = EngineCrashed(f"{self.spec.model} was unloaded", do="Send the request again to load it anew")
            raise
        finally:
            self._address = ""
            self._settled.set()
            self._changed()
            await self._kill()

    async def _start(self) -> str:
        """Spawns a worker and waits until it serves. EngineCrashed if it may go better next time."""
        spec = self.spec
        if not spec.path.is_file():
            raise EngineModelMissing(
                f"The model file {spec.path} is not there", do=f"Pull it again: inhouse models pull {spec.model}"
            )
        launch = {
            "model": spec.model,
            "path": str(spec.path.resolve()),
            "context": spec.context,
            "slots": spec.slots,
            "threads": spec.threads,
            "gpu_layers": spec.gpu_layers,
            "embeddings": spec.embeddings,
            "api_key": self.api_key,
            "ping_s": self._ping_s,
            "parent": os.getpid(),
        }
        self._log_start = self._log.seek(0, os.SEEK_END)
        begin = self._clock()
        process = self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "inhouse.engines.worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C at the terminal is ours to handle, not the worker's
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(launch).encode() + b"\n")
        alive = await _hear(process.stdout)
        process_s = self._clock() - begin
        said = await _hear(process.stdout) if alive else {}
        if address := said.get("address"):
            self.times = LoadTimes(process_s, self._clock() - begin - process_s)
            return str(address)
        how = _how(await process.wait())
        why = self._last_words() or str(said.get("failed", "")) or how
        if "failed" in said:
            raise EngineFailed(
                f"{spec.model} cannot be loaded from {spec.path}",
                why=why,
                do=f"Check the file (inhouse models verify {spec.model}) and pull it again if it is damaged",
            )
        raise EngineCrashed(
            f"The process of {spec.model} ended while it loaded the model ({how})",
            why=why if why != how else "",
            do="Check that the memory suffices, or choose a smaller model or context",
        )

    async def _kill(self) -> None:
        """Ends the process at once: it holds nothing that would have to be saved."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()

    def _last_words(self) -> str:
        """The errors that this start left in the log, without their time stamps; else its last lines."""
        self._log.flush()
        end = self._log.seek(0, os.SEEK_END)
        start = max(self._log_start, end - _TAIL_BYTES)
        self._log.seek(start)
        lines = self._log.read(end - start).decode("utf-8", "replace").splitlines()
        errors = [line.partition(" E ")[2].strip() for line in lines if " E " in line]
        return "; ".join(errors[:2] or [line.strip() for line in lines[-3:] if line.strip()])


async def death(process: asyncio.subprocess.Process, within_s: float) -> str | None:
    """How the process died ("signal SIGKILL"), waited for a moment; None if it lives on."""
    try:
        async with asyncio.timeout(within_s):
            return _how(await process.wait())
    except TimeoutError:
        return None


async def _hear(stdout: asyncio.StreamReader) -> dict[str, object]:
    """The worker's next word; nothing once it has ended."""
    line = await stdout.readline()
    said = json.loads(line) if line.endswith(b"\n") else {}
    return said if isinstance(said, dict) else {}


def _how(returncode: int) -> str:
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return f"signal {signal.Signals(-returncode).name}"
    except ValueError:
        return f"signal {-returncode}"


def _open_log(path: Path | None) -> IO[bytes]:
    if path is None:
        return tempfile.TemporaryFile()
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a+b")
