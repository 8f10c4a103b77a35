"""The files of `inhouse eval`: bars and JUnit for CI, import from and export to other tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from inhouse.core.errors import UsageError
from inhouse.core.records import Metric, Run
from inhouse.quality.compare import compare_evals
from inhouse.quality.gate import Check, check_bars, check_baseline, headlines, junit, parse_bars
from inhouse.store.repository import Store


def read_bars(
    store: Store, bars: Sequence[str], baseline: str | None, suites: Sequence[str]
) -> tuple[Mapping[str, float], Run | None]:
    """The bars and the baseline's run, checked before anything is asked."""
    against = None if baseline is None else store.get_run(baseline, kind="eval" if baseline == "last" else None)
    return parse_bars(bars, suites), against


def checks(
    store: Store, run: Run, metrics: Sequence[Metric], bars: Mapping[str, float], baseline: Run | None
) -> list[Check]:
    """What was asked of the run, and whether it holds."""
    first = first_scorers(run)
    found = check_bars(headlines(metrics, first), bars)
    if baseline is not None:
        found += check_baseline(compare_evals(store, baseline.id, run.id), first)
    return found


def first_scorers(run: Run) -> dict[str, str]:
    """The scorer that gives each suite's headline."""
    return {suite: about["scorers"][0] for suite, about in run.config.get("scorers", {}).items()}


def write_junit(path: Path, run: Run, metrics: Sequence[Metric], found: Sequence[Check]) -> None:
    """Writes the checks as JUnit XML; UsageError where the file cannot be written."""
    took = (run.ended_at - run.created_at).total_seconds() if run.ended_at else 0.0
    write(path, junit(found, headlines(metrics, first_scorers(run)), seconds=took))


def write(path: Path, text: str) -> None:
    """Writes a file; UsageError where it cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written", why=error.strerror or str(error)) from None
