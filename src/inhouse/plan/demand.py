"""What people ask for: how many requests in the busiest hour, when each comes, how long each is. Knows no machine.

Either made from the assumptions (users, requests a day, lengths) or read from a recorded trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from inhouse.bench.traces import TraceRequest
from inhouse.core.errors import UsageError
from inhouse.plan.assumptions import Assumptions
from inhouse.plan.simulate import Workload

HOUR_S = 3600.0
PROMPT_VARIATION = 0.96
"""Standard deviation over mean of prompt lengths: that of the 19,366 conversations in Azure's trace of 2023."""
OUTPUT_VARIATION = 0.77
"""The same of answers' lengths."""
WORKING_HOURS = 9
"""Hours over which a day's requests are spread (an assumption)."""
_DRAWN = 20_000


@dataclass(frozen=True, slots=True)
class Lengths:
    """Prompts and answers in tokens, as so many pairs that stand for all."""

    prompt_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]

    @classmethod
    def fixed(cls, prompt: int, output: int) -> Lengths:
        """All of one length, as a bench sends them."""
        return cls(np.array([prompt]), np.array([output]))

    @classmethod
    def varied(cls, prompt: float, output: float, *, longest: int | None = None, seed: int = 0) -> Lengths:
        """Lognormal lengths of those means, varying as recorded conversations do, cut at `longest` together."""
        rng = np.random.default_rng(seed)
        outputs = _lognormal(rng, output, OUTPUT_VARIATION)
        prompts = _lognormal(rng, prompt, PROMPT_VARIATION)
        if longest is not None:
            outputs = np.minimum(outputs, max(1, longest // 2))
            prompts = np.minimum(prompts, longest - outputs)
        return cls(prompts, outputs)

    @property
    def mean(self) -> tuple[float, float]:
        """The mean prompt and the mean answer."""
        return float(self.prompt_tokens.mean()), float(self.output_tokens.mean())


@dataclass(frozen=True, slots=True)
class Demand:
    """Requests of the busiest hour, and of the day that it is part of (None where a trace does not say).

    `burst` is the standard deviation of the gaps between requests over their mean: 1 where people ask
    independently of each other (a Poisson process), more where they come in bursts. `recorded` is the busiest hour
    itself where a trace was given: machines are then tried on the very requests, not on such as are like them.
    """

    peak_requests_hour: float
    lengths: Lengths
    users: float | None = None
    requests_day: float | None = None
    peak_hour_share: float | None = None
    burst: float = 1.0
    source: str = "assumption"
    recorded: Workload | None = None

    def __post_init__(self) -> None:
        if not self.peak_requests_hour > 0:
            raise UsageError("Nobody asks anything", do="Give users and requests above zero")
        if not self.burst > 0:
            raise UsageError(
                "The burstiness must be above zero", do="1 is a Poisson process; recorded traffic has more"
            )

    @property
    def rate(self) -> float:
        """Requests a second in the busiest hour."""
        return self.peak_requests_hour / HOUR_S

    def workload(self, count: int, *, rate: float | None = None, seed: int = 0) -> Workload:
        """So many requests at that rate (None: the busiest hour's), the same for the same seed."""
        return workload_at(self.rate if rate is None else rate, self.lengths, count, burst=self.burst, seed=seed)

    def day(self, *, seed: int = 0) -> Workload:
        """A whole working day: the busiest hour in the middle, the rest of the day's requests around it.

        Raises:
            UsageError: the demand says nothing of a day.
        """
        if self.requests_day is None or self.peak_hour_share is None:
            raise UsageError("The demand says nothing of a whole day")
        others = (self.requests_day - self.peak_requests_hour) / (WORKING_HOURS - 1) / HOUR_S
        rates = [max(others, 0.0)] * WORKING_HOURS
        rates[WORKING_HOURS // 2] = self.rate
        return daily_workload(rates, self.lengths, seed=seed)


def demand_of(
    assumptions: Assumptions,
    *,
    users: float | None = None,
    requests_per_user_day: float | None = None,
    prompt_tokens: float | None = None,
    output_tokens: float | None = None,
    longest: int | None = None,
    burst: float = 1.0,
) -> Demand:
    """The demand that the assumptions state, with what is given in their place."""
    amounts = assumptions.amounts

    def likely(name: str, given: float | None) -> float:
        return amounts[f"demand.{name}"].likely if given is None else given

    people = likely("users", users)
    day = people * likely("requests_per_user_day", requests_per_user_day)
    share = amounts["demand.peak_hour_share"].likely
    lengths = Lengths.varied(
        likely("prompt_tokens", prompt_tokens), likely("completion_tokens", output_tokens), longest=longest
    )
    return Demand(day * share, lengths, users=people, requests_day=day, peak_hour_share=share, burst=burst)


def demand_in(trace: Sequence[TraceRequest], name: str) -> Demand:
    """The demand of a recorded trace: the lengths, rate and burstiness of its busiest hour, and that hour itself.

    Raises:
        UsageError: fewer than three requests, or all at one moment.
    """
    hour = _busiest_hour(trace)
    times = np.array([request.at_s for request in hour])
    if len(times) < 3 or times[-1] <= times[0]:
        raise UsageError(f"The trace {name} is too short to tell a rate", do="Give one of at least three requests")
    times -= times[0]
    gaps = np.diff(times)
    lengths = Lengths(
        np.array([request.prompt_tokens for request in hour]), np.array([request.output_tokens for request in hour])
    )
    return Demand(
        (len(times) - 1) / float(times[-1]) * HOUR_S,
        lengths,
        burst=max(0.1, float(gaps.std() / gaps.mean())),
        source=name,
        recorded=Workload(times, lengths.prompt_tokens, lengths.output_tokens),
    )


def _busiest_hour(trace: Sequence[TraceRequest]) -> Sequence[TraceRequest]:
    """The hour that holds the most requests; all of a trace that is no longer."""
    times = np.array([request.at_s for request in trace])
    if not len(times) or times[-1] - times[0] <= HOUR_S:
        return trace
    ends = np.searchsorted(times, times + HOUR_S)
    first = int(np.argmax(ends - np.arange(len(times))))
    return trace[first : int(ends[first])]


def workload_at(rate: float, lengths: Lengths, count: int, *, burst: float = 1.0, seed: int = 0) -> Workload:
    """So many requests at a rate; the gaps between them are gamma distributed with that variation."""
    rng = np.random.default_rng(seed)
    shape = 1 / burst**2
    arrivals = np.cumsum(rng.gamma(shape, 1 / (rate * shape), count))
    return _filled(arrivals, lengths, rng)


def daily_workload(rates: Sequence[float], lengths: Lengths, *, seed: int = 0) -> Workload:
    """Requests at a rate for each hour in turn, a Poisson process within the hour."""
    rng = np.random.default_rng(seed)
    hours = [hour * HOUR_S + rng.uniform(0, HOUR_S, rng.poisson(rate * HOUR_S)) for hour, rate in enumerate(rates)]
    return _filled(np.sort(np.concatenate(hours)), lengths, rng)


def _filled(arrivals: NDArray[np.float64], lengths: Lengths, rng: np.random.Generator) -> Workload:
    """Each arrival with one of the pairs of lengths: a long answer stays with its own prompt."""
    drawn = rng.integers(0, len(lengths.prompt_tokens), len(arrivals))
    return Workload(arrivals, lengths.prompt_tokens[drawn], lengths.output_tokens[drawn])


def _lognormal(rng: np.random.Generator, mean: float, variation: float) -> NDArray[np.int64]:
    if mean < 1:
        raise UsageError(f"A mean length of {mean:g} tokens is below one")
    spread = log(1 + variation**2)
    drawn = rng.lognormal(log(mean) - spread / 2, sqrt(spread), _DRAWN)
    # Cut tails and rounding move the mean; it is what was asked for again.
    found: NDArray[np.int64] = np.maximum(1, np.rint(drawn * (mean / drawn.mean()))).astype(np.int64)
    return found
