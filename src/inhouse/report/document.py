"""What a report is about, gathered from the store: a study, its runs with their figures, its findings in order.

Knows no language and no layout. Nothing is computed here that a run did not measure or a finding say; a finding
whose run is gone says nothing any more.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from inhouse.core.errors import RunNotFound, UsageError
from inhouse.core.records import Finding, Metric, Run, RunStatus, Series, Severity
from inhouse.report.decision import Decision, decide
from inhouse.store.repository import SampleCount, Store

_WEIGHT = {
    severity: weight
    for weight, severity in enumerate(
        (Severity.BLOCKER, Severity.SERIOUS, Severity.WARNING, Severity.GOOD, Severity.INFO)
    )
}
COST = "phase6.cost"
"""The finding that gives the range of cost."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run with what it measured; `counts` say how its requests ended, stage by stage."""

    run: Run
    metrics: tuple[Metric, ...] = ()
    series: tuple[Series, ...] = ()
    counts: tuple[SampleCount, ...] = ()

    @property
    def outcomes(self) -> dict[str | None, int]:
        """How many of its requests ended in each way: None for an answer, else the error's kind."""
        ends: dict[str | None, int] = {}
        for one in self.counts:
            ends[one.error_kind] = ends.get(one.error_kind, 0) + one.count
        return ends


@dataclass(frozen=True, slots=True)
class Document:
    """A study as a reader meets it: runs oldest first, findings worst first.

    `withdrawn` are the ids of findings that a removed run took with it.
    """

    study: Run
    runs: tuple[RunRecord, ...]
    findings: tuple[Finding, ...]
    withdrawn: tuple[str, ...] = ()

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

    def error_of(self, run: Run) -> str:
        """The class of the error that the run's part of the study ended with; empty where it is not kept."""
        part = run.config.get("name")
        ends = (one.figures for one in self.not_measured if one.figures.get("part") == part)
        return next((str(figures["error"]) for figures in ends if figures.get("error")), "")

    @property
    def failed_parts(self) -> tuple[str, ...]:
        """The parts of the study that ended with an error."""
        failed = (one.figures for one in self.not_measured if one.figures.get("error"))
        return tuple(str(figures["part"]) for figures in failed if figures.get("part"))

    @property
    def decision(self) -> Decision:
        """What follows from the findings."""
        return decide(self.findings)

    @property
    def best(self) -> Finding | None:
        """What speaks most for running in-house, unless the reasons say it already."""
        told = self.decision.reasons
        rest = (finding for finding in self.measured if not any(finding is one for one in told))
        return next((finding for finding in rest if finding.severity is Severity.GOOD), None)

    @property
    def cost(self) -> Finding | None:
        """What a year would cost in-house, as a range; None where no plan was made."""
        return next((finding for finding in self.measured if finding.message == COST), None)

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
        places = ("documents", "questions", "assumptions")
        files = [word for name in places if config.get(name) for word in (f"--{name}", str(config[name]))]
        lang = ["--lang", str(config["lang"])] if config.get("lang") else []
        return tuple(
            shlex.join(("inhouse", *words))
            for words in (
                ("study", *model, *budget, *phases, *files, *lang, *seed),
                ("report", self.study.id[:10]),
                ("runs", "export", self.study.id[:10]),
            )
        )


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
    # Of equal weight, what was measured of the model comes before what it took to measure (phase 0).
    kept = sorted(store.findings(study.id), key=lambda finding: (_WEIGHT[finding.severity], finding.phase == 0))
    runs = {run.id: run for run in (study, *store.list_runs(study_id=study.id))}
    runs |= {run.id: run for run in _runs_elsewhere(store, kept, known=runs.keys())}
    findings = tuple(finding for finding in kept if all(item.run_id in runs for item in finding.evidence))
    withdrawn = tuple(finding.message for finding in kept if not any(finding is one for one in findings))
    records = [_record(store, run) for run in sorted(runs.values(), key=lambda run: (run.created_at, run.id))]
    # The study itself is shown as a run only where it carries figures of its own (a prediction, say).
    shown = tuple(record for record in records if record.run.id != study.id or record.metrics)
    return Document(study=study, runs=shown, findings=findings, withdrawn=withdrawn)


def _record(store: Store, run: Run) -> RunRecord:
    return RunRecord(run, tuple(store.metrics(run.id)), tuple(store.series(run.id)), tuple(store.sample_counts(run.id)))


def _runs_elsewhere(store: Store, findings: Sequence[Finding], known: Collection[str]) -> list[Run]:
    """Runs that findings stand on but that belong to no study or another one (a model pulled earlier)."""
    found = []
    for run_id in {evidence.run_id for finding in findings for evidence in finding.evidence} - set(known):
        try:
            found.append(store.get_run(run_id))
        except RunNotFound:
            continue  # removed since
    return found
