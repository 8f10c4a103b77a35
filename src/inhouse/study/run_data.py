"""What the findings of every phase are derived from: the runs of its parts, and the parts that were not made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from inhouse.core.records import Evidence, Finding, Metric, Run, Scalar, Severity, Side
from inhouse.store.repository import Store
from inhouse.study.base import Outcome, outcomes


@dataclass(frozen=True, slots=True)
class RunData:
    """One part's run with its metrics, to be asked for by name and labels."""

    run: Run
    all_metrics: tuple[Metric, ...] = field(default=())

    def find(self, name: str, **labels: Scalar) -> Metric | None:
        """The first metric of that name whose labels hold all of `labels`."""
        return next(self.every(name, **labels), None)

    def every(self, name: str, **labels: Scalar) -> Iterator[Metric]:
        """All metrics of that name whose labels hold all of `labels`."""
        for metric in self.all_metrics:
            if metric.name == name and all(metric.labels.get(key) == value for key, value in labels.items()):
                yield metric

    def evidence(self, *metrics: Metric | None) -> tuple[Evidence, ...]:
        """The metrics as evidence from this run."""
        return tuple(Evidence(self.run.id, metric) for metric in metrics if metric is not None)


def parts_made(store: Store, study_id: str, phase: int) -> dict[str, RunData]:
    """The runs of the phase's parts that were made, by the part's name."""
    return {
        name: RunData(store.get_run(outcome.run), tuple(store.metrics(outcome.run)))
        for name, outcome in outcomes(store, study_id).items()
        if outcome.phase == phase and outcome.status == "done" and outcome.run
    }


def derive_findings(
    store: Store, study_id: str, phase: int, derive: Mapping[str, Callable[[RunData], Iterable[Finding]]]
) -> list[Finding]:
    """The findings of a phase each of whose parts speaks for itself: `derive` by the part's name, in the order of the
    parts; then one for each part that could not be made.
    """
    parts = parts_made(store, study_id, phase)
    found = [finding for name, data in parts.items() if name in derive for finding in derive[name](data)]
    return found + list(parts_not_made(outcomes(store, study_id), phase))


def parts_not_made(done: Mapping[str, Outcome], phase: int) -> Iterator[Finding]:
    """A finding for each part of the phase that could not be made; parts that say the same say it once."""
    said: list[tuple[str, Mapping[str, str]]] = []
    for name, outcome in done.items():
        if outcome.phase != phase or outcome.status == "done" or (outcome.message, outcome.figures) in said:
            continue
        severity = Severity.INFO if outcome.status == "skipped" else Severity.WARNING
        if outcome.message:
            said.append((outcome.message, outcome.figures))
            yield Finding(phase, Side.OPERATIONAL, severity, outcome.message, dict(outcome.figures))
        else:
            figures: dict[str, Scalar] = {"part": name, "reason": outcome.reason, "error": outcome.error or None}
            yield Finding(phase, Side.OPERATIONAL, severity, f"phase{phase}.not_run", figures)
