"""How `inhouse bench` shows a run under way, and its figures at the end; measures nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from inhouse.bench.progress import BenchProgress
from inhouse.cli.output import note, print_table, progress
from inhouse.cli.run_view import figure_text, short_id
from inhouse.core.records import Metric, Run, Scalar

# Heading, metric and its further labels. What a stage is too small for stays empty.
_COLUMNS: tuple[tuple[str, str, Mapping[str, Scalar]], ...] = (
    ("requests", "requests", {}),
    ("TTFT p50", "ttft_s", {"stat": "p50"}),
    ("p95", "ttft_s", {"stat": "p95"}),
    ("queue p50", "queue_s", {"stat": "p50"}),
    ("TPOT p50", "tpot_s", {"stat": "p50"}),
    ("ITL p99", "itl_s", {"stat": "p99"}),
    ("E2E p50", "e2e_from_intended_s", {"stat": "p50"}),
    ("p95", "e2e_from_intended_s", {"stat": "p95"}),
    ("requests/s", "requests_s", {}),
    ("tokens/s", "output_tokens_s", {}),
)
_LATE_S = 0.001  # later than this at its p95, the client itself is part of what was measured


@contextmanager
def watching() -> Iterator[Callable[[BenchProgress], None]]:
    """A display of the stage under way: done of total, tokens a second, time left."""
    with progress() as display:
        task = display.add_task("", total=None, detail="")
        shown = ""

        def show(now: BenchProgress) -> None:
            nonlocal shown
            if now.stage != shown:
                shown = now.stage
                title = f"{now.number}/{now.of or '?'} {now.stage}" if now.number else now.stage
                display.reset(task, description=title, total=None if now.share is None else 1.0)
            display.update(task, completed=now.share or 0.0, detail=_detail(now))

        yield show


def print_stages(metrics: Sequence[Metric]) -> None:
    """A row a stage, and remarks on what the reader must know to read them."""
    stages = list(dict.fromkeys(m.labels["stage"] for m in metrics if m.name == "requests"))
    by_stage = {stage: [m for m in metrics if m.labels.get("stage") == stage] for stage in stages}
    columns, rows = list(_COLUMNS), []
    if any(m.name == "goodput_requests_s" for m in metrics):
        columns.append(("goodput/s", "goodput_requests_s", {}))
    if any(m.name == "errors" for m in metrics):
        columns.insert(1, ("failed", "error_rate", {}))
    for stage, own in by_stage.items():
        rows.append([stage, *(_cell(own, name, labels) for _, name, labels in columns)])
    print_table(["stage", *(heading for heading, _, _ in columns)], rows)
    for remark in _remarks(metrics):
        note(remark)


def print_cold_start(metrics: Sequence[Metric], *, dropped: bool) -> None:
    """A row for each state of the page cache, a column a part. `dropped`: a cold one was asked for."""
    parts = ("process", "load", "first_token", "total")
    caches = list(dict.fromkeys(m.labels.get("cache") for m in metrics if m.name == "cold_start_s"))
    rows = []
    for cache in caches:
        own = [m for m in metrics if m.labels.get("cache") == cache]
        starts = next((m.n for m in own), None)
        rows.append([f"{cache} page cache", starts, *(_cell(own, "cold_start_s", {"part": part}) for part in parts)])
    print_table(["cold start, medians", "starts", "process", "load", "first token", "total"], rows)
    if dropped and "cold" not in caches:
        note("the model file could not be put out of the page cache: another process uses it, or the system forbids it")


def print_memory(metrics: Sequence[Metric]) -> None:
    """A row a context size: measured, estimated, and how far the estimate is off."""
    rows = []
    for measured in (m for m in metrics if m.name == "memory_measured_bytes"):
        estimates = (m for m in metrics if m.name == "memory_estimate_bytes" and m.labels == measured.labels)
        estimate = next(estimates, None)
        rows.append(
            [
                measured.labels.get("context"),
                measured.labels.get("slots"),
                figure_text(measured.value, "bytes"),
                estimate and figure_text(estimate.value, "bytes"),
                estimate and f"{estimate.value / measured.value - 1:+.1%}",
            ]
        )
    print_table(["context", "slots", "measured", "estimate (predicted)", "off by"], rows)


def note_kept(run: Run) -> None:
    """Where the run can be found again."""
    note(f"kept as {short_id(run.id)}: inhouse runs show {short_id(run.id)}")


def _detail(now: BenchProgress) -> str:
    if not now.number:
        return ""
    parts = [f"{now.done}/{now.total}" if now.total else f"{now.done} answered", f"{now.output_tokens_s:.1f} tokens/s"]
    return "  ".join([*parts, *([f"{now.errors} failed"] if now.errors else [])])


def _cell(metrics: Iterable[Metric], name: str, labels: Mapping[str, Scalar]) -> str | None:
    for metric in metrics:
        if metric.name == name and labels.items() <= metric.labels.items():
            if name == "error_rate":
                return f"{metric.value:.1%}"
            unit = "" if name == "requests" or metric.unit in ("tokens/s", "requests/s") else metric.unit
            return figure_text(metric.value, unit)
    return None


def _remarks(metrics: Sequence[Metric]) -> Iterator[str]:
    counts = [m.value for m in metrics if m.name == "requests"]
    if counts and min(counts) < 100:
        yield "p99 is left out under 100 requests and p95 under 20: fewer cannot carry them (--count, --duration)"
    failures: dict[Scalar, float] = {}
    for metric in metrics:
        if metric.name == "errors":
            failures[metric.labels["kind"]] = failures.get(metric.labels["kind"], 0) + metric.value
    if failures:
        listed = ", ".join(f"{count:.0f} {kind}" for kind, count in failures.items())
        yield f"failed requests, in no latency figure: {listed}"
    for metric in metrics:
        if metric.name == "capped_requests" and metric.value:
            yield f"{metric.labels['stage']}: {metric.value:.0f} of {metric.n} requests were cut to fit the context"
        elif metric.name == "client_wait_s" and metric.labels.get("stat") == "p95" and metric.value > _LATE_S:
            yield f"{metric.labels['stage']}: the client sent late by {metric.value * 1000:.1f} ms (p95)"
        elif metric.name.startswith("knee_"):
            what = "streams" if metric.name == "knee_streams" else "requests/s"
            after = "the first load" if not metric.value else "the next load"
            found = f"{metric.value:g} {what}" if metric.value else "none"
            yield f"knee: {found}; {_BROKEN[str(metric.labels.get('broken'))].format(load=after)}"


_BROKEN = {
    "gain": "{load} brought hardly more tokens a second",
    "objectives": "at {load} too few requests kept the objectives",
    "overload": "at {load} requests piled up",
    "errors": "at {load} requests failed",
    "limit": "the limit of the sweep, so more load may still pay",
}
