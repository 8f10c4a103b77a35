"""What a solved task took, by the runs that are kept; says nothing of tasks that were never tried."""

from __future__ import annotations

from dataclasses import dataclass

from inhouse.core.records import RunStatus
from inhouse.store.repository import Store

KIND = "agent_eval"


@dataclass(frozen=True, slots=True)
class Solved:
    """Of one run of the agent on tasks: the share it solved, and the tokens for each that it did, failures included."""

    run_id: str
    model: str
    suite: str
    tries: int
    share: float
    tokens: float
    low: float | None = None
    high: float | None = None


def solved_tasks(store: Store, study_id: str | None = None, limit: int = 20) -> list[Solved]:
    """One entry for each of the newest finished runs that solved something, of a study where one is named."""
    found = []
    for run in store.list_runs(kind=KIND, study_id=study_id, limit=limit):
        if run.status is not RunStatus.DONE:
            continue
        metrics = store.metrics(run.id)
        mine = [one for one in metrics if one.labels.get("way") == "agent" and one.labels.get("category") == "all"]
        tokens = next((one for one in mine if one.name == "tokens_per_solved"), None)
        share = next((one for one in mine if one.name == "accuracy"), None)
        if tokens is not None and share is not None:
            suite = str(tokens.labels.get("suite", run.config.get("name", "")))
            found.append(
                Solved(
                    run.id, run.model or "", suite, tokens.n or 0, share.value, tokens.value, tokens.low, tokens.high
                )
            )
    return found
