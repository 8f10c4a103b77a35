"""The same limits as limits.py, kept in a Redis, so that they hold for several processes together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from inhouse.core.errors import RateLimited, SharedStateLost
from inhouse.gateway.identity import NO_LIMITS, Caller, KeyLimits
from inhouse.gateway.limits import UNLIMITED, WINDOW_S, LimitState, RateLimits, over_limit, standing, tighter
from inhouse.gateway.shared import Shared


class SharedRateLimits:
    """Implements `base.Limits`. While the Redis is lost each process limits by itself, in `local`.

    Each process keeps count of the requests that it runs itself and tells the sum each time, so that a message
    that was lost does no lasting harm; what a dead process ran does not count.
    """

    def __init__(self, shared: Shared, local: RateLimits) -> None:
        self._shared = shared
        self._local = local
        self._locally: Counter[str] = Counter()  # requests of each key that `local` let in
        self._running: Counter[str] = Counter()  # requests of each meter that the Redis let in
        self._untold: set[str] = set()  # meters of which the Redis may not know how many run
        shared.on_beat(self._tell)

    async def take(self, caller: Caller, model: str, tokens: int) -> LimitState:
        """See `Limits.take`."""
        meters = _meters(caller)
        if not meters:
            return UNLIMITED
        for name, _, _ in meters:
            self._running[name] += 1
        try:
            return await self._take(caller, meters, tokens)
        except SharedStateLost:
            self._gone(meters)
        except BaseException as error:
            self._gone(meters)
            if not isinstance(error, RateLimited):  # the caller left, and nobody knows what was counted
                self._untold.update(name for name, _, _ in meters)
            raise
        state = await self._local.take(caller, model, tokens)
        self._locally[caller.key_id] += 1
        return state

    async def settle(self, caller: Caller, model: str, estimated: int, actual: int) -> None:
        """See `Limits.settle`."""
        meters = _meters(caller)
        if not meters:
            return
        if self._locally[caller.key_id]:
            self._locally[caller.key_id] -= 1
            await self._local.settle(caller, model, estimated, actual)
            return
        self._gone(meters)
        corrections: dict[str, float] = {}
        for name, _, limits in meters:
            most = limits.tokens_per_minute
            corrections[name] = (actual - min(estimated, most)) * WINDOW_S / most if most else 0.0
        self._shared.spawn(self._settle(corrections))

    async def _take(self, caller: Caller, meters: list[tuple[str, str, KeyLimits]], tokens: int) -> LimitState:
        args: list[str | int | float] = [self._shared.process, self._shared.alive_prefix, tokens]
        for name, _, limits in meters:
            args += [
                -1 if limits.requests_per_minute is None else limits.requests_per_minute,
                -1 if limits.tokens_per_minute is None else limits.tokens_per_minute,
                -1 if limits.max_concurrent is None else limits.max_concurrent,
                self._running[name],
            ]
        over, what, wait_s, *full_in = await self._shared.call(
            "take", self._keys([name for name, _, _ in meters]), args
        )
        requests = tokens_rate = None
        for number, (_, _, limits) in enumerate(meters):
            if limits.requests_per_minute:
                requests = tighter(requests, standing(limits.requests_per_minute, float(full_in[2 * number])))
            if limits.tokens_per_minute:
                tokens_rate = tighter(tokens_rate, standing(limits.tokens_per_minute, float(full_in[2 * number + 1])))
        state = LimitState(requests, tokens_rate)
        if over:
            _, whose, limits = meters[over - 1]
            limit = {
                "requests": limits.requests_per_minute,
                "tokens": limits.tokens_per_minute,
                "running": limits.max_concurrent,
            }[what]
            raise over_limit(whose, what, limit or 0, float(wait_s), state)
        return state

    async def _settle(self, corrections: dict[str, float]) -> None:
        """Tells by how many seconds each meter's tokens are full later, and how many requests it runs."""
        args: list[str | int | float] = [self._shared.process]
        for name, later_s in corrections.items():
            args += [later_s, self._running[name]]
        try:
            await self._shared.call("settle", self._keys(corrections), args)
        except SharedStateLost:
            self._untold.update(corrections)

    async def _tell(self) -> None:
        untold, self._untold = self._untold, set()
        if untold:
            await self._settle(dict.fromkeys(untold, 0.0))

    def _gone(self, meters: list[tuple[str, str, KeyLimits]]) -> None:
        for name, _, _ in meters:
            self._running[name] -= 1
            if self._running[name] <= 0:
                del self._running[name]

    def _keys(self, names: Iterable[str]) -> list[str]:
        return [self._shared.key(part, name) for name in names for part in ("meter", "running")]


def _meters(caller: Caller) -> list[tuple[str, str, KeyLimits]]:
    """What is counted: a name for it, whose it is in words, and its limits."""
    meters = []
    if caller.limits is not NO_LIMITS:
        meters.append((f"key:{caller.key_id}", "key", caller.limits))
    if caller.team is not None and caller.team_limits is not NO_LIMITS:
        meters.append((f"team:{caller.team}", "team", caller.team_limits))
    return meters
