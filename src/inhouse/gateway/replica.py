"""One replica of a model as the gateway sees it: its load, its health, its circuit breaker, whether it is warm.

Knows one engine; which replica a request goes to is the pool's to choose.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from inhouse.core.breaker import Breaker, Circuit
from inhouse.core.errors import EngineCrashed, EngineError, EngineOverloaded, EngineStalled, EngineUnavailable
from inhouse.engines.base import ChatRequest, Engine, Event

_CHECK_LIMIT_S = 5.0  # a replica that does not say that it is well within this is not
_RECHECK_S = 0.5  # how often one that is down is looked at
_REST_S = 1.0  # how long one that says that it is overloaded is left alone, where it does not say
# What may be over in a moment.
_PASSING = (EngineUnavailable, EngineCrashed, EngineStalled, EngineOverloaded)


@dataclass(frozen=True, slots=True)
class Replica:
    """A place that serves a model: the engine, its own name for the model, and how many requests run at once."""

    name: str
    engine: Engine
    model: str
    slots: int


class Condition(StrEnum):
    """What a replica can take: READY its slots, TRIAL one request, the others none."""

    READY = "ready"
    TRIAL = "trial"
    RESTING = "resting"
    COLD = "cold"
    LOADING = "loading"
    DOWN = "down"


class Member:
    """A replica in its pool. `changed` is called whenever it may take more or less than before.

    An engine that loads its models counts as cold until the model is in memory; it is loaded by `warm_up`.
    """

    def __init__(
        self,
        replica: Replica,
        changed: Callable[[], None],
        *,
        check_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.replica = replica
        self.running = 0
        self.detail = ""
        self.last_error: EngineError | None = None
        self.load_s: float | None = None
        """How long the last load took."""
        self.hopeless = False
        """Whether the last load failed in a way that the next one will too."""
        self._changed = changed
        self._check_s = check_s
        self._clock = clock
        self._breaker = Breaker(clock=clock)
        self._loads = replica.engine.capabilities.lifecycle
        self._healthy = True
        self._warm = not self._loads
        self._rests_until = 0.0
        self._loading: asyncio.Task[None] | None = None
        self._loading_since = 0.0
        self._look = asyncio.Event()
        self._silent: set[asyncio.Task[object]] = set()  # requests that wait for their first event
        self._cut: set[asyncio.Task[object]] = set()  # of those, the ones that were told to look elsewhere

    @property
    def condition(self) -> Condition:
        """What it can take now."""
        if self._loading is not None:
            return Condition.LOADING
        circuit = self._breaker.circuit
        if circuit is Circuit.OPEN:
            return Condition.DOWN
        if not self._warm:
            return Condition.COLD
        if not self._healthy:
            return Condition.DOWN
        if self._rests_until and self._clock() < self._rests_until:
            return Condition.RESTING
        return Condition.READY if circuit is Circuit.CLOSED else Condition.TRIAL

    @property
    def capacity(self) -> int:
        """Requests that it may run at once now."""
        condition = self.condition
        if condition is Condition.READY:
            return self.replica.slots
        return 1 if condition is Condition.TRIAL else 0

    @property
    def ready_in_s(self) -> float | None:
        """Seconds until a load under way is expected to end; None where none is, or nobody knows."""
        if self._loading is None or self.load_s is None:
            return None
        return max(0.0, self._loading_since + self.load_s - self._clock())

    async def begin(self, request: ChatRequest) -> tuple[Event, AsyncGenerator[Event, None]]:
        """Sends the request: its first event, and the others, which the caller closes.

        Raises:
            EngineError: nothing has come; the same request may be sent elsewhere.
        """
        events = cast("AsyncGenerator[Event, None]", self.replica.engine.chat(request))
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self.running += 1
        self._silent.add(task)
        try:
            return await anext(events), events
        except StopAsyncIteration:
            self.running -= 1
            raise EngineCrashed(f"{self.replica.name} ended its answer before it began") from None
        except asyncio.CancelledError:
            self.running -= 1
            if task not in self._cut or task.uncancel():
                raise  # the caller left
            raise EngineUnavailable(f"{self.replica.name} went down", why=self.detail) from None
        except BaseException:
            self.running -= 1
            raise
        finally:
            self._silent.discard(task)
            self._cut.discard(task)

    def ended(self, error: EngineError | None, *, complete: bool = True) -> None:
        """A request that `begin` sent has ended: with an error, or well (`complete`), or its caller left."""
        self.running -= 1
        if error is not None:
            self.failed(error)
        elif complete:
            self.answered()

    def answered(self) -> None:
        """It did what was asked."""
        self.last_error = None
        if self._breaker.circuit is not Circuit.CLOSED or not self._healthy:
            self._breaker.succeeded()
            self._healthy = True
            self._changed()
        else:
            self._breaker.succeeded()

    def failed(self, error: EngineError) -> None:
        """It did not, by its own fault."""
        self.last_error = error
        if isinstance(error, EngineOverloaded):
            rest_s = error.retry_after_s or _REST_S
            self._rests_until = self._clock() + rest_s
            asyncio.get_running_loop().call_later(rest_s, self._changed)
        else:
            self._breaker.failed()
            if isinstance(error, EngineUnavailable | EngineCrashed):
                self._healthy = False  # until it was looked at
            if self._breaker.circuit is Circuit.OPEN:
                # A little later than the trial is due, so that it is due for whoever looks then.
                asyncio.get_running_loop().call_later(self._breaker.trial_in_s + 0.001, self._changed)
            self._look.set()
        self._changed()

    def warm_up(self) -> None:
        """Begins to load the model, if it is cold and not known to be beyond hope."""
        if self.condition is Condition.COLD:
            self._loading_since = self._clock()
            self._loading = asyncio.create_task(self._load(), name=f"load {self.replica.name}")

    async def watch(self) -> None:
        """Looks after its health until cancelled."""
        while True:
            await self._check()
            self._look.clear()
            try:
                async with asyncio.timeout(self._check_s if self._healthy else min(_RECHECK_S, self._check_s)):
                    await self._look.wait()
            except TimeoutError:
                continue

    async def stop(self) -> None:
        """Ends a load under way."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)

    async def _check(self) -> None:
        if self._loading is not None:
            return
        before = self.condition
        engine = self.replica.engine
        try:
            async with asyncio.timeout(_CHECK_LIMIT_S):
                health = await engine.health()
                warm = not self._loads or (health.ok and await self._loaded())
        except (TimeoutError, EngineError) as error:
            healthy, warm = False, not self._loads
            detail = str(error) or f"did not answer within {_CHECK_LIMIT_S:g} s"
        else:
            healthy, detail = health.ok, health.detail
        if self._loading is not None:  # meanwhile
            return
        self._healthy, self._warm, self.detail = healthy, warm, detail
        if not healthy:
            # What has brought nothing yet can go elsewhere.
            for task in self._silent - self._cut:
                self._cut.add(task)
                task.cancel()
        if self.condition is not before:
            self._changed()

    async def _loaded(self) -> bool:
        return any(same_model(held.model, self.replica.model) for held in await self.replica.engine.loaded())

    async def _load(self) -> None:
        try:
            await self.replica.engine.load(self.replica.model)
        except EngineError as error:
            self._loading = None
            self.hopeless = not isinstance(error, _PASSING)
            self.failed(error)
        else:
            self._loading = None
            self.load_s = self._clock() - self._loading_since
            self._warm = self._healthy = True
            self.hopeless = False
            self._breaker.succeeded()
            self.last_error = None
            self._changed()


def same_model(one: str, other: str) -> bool:
    """Whether two names are the same model's, where a missing tag means the latest."""
    return one.removesuffix(":latest") == other.removesuffix(":latest")
