"""A gateway of the study's own: a process with its own database, key and port, which ends with what started it.

Run as `python -m inhouse.study.gateway_process` it is that process; all its settings come in the environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import select

from inhouse.core.errors import EngineFailed, PartSkipped
from inhouse.core.settings import Settings
from inhouse.engines.openai_compatible import OpenAICompatibleEngine
from inhouse.engines.openai_wire import OPENAI
from inhouse.gateway.identity import KeyLimits
from inhouse.gateway.key_store import KeyStore
from inhouse.store.database import Database
from inhouse.store.gateway_tables import usage

READY_S = 180.0  # a large model on a slow disk; a gateway that fails ends by itself long before
_END_S = 10.0
_TAIL = 600  # characters of its log that a failure quotes


def require_gateway() -> None:
    """PartSkipped where the packages that the gateway needs are not installed."""
    try:
        import inhouse.gateway.processes  # noqa: F401
    except ImportError as error:
        raise PartSkipped(
            "The gateway's packages are not installed",
            why=f"{error.name} is missing",
            do="pip install 'inhouse[gateway]'",
            message="phase5.no_gateway",
            package=error.name or "",
        ) from None


@dataclass(slots=True)
class GatewayProcess:
    """A gateway that runs as a process. `environment` is all that it was started with."""

    folder: Path
    port: int
    environment: Mapping[str, str]
    key: str = ""
    process: asyncio.subprocess.Process | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    def engine(self, *, stall_s: float) -> OpenAICompatibleEngine:
        """A client of it; the caller closes it."""
        return OpenAICompatibleEngine(
            f"{self.url}/v1", api_key=self.key or None, stall_s=stall_s, name="gateway", dialect=OPENAI
        )

    async def start(self) -> None:
        """Spawns the process; `ready` waits for it."""
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "inhouse.study.gateway_process"),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=dict(self.environment),
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C at the terminal is the study's to handle
            )

    async def ready(self) -> None:
        """Returns once its model is loaded and it takes requests; EngineFailed where it does not come to that."""
        deadline = time.monotonic() + READY_S
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            while time.monotonic() < deadline:
                if self.process is None or self.process.returncode is not None:
                    raise EngineFailed("The study's gateway ended as it started", why=self._last_words())
                with suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(f"{self.url}/readyz") as response:
                        if response.status == 200:
                            return
                await asyncio.sleep(0.1)
        raise EngineFailed(f"The study's gateway was not ready within {READY_S:g} s", why=self._last_words())

    async def kill(self) -> None:
        """Ends it as kill -9 does; its engine's process ends by itself."""
        process = self.process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def stop(self) -> None:
        """Ends it in order: what it has in hand is finished or refused, its ledger written."""
        process = self.process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_END_S):
                await process.wait()
        except TimeoutError:
            await self.kill()

    def ledger(self) -> list[dict[str, Any]]:
        """All rows of its ledger, in order of arrival."""
        database = Database(self.environment["INHOUSE_STORE_URL"])
        try:
            with database.read() as connection:
                return [dict(row) for row in connection.execute(select(usage).order_by(usage.c.id)).mappings()]
        finally:
            database.close()

    def _last_words(self) -> str:
        text = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
        return " ".join(text[-_TAIL:].split())


@asynccontextmanager
async def gateway_process(
    settings: Settings, gateway_settings: Mapping[str, object], *, with_key: bool = True, **more: str
) -> AsyncIterator[GatewayProcess]:
    """A gateway that takes requests; ended at the end, whatever happens, with all that it started.

    `settings` are those of the program (model, engine, slots); `gateway_settings` those of the gateway by name,
    where they are not the defaults; `more` goes into its environment. `with_key` makes a key, so that the
    gateway asks for one and holds it to limits (too high to be met).
    """
    require_gateway()
    with tempfile.TemporaryDirectory(prefix="inhouse-study-") as name:
        folder = Path(name)
        port = _free_port()
        gateway = GatewayProcess(folder, port, _environment(settings, gateway_settings, folder, port) | more)
        if with_key:
            gateway.key = await asyncio.to_thread(_make_key, gateway.environment["INHOUSE_STORE_URL"])
        try:
            await gateway.start()
            await gateway.ready()
            yield gateway
        finally:
            await gateway.stop()


def _environment(settings: Settings, gateway_settings: Mapping[str, object], folder: Path, port: int) -> dict[str, str]:
    """Everything that the gateway reads is said here: nothing of the user's own gateway gets into it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("INHOUSE_")}
    said: dict[str, object] = {
        "CACHE_DIR": settings.cache_dir.resolve(),
        "DATA_DIR": folder,
        "STORE_URL": f"sqlite:///{folder / 'gateway.db'}",
        "ENGINE": "embedded",
        "MODEL": settings.model,
        "THREADS": settings.threads,
        "CONTEXT": settings.context,
        "SLOTS": settings.slots,
        "GPU_LAYERS": settings.gpu_layers,
        "STALL_S": settings.stall_s,
        "GATEWAY_PORT": port,
        "GATEWAY_DRAIN_S": 1,
        "GATEWAY_LOG_LEVEL": "warning",
        **{f"GATEWAY_{name.upper()}": value for name, value in gateway_settings.items()},
    }
    if settings.model_folder is not None:
        said["MODEL_FOLDER"] = settings.model_folder.resolve()
    return inherited | {
        f"INHOUSE_{name}": json.dumps(value) if isinstance(value, list) else str(value) for name, value in said.items()
    }


def _make_key(store_url: str) -> str:
    database = Database(store_url)
    try:
        limits = KeyLimits(requests_per_minute=1_000_000, tokens_per_minute=1_000_000_000, max_concurrent=100_000)
        return KeyStore(database).create("study", team="study", limits=limits)[1]
    finally:
        database.close()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _serve() -> None:
    """The process: serves until it is told to end, or until whoever started it is gone."""
    from inhouse.core.settings import get_settings
    from inhouse.gateway.processes import run_gateway
    from inhouse.gateway.settings import load_gateway_settings

    def end_with_parent() -> None:
        sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_with_parent, daemon=True).start()
    run_gateway(get_settings(), load_gateway_settings(), tell=lambda text: print(text, file=sys.stderr))  # noqa: T201


if __name__ == "__main__":
    _serve()
