"""How `inhouse eval` prints suites, estimates, figures and answers for people; asks nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from inhouse.cli.output import console, note, print_table, progress
from inhouse.core.records import Metric, Run
from inhouse.core.units import format_seconds
from inhouse.quality.answers import Answer, Label
from inhouse.quality.compare import Comparison
from inhouse.quality.estimate import Estimate, detectable
from inhouse.quality.gate import Check, shown
from inhouse.quality.runner import EvalProgress
from inhouse.quality.suite import Suite

_NOT_SHARES = ("seconds_per_answer", "ece", "confidence_auroc")


@contextmanager
def watching() -> Iterator[Callable[[EvalProgress], None]]:
    """A display of the suite under way: done of total, the figure so far with its interval, time left."""
    with progress() as display:
        task = display.add_task("", total=None, detail="")
        suite = ""

        def show(now: EvalProgress) -> None:
            nonlocal suite
            if now.suite != suite:
                suite = now.suite
                display.reset(task, description=f"{now.number}/{now.of} {now.suite}", total=now.total)
            parts = [f"{now.done}/{now.total}"]
            if now.figure is not None and now.figure.low is not None and now.figure.high is not None:
                parts.append(f"{now.figure.value:.0%} ({now.figure.low:.0%} to {now.figure.high:.0%})")
            if now.failed:
                parts.append(f"{now.failed} failed")
            if now.left_s is not None:
                parts.append(f"{format_seconds(now.left_s)} left")
            display.update(task, completed=now.done, total=now.total, detail=" · ".join(parts))

        yield show


def print_suites(suites: Sequence[Suite]) -> None:
    """A row a suite, with the smallest difference between two models that all its items show."""
    rows = [
        (
            suite.name, suite.language, len(suite.items), len(suite.prompts), suite.heading(),
            ", ".join(use.key for use in suite.scorers), f"{100 * detectable(suite.items):.0f} points",
            suite.licence.split(",")[0],
        )
        for suite in suites
    ]  # fmt: skip
    print_table(("suite", "lang", "items", "prompts", "what", "scorers", "detects", "licence"), rows)
    note("detects: the smallest difference between two models that all items show in 4 of 5 runs, at 50 % accuracy")


def print_estimates(found: Sequence[Estimate], *, stderr: bool = False) -> None:
    """What a run would take: as a table, or as one line a suite on stderr before it begins."""
    if stderr:
        for one in found:
            took = "time not known yet" if one.seconds is None else f"about {format_seconds(one.seconds)}"
            tokens = "?" if one.prompt_tokens is None else f"{one.prompt_tokens:,}"
            note(
                f"{one.suite}: {one.items} items, {one.requests} requests, {tokens} + at most "
                f"{one.completion_tokens:,} tokens, {took}; shows differences of {100 * one.detectable:.0f} points"
            )
        return
    rows = [
        (
            one.suite, one.items, one.requests, one.prompt_tokens, one.completion_tokens,
            None if one.seconds is None else format_seconds(one.seconds), one.basis,
            f"{100 * one.detectable:.0f} points",
        )
        for one in found
    ]  # fmt: skip
    print_table(
        ("suite", "items", "requests", "prompt tokens", "answer tokens, at most", "time", "by", "detects"), rows
    )


def print_figures(metrics: Sequence[Metric], run: Run) -> None:
    """Each figure with its interval and n: first the headlines, then the parts."""
    rows = []
    for metric in metrics:
        labels = metric.labels
        if "suite" not in labels or metric.name == "seconds_per_answer":
            continue
        part = ", ".join(
            f"{name.removeprefix('tag_')} {value}" for name, value in labels.items() if name not in ("suite", "scorer")
        )
        rows.append((str(labels["suite"]), str(labels.get("scorer", "")), metric.name, part, *_cells(metric)))
    print_table(("suite", "scorer", "figure", "part", "value", "95 %", "n", "interval by"), rows, title=run.model)


def remarks(metrics: Sequence[Metric]) -> list[str]:
    """What the reader must know: what failed, what came from the cache, what could not be judged."""
    found = {metric.name: metric for metric in metrics if not metric.labels}
    said = []
    if (failed := found.get("failed_requests")) is not None and failed.value:
        said.append(f"{failed.value:.0f} requests failed and count for nothing; --resume asks them again")
    if (cached := found.get("cached_answers")) is not None and cached.value:
        said.append(f"{cached.value:.0f} answers were taken over from earlier runs (--fresh asks anew)")
    return said + [
        f"{metric.labels['suite']}, {metric.labels['scorer']}: {shown(metric)} could not be judged"
        for metric in metrics
        if metric.name == "unscored_share"
    ]


def print_checks(checks: Sequence[Check]) -> None:
    """One line a check, on stdout: passed or failed, and the figures that decided."""
    for check in checks:
        console().print(f"{'passed' if check.passed else 'FAILED'}  {check.suite}  {check.name}: {check.said}")


def print_comparison(found: Comparison, a: Run, b: Run) -> None:
    """A row a suite and scorer: both figures, their paired difference, and the verdict."""
    rows = []
    for row in found.rows:
        gap = row.difference
        interval = "" if gap.low is None or gap.high is None else f"{100 * gap.low:+.1f} to {100 * gap.high:+.1f}"
        rows.append((
            row.suite, row.scorer, f"{row.a:.1%}", f"{row.b:.1%}", f"{100 * gap.value:+.1f}", interval, gap.n,
            row.verdict, f"{100 * row.detectable:.1f}",
        ))  # fmt: skip
    print_table(
        ("suite", "scorer", f"A {a.model}", f"B {b.model}", "B − A, points", "95 %", "items", "B is", "detects"), rows
    )
    for warning in found.warnings:
        note(warning)
    note("paired by item; verdicts at 5 % over all rows together (Holm)")


def print_answer(answer: Answer, labels: Sequence[Label] = (), *, number: str = "") -> None:
    """One answer as it was asked and judged."""
    out = console()
    where = f"{answer.suite} · {answer.item}" + (f" · {answer.prompt}" if answer.prompt != "default" else "")
    out.print(f"{number}{where}" + (f" · repeat {answer.repeat}" if answer.repeat else "") + f"  [{answer.id}]")
    out.print("asked:  " + _indented(answer.question))
    if answer.response.text or not answer.response.letters:
        out.print("said:   " + _indented(answer.response.text or (answer.error or "(nothing)")))
    if answer.targets:
        out.print("right:  " + " | ".join(map(_indented, answer.targets)))
    for scorer, score in answer.scores.items():
        detail = ", ".join(f"{name} {_short(value)}" for name, value in score.detail.items())
        value = "not judged" if score.value is None else f"{score.value:.2g}"
        out.print(
            f"{scorer}: {value}" + (f" ({score.answer!r})" if score.answer else "") + (f"; {detail}" if detail else "")
        )
    for label in labels:
        out.print(f"{label.person} says {label.value:g}" + (f": {label.note}" if label.note else ""))
    out.print()


def _cells(metric: Metric) -> tuple[str, str, str, str]:
    share = metric.unit == "" and metric.name not in _NOT_SHARES
    text: Callable[[float], str] = (lambda one: f"{one:.1%}") if share else (lambda one: f"{one:.3g}")
    interval = "–" if metric.low is None or metric.high is None else f"{text(metric.low)} to {text(metric.high)}"
    return text(metric.value), interval, "" if metric.n is None else str(metric.n), metric.method


def _indented(text: str) -> str:
    return text.strip().replace("\n", "\n        ")


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
