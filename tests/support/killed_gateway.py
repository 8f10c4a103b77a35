"""Kills a gateway again and again while clients ask it, and looks for what they saw in its ledger.

python killed_gateway.py STORE_URL KILLS        prints {"kills": …, "answers": …, "lost": […]}
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import sys
from contextlib import suppress

from running_gateway import serving
from sqlalchemy import select

from inhouse.gateway.server import listen
from inhouse.store.database import Database
from inhouse.store.gateway_tables import usage

CLIENTS = 6


def request(stream: bool) -> bytes:
    body = json.dumps({"model": "parrot", "messages": [{"role": "user", "content": "a b c"}], "stream": stream})
    return f"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


async def client(port: int, seen: list[str]) -> None:
    """Asks over one connection until it breaks; keeps the ids of the answers whose end it saw."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for turn in range(1_000_000):
        writer.write(request(stream=bool(turn % 2)))
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        assert head.startswith("http/1.1 200"), head
        if "content-length" in headers:
            await reader.readexactly(int(headers["content-length"]))
        else:
            await reader.readuntil(b"data: [DONE]\n\n\r\n")
            seen.append(headers["x-request-id"])
            await reader.readuntil(b"0\r\n\r\n")
            continue
        seen.append(headers["x-request-id"])


async def ask_until_killed(port: int, pid: int, moment: random.Random) -> list[str]:
    seen: list[str] = []
    tasks = [asyncio.create_task(client(port, seen)) for _ in range(CLIENTS)]
    while not seen and not all(task.done() for task in tasks):
        await asyncio.sleep(0.002)
    await asyncio.sleep(moment.uniform(0, 0.06))
    os.kill(pid, signal.SIGKILL)
    for task in tasks:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await task
    return seen


async def serve(url: str, listening: socket.socket) -> None:
    async with serving(url, listening=listening):
        await asyncio.sleep(3600)


def main(url: str, kills: int) -> None:
    moment = random.Random(1)
    answers, lost = 0, []
    for _ in range(kills):
        listening = listen("127.0.0.1", 0)
        port = listening.getsockname()[1]
        pid = os.fork()
        if pid == 0:
            asyncio.run(serve(url, listening))
            os._exit(1)
        seen = asyncio.run(ask_until_killed(port, pid, moment))
        os.waitpid(pid, 0)
        listening.close()
        answers += len(seen)
        database = Database(url)
        with database.read() as connection:
            kept = set(connection.scalars(select(usage.c.id).where(usage.c.id.in_(seen))))
        database.close()
        lost += sorted(set(seen) - kept)
    sys.stdout.write(json.dumps({"kills": kills, "answers": answers, "lost": lost}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
