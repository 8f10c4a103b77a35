"""Where the cache keeps its answers: in this process's memory, or in the Redis that several share."""

from __future__ import annotations

import secrets
import struct
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from inhouse.core.errors import SharedStateLost
from inhouse.gateway.cache import CacheKey

if TYPE_CHECKING:
    from inhouse.gateway.shared import Shared

TTL_S = 3600.0
MAX_BYTES = 64 * 1024 * 1024
# What an entry takes beside its data: measured, the dictionary's slot, the key and the tuple.
_ENTRY_BYTES = 400


class MemoryStore:
    """Answers in memory for `ttl_s` seconds, in all at most `max_bytes`: those unused for longest go first."""

    def __init__(
        self, *, ttl_s: float = TTL_S, max_bytes: int = MAX_BYTES, clock: Callable[[], float] = time.time
    ) -> None:
        self._ttl_s = ttl_s
        self._max_bytes = max_bytes
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str], tuple[float, bytes]] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        """How many answers are kept."""
        return len(self._kept)

    async def get(self, key: CacheKey) -> tuple[float, bytes] | None:
        """See `Store.get`."""
        where = (key.scope, key.id)
        kept = self._kept.get(where)
        if kept is None:
            return None
        if self._clock() - kept[0] > self._ttl_s:
            self._drop(where)
            return None
        self._kept.move_to_end(where)
        return kept

    async def put(self, key: CacheKey, at: float, data: bytes) -> None:
        """See `Store.put`. What is over a tenth of the room is not kept."""
        where = (key.scope, key.id)
        self._drop(where)
        if len(data) + _ENTRY_BYTES > self._max_bytes / 10:
            return
        self._kept[where] = (at, data)
        self.size_bytes += len(data) + _ENTRY_BYTES
        while self.size_bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    async def forget(self, scope: str) -> int:
        """See `Store.forget`."""
        found = [where for where in self._kept if where[0] == scope]
        for where in found:
            self._drop(where)
        return len(found)

    def _drop(self, where: tuple[str, str]) -> None:
        kept = self._kept.pop(where, None)
        if kept is not None:
            self.size_bytes -= len(kept[1]) + _ENTRY_BYTES


class RedisStore:
    """Answers in the shared Redis, each encrypted (AES-GCM) with a key that only its request yields.

    Whoever reads the Redis, or a copy of it, learns nothing without knowing what was asked. While the Redis is
    lost nothing is found and nothing kept.
    """

    def __init__(self, shared: Shared, *, ttl_s: float = TTL_S) -> None:
        # Here, so that a cache in memory needs no cryptography.
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher = AESGCM
        self._forged = InvalidTag
        self._shared = shared
        self._ttl_s = ttl_s

    async def get(self, key: CacheKey) -> tuple[float, bytes] | None:
        """See `Store.get`."""
        try:
            data = await self._shared.load(self._name(key))
        except SharedStateLost:
            return None
        if data is None:
            return None
        nonce, at, sealed = data[:12], data[12:20], data[20:]
        try:
            return struct.unpack(">d", at)[0], self._cipher(key.secret).decrypt(nonce, sealed, at)
        except (self._forged, ValueError, struct.error):  # somebody else wrote that
            return None

    async def put(self, key: CacheKey, at: float, data: bytes) -> None:
        """See `Store.put`; returns before it is kept."""
        nonce, stamp = secrets.token_bytes(12), struct.pack(">d", at)
        sealed = nonce + stamp + self._cipher(key.secret).encrypt(nonce, data, stamp)
        self._shared.spawn(self._shared.save(self._name(key), sealed, self._ttl_s))

    async def forget(self, scope: str) -> int:
        """See `Store.forget`; raises SharedStateLost where the Redis cannot be asked."""
        return await self._shared.delete(self._shared.key("cache", scope, ""))

    def _name(self, key: CacheKey) -> str:
        return self._shared.key("cache", key.scope, key.id)
