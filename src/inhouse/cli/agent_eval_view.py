"""How an evaluation's figures are shown: the sides beside each other, then every figure."""

from __future__ import annotations

from collections.abc import Sequence

from inhouse.cli.output import note, print_json, print_table
from inhouse.core.records import Metric, Run

# What a side is judged by, as a row each: the metric, what it is called, and by what its value is multiplied.
_COMPARED = (
    ("accuracy", "solved", 1.0, "{:.2f}"),
    ("requests_per_try", "requests a task", 1.0, "{:.1f}"),
    ("calls_per_try", "tool calls a task", 1.0, "{:.1f}"),
    ("tokens_per_try", "tokens a task", 1.0, "{:.0f}"),
    ("tokens_per_solved", "tokens a solved task", 1.0, "{:.0f}"),
    ("seconds_per_solved", "seconds a solved task", 1.0, "{:.1f}"),
    ("framework_per_request", "framework, ms a request", 1000.0, "{:.1f}"),
)


def print_evaluation(run: Run, found: Sequence[Metric], *, as_json: bool) -> None:
    """Prints a run of an evaluation with its figures."""
    if as_json:
        print_json({"run": run, "metrics": found})
        return
    ways = tuple(dict.fromkeys(str(metric.labels.get("way", "")) for metric in found))
    if len(ways) > 1 and (compared := compared_rows(found, ways)):
        print_table(("", *ways), compared)
    rows = []
    for metric in found:
        labels = metric.labels
        what = next((str(labels[key]) for key in ("failure", "saved", "problem") if key in labels), "")
        name = f"pass^{labels['k']}" if "k" in labels else metric.name
        rows.append((str(labels.get("way", "")), str(labels.get("category", "")), name, what, f"{metric.value:.3g}",
                     _interval(metric, 1.0, "{:.3g}"), "" if metric.n is None else str(metric.n)))  # fmt: skip
    print_table(("way", "category", "figure", "", "value", "95 %", "n"), rows)
    note(f"kept: inhouse runs show {run.id[:10]}")


def compared_rows(found: Sequence[Metric], ways: Sequence[str]) -> list[tuple[str, ...]]:
    """A row for each figure that the sides share, over all categories; intervals where there are some."""
    rows = []
    for name, title, factor, form in _COMPARED:
        cells = []
        for way in ways:
            metric = next(
                (one for one in found if one.name == name and "k" not in one.labels and one.labels.get("way") == way
                 and one.labels.get("category") == "all"), None,
            )  # fmt: skip
            interval = "" if metric is None else _interval(metric, factor, form)
            told = "" if metric is None else form.format(metric.value * factor)
            cells.append(f"{told} ({interval})" if interval else told)
        if any(cells):
            rows.append((title, *cells))
    return rows


def _interval(metric: Metric, factor: float, form: str) -> str:
    if metric.low is None or metric.high is None:
        return ""
    return f"{form.format(metric.low * factor)} to {form.format(metric.high * factor)}"
