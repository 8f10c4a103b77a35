"""The report as a list of plain blocks, for formats that flow from top to bottom: it says the same as the page.

Knows neither Markdown nor Word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import orjson

from inhouse import __version__
from inhouse.core.records import Evidence, Example, Finding, Run, Scalar
from inhouse.report.blocks import Block, Code, Grid, Heading, Paragraph, Picture, Span, spans
from inhouse.report.chapters import Chapter, chapters
from inhouse.report.document import Document, RunRecord
from inhouse.report.figures import circumstances, identity, in_words, method_of, name_of, quantity
from inhouse.report.language import moment, number, word
from inhouse.report.message import fill, marked, reason_in, render
from inhouse.report.tables import Table, heading, key_figures, tables


def outline(document: Document, lang: str) -> list[Block]:
    """The whole report in that language, in the order of reading."""
    return list(_Writer(document, lang).blocks())


def machine(document: Document, lang: str) -> str:
    """The machine that the study was made on, in one line."""
    environment = document.study.environment
    parts = [
        environment.cpu,
        fill(word(lang, "ui.cores"), {"cores": environment.cores}, lang),
        fill(word(lang, "ui.ram"), {"ram_bytes": environment.ram_bytes}, lang),
        ", ".join(gpu.name for gpu in environment.gpus) or word(lang, "ui.no_gpu"),
    ]
    return ", ".join(parts)


def run_name(run: Run, lang: str) -> str:
    """What a run is called: by the part that it is, or by its kind."""
    return word(lang, f"part.{run.config.get('name')}", word(lang, f"kind.{run.kind}", run.kind))


def samples_said(record: RunRecord, lang: str) -> str:
    """How many requests a run kept, and how they ended."""
    ends = record.outcomes
    failed = [f", {in_words('kind', kind, lang)} {number(n, lang)}" for kind, n in ends.items() if kind is not None]
    kept = fill(word(lang, "ui.samples"), {"n": sum(ends.values())}, lang)
    return f"{kept}: {fill(word(lang, 'ui.answered'), {'n': ends.get(None, 0)}, lang)}" + "".join(failed)


def ended_because(document: Document, run: Run, lang: str) -> str:
    """Why a run did not reach its end, or the study is not done."""
    if run.id == document.study.id and document.failed_parts:
        parts = ", ".join(in_words("part", part, lang) for part in document.failed_parts)
        return f"{word(lang, 'ui.failed_parts')} {parts}"
    return reason_in(run.error, document.error_of(run), lang) if run.error else word(lang, "ui.run_unfinished")


def example_name(example: Example, lang: str) -> str:
    """Which of the answers an example is, and what was found of it."""
    rank = word(lang, f"example.{example.rank}")
    return f"{rank} ({word(lang, f'verdict.{example.verdict}')})" if example.verdict else rank


def config_lines(config: Mapping[str, Any]) -> tuple[str, ...]:
    """A run's configuration as JSON, a line for each value of the outer two levels."""

    def written(value: Any, depth: int) -> str:
        if not isinstance(value, Mapping) or not value or depth == 2:
            return orjson.dumps(value).decode()
        indent = "  " * (depth + 1)
        inside = (f"{indent}{orjson.dumps(key).decode()}: {written(one, depth + 1)}" for key, one in value.items())
        return "{\n" + ",\n".join(inside) + "\n" + "  " * depth + "}"

    return tuple(written(config, 0).splitlines())


def table_grid(table: Table, lang: str) -> Grid:
    """A table of figures with their intervals."""
    columns = [heading(table, index, lang) for index in range(len(table.columns))]
    head = [word(lang, f"label.{key}", key) for key in table.keys]
    for column in columns:
        unit = f" ({column.unit})" if column.unit else ""
        head.append(f"{column.name}{unit}" + (f" ({word(lang, 'ui.predicted')})" if column.predicted else ""))
    rows = []
    for row in table.rows:
        cells = [in_words(key, value, lang) for key, value in zip(table.keys, row.key, strict=True)]
        for column, cell in zip(columns, row.cells, strict=True):
            q = quantity(cell.metric, lang, largest=column.largest) if cell else None
            cells.append("–" if q is None else q.number + (f" ({q.interval})" if q.interval else ""))
        rows.append(tuple(cells))
    return Grid(tuple(head), tuple(rows), word(lang, f"table.{table.name}"))


def evidence_grid(items: Sequence[Evidence], lang: str) -> Grid:
    """Figures with their interval, number of samples, method and run; each once."""
    keys = ("ui.figure", "ui.circumstances", "ui.value", "ui.interval_name", "ui.n_name", "ui.method", "ui.run")
    rows: dict[object, tuple[str, ...]] = {}
    for item in items:
        q = quantity(item.metric, lang)
        rows[identity(item)] = (
            name_of(item.metric, lang),
            circumstances(item.metric, lang),
            q.text,
            q.interval,
            str(q.n or ""),
            (f"{word(lang, 'ui.predicted')}: " if q.predicted else "") + method_of(item.metric, lang),
            item.run_id[:10],
        )
    return Grid(tuple(word(lang, key) for key in keys), tuple(rows.values()))


@dataclass(frozen=True, slots=True)
class _Writer:
    """The report's parts, one method each."""

    document: Document
    lang: str

    def t(self, key: str, **figures: Scalar) -> str:
        """The words under a key."""
        return fill(word(self.lang, key), figures, self.lang)

    def blocks(self) -> Iterator[Block]:
        """All of it."""
        made = tables(self.document)
        yield from self._cover(made)
        for side, parts in chapters(self.document, made, self.lang).items():
            yield Heading(2, self.t(f"side.{side}"), side)
            yield Paragraph((Span(self.t(f"side.{side}.intro")),))
            for part in parts:
                yield from self._chapter(part)
        yield from self._not_measured()
        yield from self._appendix()

    def _cover(self, made: dict[str, Table]) -> Iterator[Block]:
        document, decision, lang = self.document, self.document.decision, self.lang
        study = document.study
        yield Heading(1, self.t(f"headline.{decision.severity or 'none'}"))
        date = moment(study.created_at.astimezone(UTC), lang)
        yield Paragraph((Span(f"{self.t('ui.title')} · {date}"),), small=True)
        yield Paragraph((Span(self.t(f"answer.{decision.answer}"), strong=True),))
        rows = []
        for key in key_figures(made):
            q = quantity(key.evidence.metric, lang)
            rows.append((self.t(f"key.{key.name}", **key.figures), q.text, q.interval, key.evidence.run_id[:10]))
        if rows:
            head = (self.t("ui.figure"), self.t("ui.value"), self.t("ui.interval_name"), self.t("ui.run"))
            yield Grid(head, tuple(rows))
        if decision.reasons:
            yield Heading(3, self.t("ui.reasons"))
            for place, finding in enumerate(decision.reasons, 1):
                said = render(finding, lang, mark=marked)
                link = Span(f"{place}. {render(finding, lang).title}", strong=True, link=self._anchor(finding))
                yield Paragraph((link,))
                yield Paragraph(spans(said.text))
                yield from self._evidence(finding)
        if decision.severity is not None:
            yield Heading(3, self.t("ui.cost"))
            cost = spans(render(document.cost, lang, mark=marked).text) if document.cost else None
            yield Paragraph(cost or spans(self.t("ui.no_cost")))
        if decision.first is not None:
            yield Heading(3, self.t("ui.first"))
            yield Paragraph(spans(render(decision.first, lang, mark=marked).do))
        if document.best is not None:
            yield Heading(3, self.t("ui.best"))
            yield Paragraph(spans(render(document.best, lang, mark=marked).text))
            yield from self._evidence(document.best)
        yield Heading(3, self.t("ui.what_was_measured"))
        amount = self.t("ui.amount", runs=len(document.runs), requests=document.requests)
        yield Paragraph((Span(f"{study.model or '–'} · {machine(document, lang)} · {amount}"),))

    def _chapter(self, chapter: Chapter) -> Iterator[Block]:
        yield Heading(3, self.t(f"theme.{chapter.theme}"))
        for chart in chapter.charts:
            title, note = self.t(f"chart.{chart.name}"), self.t(f"chart.{chart.name}.note")
            yield Picture(chart, title, (Span(f"{note} {self.t('ui.from_runs')} "), *_run_links(chart.run_ids)))
        for finding in chapter.findings:
            yield from self._finding(finding)
        for table in chapter.tables:
            yield table_grid(table, self.lang)
            source = f"{self.t('note.brackets')} {self.t('ui.from_runs')} "
            yield Paragraph((Span(source), *_run_links(table.run_ids)), small=True)
        if not (chapter.charts or chapter.findings):
            yield Paragraph((Span(self.t("ui.nothing_on_theme")),))

    def _finding(self, finding: Finding) -> Iterator[Block]:
        said = render(finding, self.lang, mark=marked)
        severity = self.t(f"severity.{finding.severity}")
        yield Heading(4, f"{render(finding, self.lang).title} ({severity})", self._anchor(finding))
        yield Paragraph(spans(said.text))
        if said.do:
            yield Paragraph((Span(f"{self.t('ui.do')}: ", strong=True), *spans(said.do)))
        for example in finding.examples:
            yield Paragraph(
                (
                    Span(f"{example_name(example, self.lang)}: ", strong=True),
                    Span(f"{example.question} → {example.answer or self.t('example.empty')}"),
                ),
                small=True,
            )
        yield from self._evidence(finding)

    def _evidence(self, finding: Finding) -> Iterator[Block]:
        for item in finding.evidence:
            q, where = quantity(item.metric, self.lang), circumstances(item.metric, self.lang)
            rest = [
                self.t("ui.interval", interval=q.interval) if q.interval else "",
                self.t("ui.n", n=q.n) if q.n else "",
                f"{self.t('ui.predicted')}: {method_of(item.metric, self.lang)}" if q.predicted else "",
            ]
            label = name_of(item.metric, self.lang) + (f" ({where})" if where else "")
            detail = "".join(f", {piece}" for piece in rest if piece)
            yield Paragraph(
                (Span(f"{label} "), Span(q.text, strong=True), Span(f"{detail}, "), *_run_links((item.run_id,))),
                small=True,
            )

    def _not_measured(self) -> Iterator[Block]:
        document, missing = self.document, self.document.decision.missing
        if not (document.not_measured or document.unfinished or document.withdrawn or missing):
            return
        yield Heading(2, self.t("ui.not_measured"), "not-measured")
        yield Paragraph((Span(self.t("ui.not_measured.intro")),))
        if missing:
            sides = ", ".join(self.t(f"side.{side}") for side in missing)
            yield Paragraph((Span(f"{self.t('ui.missing_sides')} {sides}"),))
        if document.withdrawn:
            yield Paragraph((Span(self.t("ui.withdrawn", n=len(document.withdrawn))),))
        for finding in document.not_measured:
            yield from self._finding(finding)
        for run in document.unfinished:
            yield Paragraph((Span(f"{ended_because(document, run, self.lang)} "), *_run_links((run.id,))))

    def _appendix(self) -> Iterator[Block]:
        document = self.document
        yield Heading(2, self.t("ui.appendix"), "appendix")
        yield Heading(3, self.t("ui.environment"))
        environment = document.study.environment
        software = [environment.os, f"Python {environment.python}", f"inhouse {__version__}"]
        software += [f"{name} {version}" for name, version in environment.versions.items()]
        yield Grid(
            (self.t("ui.figure"), self.t("ui.value")),
            (
                (self.t("ui.machine"), machine(document, self.lang)),
                (self.t("ui.instruction_sets"), ", ".join(environment.instruction_sets)),
                (self.t("ui.os"), " · ".join(software)),
                (self.t("ui.study"), document.study.id),
            ),
        )
        yield Heading(3, self.t("ui.reproduce"))
        yield Code(document.commands)
        yield Heading(3, self.t("ui.runs"))
        for record in document.runs:
            yield from self._run(record)

    def _run(self, record: RunRecord) -> Iterator[Block]:
        run = record.run
        yield Heading(4, f"{run_name(run, self.lang)} {run.id[:10]}", f"run-{run.id}")
        at = moment(run.created_at.astimezone(UTC), self.lang)
        line = [run.model, run.engine, run.environment.engine_version, at, self.t(f"status.{run.status}")]
        yield Paragraph((Span(" · ".join(piece for piece in line if piece)),), small=True)
        if record.counts:
            yield Paragraph((Span(samples_said(record, self.lang)),), small=True)
        if record.metrics:
            grid = evidence_grid([Evidence(run.id, metric) for metric in record.metrics], self.lang)
            yield Grid(grid.head[:-1], tuple(row[:-1] for row in grid.rows))
        yield Code(config_lines(run.config))

    def _anchor(self, finding: Finding) -> str:
        return next(f"finding-{n}" for n, one in enumerate(self.document.findings, 1) if one is finding)


def _run_links(run_ids: Sequence[str]) -> Iterator[Span]:
    for place, run_id in enumerate(run_ids):
        if place:
            yield Span(", ")
        yield Span(run_id[:10], code=True, link=f"run-{run_id}")
