"""Rates of requests and tokens, and requests at once, by key and by team, in this process's memory.

A bucket is kept as one number, the time at which it will be full again (the generic cell rate algorithm).
Knows nothing of queues or engines; shared_limits.py does the same for several processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from typing import NamedTuple

from inhouse.core.errors import RateLimited
from inhouse.gateway.identity import NO_LIMITS, Caller, KeyLimits

WINDOW_S = 60.0
"""Limits are by minute: a bucket holds a minute's worth, and an empty one is full again after this."""
BUSY_RETRY_S = 1.0
"""When to come back after too many requests at once: nobody knows when one of them ends."""

# A bucket in debt by less than a billionth of a second is not over: rounding must not refuse a whole bucket's last.
_FULL_S = WINDOW_S + 1e-9

Headers = list[tuple[bytes, bytes]]


class Rate(NamedTuple):
    """How one limit stands: what it is, what is left of it now, and in how many seconds it is whole again."""

    limit: int
    remaining: int
    reset_s: float


class LimitState(NamedTuple):
    """How a caller's limits stand after a request; the tighter one where the key and its team have one each."""

    requests: Rate | None = None
    tokens: Rate | None = None

    def headers(self) -> Headers:
        """The state as the headers that OpenAI's clients know; none where nothing is limited."""
        return _headers(b"requests", self.requests) + _headers(b"tokens", self.tokens)


UNLIMITED = LimitState()


class Meter:
    """What one key or one team has used: when its buckets will be full again, and its requests at once."""

    __slots__ = ("requests_full_at", "running", "tokens_full_at")

    def __init__(self) -> None:
        self.requests_full_at = -inf
        self.tokens_full_at = -inf
        self.running = 0

    def count(self, limits: KeyLimits, tokens: int, now: float) -> tuple[str, int, float] | None:
        """Counts a request; or what is over which limit, and the seconds to wait, and nothing is counted."""
        requests_full_at = tokens_full_at = -inf
        if limits.max_concurrent is not None and self.running >= limits.max_concurrent:
            return "running", limits.max_concurrent, BUSY_RETRY_S
        if (most := limits.requests_per_minute) is not None:
            requests_full_at = _filled(self.requests_full_at, now, 1, most)
            if requests_full_at > now + _FULL_S:
                return "requests", most, requests_full_at - now - WINDOW_S
        if (most := limits.tokens_per_minute) is not None:
            tokens_full_at = _filled(self.tokens_full_at, now, tokens, most)
            if tokens_full_at > now + _FULL_S:
                return "tokens", most, tokens_full_at - now - WINDOW_S
        self.running += 1
        self.requests_full_at = requests_full_at
        self.tokens_full_at = tokens_full_at
        return None

    def settle(self, limits: KeyLimits, estimated: int, actual: int) -> None:
        """The request has ended, or (with 0 tokens) never was."""
        # A limit that was set while the request ran finds nothing counted of it.
        if self.running:
            self.running -= 1
        if most := limits.tokens_per_minute:
            self.tokens_full_at += (actual - (estimated if estimated < most else most)) * WINDOW_S / most


class RateLimits:
    """Limits of one process; implements `base.Limits`. `clock` counts seconds and never goes back.

    A caller's limits hold for all models together. A request for more tokens than a whole minute's waits for
    a full bucket and leaves it in debt.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._keys: dict[str, Meter] = {}
        self._teams: dict[str, Meter] = {}

    async def take(self, caller: Caller, model: str, tokens: int) -> LimitState:
        """See `Limits.take`."""
        limits, team_limits = caller.limits, caller.team_limits
        if limits is NO_LIMITS and team_limits is NO_LIMITS:
            return UNLIMITED
        now = self._clock()
        key, team = self._meters(caller)
        if key is not None and (over := key.count(limits, tokens, now)) is not None:
            raise over_limit("key", *over, _state(caller, key, team, now))
        if team is not None and (over := team.count(team_limits, tokens, now)) is not None:
            if key is not None:
                key.settle(limits, tokens, 0)
                if limits.requests_per_minute:
                    key.requests_full_at -= WINDOW_S / limits.requests_per_minute
            raise over_limit("team", *over, _state(caller, key, team, now))
        return _state(caller, key, team, now)

    async def settle(self, caller: Caller, model: str, estimated: int, actual: int) -> None:
        """See `Limits.settle`."""
        key, team = self._meters(caller)
        if key is not None:
            key.settle(caller.limits, estimated, actual)
        if team is not None:
            team.settle(caller.team_limits, estimated, actual)

    def _meters(self, caller: Caller) -> tuple[Meter | None, Meter | None]:
        """What counts the caller's own and its team's use; None where nothing is limited."""
        key = team = None
        if caller.limits is not NO_LIMITS:
            key = self._keys.get(caller.key_id)
            if key is None:
                key = self._keys[caller.key_id] = Meter()
        if caller.team is not None and caller.team_limits is not NO_LIMITS:
            team = self._teams.get(caller.team)
            if team is None:
                team = self._teams[caller.team] = Meter()
        return key, team


def _filled(full_at: float, now: float, amount: int, per_minute: int) -> float:
    """When the bucket will be full again after it gave the amount, at most a whole minute's."""
    if per_minute <= 0:  # nothing is allowed at all
        return now + 2 * WINDOW_S
    return (full_at if full_at > now else now) + (amount if amount < per_minute else per_minute) * WINDOW_S / per_minute


def _state(caller: Caller, key: Meter | None, team: Meter | None, now: float) -> LimitState:
    requests = tokens = None
    if key is not None:
        limits = caller.limits
        if limits.requests_per_minute:
            requests = standing(limits.requests_per_minute, key.requests_full_at - now)
        if limits.tokens_per_minute:
            tokens = standing(limits.tokens_per_minute, key.tokens_full_at - now)
    if team is not None:
        limits = caller.team_limits
        if limits.requests_per_minute:
            requests = tighter(requests, standing(limits.requests_per_minute, team.requests_full_at - now))
        if limits.tokens_per_minute:
            tokens = tighter(tokens, standing(limits.tokens_per_minute, team.tokens_full_at - now))
    return LimitState(requests, tokens)


def standing(per_minute: int, full_in_s: float) -> Rate:
    """A limit's state, from the seconds until its bucket is full."""
    reset_s = full_in_s if full_in_s > 0 else 0.0
    remaining = int(per_minute * (1.0 - reset_s / WINDOW_S) + 1e-6)
    return Rate(per_minute, remaining if remaining > 0 else 0, reset_s)


def tighter(one: Rate | None, other: Rate) -> Rate:
    """The one of which less is left."""
    return other if one is None or other.remaining < one.remaining else one


def over_limit(whose: str, what: str, limit: int, wait_s: float, state: LimitState) -> RateLimited:
    """The error for a caller over a limit of `what` (requests, tokens, running) of its key or team."""
    if what == "running":
        message = f"This {whose} may have {limit:,} requests under way at once"
        do = "Wait until one of them has ended, or ask an administrator for more"
    else:
        message = f"This {whose} may use {limit:,} {what} a minute"
        do = f"Come back in {wait_s:.1f} s, or ask an administrator for more"
    return RateLimited(message, why="the limit is reached", do=do, retry_after_s=wait_s, headers=tuple(state.headers()))


def _headers(name: bytes, rate: Rate | None) -> Headers:
    if rate is None:
        return []
    return [
        (b"x-ratelimit-limit-" + name, b"%d" % rate.limit),
        (b"x-ratelimit-remaining-" + name, b"%d" % rate.remaining),
        (b"x-ratelimit-reset-" + name, _duration(rate.reset_s)),
    ]


def _duration(seconds: float) -> bytes:
    """As OpenAI writes it: 120ms, 1.5s, 2m30s."""
    if seconds < 1.0:
        return b"%dms" % (seconds * 1000 + 0.999)
    if seconds < 60.0:
        return b"%gs" % round(seconds, 3)
    minutes, rest = divmod(seconds, 60.0)
    return b"%dm%gs" % (minutes, round(rest, 3))
