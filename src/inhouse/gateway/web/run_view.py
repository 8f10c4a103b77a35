"""What the pages show of runs: figures with their units, heat maps, and what was asked and said; knows no store.

Names of figures and labels are the field's own in both languages, as on the command line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from string import ascii_uppercase

from inhouse.core.language import number
from inhouse.core.records import Metric, Run, Scalar
from inhouse.gateway.web import words
from inhouse.quality.answers import Answer

_SHARED_KINDS = ("eval", "agent_eval", "docs_eval", "docs")
_NO_SHARE = ("seconds_per_answer", "ece", "mrr", "entropy")
_WAY = {"strategy", "size", "mode", "k"}
SHOWN_LETTERS = 1500
"""Of a prompt or an answer in a list; the whole stands on a page of its own."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A field of a heat map: its figure as text, how strong its colour is (0 to 10), and what it rests on."""

    text: str
    level: int
    n: int | None


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Figures over two dimensions; a field where nothing was measured is None."""

    title: str
    row_name: str
    column_name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]


def figure(value: float | None, unit: str, lang: str, *, share: bool = False) -> str:
    """A figure with its unit, as the reader's language writes it; a dash where there is none."""
    if value is None:
        return "–"
    if share:
        return f"{number(value * 100, lang)}\N{NO-BREAK SPACE}%"
    if unit == "s":
        return words.seconds(value, lang)
    if unit in ("bytes", "B"):
        return words.size(value, lang)
    return f"{number(value, lang)} {unit}".strip()


def is_share(metric: Metric, kind: str) -> bool:
    """Whether a figure is a share, which reads best in per cent."""
    if metric.unit == "share":
        return True
    if metric.unit or metric.name in _NO_SHARE or metric.name.startswith("ndcg"):
        return False
    values = [value for value in (metric.value, metric.low, metric.high) if value is not None]
    named = metric.name.endswith(("_rate", "_share", "_found"))
    return all(0 <= value <= 1 for value in values) and (named or (kind in _SHARED_KINDS and metric.low is not None))


def labels_text(labels: Mapping[str, Scalar]) -> str:
    """What a figure is a figure of, on one line."""
    return ", ".join(f"{name.removeprefix('tag_')} {value}" for name, value in labels.items())


def shortened(text: str | None) -> tuple[str, bool]:
    """As much of a text as a list shows, and whether that is all of it."""
    text = (text or "").encode("utf-8", "replace").decode()  # models write halves of characters too
    return (text, True) if len(text) <= SHOWN_LETTERS else (text[: SHOWN_LETTERS - 1] + "…", False)


def said(answer: Answer) -> str:
    """What a model answered: its text, or of choices that were weighed without one the likeliest, by its letter."""
    response = answer.response
    weighed = response.letters or response.continuations
    if response.text.strip() or not weighed:
        return response.text or "–"
    return f"→ {ascii_uppercase[weighed.index(max(weighed)) % 26]}"


def as_json(value: object) -> str:
    """A configuration as it is read best."""
    return json.dumps(value, ensure_ascii=False, indent=1, default=_plain).encode("utf-8", "replace").decode()


def took(run: Run, lang: str) -> str:
    """How long an ended run took from its start."""
    if run.ended_at is None:
        return "–"
    lasted: timedelta = run.ended_at - run.created_at
    return words.seconds(lasted.total_seconds(), lang)


def heat_maps(metrics: Sequence[Metric], lang: str) -> list[HeatMap]:
    """Every heat map that the figures make: needles by length and depth, ways to search, parts of suites."""
    return [*_needles(metrics, lang), *_ways(metrics, lang), *_parts(metrics, lang)]


def _needles(metrics: Sequence[Metric], lang: str) -> list[HeatMap]:
    """Facts hidden in a long text, by its length and by their depth in it, in each language."""
    cells: dict[str, dict[tuple[float, float], Metric]] = {}
    for metric in metrics:
        length, depth = metric.labels.get("length"), metric.labels.get("depth")
        if metric.name == "needle_found" and isinstance(length, int | float) and isinstance(depth, int | float):
            cells.setdefault(str(metric.labels.get("language", "")), {})[depth, length] = metric
    found = []
    for language, grid in cells.items():
        depths, lengths = sorted({depth for depth, _ in grid}), sorted({length for _, length in grid})
        rows = [
            (f"{number(depth, lang)} %", tuple(_cell(grid.get((depth, length)), lang) for length in lengths))
            for depth in depths
        ]
        columns = tuple(number(length, lang) for length in lengths)
        found.append(HeatMap(f"needle_found, {language}", "depth", "length", columns, tuple(rows)))
    return found


def _ways(metrics: Sequence[Metric], lang: str) -> list[HeatMap]:
    """Ways to cut documents and to search them, by what was found: recall at their k, and MRR."""
    found = []
    for name in ("mrr", "recall_1", "recall_5", "recall_10"):
        grid = {_way(m.labels): m for m in metrics if m.name == name and m.labels.keys() >= _WAY}
        if len(grid) > 1:
            found.append(_grid(name, "chunks", "search", grid, lang))
    return found


def _way(labels: Mapping[str, Scalar]) -> tuple[str, str]:
    """How the documents were cut, and how they were kept and searched."""
    store = f", {labels['store']}" if "store" in labels else ""
    return f"{labels['strategy']} {labels['size']}", f"{labels['mode']}, k={labels['k']}{store}"


def _parts(metrics: Sequence[Metric], lang: str) -> list[HeatMap]:
    """Each suite's figure by prompt and by each tag's value, beside the whole; a column a scorer."""
    suites: dict[tuple[str, str], dict[tuple[str, str], Metric]] = {}
    for metric in metrics:
        labels = metric.labels
        if "suite" in labels and _is_part(metric):
            part = labels_text({name: value for name, value in labels.items() if name not in ("suite", "scorer")})
            cell = part or words.word(lang, "heat.whole"), str(labels.get("scorer", "–"))
            suites.setdefault((str(labels["suite"]), metric.name), {})[cell] = metric
    return [
        _grid(f"{suite}: {name}", "part", "scorer", grid, lang)
        for (suite, name), grid in suites.items()
        if len({row for row, _ in grid}) > 2
    ]


def _is_part(metric: Metric) -> bool:
    """Whether a figure can stand in a heat map of a suite's parts."""
    return 0 <= metric.value <= 1 and metric.unit in ("", "share")


def side_by_side(a: Sequence[Metric], b: Sequence[Metric], lang: str) -> list[HeatMap]:
    """Each suite's parts in two runs: a column for each, where both have them."""
    found = []
    for name in dict.fromkeys((str(m.labels["suite"]), m.name) for m in a if "suite" in m.labels):
        grid: dict[tuple[str, str], Metric] = {}
        for column, metrics in (("A", a), ("B", b)):
            for m in metrics:
                if (m.labels.get("suite"), m.name) == name and _is_part(m):
                    grid[labels_text({k: v for k, v in m.labels.items() if k != "suite"}), column] = m
        if len({row for row, _ in grid}) > 2 and {"A", "B"} == {column for _, column in grid}:
            found.append(_grid(f"{name[0]}: {name[1]}", "part", "run", grid, lang))
    return found


def _grid(title: str, row_name: str, column_name: str, grid: Mapping[tuple[str, str], Metric], lang: str) -> HeatMap:
    columns = tuple(dict.fromkeys(column for _, column in grid))
    rows = dict.fromkeys(row for row, _ in grid)
    return HeatMap(
        title, row_name, column_name, columns,
        tuple((row, tuple(_cell(grid.get((row, column)), lang) for column in columns)) for row in rows),
    )  # fmt: skip


def _cell(metric: Metric | None, lang: str) -> Cell | None:
    if metric is None:
        return None
    share = metric.name not in _NO_SHARE
    level = round(10 * min(1.0, max(0.0, metric.value)))
    return Cell(figure(metric.value, "", lang, share=share), level, metric.n)


def names_of(metrics: Iterable[Metric]) -> list[str]:
    """The names of the figures, each once, in their order."""
    return list(dict.fromkeys(metric.name for metric in metrics))


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)
