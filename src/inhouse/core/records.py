"""What a measurement leaves behind: Sample, Metric, Series, Run, Finding.

Pure data: nothing here knows how a request is sent, how a row is stored or how a report looks.
Durations and times within a run are seconds; times within a run count from the run's own start on a
monotonic clock. Wall-clock times (`*_at`) are UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Any

from inhouse.core.environment import Environment

Scalar = str | int | float | bool | None
"""What a tag, a label or a figure may hold."""


class RunStatus(StrEnum):
    """Where a run stands. INTERRUPTED runs can be resumed; FAILED ones carry the error."""

    RUNNING = "running"
    DONE = "done"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class Side(StrEnum):
    """Which reader of the report a finding is for."""

    TECHNICAL = "technical"
    OPERATIONAL = "operational"
    BUSINESS = "business"


class Severity(StrEnum):
    """How much a finding weighs: GOOD speaks for running in-house, BLOCKER forbids it as things stand."""

    GOOD = "good"
    INFO = "info"
    WARNING = "warning"
    SERIOUS = "serious"
    BLOCKER = "blocker"


@dataclass(frozen=True, slots=True)
class SampleError:
    """Why a request failed: `kind` as in core.errors (`EngineError.kind`), `message` on one line."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One request as it happened. Immutable; a failed request is a sample too, with `error` set.

    `intended_start_s` is when the schedule wanted the request sent, `start_s` when it was sent: their
    difference is time lost in the client, and latency from the intended start is free of coordinated
    omission. `token_times_s` holds the arrival of every piece of text (the first included); engines may
    send several tokens in one piece, so its length can be under `completion_tokens`.
    """

    index: int
    intended_start_s: float
    start_s: float
    end_s: float
    first_token_s: float | None = None
    token_times_s: tuple[float, ...] = ()
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    finish_reason: str | None = None
    error: SampleError | None = None
    tags: Mapping[str, Scalar] = field(default_factory=dict)
    """What the request belongs to: `stage` (the part of the run), `streams`, `rate`, `prompt_length`, …"""
    engine_timings: Mapping[str, float] = field(default_factory=dict)
    """What the engine itself said, in seconds: `load_s`, `prompt_s`, `decode_s`, `total_s` where given."""
    prompt: str | None = None
    answer: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the request ended without an error."""
        return self.error is None

    @property
    def client_wait_s(self) -> float:
        """Time the request was late in leaving the client."""
        return self.start_s - self.intended_start_s

    @property
    def ttft_s(self) -> float | None:
        """Time to first token from sending; None where no token came (never zero, never negative)."""
        return None if self.first_token_s is None else self.first_token_s - self.start_s

    @property
    def e2e_s(self) -> float:
        """End-to-end latency from sending to the end of the answer."""
        return self.end_s - self.start_s

    @property
    def e2e_from_intended_s(self) -> float:
        """End-to-end latency from the intended start, which a user of an open system feels."""
        return self.end_s - self.intended_start_s

    @property
    def tpot_s(self) -> float | None:
        """Time per output token after the first: (last token − first token) ÷ (completion tokens − 1)."""
        tokens = self.completion_tokens
        if self.first_token_s is None or tokens is None or tokens < 2 or not self.token_times_s:
            return None
        return (self.token_times_s[-1] - self.first_token_s) / (tokens - 1)

    @property
    def itl_s(self) -> tuple[float, ...]:
        """Inter-token latencies: the gaps between successive pieces of text."""
        times = self.token_times_s
        return tuple(later - earlier for earlier, later in pairwise(times))


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of a run, with its interval.

    `labels` say what it is a figure of (`streams: 8`). `method` names how it came to be ("measured",
    "bootstrap p95", "predicted: bandwidth roofline"); `predicted` is true where nothing was measured, and
    every view must then say so. `low` and `high` bound the 95 % interval where there is one.
    """

    name: str
    value: float
    unit: str
    labels: Mapping[str, Scalar] = field(default_factory=dict)
    low: float | None = None
    high: float | None = None
    n: int | None = None
    method: str = "measured"
    predicted: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """One quantity over a run: values[i] was read at times_s[i] (same length)."""

    name: str
    unit: str
    times_s: tuple[float, ...]
    values: tuple[float, ...]
    labels: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """One experiment: what was asked (`kind`, `config`, `seed`), where (`environment`), how it ended.

    Samples, metrics and series are kept by the store under the run's id. `model` and `engine` repeat
    what the config says, so that runs can be listed by them.
    """

    id: str
    kind: str
    config: Mapping[str, Any]
    seed: int
    environment: Environment
    status: RunStatus
    created_at: datetime
    ended_at: datetime | None = None
    model: str | None = None
    engine: str | None = None
    error: str | None = None
    study_id: str | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """A real question with the answer that came, kept beside a figure that counts many of them.

    `rank` says which of them it is: "worst", "typical" or "best". `verdict` is what was found of it, as the id of a
    word in the report's catalogues under `verdict.` ("right", "claimed"); empty where there is none.
    """

    rank: str
    question: str
    answer: str
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a finding stands on: one metric of one run, and answers of that run that show what it counts."""

    run_id: str
    metric: Metric
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A sentence with evidence and severity, derived from runs by a plain function.

    `message` is the id of the sentence in the report's locale catalogues (`phase1.ttft_under_load`);
    `figures` fill it in. What to do about it stands under `<message>.do`. A finding without evidence is
    only allowed where it says what could not be measured, and why.
    """

    phase: int
    side: Side
    severity: Severity
    message: str
    figures: Mapping[str, Scalar]
    evidence: tuple[Evidence, ...] = ()

    @property
    def examples(self) -> tuple[Example, ...]:
        """The answers that its evidence shows."""
        return tuple(example for item in self.evidence for example in item.examples)
