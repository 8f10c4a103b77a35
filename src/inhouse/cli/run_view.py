"""How `inhouse runs` prints a run, its figures and its samples for people; knows records, not the store's tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import orjson

from inhouse.cli.output import console, note, print_table
from inhouse.core.records import Metric, Run, Sample
from inhouse.core.units import format_bytes, format_seconds
from inhouse.store.repository import SampleCount

if TYPE_CHECKING:  # the comparison loads numpy, which no other command here needs
    from inhouse.bench.compare import Comparison

_SHORT = 10  # characters of an id: its time, which tells every two runs of a store apart


def short_id(run_id: str) -> str:
    """As much of an id as tables show; every command takes it."""
    return run_id[:_SHORT]


def print_run(run: Run) -> None:
    """The run itself: what, how it stands, where, with which configuration."""
    environment = run.environment
    machine = f"{environment.cpu}, {environment.cores} cores, {format_bytes(environment.ram_bytes)}"
    lines = {
        "run": run.id,
        "kind": run.kind,
        "status": run.status.value + (f": {run.error}" if run.error else ""),
        "model": run.model,
        "engine": run.engine and f"{run.engine} {environment.engine_version or ''}".strip(),
        "started": local_time(run.created_at) + (f", took {took}" if (took := took_text(run)) else ""),
        "study": run.study_id,
        "seed": run.seed,
        "machine": machine,
        "GPU": ", ".join(gpu.name for gpu in environment.gpus) or "none",
        "bandwidth": (bandwidth := environment.memory_bandwidth_bytes_s) and f"{format_bytes(bandwidth)}/s measured",
        "system": f"{environment.os}, Python {environment.python}",
        "sha256": environment.model_sha256,
    }
    out = console()
    for name, value in lines.items():
        if value is not None:
            out.print(f"{name:<10} {value}")
    if run.config:
        out.print("config")
        for name, value in run.config.items():
            out.print(f"  {name} = {orjson.dumps(value).decode()}")
    out.print()


def print_metrics(metrics: Sequence[Metric]) -> None:
    """The run's figures with interval, number and method; a prediction says that it is one."""
    if metrics:
        print_table(
            ["figure", "of", "value", "95 % interval", "n", "how"],
            [
                (
                    metric.name,
                    labels_text(metric.labels),
                    figure_text(metric.value, metric.unit),
                    _interval(metric),
                    metric.n,
                    ("PREDICTED, " if metric.predicted and "predict" not in metric.method else "") + metric.method,
                )
                for metric in metrics
            ],
            title="Figures",
        )


def print_counts(counts: Sequence[SampleCount]) -> None:
    """How many samples each stage has, and how many failed of which kind."""
    ok: Counter[str] = Counter()
    errors: dict[str, dict[str, int]] = {}
    for each in counts:
        stage = each.stage or "–"
        ok[stage] += 0 if each.error_kind else each.count
        if each.error_kind:
            errors.setdefault(stage, {})[each.error_kind] = each.count
    if ok:
        print_table(
            ["stage", "ok", "failed", "errors"],
            [
                (stage, n, sum(errors.get(stage, {}).values()), labels_text(errors.get(stage, {})))
                for stage, n in ok.items()
            ],
            title="Samples",
        )


def print_samples(samples: Sequence[Sample]) -> None:
    """A row a sample."""
    print_table(
        ["stage", "index", "start", "waited", "TTFT", "TPOT", "E2E", "in", "out", "end"],
        [
            (
                sample.tags.get("stage"),
                sample.index,
                f"{sample.start_s:.3f} s",
                format_seconds(sample.client_wait_s),
                None if sample.ttft_s is None else format_seconds(sample.ttft_s),
                None if sample.tpot_s is None else format_seconds(sample.tpot_s),
                format_seconds(sample.e2e_s),
                sample.prompt_tokens,
                sample.completion_tokens,
                sample.finish_reason if sample.error is None else f"{sample.error.kind}: {sample.error.message}",
            )
            for sample in samples
        ],
    )


def print_comparison(comparison: Comparison) -> None:
    """What differs between the runs besides what was compared, then a row a figure with its verdict."""
    for warning in comparison.warnings:
        note(f"warning: {warning}")
    if not comparison.rows:
        note("The runs have no figure in common")
        return
    print_table(
        ["figure", "of", "A", "B", "B ÷ A", "95 % interval", "verdict"],
        [
            (
                row.name,
                labels_text(row.labels),
                figure_text(row.a, row.unit),
                figure_text(row.b, row.unit),
                None if row.ratio is None else f"{row.ratio:.3g}",
                None if row.low is None or row.high is None else f"{row.low:.3g} … {row.high:.3g}",
                row.verdict,
            )
            for row in comparison.rows
        ],
        title=f"A: {short_id(comparison.a)}  B: {short_id(comparison.b)}",
    )


def labels_text(labels: Mapping[str, object]) -> str:
    """Labels on one line."""
    return " ".join(f"{name}={value}" for name, value in labels.items())


def figure_text(value: float | None, unit: str) -> str | None:
    """A figure with its unit, at a precision that a reader can use."""
    if value is None:
        return None
    if unit == "s":
        return format_seconds(value)
    if unit == "bytes":
        return format_bytes(value)
    number = f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:.4g}"
    return f"{number} {unit}".strip()


def _interval(metric: Metric) -> str | None:
    if metric.low is None or metric.high is None:
        return None
    return f"{figure_text(metric.low, metric.unit)} … {figure_text(metric.high, metric.unit)}"


def local_time(at: datetime) -> str:
    """An instant in the reader's time zone."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def took_text(run: Run) -> str | None:
    """How long an ended run took from its start, pauses before a resume included."""
    return None if run.ended_at is None else format_seconds((run.ended_at - run.created_at).total_seconds())
