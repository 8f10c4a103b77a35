"""An OpenAI-compatible server without a model, in a process of its own: what clients are measured against.

Streams `max_tokens` words after another, all at once or on a schedule, and remembers when requests arrived.
The model's name sets the schedule: `fake` answers as fast as it can, `fake-10ms` sends a word every 10 ms.
Speaks just enough HTTP/1.1 for that, so that little of what is measured is its own.

    python benchmarks/fake_server.py            prints its port, serves until its stdin closes
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

EVENT = b'data: {"id":"f","object":"chat.completion.chunk","model":"fake","choices":[%s]%s}\n\n'
WORD = EVENT % (b'{"index":0,"delta":{"content":" word"},"finish_reason":null}', b"")
ROLE = EVENT % (b'{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}', b"")
LAST = EVENT % (b'{"index":0,"delta":{},"finish_reason":"length"}', b"")
USAGE = b',"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}'
DONE = b"data: [DONE]\n\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

arrivals: list[float] = []
"""When each chat request arrived, on time.perf_counter(): on Linux one clock for all processes."""


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked HTTP body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


WORD_CHUNK = chunk(WORD)


class FakeServer(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps where to write."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answers every whole request."""
        at = time.perf_counter()
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            length = 0
            for line in head.split(b"\r\n")[1:]:
                name, _, value = line.partition(b":")
                if name.strip().lower() == b"content-length":
                    length = int(value)
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            self._answer(head.split(b" ", 2)[1].decode(), body, at)

    def _answer(self, path: str, body: bytes, at: float) -> None:
        if path.endswith("/chat/completions"):
            arrivals.append(at)
            request = json.loads(body)
            words = body.count(b" ") + 1  # the fake tokeniser: a word a token
            tokens = request.get("max_tokens") or request.get("max_completion_tokens") or 16
            _, _, gap = str(request.get("model", "")).partition("-")
            if request.get("stream"):
                self._stream(words, tokens, float(gap.removesuffix("ms")) / 1000 if gap else 0.0)
                return
            text = {"role": "assistant", "content": " word" * tokens}
            usage = {"prompt_tokens": words, "completion_tokens": tokens, "total_tokens": words + tokens}
            self._json(
                {"id": "f", "choices": [{"index": 0, "message": text, "finish_reason": "length"}], "usage": usage}
            )
        elif path == "/arrivals":
            self._json(arrivals)
            arrivals.clear()
        elif path.endswith("/models"):
            self._json({"object": "list", "data": [{"id": "fake", "object": "model", "owned_by": "fake"}]})
        else:
            self._json({"status": "ok"})

    def _stream(self, words: int, tokens: int, gap_s: float) -> None:
        usage = EVENT % (b"", USAGE % (words, tokens, words + tokens))
        end = chunk(LAST + usage + DONE) + b"0\r\n\r\n"
        if not gap_s:
            self._transport.write(HEAD + chunk(ROLE) + WORD_CHUNK * tokens + end)
            return
        self._transport.write(HEAD + chunk(ROLE))
        loop = asyncio.get_running_loop()
        start = loop.time()

        def send(index: int) -> None:
            if self._transport.is_closing():
                return
            self._transport.write(WORD_CHUNK + (end if index == tokens - 1 else b""))
            if index < tokens - 1:
                loop.call_at(start + (index + 1) * gap_s, send, index + 1)

        send(0)

    def _json(self, value: object) -> None:
        data = json.dumps(value).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(data)
        self._transport.write(head + data)


async def main() -> None:
    """Serves on a free loopback port until stdin closes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(FakeServer, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
