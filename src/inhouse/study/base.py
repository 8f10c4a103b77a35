"""What a study is made of: its configuration and its parts. Knows no part in particular."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from inhouse.core.environment import Environment
from inhouse.core.records import Run
from inhouse.core.settings import Settings
from inhouse.store.repository import Store


@dataclass(frozen=True, slots=True)
class StudyConfig:
    """What a study was asked to do; kept as its run's config, so that it can be resumed as it began.

    `budget_s` is the time that the measurements may take, the download apart: how long that takes is
    the network's to say. `lang` is the report's language, ko or en. `documents` is the folder that phase 4 reads
    (empty: a real manual that comes with the program), `questions` a file with questions on it, `assumptions` the file
    that costs are computed from (empty: the one that comes along).
    """

    model: str
    budget_s: float
    lang: str
    seed: int = 0
    phases: tuple[int, ...] = (1,)
    documents: str = ""
    questions: str = ""
    assumptions: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StudyConfig:
        """The inverse of `to_dict`."""
        known = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        known["phases"] = tuple(known.get("phases", (1,)))
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a part is: `fraction` of it from 0 to 1 (None where it cannot be told), `detail` for people."""

    part: str
    fraction: float | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """What a part works with. `seconds` is its share of the budget.

    `resume` is the part's own run of an earlier attempt that was stopped half-way, where it can go on.
    """

    settings: Settings
    store: Store
    study: Run
    config: StudyConfig
    environment: Environment
    seconds: float
    report: Callable[[float | None, str], None]
    resume: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One measurement of a study.

    `share` is its part of the budget (a phase's shares add up to 1). `run` makes it and returns the id of the
    run that it kept; it raises PartSkipped where this machine cannot make it, any other InhouseError where
    it failed: the study goes on in both cases, and the report says so.
    """

    name: str
    phase: int
    what: str
    share: float
    run: Callable[[Context], Awaitable[str]]
    resumable: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a part ended: `status` is done, skipped or failed; `reason` says why it was not done.

    `message` and `figures` say the same in the report's languages, where there is a sentence for it; `error` is the
    name of its class in core/errors, which has words in them too.
    `phase` is the part's.
    """

    status: str
    run: str | None = None
    reason: str = ""
    message: str = ""
    figures: Mapping[str, str] = field(default_factory=dict)
    phase: int = 1
    error: str = ""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Outcome:
        """As kept in the study's progress."""
        return cls(**{f.name: data[f.name] for f in fields(cls) if f.name in data})


def outcomes(store: Store, study_id: str) -> dict[str, Outcome]:
    """How each part of a study ended so far, by the part's name."""
    kept = store.progress(study_id).get("parts", {})
    return {name: Outcome.from_dict(data) for name, data in kept.items()}
