"""What a report is about, gathered from the store: a study, its runs with their figures, its findings in order.

Knows no language and no layout. Nothing is computed here that a run did not measure or a finding say.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from inhouse.core.errors import RunNotFound, UsageError
from inhouse.core.records import Finding, Metric, Run, RunStatus, Series, Severity, Side
from inhouse.store.repository import Store

_WEIGHT = {
    severity: weight
    for weight, severity in enumerate(
        (Severity.BLOCKER, Severity.SERIOUS, Severity.WARNING, Severity.GOOD, Severity.INFO)
    )
}


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run with what it measured."""

    run: Run
    metrics: tuple[Metric, ...] = ()
    series: tuple[Series, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A study as a reader meets it: runs oldest first, findings worst first."""

    study: Run
    runs: tuple[RunRecord, ...]
    findings: tuple[Finding, ...]

    @property
    def measured(self) -> tuple[Finding, ...]:
        """The findings that stand on evidence."""
        return tuple(finding for finding in self.findings if finding.evidence)

    @property
    def not_measured(self) -> tuple[Finding, ...]:
        """The findings without evidence: by their contract they say what could not be measured, and why."""
        return tuple(finding for finding in self.findings if not finding.evidence)

    @property
    def unfinished(self) -> tuple[Run, ...]:
        """The parts that did not reach their end."""
        return tuple(record.run for record in self.runs if record.run.status is not RunStatus.DONE)

    @property
    def verdict(self) -> Severity | None:
        """What weighs most among the findings that stand on evidence; None where nothing was measured."""
        return self.measured[0].severity if self.measured else None

    @property
    def reasons(self) -> tuple[Finding, ...]:
        """The three findings that weigh most."""
        return self.measured[:3]

    @property
    def best(self) -> Finding | None:
        """What speaks most for running in-house, unless the reasons say it already."""
        rest = self.measured[3:]
        return next((finding for finding in rest if finding.severity is Severity.GOOD), None)

    @property
    def requests(self) -> int:
        """How many requests were measured in all."""
        return sum(round(m.value) for record in self.runs for m in record.metrics if m.name == "requests")

    @property
    def commands(self) -> tuple[str, ...]:
        """What to type to make the study again, and to look at what it kept."""
        config = self.study.config
        model = ["--model", self.study.model] if self.study.model else []
        budget_s = config.get("budget_s")
        budget = ["--budget", f"{budget_s / 60:g}m"] if isinstance(budget_s, (int, float)) else []
        seed = ["--seed", str(self.study.seed)] if self.study.seed else []
        phases = ["--phases", ",".join(map(str, config["phases"]))] if config.get("phases") else []
        return tuple(
            shlex.join(("inhouse", *words))
            for words in (
                ("study", *model, *budget, *phases, *seed),
                ("report", self.study.id[:10]),
                ("runs", "export", self.study.id[:10]),
            )
        )

    def on(self, side: Side) -> tuple[Finding, ...]:
        """The findings with evidence for one kind of reader."""
        return tuple(finding for finding in self.measured if finding.side is side)


def newest_study(store: Store) -> Run:
    """The study that was made last.

    Raises:
        UsageError: where none is kept.
    """
    studies = store.list_runs(kind="study", limit=1)
    if not studies:
        raise UsageError("There is no study in the store", do="Make one with `inhouse study`")
    return studies[0]


def gather(store: Store, study_id: str) -> Document:
    """Reads a study and all it stands on.

    Raises:
        RunNotFound: where no run goes by that id.
        UsageError: where the run is no study.
    """
    study = store.get_run(study_id)
    if study.kind != "study":
        raise UsageError(
            f"The run {study.id[:10]} is no study but of kind {study.kind!r}",
            do="List the studies with `inhouse runs list --kind study`",
        )
    findings = tuple(sorted(store.findings(study.id), key=lambda finding: _WEIGHT[finding.severity]))
    runs = {run.id: run for run in (study, *store.list_runs(study_id=study.id))}
    for run in _runs_elsewhere(store, findings, known=runs.keys()):
        runs[run.id] = run
    records = [_record(store, run) for run in sorted(runs.values(), key=lambda run: (run.created_at, run.id))]
    # The study itself is shown as a run only where it carries figures of its own (a prediction, say).
    kept = tuple(record for record in records if record.run.id != study.id or record.metrics)
    return Document(study=study, runs=kept, findings=findings)


def _record(store: Store, run: Run) -> RunRecord:
    return RunRecord(run, tuple(store.metrics(run.id)), tuple(store.series(run.id)))


def _runs_elsewhere(store: Store, findings: Sequence[Finding], known: Collection[str]) -> list[Run]:
    """Runs that findings stand on but that belong to no study or another one (a model pulled earlier)."""
    found = []
    for run_id in {evidence.run_id for finding in findings for evidence in finding.evidence} - set(known):
        try:
            found.append(store.get_run(run_id))
        except RunNotFound:
            continue  # removed since; the finding still carries the figure itself
    return found
