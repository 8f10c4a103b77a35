"""What changed from one study to another: the decision, the findings, and the figures that differ beyond noise.

Knows no language; whether two figures differ is for bench/compare.py to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from inhouse.bench.compare import Comparison, compare_runs
from inhouse.core.records import Finding, RunStatus, Severity
from inhouse.report.decision import Decision
from inhouse.report.document import Document, gather
from inhouse.store.repository import Store

_ORDER = (Severity.GOOD, Severity.INFO, Severity.WARNING, Severity.SERIOUS, Severity.BLOCKER)


@dataclass(frozen=True, slots=True)
class Change:
    """One finding in both studies; None where a study does not have it."""

    before: Finding | None
    after: Finding | None

    @property
    def kind(self) -> Literal["new", "gone", "graver", "milder", "same"]:
        """How it changed: whether it is there, and how much it weighs."""
        if self.before is None or self.after is None:
            return "new" if self.before is None else "gone"
        before, after = _ORDER.index(self.before.severity), _ORDER.index(self.after.severity)
        return "same" if before == after else "graver" if after > before else "milder"


@dataclass(frozen=True, slots=True)
class Difference:
    """Two studies side by side: their decisions, every finding of either, and the parts that both have measured."""

    a: str
    b: str
    decisions: tuple[Decision, Decision]
    changes: tuple[Change, ...]
    parts: dict[str, Comparison]


def compare_studies(store: Store, a_id: str, b_id: str) -> Difference:
    """Compares study B with study A.

    Raises:
        RunNotFound: where there is no such run.
        UsageError: where one of them is no study.
    """
    a, b = gather(store, a_id), gather(store, b_id)
    before, after = _parts(a), _parts(b)
    return Difference(
        a.study.id,
        b.study.id,
        (a.decision, b.decision),
        tuple(_changes(a.findings, b.findings)),
        {name: compare_runs(store, before[name], after[name]) for name in before if name in after},
    )


def _changes(before: Sequence[Finding], after: Sequence[Finding]) -> Iterator[Change]:
    """Every finding of A with the first of the same message in B; then what only B has."""
    left = list(after)
    for finding in before:
        match = next((one for one in left if one.message == finding.message), None)
        if match is not None:
            left.remove(match)
        yield Change(finding, match)
    yield from (Change(None, finding) for finding in left)


def _parts(document: Document) -> dict[str, str]:
    """The runs of a study's parts that reached their end, by the part's name."""
    done = (record.run for record in document.runs if record.run.status is RunStatus.DONE)
    return {str(run.config["name"]): run.id for run in done if run.config.get("name")}
