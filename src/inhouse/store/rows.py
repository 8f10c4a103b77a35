"""Records to rows and back, field by field; knows no SQL and no connection."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from inhouse.core.environment import Environment
from inhouse.core.errors import StoreError
from inhouse.core.records import (
    Evidence,
    Example,
    Finding,
    Metric,
    Run,
    RunStatus,
    Sample,
    SampleError,
    Series,
    Severity,
    Side,
)
from inhouse.store.eval_rows import KeptAnswer

Row = Mapping[Any, Any]  # columns by name

_RUN_FIELDS = ("id", "kind", "config", "seed", "created_at", "ended_at", "model", "engine", "error", "study_id")
_SAMPLE_FIELDS = (
    "index", "intended_start_s", "start_s", "end_s", "first_token_s", "token_times_s", "prompt_tokens",
    "completion_tokens", "cached_tokens", "finish_reason", "tags", "engine_timings", "prompt", "answer",
)  # fmt: skip
_METRIC_FIELDS = ("name", "value", "unit", "labels", "low", "high", "n", "method", "predicted")
_SERIES_FIELDS = ("name", "unit", "times_s", "values", "labels")


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A run with everything that is kept under its id."""

    run: Run
    progress: Mapping[str, Any]
    samples: Sequence[Sample]
    metrics: Sequence[Metric]
    series: Sequence[Series]
    findings: Sequence[Finding]
    answers: Sequence[KeptAnswer] = ()


def run_to_row(run: Run) -> dict[str, Any]:
    """The run's own columns, without owner and progress."""
    row = {name: getattr(run, name) for name in _RUN_FIELDS}
    return row | {"environment": run.environment.to_dict(), "status": run.status.value}


def run_from_row(row: Row) -> Run:
    """The inverse of `run_to_row`; further columns are ignored."""
    return Run(
        **{name: row[name] for name in _RUN_FIELDS},
        environment=Environment.from_dict(row["environment"]),
        status=RunStatus(row["status"]),
    )


def sample_to_row(sample: Sample) -> dict[str, Any]:
    """The sample's columns; its stage also stands in a column of its own, to be found by."""
    row = {name: getattr(sample, name) for name in _SAMPLE_FIELDS}
    stage = sample.tags.get("stage")
    row["stage"] = None if stage is None else str(stage)
    row["error_kind"] = sample.error.kind if sample.error else None
    row["error_message"] = sample.error.message if sample.error else None
    return row


def sample_from_row(row: Row) -> Sample:
    """The inverse of `sample_to_row`."""
    kind = row["error_kind"]
    error = None if kind is None else SampleError(kind, row["error_message"] or "")
    return Sample(**{name: row[name] for name in _SAMPLE_FIELDS}, error=error)


def metric_to_row(metric: Metric) -> dict[str, Any]:
    """The metric's columns. StoreError for a figure that is no number: no report could show it."""
    for number in (metric.value, metric.low, metric.high):
        if number is not None and not math.isfinite(number):
            raise StoreError(f"The figure {metric.name} cannot be kept", why=f"its value or interval is {number}")
    return {name: getattr(metric, name) for name in _METRIC_FIELDS}


def metric_from_row(row: Row) -> Metric:
    """The inverse of `metric_to_row`."""
    return Metric(**{name: row[name] for name in _METRIC_FIELDS})


def series_to_row(series: Series) -> dict[str, Any]:
    """The series' columns. StoreError where times and values do not pair, or one is no number.

    A reading that is missing is left out together with its time.
    """
    if len(series.times_s) != len(series.values):
        why = f"it has {len(series.times_s)} times and {len(series.values)} values"
        raise StoreError(f"The series {series.name} cannot be kept", why=why)
    if not all(map(math.isfinite, series.times_s + series.values)):
        raise StoreError(f"The series {series.name} cannot be kept", why="one of its times or values is no number")
    return {name: getattr(series, name) for name in _SERIES_FIELDS}


def series_from_row(row: Row) -> Series:
    """The inverse of `series_to_row`."""
    return Series(**{name: row[name] for name in _SERIES_FIELDS})


def finding_to_row(finding: Finding) -> dict[str, Any]:
    """The finding's columns."""
    return {
        "phase": finding.phase,
        "side": finding.side.value,
        "severity": finding.severity.value,
        "message": finding.message,
        "figures": finding.figures,
        "evidence": [_evidence_to_json(item) for item in finding.evidence],
    }


def finding_from_row(row: Row) -> Finding:
    """The inverse of `finding_to_row`."""
    return Finding(
        phase=row["phase"],
        side=Side(row["side"]),
        severity=Severity(row["severity"]),
        message=row["message"],
        figures=row["figures"],
        evidence=tuple(_evidence_from_json(item) for item in row["evidence"]),
    )


def _evidence_to_json(item: Evidence) -> dict[str, Any]:
    kept: dict[str, Any] = {"run_id": item.run_id, "metric": asdict(item.metric)}
    return kept | ({"examples": [asdict(one) for one in item.examples]} if item.examples else {})


def _evidence_from_json(item: Row) -> Evidence:
    examples = tuple(Example(**one) for one in item.get("examples", ()))
    return Evidence(item["run_id"], metric_from_row(item["metric"]), examples)
