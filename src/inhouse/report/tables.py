"""The tables that a report draws and prints: which figures of which runs stand beside each other.

Looks metrics up by name and label, over all runs of a study; knows no chart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from inhouse.core.records import Evidence, Metric, Run, Scalar
from inhouse.report.document import Document, RunRecord
from inhouse.report.figures import measured_in, name_of, scale, unit_word
from inhouse.report.language import word


@dataclass(frozen=True, slots=True)
class Column:
    """A metric, and the value of one label of it that the column is for (`stat`: p95; `part`: load)."""

    metric: str
    value: str | None = None

    @property
    def id(self) -> str:
        """A name for look-ups: `ttft_s.p95`, `output_tokens_s`."""
        return f"{self.metric}.{self.value}" if self.value else self.metric


@dataclass(frozen=True, slots=True)
class Row:
    """What the row is about (one value a key of the table), and its cells, None where nothing was measured."""

    key: tuple[Scalar, ...]
    cells: tuple[Evidence | None, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Figures beside each other; every cell keeps its run. Its rows are in the order of their keys."""

    name: str
    keys: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @property
    def run_ids(self) -> tuple[str, ...]:
        """The runs that the figures come from, in order of appearance."""
        return tuple(dict.fromkeys(cell.run_id for row in self.rows for cell in row.cells if cell))

    def points(self, column: str) -> list[tuple[Row, Evidence]]:
        """The rows that have a figure in that column."""
        at = [c.id for c in self.columns].index(column) if column in [c.id for c in self.columns] else None
        return [] if at is None else [(row, cell) for row in self.rows if (cell := row.cells[at]) is not None]


def tables(document: Document) -> dict[str, Table]:
    """Every table that this study has figures for, by name."""
    made = (
        *(concurrency(document), prompt_length(document), memory(document), cold_start(document), download(document)),
        needles(document),
    )
    return {table.name: table for table in made if table is not None}


def concurrency(document: Document) -> Table | None:
    """Latency and throughput by streams (closed loop)."""
    columns = (
        Column("ttft_s", "p50"),
        Column("ttft_s", "p90"),
        Column("ttft_s", "p95"),
        Column("e2e_s", "p50"),
        Column("output_tokens_s"),
        Column("decode_tokens_s"),
        Column("error_rate"),
    )
    return _sweep(document, "concurrency", "streams", columns)


def prompt_length(document: Document) -> Table | None:
    """Latency by tokens of prompt, one request at a time."""
    columns = (
        Column("ttft_s", "p50"),
        Column("ttft_s", "p90"),
        Column("ttft_s", "p95"),
        Column("e2e_s", "p50"),
        Column("prefill_tokens_s"),
        Column("decode_tokens_s"),
    )
    return _sweep(document, "prompt_length", "prompt_tokens", columns)


def memory(document: Document) -> Table | None:
    """Memory by context and slots: measured beside estimated."""
    columns = (Column("memory_measured_bytes"), Column("memory_estimate_bytes"))

    def key(record: RunRecord, metric: Metric) -> tuple[Scalar, ...] | None:
        context = _label(record.run, metric, "context")
        if context is None or record.run.model != document.study.model:  # a prediction for another model
            return None
        return (context, _label(record.run, metric, "slots"))

    return _table("memory", ("context", "slots"), columns, _cells(document, columns, key))


def cold_start(document: Document) -> Table | None:
    """Cold start by part, with a warm and a dropped page cache."""
    columns = tuple(Column("cold_start_s", part) for part in ("process", "load", "first_token", "total"))

    def key(record: RunRecord, metric: Metric) -> tuple[Scalar, ...] | None:
        cache = metric.labels.get("cache")
        return (cache if cache is not None else "cold" if record.run.config.get("drop_page_cache") else "warm",)

    return _table("cold_start", ("cache",), columns, _cells(document, columns, key, label="part"))


def download(document: Document) -> Table | None:
    """What pulling each model cost."""
    columns = (Column("download_bytes"), Column("download_s"))

    def key(record: RunRecord, metric: Metric) -> tuple[Scalar, ...] | None:
        return (metric.labels.get("model") or record.run.model,)

    return _table("download", ("model",), columns, _cells(document, columns, key))


def needles(document: Document) -> Table | None:
    """Of facts hidden in a document, how many were found, by its language and length and by their depth in it."""
    columns = tuple(Column("needle_found", depth) for depth in ("0", "50", "100"))

    def key(record: RunRecord, metric: Metric) -> tuple[Scalar, ...] | None:
        return (metric.labels.get("language"), metric.labels.get("length"))

    return _table("needles", ("language", "length"), columns, _cells(document, columns, key, label="depth"))


@dataclass(frozen=True, slots=True)
class Heading:
    """A column's name and unit in a language; `largest` is the value that its unit was chosen by."""

    name: str
    unit: str
    largest: float
    predicted: bool


def heading(table: Table, index: int, lang: str) -> Heading:
    """The heading of a table's column: all its cells share a unit."""
    metrics = [cell.metric for row in table.rows if (cell := row.cells[index]) is not None]
    largest = max(metrics, key=lambda metric: abs(metric.value))
    column = table.columns[index]
    # A cold start's columns are its parts, and those of hidden facts depths; the table's title says what of.
    names = {"cold_start_s": f"part.{column.value}", "needle_found": f"depth.{column.value}"}
    own = names.get(column.metric)
    return Heading(
        name=word(lang, own) if own else name_of(metrics[0], lang),
        unit=unit_word(scale(largest.value, measured_in(largest))[1], lang),
        largest=largest.value,
        predicted=any(metric.predicted for metric in metrics),
    )


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """A figure for the first page, and the circumstances that its caption names."""

    name: str
    evidence: Evidence
    figures: Mapping[str, Scalar]


def key_figures(made: Mapping[str, Table]) -> tuple[KeyFigure, ...]:
    """What a reader asks first: how soon, how fast, for how many, how much memory, how long to start."""
    found: list[KeyFigure] = []
    load, start, taken = made.get("concurrency"), made.get("cold_start"), made.get("memory")
    alone = load or made.get("prompt_length")
    if alone is not None:
        for name, column in (("ttft", "ttft_s.p50"), ("decode", "decode_tokens_s")):
            for row, cell in alone.points(column)[:1]:
                found.append(KeyFigure(name, cell, {alone.keys[0]: row.key[0], **cell.metric.labels}))
    if load is not None and (points := load.points("output_tokens_s")):
        row, cell = max(points, key=lambda point: point[1].metric.value)
        found.append(KeyFigure("throughput", cell, {"streams": row.key[0]}))
    if taken is not None and (points := taken.points("memory_measured_bytes")):
        row, cell = max(points, key=lambda point: point[1].metric.value)
        found.append(KeyFigure("memory", cell, dict(zip(taken.keys, row.key, strict=True))))
    if start is not None:
        found += [KeyFigure("cold_start", cell, {}) for _, cell in start.points("cold_start_s.total")[:1]]
    return tuple(found)


STATS = ("mean", "p50", "p90", "p95", "p99", "max")


@dataclass(frozen=True, slots=True)
class Pivot:
    """All figures of a run: those with statistics as one row each (`spread`), the others one by one (`single`)."""

    spread: tuple[tuple[Metric, Mapping[str, Metric]], ...]
    single: tuple[Metric, ...]

    @property
    def stats(self) -> tuple[str, ...]:
        """The statistics that any row has."""
        return tuple(stat for stat in STATS if any(stat in stats for _, stats in self.spread))


def pivot(record: RunRecord) -> Pivot:
    """A run's metrics, the statistics of one quantity brought together (the row's first metric names it)."""
    spread: dict[object, dict[str, Metric]] = {}
    single = []
    for metric in record.metrics:
        stat = metric.labels.get("stat")
        if stat in STATS:
            rest = tuple(sorted((k, str(v)) for k, v in metric.labels.items() if k != "stat"))
            spread.setdefault((metric.name, rest), {})[str(stat)] = metric
        else:
            single.append(metric)
    return Pivot(tuple((next(iter(stats.values())), stats) for stats in spread.values()), tuple(single))


_Key = Callable[[RunRecord, Metric], tuple[Scalar, ...] | None]


def _sweep(document: Document, name: str, key: str, columns: tuple[Column, ...]) -> Table | None:
    """The longest series of one run's figures in which `key` varies and every other label stays the same."""
    groups: dict[object, dict[tuple[tuple[Scalar, ...], str], Evidence]] = defaultdict(dict)
    for record, metric, column in _matching(document, columns, label="stat"):
        if key in metric.labels:
            held = {label: value for label, value in metric.labels.items() if label not in (key, "stat", "stage")}
            group = (record.run.id, *sorted((label, str(value)) for label, value in held.items()))
            groups[group][(metric.labels[key],), column.id] = Evidence(record.run.id, metric)
    longest = max(groups.values(), key=lambda cells: len({row for row, _ in cells}), default={})
    table = _table(name, (key,), _one_tail(columns, longest), longest)
    return table if table is not None and len(table.rows) > 1 else None


def _one_tail(
    columns: tuple[Column, ...], cells: Mapping[tuple[tuple[Scalar, ...], str], Evidence]
) -> tuple[Column, ...]:
    """The columns with one tail of TTFT only: p95 where every row has as many requests as that takes, else p90."""
    rows = {row for row, _ in cells}
    dropped = "p90" if all((row, "ttft_s.p95") in cells for row in rows) else "p95"
    return tuple(column for column in columns if column != Column("ttft_s", dropped))


def _cells(
    document: Document, columns: tuple[Column, ...], key: _Key, *, label: str = "stat"
) -> dict[tuple[tuple[Scalar, ...], str], Evidence]:
    """Cells by row key and column; where two runs measured the same, the later one stands."""
    cells = {}
    for record, metric, column in _matching(document, columns, label=label):
        row = key(record, metric)
        if row is not None:
            cells[row, column.id] = Evidence(record.run.id, metric)
    return cells


def _matching(
    document: Document, columns: tuple[Column, ...], *, label: str
) -> Iterator[tuple[RunRecord, Metric, Column]]:
    for record in document.runs:
        for metric in record.metrics:
            for column in columns:
                named = metric.name == column.metric
                if named and (column.value is None or str(metric.labels.get(label)) == column.value):
                    yield record, metric, column


def _table(
    name: str,
    keys: tuple[str, ...],
    columns: tuple[Column, ...],
    cells: Mapping[tuple[tuple[Scalar, ...], str], Evidence],
) -> Table | None:
    """The table of these cells, without the columns that hold nothing; None where there is no cell at all."""
    used = tuple(column for column in columns if any(column.id == id_ for _, id_ in cells))
    rows = sorted({row for row, _ in cells}, key=lambda row: tuple(_order(value) for value in row))
    if not used or not rows:
        return None
    return Table(
        name, keys, used, tuple(Row(row, tuple(cells.get((row, column.id)) for column in used)) for row in rows)
    )


def _order(value: Scalar) -> tuple[int, float, str]:
    """Numbers by size, then texts; `warm` before `cold`, as the smaller of the two."""
    if isinstance(value, (int, float)):
        return (0, float(value), "")
    return (1, 0.0 if value != "cold" else 1.0, str(value))


def _label(run: Run, metric: Metric, name: str) -> Scalar:
    """A label of the metric, or what the run's config says where the run is about one value only."""
    value = metric.labels.get(name, run.config.get(name))
    return value if isinstance(value, (str, int, float)) else None
