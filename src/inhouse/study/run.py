"""Runs a study part by part: each part's outcome is kept at once, so that a study can be stopped and resumed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from inhouse.core.environment import Environment
from inhouse.core.errors import InhouseError, PartSkipped, RunInterrupted
from inhouse.core.records import Finding, Run, RunStatus
from inhouse.core.settings import Settings
from inhouse.store.repository import Store
from inhouse.study.base import Context, Outcome, Part, Progress, StudyConfig, outcomes
from inhouse.study.effort import CLOSING, WHOLE, Watch
from inhouse.study.effort_findings import effort_findings
from inhouse.study.phase1 import PHASE1
from inhouse.study.phase1_findings import phase1_findings
from inhouse.study.phase2 import PHASE2
from inhouse.study.phase2_findings import phase2_findings
from inhouse.study.phase3 import PHASE3
from inhouse.study.phase3_findings import phase3_findings
from inhouse.study.phase4 import PHASE4
from inhouse.study.phase4_findings import phase4_findings
from inhouse.study.phase5 import PHASE5
from inhouse.study.phase5_findings import phase5_findings
from inhouse.study.plan import PLAN, PLAN_PARTS
from inhouse.study.plan_findings import plan_findings


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase of the study: its parts, and what follows from their runs.

    The phases that are made share the budget by `weight`.
    """

    parts: tuple[Part, ...]
    findings: Callable[[Store, str], list[Finding]]
    weight: float


PHASES: Mapping[int, Phase] = {
    1: Phase(PHASE1, phase1_findings, 0.5),
    2: Phase(PHASE2, phase2_findings, 0.5),
    3: Phase(PHASE3, phase3_findings, 0.25),
    4: Phase(PHASE4, phase4_findings, 0.25),
    5: Phase(PHASE5, phase5_findings, 0.25),
}


def parts_of(config: StudyConfig) -> tuple[Part, ...]:
    """The parts of the study in the order they run; the model is pulled, and all summed up, whatever the phases."""
    pull = () if 1 in config.phases else tuple(part for part in PHASE1 if part.name == "pull")
    return (*pull, *(part for number in sorted(config.phases) for part in PHASES[number].parts), *PLAN_PARTS, *CLOSING)


def seconds_of(part: Part, config: StudyConfig) -> float:
    """The time that a part may take: its share of its phase's share of the budget."""
    if part.share == 0:
        return 0.0
    whole = sum(PHASES[number].weight for number in config.phases)
    return config.budget_s * part.share * PHASES[part.phase].weight / whole


async def run_study(
    settings: Settings,
    store: Store,
    config: StudyConfig,
    environment: Environment,
    *,
    resume: Run | None = None,
    on_progress: Callable[[Progress], None],
    on_outcome: Callable[[Part, Outcome], None],
) -> Run:
    """Makes every part that is not done yet, derives the findings, and returns the study's run.

    The run is DONE where no part failed (one that was skipped, since this machine has no GPU say, did not), and
    FAILED otherwise: a resume repeats what failed.

    Args:
        settings: the process's settings.
        store: where everything is kept.
        config: what to do; a resumed study brings its own.
        environment: the machine's fingerprint.
        resume: the run of a study that was stopped or failed.
        on_progress: called as a part goes on.
        on_outcome: called as a part ends.

    Raises:
        RunInterrupted: the user stopped it; all that was measured is kept and findings are derived from it.
    """
    if resume is None:
        study = store.create_run(
            "study", config.to_dict(), seed=config.seed, environment=environment, model=config.model
        )
    else:
        study = store.claim_run(resume.id)
    try:
        with Watch() as watch:
            for part in parts_of(config):
                done = outcomes(store, study.id).get(part.name)
                if done is not None and done.status == "done" and part not in CLOSING:
                    on_outcome(part, done)
                    continue
                _count_attempt(store, study.id, part)
                outcome = await _run_part(part, settings, store, study, config, environment, on_progress)
                _keep(store, study.id, part, outcome)
                watch.keep(store, study.id)
                on_outcome(part, outcome)
    except (asyncio.CancelledError, KeyboardInterrupt):
        derive_findings(store, study.id, config)
        store.finish_run(study.id, RunStatus.INTERRUPTED)
        raise RunInterrupted("The study was stopped", do=f"Go on: inhouse study --resume {study.id[:10]}") from None
    except BaseException as error:
        store.finish_run(study.id, RunStatus.FAILED, str(error))
        raise
    derive_findings(store, study.id, config)
    failed = [name for name, outcome in outcomes(store, study.id).items() if outcome.status == "failed"]
    if failed:  # not done, so that a resume repeats them
        return store.finish_run(study.id, RunStatus.FAILED, f"{', '.join(failed)} failed")
    return store.finish_run(study.id, RunStatus.DONE)


def derive_findings(store: Store, study_id: str, config: StudyConfig) -> None:
    """Derives the findings of every phase again from the kept runs."""
    for number in config.phases:
        store.set_findings(study_id, number, PHASES[number].findings(store, study_id))
    store.set_findings(study_id, PLAN, plan_findings(store, study_id))
    store.set_findings(study_id, WHOLE, effort_findings(store, study_id))


async def _run_part(
    part: Part,
    settings: Settings,
    store: Store,
    study: Run,
    config: StudyConfig,
    environment: Environment,
    on_progress: Callable[[Progress], None],
) -> Outcome:
    context = Context(
        settings=settings,
        store=store,
        study=study,
        config=config,
        environment=environment,
        seconds=seconds_of(part, config),
        report=lambda fraction, detail: on_progress(Progress(part.name, fraction, detail)),
        resume=_leftover(store, study.id, part),
    )
    try:
        return Outcome("done", run=await part.run(context))
    except PartSkipped as error:
        return Outcome("skipped", reason=str(error), message=error.message, figures=error.figures)
    except RunInterrupted:
        raise asyncio.CancelledError from None
    except InhouseError as error:
        return Outcome("failed", reason=str(error), error=type(error).__name__)


def _leftover(store: Store, study_id: str, part: Part) -> str | None:
    """The run that an earlier attempt at the part left: to go on with, or else removed, so that none counts twice."""
    known = {outcome.run for outcome in outcomes(store, study_id).values()}
    resume = None
    for run in store.list_runs(study_id=study_id):
        if run.config.get("name") == part.name and run.id not in known and run.status is not RunStatus.RUNNING:
            if part.resumable and resume is None and run.status is RunStatus.INTERRUPTED:
                resume = run.id
            else:
                store.delete_run(run.id)
    return resume


def _keep(store: Store, study_id: str, part: Part, outcome: Outcome) -> None:
    progress = dict(store.progress(study_id))
    progress["parts"] = {**progress.get("parts", {}), part.name: asdict(replace(outcome, phase=part.phase))}
    store.set_progress(study_id, progress)


def _count_attempt(store: Store, study_id: str, part: Part) -> None:
    if part not in CLOSING:
        progress = store.progress(study_id)
        attempts = progress.get("attempts", {})
        attempts = {**attempts, part.name: attempts.get(part.name, 0) + 1}
        store.set_progress(study_id, {**progress, "attempts": attempts})


def undone(parts: Sequence[Part], done: dict[str, Outcome]) -> list[Part]:
    """The parts that a resumed study has yet to make."""
    return [part for part in parts if part.name not in done or done[part.name].status != "done"]
