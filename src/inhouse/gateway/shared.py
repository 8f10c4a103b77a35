"""The Redis that several gateway processes share: scripts, a sign of life of each process, messages between them.

While it does not answer, each process goes on with what it has in its own memory. Knows no limits or queues.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from inhouse.core.errors import MissingExtra, SharedStateLost, UsageError

try:
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError
except ImportError as error:  # pragma: no cover - the extra is installed where the tests run
    raise MissingExtra(
        "Sharing limits and queues between processes needs the redis extra",
        do="Install it: pip install 'inhouse[redis]'",
    ) from error

T = TypeVar("T")

BEAT_S = 1.0
"""How often a process shows that it lives."""
DEAD_S = 5.0
"""A process that was silent for so long is taken for dead, and what it held is free."""
_LIMIT_S = 1.0  # how long a call may take before the Redis counts as lost
_LOST_S = 1.0  # how long it is then left alone, so that requests need not find out one by one
_SCRIPTS = Path(__file__).with_name("lua")


class Shared:
    """This process's connection. Every key and channel begins with `namespace`.

    `call` and `start` raise SharedStateLost where the Redis does not answer.
    """

    def __init__(self, url: str, *, namespace: str = "inhouse", clock: Callable[[], float] = time.monotonic) -> None:
        self.process = secrets.token_hex(6)
        self.namespace = namespace
        self.alive_prefix = f"{namespace}:alive:"
        self._clock = clock
        self._lost_until = 0.0
        self._closed = False
        self._beats: list[Callable[[], Awaitable[None]]] = []
        self._handlers: dict[str, Callable[[str], None]] = {}
        self._shows: dict[str, Callable[[], str]] = {}
        self._tasks: set[asyncio.Future[Any]] = set()
        try:
            self._redis, self._raw = (_connection(url, decode_responses=text) for text in (True, False))
        except ValueError as error:
            raise UsageError(
                "The address of the Redis cannot be used", why=str(error), do="E.g. redis://host:6379/0"
            ) from None
        self._scripts = {path.stem: self._redis.register_script(path.read_text()) for path in _SCRIPTS.glob("*.lua")}

    @property
    def connected(self) -> bool:
        """Whether the Redis answered when it was last asked."""
        return self._clock() >= self._lost_until

    def key(self, *parts: str) -> str:
        """A key of ours."""
        return ":".join((self.namespace, *parts))

    def on_beat(self, act: Callable[[], Awaitable[None]]) -> None:
        """`act` is called with every sign of life, also while the Redis is lost; it may raise SharedStateLost."""
        self._beats.append(act)

    def on_message(self, topic: str, handle: Callable[[str], None]) -> None:
        """`handle` gets what scripts publish to this process under the topic ("topic text")."""
        self._handlers[topic] = handle

    def show(self, topic: str, what: Callable[[], str]) -> None:
        """Shows the other processes what `what` returns, anew with every sign of life (see `shown`)."""

        async def tell() -> None:
            with self._answers():
                await self._redis.hset(self.key("shown", topic), self.process, what())

        self._shows[topic] = what
        self.on_beat(tell)

    async def shown(self, topic: str) -> dict[str, str]:
        """What each living process showed last under the topic, by process; this one's as it is now."""
        with self._answers():
            told = await self._unbroken(self._redis.hgetall(self.key("shown", topic)))
            found = cast("dict[str, str]", told)
            names = list(found)
            alive = await self._unbroken(self._redis.mget([self.alive_prefix + name for name in names] or [""]))
            gone = [name for name, sign in zip(names, alive, strict=False) if sign is None and name != self.process]
            if gone:
                await self._unbroken(self._redis.hdel(self.key("shown", topic), *gone))
        living = {name: text for name, text in found.items() if name not in gone}
        return living | ({self.process: self._shows[topic]()} if topic in self._shows else {})

    async def start(self) -> None:
        """Connects and begins to show signs of life."""
        await self._alive()
        self.spawn(self._beat())
        self.spawn(self._listen())

    async def call(self, script: str, keys: Sequence[str], args: Sequence[str | int | float]) -> Any:
        """Runs the script lua/<script>.lua."""
        with self._answers():
            return await self._unbroken(self._scripts[script](keys=keys, args=args))

    async def load(self, name: str) -> bytes | None:
        """The bytes kept under the name."""
        with self._answers():
            return cast("bytes | None", await self._unbroken(self._raw.get(name)))

    async def save(self, name: str, data: bytes, ttl_s: float) -> None:
        """Keeps the bytes under the name for so many seconds."""
        with self._answers():
            await self._raw.set(name, data, px=max(1, int(ttl_s * 1000)))

    async def delete(self, prefix: str) -> int:
        """Deletes all whose names begin so; how many those were."""
        pattern = re.sub(r"([*?\[\]\\])", r"\\\1", prefix) + "*"
        with self._answers():
            names = [name async for name in self._raw.scan_iter(match=pattern, count=1000)]
            return int(await self._raw.delete(*names)) if names else 0

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Does the work in the background; a Redis that is lost meanwhile ends it without a word."""
        if self._closed:
            work.close()
            return
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, SharedStateLost):
            context = {"message": "A task of the shared state failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)

    async def close(self) -> None:
        """Tells the others that this process is gone, and disconnects."""
        self._closed = True
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(RedisError, OSError):
            await self._redis.delete(self.alive_prefix + self.process)
        await self._redis.aclose()
        await self._raw.aclose()

    async def _alive(self) -> None:
        with self._answers():
            await self._redis.set(self.alive_prefix + self.process, "1", px=int(DEAD_S * 1000))

    async def _unbroken(self, asking: Awaitable[T]) -> T:
        """Asks to the end even if the caller is cancelled.

        Cancelled in the middle it would cost the connection; and while it connects, redis-py loses cancellations.
        """
        task = asyncio.ensure_future(asking)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    @contextmanager
    def _answers(self) -> Iterator[None]:
        """SharedStateLost where the Redis does not answer, at once where it did not a moment ago."""
        if not self.connected:
            raise _lost()
        try:
            yield
        except (RedisError, OSError) as error:
            self._lost_until = self._clock() + _LOST_S
            raise _lost(error) from error

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            for act in (self._alive, *self._beats):
                with suppress(SharedStateLost):
                    await act()

    async def _listen(self) -> None:
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as messages:
                    await messages.subscribe(self.key("tell", self.process))
                    while True:
                        message = await messages.get_message(timeout=BEAT_S)
                        if message is not None:
                            topic, _, text = message["data"].partition(" ")
                            if topic in self._handlers:
                                self._handlers[topic](text)
            except (RedisError, OSError):
                await asyncio.sleep(BEAT_S)


def _connection(url: str, *, decode_responses: bool) -> Redis:
    return Redis.from_url(
        url,
        decode_responses=decode_responses,
        socket_timeout=_LIMIT_S,
        socket_connect_timeout=_LIMIT_S,
        # Once more at once: a connection that was kept may have been closed meanwhile.
        retry=Retry(NoBackoff(), 1),
    )


def _lost(error: Exception | None = None) -> SharedStateLost:
    return SharedStateLost(
        "The Redis that the gateway's processes share does not answer",
        why=str(error) if error is not None else "it did not a moment ago",
        do="Start it, or correct its address (INHOUSE_GATEWAY_REDIS_URL)",
    )
