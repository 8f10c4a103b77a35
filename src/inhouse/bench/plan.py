"""What a bench is to do: stages, their arrivals and lengths, as data that is kept as the run's config.

Checks every figure when a plan is made, so that bad input never reaches an engine. Sends nothing itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from inhouse.core.errors import UsageError
from inhouse.core.records import Scalar
from inhouse.core.units import parse_seconds


@dataclass(frozen=True, slots=True)
class Closed:
    """`streams` users, each of whom sends the next request when the last one is answered."""

    streams: int

    def __post_init__(self) -> None:
        check_positive("The number of streams", self.streams)

    @property
    def labels(self) -> dict[str, Scalar]:
        """What the stage's figures are labelled with."""
        return {"streams": self.streams}

    @property
    def title(self) -> str:
        """How the stage's name begins."""
        return f"{self.streams} stream{'s' if self.streams != 1 else ''}"


@dataclass(frozen=True, slots=True)
class Open:
    """Requests arrive at `rate` a second, whether or not earlier ones are answered."""

    rate: float
    spacing: Literal["constant", "poisson"] = "poisson"

    def __post_init__(self) -> None:
        check_positive("The rate", self.rate)
        if self.spacing not in ("constant", "poisson"):
            raise UsageError(f"No arrival process {self.spacing!r}", do="Use constant or poisson")

    @property
    def labels(self) -> dict[str, Scalar]:
        """What the stage's figures are labelled with."""
        return {"rate": self.rate, "arrival": self.spacing}

    @property
    def title(self) -> str:
        """How the stage's name begins."""
        return f"{self.rate:g}/s {self.spacing}"


@dataclass(frozen=True, slots=True)
class Trace:
    """Arrivals and lengths from a recorded trace, played `speed` times as fast."""

    path: str
    speed: float = 1.0

    def __post_init__(self) -> None:
        check_positive("The speed", self.speed)

    @property
    def labels(self) -> dict[str, Scalar]:
        """What the stage's figures are labelled with."""
        return {"trace": Path(self.path).name, "speed": self.speed}

    @property
    def title(self) -> str:
        """How the stage's name begins."""
        return f"trace {Path(self.path).stem} ×{self.speed:g}"


Arrival = Closed | Open | Trace
_ARRIVALS: dict[str, type[Arrival]] = {"closed": Closed, "open": Open, "trace": Trace}


@dataclass(frozen=True, slots=True)
class Stage:
    """One stretch of load of one kind. Ends after `count` requests or `duration_s` seconds, whichever comes
    first (requests then under way are answered); at least one of them is set, except for a whole trace.

    `prompt_tokens` and `output_tokens` are lengths in the model's own tokens (a trace has its own).
    The first `shared_prefix` tokens are the same in every prompt; all others differ from prompt to prompt.
    """

    arrival: Arrival
    prompt_tokens: int = 256
    output_tokens: int = 64
    count: int | None = None
    duration_s: float | None = None
    shared_prefix: int = 0

    def __post_init__(self) -> None:
        check_positive("The prompt length", self.prompt_tokens)
        check_positive("The output length", self.output_tokens)
        if self.count is not None:
            check_positive("The count of requests", self.count)
        if self.duration_s is not None:
            check_positive("The duration", self.duration_s)
        if self.count is None and self.duration_s is None and not isinstance(self.arrival, Trace):
            raise UsageError("The stage has no end", do="Give --count or --duration")
        if self.shared_prefix < 0:
            raise UsageError("The shared prefix is negative", do="Give a number of tokens, or leave it out")
        if self.shared_prefix >= self.prompt_tokens:
            raise UsageError(
                f"A shared prefix of {self.shared_prefix} tokens leaves nothing of a prompt of {self.prompt_tokens}",
                do="Make the prefix shorter than the prompt",
            )

    @property
    def name(self) -> str:
        """The stage's name: the same for the same work, so that runs can be compared by it."""
        if isinstance(self.arrival, Trace):
            return self.arrival.title
        shared = f", {self.shared_prefix} shared" if self.shared_prefix else ""
        return f"{self.arrival.title}, {self.prompt_tokens}/{self.output_tokens} tokens{shared}"

    @property
    def labels(self) -> dict[str, Scalar]:
        """What every sample of the stage is tagged with and every metric is labelled with."""
        labels: dict[str, Scalar] = {"stage": self.name, **self.arrival.labels}
        if not isinstance(self.arrival, Trace):
            labels |= {"prompt_tokens": self.prompt_tokens, "output_tokens": self.output_tokens}
        return labels | ({"shared_prefix": self.shared_prefix} if self.shared_prefix else {})

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        kind = next(kind for kind, cls in _ARRIVALS.items() if isinstance(self.arrival, cls))
        return {**asdict(self), "arrival": {"kind": kind, **asdict(self.arrival)}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Stage:
        """The inverse of `to_dict`."""
        arrival = dict(data["arrival"])
        made = _ARRIVALS[arrival.pop("kind")](**arrival)
        return cls(**{**_known(cls, data), "arrival": made})


@dataclass(frozen=True, slots=True)
class Objectives:
    """What an answer must keep to count as good, in seconds; None: no objective. TTFT and E2E count from the
    intended start, as a user feels them.
    """

    ttft_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("ttft", "tpot", "e2e"):
            value = getattr(self, f"{name}_s")
            if value is not None:
                check_positive(f"The objective {name}", value)

    def __bool__(self) -> bool:
        return any(value is not None for value in (self.ttft_s, self.tpot_s, self.e2e_s))

    def __str__(self) -> str:
        parts = (("ttft", self.ttft_s), ("tpot", self.tpot_s), ("e2e", self.e2e_s))
        return " ".join(f"{name}={value:g}s" for name, value in parts if value is not None)


@dataclass(frozen=True, slots=True)
class Sweep:
    """Load raised by `factor` from `first`'s load until it stops paying: throughput gains less than
    `min_gain` (a share), or fewer than `attained` of the requests keep the objectives, or `limit` is reached.
    """

    first: Stage
    factor: float = 2.0
    limit: float = 256
    min_gain: float = 0.05
    attained: float = 0.9

    def __post_init__(self) -> None:
        if isinstance(self.first.arrival, Trace):
            raise UsageError("A trace has its own load and cannot be swept", do="Leave out --sweep or --trace")
        if not self.factor > 1:
            raise UsageError("A sweep must raise the load", do="Give a factor above 1")
        if not 0 < self.min_gain < self.factor - 1:
            raise UsageError(
                f"A gain of {self.min_gain:.0%} cannot be asked of load raised {self.factor:g} times",
                do="Give a gain between 1% and 50%",
            )
        if not 0 < self.attained <= 1:
            raise UsageError("The share of requests to keep the objectives is not between 0 and 1")
        check_positive("The sweep's limit", self.limit)


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """All that a bench run does. `warmup` requests go unmeasured before each stage; `text` is the language of
    the prompts. `context` is the window asked of the engine, to which a trace's lengths are cut (None: what the
    engine says its window is), and `slots` how many requests the embedded engine was opened to decode together;
    both are kept so that a resumed run gets the same engine. `labels` go on all of the run's metrics (`device`).
    """

    stages: tuple[Stage, ...] = ()
    sweep: Sweep | None = None
    warmup: int = 1
    seed: int = 0
    text: Literal["en", "ko"] = "en"
    objectives: Objectives = Objectives()
    context: int | None = None
    slots: int | None = None
    name: str | None = None
    labels: Mapping[str, Scalar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.stages and self.sweep is None:
            raise UsageError("The bench has no stages", do="Give --streams, --rate, --trace or --sweep")
        if self.warmup < 0:
            raise UsageError("The number of warm-up requests is negative", do="Give 0 or more")
        if self.text not in ("en", "ko"):
            raise UsageError(f"No prompts in {self.text!r}", do="Use en or ko")
        if self.context is not None:
            check_positive("The context", self.context)
        if self.slots is not None:
            check_positive("The number of slots", self.slots)
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise UsageError("The same stage is asked for twice", do="Name each number of streams or rate once")

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values, kept as the run's config."""
        return {
            **asdict(self),
            "stages": [stage.to_dict() for stage in self.stages],
            "sweep": self.sweep and {**asdict(self.sweep), "first": self.sweep.first.to_dict()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BenchPlan:
        """The inverse of `to_dict`; unknown keys of a newer version are dropped."""
        sweep = data.get("sweep")
        return cls(
            **{
                **_known(cls, data),
                "stages": tuple(Stage.from_dict(stage) for stage in data.get("stages", ())),
                "sweep": sweep and Sweep(**{**_known(Sweep, sweep), "first": Stage.from_dict(sweep["first"])}),
                "objectives": Objectives(**_known(Objectives, data.get("objectives") or {})),
            }
        )


def parse_objectives(texts: list[str]) -> Objectives:
    """Reads objectives as they are typed: ttft=2s, tpot=100ms, e2e=10s (seconds where no unit stands)."""
    values: dict[str, float] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if name not in ("ttft", "tpot", "e2e") or not equals:
            raise UsageError(f"No objective {text!r}", do="Give ttft=, tpot= or e2e= with a time: --objective ttft=2s")
        values[f"{name}_s"] = parse_seconds(value, f"The objective {name}")
    return Objectives(**values)


def check_positive(what: str, value: float) -> None:
    """Raises UsageError unless the value is a number above zero."""
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{what} is {value:g}; it must be above zero")


def _known(cls: type[Any], data: Mapping[str, Any]) -> dict[str, Any]:
    return {each.name: data[each.name] for each in fields(cls) if each.name in data}
