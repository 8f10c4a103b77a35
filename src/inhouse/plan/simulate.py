"""A discrete-event simulation of machines that batch continuously behind one queue. Knows no demand and no prices.

Between two events a machine's batch stays as it is, so that its steps are leapt over in closed form: what a
request costs here does not depend on how many tokens it has.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, sqrt

import numpy as np
from numpy.typing import NDArray

from inhouse.core.errors import UsageError
from inhouse.plan.service import ServiceModel

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_DOWN, _UP, _ARRIVAL, _STEP = range(4)  # in the order in which events of the same moment happen


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests: when each arrives (seconds, rising), its prompt and its answer in tokens, its priority (0 first).

    With `users` it is a closed loop: the first `users` requests arrive at their times, and every later one
    `think_s` after an earlier one was answered.
    """

    arrivals_s: Floats
    prompt_tokens: Integers
    output_tokens: Integers
    priority: Integers | None = None
    users: int | None = None
    think_s: float = 0.0

    def __post_init__(self) -> None:
        if not len(self.arrivals_s) == len(self.prompt_tokens) == len(self.output_tokens) > 0:
            raise UsageError("A workload needs an arrival, a prompt and an answer for every request")
        if (np.diff(self.arrivals_s) < 0).any() or (self.prompt_tokens < 1).any() or (self.output_tokens < 1).any():
            raise UsageError("A workload's arrivals must rise, and its lengths be at least one token")


@dataclass(frozen=True, slots=True)
class Outage:
    """A machine that serves nothing from `start_s` to `end_s`; a cold start is one that begins at 0."""

    machine: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Simulated:
    """When each request arrived, got its first token and was done; NaN where it was refused or broken off.

    `busy_s` is each machine's time in steps, `refused` those that found the queue full, `broken` those whose
    answer had begun when their machine failed (before that a request is sent again), `end_s` the last event.
    """

    arrivals_s: Floats
    first_s: Floats
    done_s: Floats
    output_tokens: Integers
    busy_s: tuple[float, ...]
    refused: int
    broken: int
    end_s: float

    @property
    def ttft_s(self) -> Floats:
        """Time to first token from arrival, of the answered requests."""
        return (self.first_s - self.arrivals_s)[self.answered]

    @property
    def e2e_s(self) -> Floats:
        """Time to the last token from arrival, of the answered requests."""
        return (self.done_s - self.arrivals_s)[self.answered]

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Which requests were answered to the end."""
        return ~np.isnan(self.done_s)


class _Machine:
    """One machine's state. `clock` is the end of the step or leap under way, `tokens` what each decoding request
    has been given since the start; a request is done when that reaches its `goal`.
    """

    __slots__ = (
        "busy_s", "cached", "clock", "decoding", "number", "pending", "reserved", "serving", "since", "steps",
        "tokens", "up", "version",
    )  # fmt: skip

    def __init__(self, number: int) -> None:
        self.number = number
        self.up = True
        self.version = 0
        self.clock = self.since = 0.0
        self.steps = 0
        self.tokens = 0
        self.cached = 0
        self.serving = 0
        self.reserved = 0
        self.busy_s = 0.0
        self.decoding: list[tuple[int, int]] = []
        self.pending: list[list[int]] = []


class _Simulation:
    """One simulation under way."""

    def __init__(
        self, model: ServiceModel, workload: Workload, machines: int, outages: Sequence[Outage], queue: int | None
    ) -> None:
        self.model = model
        self.work = workload
        self.queue_limit = queue
        # Lists, since reading one number out of an array takes several times as long.
        self.prompts: list[int] = workload.prompt_tokens.tolist()
        self.outputs: list[int] = workload.output_tokens.tolist()
        self.ranks: list[int] | None = None if workload.priority is None else workload.priority.tolist()
        count = len(self.prompts)
        nan = float("nan")
        self.arrived: list[float] = workload.arrivals_s.tolist()
        self.first: list[float] = [nan] * count
        self.done: list[float] = [nan] * count
        self.machines = [_Machine(number) for number in range(machines)]
        self.step_s = [0.0, *(model.step_s(n) for n in range(1, model.slots + 1))]
        self.waiting: list[tuple[int, int]] = []
        self.refused = self.broken = 0
        self.ready = count if workload.users is None else min(count, workload.users)
        self.sent = self.ready
        self.events: list[tuple[float, int, int, int]] = [
            event
            for outage in outages
            for event in (
                (outage.start_s, _DOWN, outage.machine, 0),
                (outage.end_s, _UP, outage.machine, 0),
            )
        ]
        heapq.heapify(self.events)

    def run(self) -> float:
        """Plays every event; the time of the last one."""
        events, arrived, delay = self.events, self.arrived, self.model.request_s
        now, following = 0.0, 0
        while True:
            # Arrivals of an open loop lie ready in order and need no heap.
            if following < self.ready and (
                not events or (arrived[following] + delay, _ARRIVAL) < (events[0][0], events[0][1])
            ):
                now = arrived[following] + delay
                self.arrive(following, now)
                following += 1
                continue
            if not events:
                break
            now, kind, number, version = heapq.heappop(events)
            if kind == _ARRIVAL:
                self.arrive(number, now)
                continue
            machine = self.machines[number]
            if kind == _STEP:
                if version != machine.version:
                    continue
                ended = self.settle(machine, now)
                # In a closed loop whoever was answered asks again.
                for index in range(self.sent, min(self.sent + ended, len(arrived))):
                    arrived[index] = now + self.work.think_s
                    heapq.heappush(events, (arrived[index] + delay, _ARRIVAL, index, 0))
                self.sent += ended
                self.begin(machine, now)
            elif kind == _DOWN:
                self.fail(machine, now)
            else:
                machine.up = True
                self.admit(machine)
                self.begin(machine, now)
        return now

    def arrive(self, index: int, now: float) -> None:
        """Gives the request to the least busy machine that has room for it, or has it wait."""
        best: _Machine | None = None
        if not self.waiting:
            for machine in self.machines:
                if self.has_room(machine, index) and (best is None or machine.serving < best.serving):
                    best = machine
        if best is None:
            if self.queue_limit is not None and len(self.waiting) >= self.queue_limit:
                self.refused += 1
                return
            heapq.heappush(self.waiting, (self.ranks[index] if self.ranks else 0, index))
            return
        self.take(best, index)
        if not best.steps:
            self.begin(best, now)
        elif best.steps > 1 and (done := self.steps_until(best, now - best.since)) < best.steps:
            # In the middle of a leap: it ends with the step that is under way.
            best.steps = done
            best.clock = best.since + self.leap_s(best, done)
            self.schedule(best)

    def has_room(self, machine: _Machine, index: int) -> bool:
        """Whether it can serve one more, by slots and by memory."""
        model = self.model
        if not machine.up or machine.serving >= model.slots:
            return False
        if model.cache_tokens is None or not machine.serving:
            return True
        return machine.reserved + self.prompts[index] + self.outputs[index] <= model.cache_tokens

    def take(self, machine: _Machine, index: int) -> None:
        machine.serving += 1
        machine.reserved += self.prompts[index] + self.outputs[index]
        machine.pending.append([index, self.prompts[index]])

    def admit(self, machine: _Machine) -> None:
        """Takes what waits, the first in its rank first, as long as there is room."""
        while self.waiting and self.has_room(machine, self.waiting[0][1]):
            self.take(machine, heapq.heappop(self.waiting)[1])

    def settle(self, machine: _Machine, now: float) -> int:
        """The end of a step or leap: what is done leaves, prompts that were taken in have their first token."""
        steps, decoding = machine.steps, machine.decoding
        machine.busy_s += now - machine.since
        machine.cached += len(decoding) * steps
        machine.tokens += steps
        machine.steps = 0
        ended = 0
        while decoding and decoding[0][0] <= machine.tokens:
            index = heapq.heappop(decoding)[1]
            machine.cached -= self.prompts[index] + self.outputs[index]
            self.end(machine, index, now)
            ended += 1
        while machine.pending and not machine.pending[0][1]:
            index = machine.pending.pop(0)[0]
            self.first[index] = now
            left = self.outputs[index] - 1
            if left:
                heapq.heappush(decoding, (machine.tokens + left, index))
                machine.cached += self.prompts[index] + 1
            else:
                self.end(machine, index, now)
                ended += 1
        if ended:
            self.admit(machine)
        return ended

    def end(self, machine: _Machine, index: int, now: float) -> None:
        self.done[index] = now
        machine.serving -= 1
        machine.reserved -= self.prompts[index] + self.outputs[index]

    def begin(self, machine: _Machine, now: float) -> None:
        """Starts the next step, or the leap to the next answer's end; nothing where nothing is served."""
        machine.since = now
        count = len(machine.decoding)
        if machine.pending:
            machine.steps = 1
            seconds = self.leap_s(machine, 1) + self.prompts_s(machine, self.model.prompt_batch - count)
        elif count:
            machine.steps = machine.decoding[0][0] - machine.tokens
            seconds = self.leap_s(machine, machine.steps)
        else:
            machine.clock = now
            return
        machine.clock = now + seconds
        self.schedule(machine)

    def prompts_s(self, machine: _Machine, room: int) -> float:
        """Takes prompts into a step, in order and as much as it holds; what that costs."""
        model = self.model
        seconds = model.prompt_fixed_s
        for entry in machine.pending:
            whole = self.prompts[entry[0]]
            part = min(entry[1], room)
            before = whole - entry[1]
            room -= part
            entry[1] -= part
            after = before + part
            seconds += model.prompt_s * part + model.prompt_square_s * (after * after - before * before)
            if not room:
                break
        return seconds

    def leap_s(self, machine: _Machine, steps: int) -> float:
        """So many decode steps of the batch as it stands: each holds a token more of every request than the last."""
        count = len(machine.decoding)
        if not count:
            return 0.0
        held = machine.cached * steps + count * (steps * (steps - 1) // 2)
        return steps * self.step_s[count] + self.model.cache_s * held

    def steps_until(self, machine: _Machine, seconds: float) -> int:
        """The fewest steps that take at least so long; at least one."""
        count = len(machine.decoding)
        growth = self.model.cache_s * count / 2
        first = self.step_s[count] + self.model.cache_s * machine.cached - growth
        if growth <= 0:
            return max(1, ceil(seconds / first - 1e-9))
        return max(1, ceil((sqrt(first * first + 4 * growth * seconds) - first) / (2 * growth) - 1e-9))

    def schedule(self, machine: _Machine) -> None:
        machine.version += 1
        heapq.heappush(self.events, (machine.clock, _STEP, machine.number, machine.version))

    def fail(self, machine: _Machine, now: float) -> None:
        """The machine is gone: answers that had begun are broken off, the other requests wait again."""
        machine.version += 1
        machine.up = False
        if machine.steps:
            machine.busy_s += now - machine.since
        self.broken += len(machine.decoding)
        for index, _ in machine.pending:
            heapq.heappush(self.waiting, (self.ranks[index] if self.ranks else 0, index))
        machine.decoding, machine.pending = [], []
        machine.cached = machine.reserved = machine.serving = machine.steps = 0
        machine.clock = now
        for other in self.machines:
            idle = other.up and not other.steps
            self.admit(other)
            if idle:
                self.begin(other, now)


def simulate(
    model: ServiceModel,
    workload: Workload,
    *,
    machines: int = 1,
    outages: Sequence[Outage] = (),
    queue: int | None = None,
) -> Simulated:
    """Plays a workload on machines of that model behind one queue, as the gateway keeps it.

    Args:
        model: what a step takes on one machine.
        workload: what arrives.
        machines: how many there are.
        outages: when which of them is away.
        queue: how many may wait; what comes beyond is refused. None: all.

    Raises:
        UsageError: there is no machine, or an outage is of one that is not there.
    """
    if machines < 1 or any(
        not (0 <= outage.machine < machines and outage.start_s < outage.end_s < inf) for outage in outages
    ):
        raise UsageError("A simulation needs a machine, and outages that begin before they end, of machines it has")
    under_way = _Simulation(model, workload, machines, outages, queue)
    end_s = under_way.run()
    arrived = np.array(under_way.arrived)
    return Simulated(
        arrivals_s=arrived,
        first_s=np.array(under_way.first),
        done_s=np.array(under_way.done),
        output_tokens=workload.output_tokens,
        busy_s=tuple(machine.busy_s for machine in under_way.machines),
        refused=under_way.refused,
        broken=under_way.broken,
        end_s=end_s,
    )
