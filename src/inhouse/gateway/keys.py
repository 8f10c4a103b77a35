"""The table of keys in memory, by which each request finds its caller; refreshed when any process changes a key.

Knows nothing of how keys are made or kept (key_store.py).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from inhouse.core.errors import StoreError, Unauthenticated
from inhouse.gateway.identity import LOCAL_CALLER, Caller
from inhouse.gateway.key_store import KeyStore

REFRESH_S = 0.4
"""How often the table looks for changes: a revoked key is refused by every process well within a second."""

_SEND_KEY = "Send it as `Authorization: Bearer ih-…`; an admin makes one with `inhouse keys create`"


@dataclass(frozen=True, slots=True)
class Entry:
    """One secret: whose it is, and until when (seconds since 1970; None for ever)."""

    caller: Caller
    until: float | None


def hash_secret(key: str) -> str:
    """What is kept of a key.

    A plain SHA-256 is right here, where it would be wrong for a password: the secret has 256 random bits,
    so that nobody can try them all, however fast the hash; a slow one would cost each request milliseconds.
    """
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


class KeyTable:
    """Callers by the hash of their keys.

    `open_to_all`: until the first key is made everyone is the local caller, whatever key is sent (clients
    insist on some). Once there was a key, revoking it never opens the gateway again.
    """

    def __init__(self, store: KeyStore, clock: Callable[[], float], *, open_to_all: bool) -> None:
        self._store = store
        self._clock = clock
        self._may_be_open = open_to_all
        self._open = False
        self._entries: dict[str, Entry] = {}
        self._version = -1
        self._task: asyncio.Task[None] | None = None
        self.stale_since: float | None = None
        """Since when the store could not be asked for changes; None while it can."""

    async def start(self) -> None:
        """Loads the keys and goes on watching for changes."""
        await asyncio.to_thread(self.refresh)
        self._task = asyncio.create_task(self._watch(), name="watch keys")

    async def close(self) -> None:
        """Stops watching."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def refresh(self) -> None:
        """Reads the keys anew if any has changed. Blocks."""
        version = self._store.version()
        if version == self._version:
            return
        self._entries = {digest: Entry(caller, until) for digest, caller, until in self._store.active()}
        self._open = self._may_be_open and not self._store.any()
        self._version = version

    def caller(self, key: str | None) -> Caller:
        """Whose key it is; Unauthenticated where it is nobody's."""
        if self._open:
            return LOCAL_CALLER
        if key is None:
            raise Unauthenticated("A key is needed", do=_SEND_KEY)
        return self.owner(hash_secret(key))

    @property
    def open_now(self) -> bool:
        """Whether everyone is the local caller."""
        return self._open

    def callers(self) -> list[Caller]:
        """All who may call now, each once."""
        now = self._clock()
        valid = (entry.caller for entry in self._entries.values() if entry.until is None or entry.until > now)
        everyone = {caller.key_id: caller for caller in valid}
        return [LOCAL_CALLER] if self._open else list(everyone.values())

    def owner(self, secret_sha256: str) -> Caller:
        """Whose key has that hash; Unauthenticated where it is nobody's any more."""
        entry = self._entries.get(secret_sha256)
        if entry is None:
            raise Unauthenticated("The key is not valid", why="it is unknown or was revoked", do=_SEND_KEY)
        if entry.until is not None and entry.until <= self._clock():
            raise Unauthenticated("The key has expired", do="Ask an admin for a new one")
        return entry.caller

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            try:
                await asyncio.to_thread(self.refresh)
                self.stale_since = None
            except StoreError:
                # The keys known so far stay good: an outage of the store must not lock everybody out.
                self.stale_since = self.stale_since or self._clock()
