"""Whether an evaluation is good enough for CI: against a bar and against an earlier run, and only beyond noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from inhouse.core.errors import UsageError
from inhouse.core.records import Metric
from inhouse.quality.compare import Comparison


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was asked of a suite. `said` has the figures that decided, interval and n included."""

    suite: str
    name: str
    passed: bool
    said: str


def parse_bars(texts: Sequence[str], suites: Sequence[str]) -> dict[str, float]:
    """Bars as `0.7` (of every suite) or `suite=0.7`; UsageError where one cannot be read."""
    found: dict[str, float] = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            bar = float(number.rstrip("%")) / (100 if number.endswith("%") else 1)
        except ValueError:
            raise UsageError(f"{text!r} is no bar", do="Give a share such as 0.7, 70% or suite=0.7") from None
        if name and name not in suites:
            raise UsageError(f"The bar {text!r} names no suite of this run", do=f"Suites: {', '.join(suites)}")
        if not 0 <= bar <= 1:
            raise UsageError(f"The bar {text!r} lies outside 0 to 1", do="Give a share such as 0.7 or 70%")
        found |= {name: bar} if name else dict.fromkeys(suites, bar)
    return found


def headlines(metrics: Sequence[Metric], scorers: Mapping[str, str]) -> dict[str, Metric]:
    """Each suite's headline: the figure of its first scorer over all prompts and tags."""
    found: dict[str, Metric] = {}
    for metric in metrics:
        suite = str(metric.labels.get("suite", ""))
        if set(metric.labels) == {"suite", "scorer"} and metric.labels["scorer"] == scorers.get(suite):
            found.setdefault(suite, metric)
    return found


def check_bars(figures: Mapping[str, Metric], bars: Mapping[str, float]) -> list[Check]:
    """A suite fails where even the upper end of its interval lies under the bar."""
    checks = []
    for suite, bar in bars.items():
        metric = figures.get(suite)
        if metric is None:
            checks.append(Check(suite, "fail-under", False, f"no figure to hold against {bar:.1%}"))
            continue
        high = metric.value if metric.high is None else metric.high
        said = f"{shown(metric)}, bar {bar:.1%}"
        if metric.value < bar <= high:
            said += ": under the bar, but within noise"
        checks.append(Check(suite, "fail-under", high >= bar, said))
    return checks


def check_baseline(comparison: Comparison, scorers: Mapping[str, str]) -> list[Check]:
    """A suite fails where its headline is worse than the baseline's, at 5 % over all suites together."""
    return [
        Check(
            row.suite,
            "baseline",
            row.verdict != "worse",
            f"{row.a:.1%} before, {row.b:.1%} now: {_points(row.difference.value)} ({_points(row.difference.low)} to "
            f"{_points(row.difference.high)}, {row.difference.n} items), {row.verdict}",
        )
        for row in comparison.rows
        if row.scorer == scorers.get(row.suite)
    ]


def shown(metric: Metric) -> str:
    """A share with its interval and n; never without."""
    if metric.low is None or metric.high is None:
        return f"{metric.value:.1%} (no interval, n = {metric.n})"
    return f"{metric.value:.1%} ({metric.low:.1%} to {metric.high:.1%}, n = {metric.n})"


def junit(checks: Sequence[Check], figures: Mapping[str, Metric], *, seconds: float) -> str:
    """The checks as JUnit XML, one test case each; a suite without a check passes with its figure."""
    root = ET.Element("testsuites", name="inhouse eval", time=f"{seconds:.3f}")
    for suite in dict.fromkeys([*figures, *(check.suite for check in checks)]):
        mine = [check for check in checks if check.suite == suite]
        if not mine:
            mine = [Check(suite, "figure", True, shown(figures[suite]))]
        failed = sum(not check.passed for check in mine)
        node = ET.SubElement(root, "testsuite", name=suite, tests=str(len(mine)), failures=str(failed))
        for check in mine:
            case = ET.SubElement(node, "testcase", classname=f"inhouse.eval.{suite}", name=check.name)
            if not check.passed:
                ET.SubElement(case, "failure", message=check.said)
            ET.SubElement(case, "system-out").text = check.said
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _points(value: float | None) -> str:
    return "–" if value is None else f"{value:+.1%}"
