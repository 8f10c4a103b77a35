"""A study as notes in Markdown, one a topic: what was met, what was measured, what to do, how to measure it again.

Everything comes from findings and runs; nothing is written by hand but the words around the figures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

from inhouse.core.records import Finding
from inhouse.report.document import Document, gather
from inhouse.report.figures import circumstances, identity, in_words, method_of, name_of, quantity
from inhouse.report.files import write_whole
from inhouse.report.language import moment, word
from inhouse.report.message import fill, render
from inhouse.report.tables import Table, heading, tables
from inhouse.store.repository import Store


@dataclass(frozen=True, slots=True)
class Topic:
    """One note: the findings it tells (ids without their phase) and the tables that go with them."""

    name: str
    messages: tuple[str, ...]
    tables: tuple[str, ...] = ()


TOPICS: Mapping[int, tuple[Topic, ...]] = {
    1: (
        Topic("download", ("download",), ("download",)),
        Topic("api-test", ("ran", "errors", "ollama"), ("prompt_length",)),
        Topic("cold-start", ("cold_start", "cold_start_warm_only"), ("cold_start",)),
        Topic("prompt-length", ("prefill",), ("prompt_length",)),
        Topic(
            "concurrency",
            ("busy", "ttft_under_load", "decode_per_user", "knee", "no_knee", "capacity_day", "cpu_load"),
            ("concurrency",),
        ),
        Topic("memory-issue", ("memory", "memory_growth"), ("memory",)),
        Topic("hardware", ("gpu", "llama2_prediction", "llama2_no_fit", "hardware_7b")),
    ),
    4: (
        Topic("documents", ("index", "infrastructure")),
        Topic("retrieval", ("retrieval", "hybrid_better", "modes_alike", "chunking_matters", "chunking_alike")),
        Topic("answers", ("latency", "answers", "refusal")),
        Topic("changes", ("sync", "fresh", "stale")),
    ),
    5: (
        Topic("gateway", ("gateway_added", "gateway_within_noise")),
        Topic("overload", ("overload", "refusals", "overload_failed")),
        Topic("failover", ("failover", "failover_not_back")),
        Topic("cache", ("cache", "cache_missed")),
        Topic("guard", ("guard", "guard_cost")),
        Topic("cost", ("ledger", "ledger_lost", "use", "cost")),
    ),
}
"""The notes of each phase. A finding that no topic names goes to the phase's note `other`."""

_OTHER, _NOT_MEASURED = "other", "not-measured"


def write_notes(store: Store, study_id: str, folder: Path, lang: str) -> list[Path]:
    """Writes the notes of a study in that language; returns their paths.

    Raises:
        UsageError: where the study or the folder cannot be used.
    """
    document = gather(store, study_id)
    made = tables(document)
    return [
        write_whole(folder / f"phase{phase}-{topic.name}.md", note(document, phase, topic, findings, made, lang))
        for phase, topic, findings in _sorted_out(document)
    ]


def note(
    document: Document,
    phase: int,
    topic: Topic,
    findings: Sequence[Finding],
    made: Mapping[str, Table],
    lang: str,
) -> str:
    """One note as text."""

    def t(key: str) -> str:
        return word(lang, key)

    study = document.study
    said = [render(finding, lang, mark=_plain) for finding in findings]
    phase_name = fill(t("note.phase"), {"phase": phase}, lang)
    lines = [
        f"# {phase_name}: {t(f'note.{topic.name}')}",
        "",
        f"> {t('note.generated')}",
        "",
        f"- {t('ui.model')}: {_escape(study.model or '–')}",
        f"- {t('ui.machine')}: {_escape(_machine(document, lang))}",
        f"- {t('ui.study')}: `{study.id}`, {moment(study.created_at.astimezone(UTC), lang)}",
        "",
        f"## {t('note.met')}",
    ]
    for finding, rendered in zip(findings, said, strict=True):
        severity = t(f"severity.{finding.severity}")
        lines += ["", f"### {_escape(rendered.title)} ({severity})", "", _escape(rendered.text)]
    measured = [_table(made[name], lang) for name in topic.tables if name in made]
    evidence = list(dict.fromkeys(identity(item) for finding in findings for item in finding.evidence))
    if measured or evidence:
        lines += ["", f"## {t('note.measured')}"]
        for block in measured:
            lines += ["", *block]
    if evidence:
        lines += ["", f"### {t('note.evidence')}", "", *_evidence(findings, lang)]
    steps = list(dict.fromkeys(rendered.do for rendered in said if rendered.do))
    if steps:
        lines += ["", f"## {t('note.do')}", "", *(f"- {_escape(step)}" for step in steps)]
    lines += ["", f"## {t('note.again')}", "", "```sh", *_on_one_line(document.commands), "```", ""]
    return "\n".join(lines)


def _sorted_out(document: Document) -> list[tuple[int, Topic, list[Finding]]]:
    """Each phase's notes with their findings, worst first; a note that has nothing to tell is not written."""
    found: list[tuple[int, Topic, list[Finding]]] = []
    for phase in sorted({finding.phase for finding in document.findings}):
        topics = TOPICS.get(phase, ())
        known = {f"phase{phase}.{message}": topic.name for topic in topics for message in topic.messages}
        piles: dict[str, list[Finding]] = {}
        for finding in document.findings:
            if finding.phase == phase:
                place = known.get(finding.message, _OTHER) if finding.evidence else _NOT_MEASURED
                piles.setdefault(place, []).append(finding)
        every = (*topics, Topic(_OTHER, ()), Topic(_NOT_MEASURED, ()))
        found += [(phase, topic, piles[topic.name]) for topic in every if topic.name in piles]
    return found


def _table(table: Table, lang: str) -> list[str]:
    """A table of figures with their intervals, and the runs they are from."""
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
        rows.append(cells)
    runs = ", ".join(f"`{run_id[:10]}`" for run_id in table.run_ids)
    title = f"### {word(lang, f'table.{table.name}')}"
    source = f"{word(lang, 'note.brackets')} {word(lang, 'ui.from_runs')} {runs}"
    return [title, "", *_grid(head, rows), "", source]


def _evidence(findings: Iterable[Finding], lang: str) -> list[str]:
    """The figures that the findings stand on."""
    head = [
        word(lang, key)
        for key in ("ui.figure", "ui.circumstances", "ui.value", "ui.interval_name", "ui.n_name", "ui.method", "ui.run")
    ]
    rows: dict[object, list[str]] = {}
    for item in (item for finding in findings for item in finding.evidence):
        q = quantity(item.metric, lang)
        rows[identity(item)] = [
            name_of(item.metric, lang),
            circumstances(item.metric, lang),
            q.text,
            q.interval,
            str(q.n or ""),
            (f"{word(lang, 'ui.predicted')}: " if q.predicted else "") + method_of(item.metric, lang),
            item.run_id[:10],
        ]
    return _grid(head, rows.values())


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(_escape(cell) for cell in cells) + " |"

    return [line(head), "|" + " --- |" * len(head), *(line(row) for row in rows)]


def _machine(document: Document, lang: str) -> str:
    environment = document.study.environment
    parts = [
        environment.cpu,
        fill(word(lang, "ui.cores"), {"cores": environment.cores}, lang),
        fill(word(lang, "ui.ram"), {"ram_bytes": environment.ram_bytes}, lang),
        ", ".join(gpu.name for gpu in environment.gpus) or word(lang, "ui.no_gpu"),
    ]
    return ", ".join(parts)


def _on_one_line(commands: Iterable[str]) -> list[str]:
    """Commands that cannot close the block of code they stand in."""
    return [" ".join(command.split()) for command in commands]


def _plain(figure: str) -> str:
    """A filled-in figure without what would open or close a code span."""
    return figure.replace("`", "'")


def _escape(text: str) -> str:
    """Text as Markdown that shows it as it is, on one line; what stands in backticks stays code."""
    pieces = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(piece if piece.startswith("`") and len(piece) > 1 else _escape_plain(piece) for piece in pieces)


def _escape_plain(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", text)
