"""One of several processes that serve the gateway's port: `python -m inhouse.gateway.worker_process`, started by the
parent (parent.py) only.

The parent's words come on stdin, ours go to stdout (worker_words.py). The end of stdin is the end of the parent, and
then ours.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress

from inhouse.core.errors import InhouseError
from inhouse.core.event_loop import run
from inhouse.gateway.lent_engine import LentEngine
from inhouse.gateway.open import Loan, open_gateway
from inhouse.gateway.server import run_server
from inhouse.gateway.worker_words import Failed, Launch, LoadWanted, News, Serving, heard, word


def main() -> None:
    """Serves until SIGTERM, or until the parent is gone."""
    out = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints belongs in the log
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    sys.exit(run(_serve(out)))


async def _serve(out: int) -> int:
    parent = asyncio.StreamReader(limit=2**22)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(parent), sys.stdin)
    launch = heard(await parent.readline())
    if not isinstance(launch, Launch):
        return 1

    def say(value: object) -> None:
        with suppress(BrokenPipeError):  # the parent is gone, and the end of stdin will tell
            os.write(out, word(value))

    engines: dict[str, LentEngine] = {}

    def engine(name: str) -> LentEngine:
        stall_s = launch.settings.stall_s
        engines[name] = LentEngine(launch.models[name], lambda: say(LoadWanted(name)), stall_s=stall_s)
        return engines[name]

    async def listen_to_parent() -> None:
        while (news := heard(await parent.readline())) is not None:
            if isinstance(news, News) and news.name in engines:
                engines[news.name].told(news.standing)
        os.kill(os.getpid(), signal.SIGTERM)

    try:
        loan = Loan(launch.parent, engine)
        gateway = await open_gateway(launch.settings, launch.gateway_settings, loan, report=launch.report)
        listening = asyncio.create_task(listen_to_parent(), name="listen to the parent")
        serving = run_server(gateway, socket.socket(fileno=launch.socket), started=lambda: say(Serving()))
        try:
            await serving
        finally:
            listening.cancel()
    except InhouseError as error:
        say(Failed(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    main()
