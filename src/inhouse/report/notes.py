"""A study as notes in Markdown, one a topic: what was met, what was tried, what solved it, and how to do it again.

Everything comes from findings and runs; nothing is written by hand but the words around the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

from inhouse.core.records import Example, Finding, Severity
from inhouse.report.document import Document, gather
from inhouse.report.figures import in_words
from inhouse.report.files import write_whole
from inhouse.report.language import moment, word
from inhouse.report.markdown import code_lines, escape, grid_lines, plain
from inhouse.report.message import fill, render
from inhouse.report.outline import evidence_grid, example_name, machine, run_name, samples_said, table_grid
from inhouse.report.tables import Table, tables
from inhouse.store.repository import Store


@dataclass(frozen=True, slots=True)
class Topic:
    """One note: the findings it tells (ids without their phase) and the tables that go with them."""

    name: str
    messages: tuple[str, ...]
    tables: tuple[str, ...] = ()


TOPICS: Mapping[int, tuple[Topic, ...]] = {
    0: (Topic("built", ("first_answer", "built", "failures", "no_failures")),),
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
    2: (
        Topic("wordings", ("wordings", "wordings_alike")),
        Topic("hallucination", ("invented", "staleness", "detection", "detection_none", "confidence")),
        Topic("consistency", ("consistency", "deterministic", "not_deterministic", "sampling")),
        Topic("korean", ("korean_cost", "korean_skills", "korean_kept")),
        Topic("bias", ("bias", "bias_unclear")),
        Topic("context-limit", ("context_holds", "context_fails", "several_facts", "context_cost"), ("needles",)),
        Topic("instructions", ("instructions", "json")),
        Topic("safety", ("refusals", "acceptable")),
        Topic("domain", ("book",)),
    ),
    3: (
        Topic("tools", ("calls", "saved", "cost")),
        Topic("conversation", ("growth",)),
        Topic("paths", ("variance", "one_path")),
        Topic("injection", ("injection",)),
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
    6: (
        Topic("ownership", ("cost", "sensitivity", "solved")),
        Topic("people", ("people",)),
        Topic(
            "market",
            (
                *("cheaper", "dearer", "break_even_users", "break_even_requests"),
                *("no_break_even_users", "no_break_even_requests"),
            ),
        ),
    ),
}
"""The notes of each phase. A finding that no topic names goes to the phase's note `other`."""

_STEMS = {0: "study", 6: "plan"}  # what is none of the five phases
_OTHER, _NOT_MEASURED = "other", "not-measured"


def write_notes(store: Store, study_id: str, folder: Path, lang: str) -> list[Path]:
    """Writes the notes of a study in that language; returns their paths.

    Raises:
        UsageError: where the study or the folder cannot be used.
    """
    document = gather(store, study_id)
    made = tables(document)
    return [
        write_whole(folder / _file(phase, topic), note(document, phase, topic, findings, made, lang))
        for phase, topic, findings in _sorted_out(document)
    ]


def _file(phase: int, topic: Topic) -> str:
    return f"{_STEMS.get(phase, f'phase{phase}')}-{topic.name}.md"


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
    said = [render(finding, lang, mark=plain) for finding in findings]
    phase_name = fill(t(f"note.{_STEMS[phase]}" if phase in _STEMS else "note.phase"), {"phase": phase}, lang)
    lines = [
        f"# {phase_name}: {t(f'note.{topic.name}')}",
        "",
        f"> {t('note.generated')}",
        "",
        f"- {t('ui.model')}: {escape(study.model or '–')}",
        f"- {t('ui.machine')}: {escape(machine(document, lang))}",
        f"- {t('ui.study')}: `{study.id}`, {moment(study.created_at.astimezone(UTC), lang)}",
        "",
        f"## {t('note.met')}",
    ]
    for finding, rendered in zip(findings, said, strict=True):
        severity = t(f"severity.{finding.severity}")
        lines += ["", f"### {escape(rendered.title)} ({severity})", "", escape(rendered.text)]
        if finding.examples:
            lines += ["", *(_example(one, lang) for one in finding.examples)]
    tried = _tried(document, findings, lang)
    if tried:
        lines += ["", f"## {t('note.tried')}", "", *(f"- {line}" for line in tried)]
        solved = [one.title for finding, one in zip(findings, said, strict=True) if finding.severity is Severity.GOOD]
        lines += ["", f"## {t('note.solved')}", "", *(f"- {escape(line)}" for line in solved or [t("note.unsolved")])]
    measured = [_table(made[name], lang) for name in topic.tables if name in made]
    grid = evidence_grid([item for finding in findings for item in finding.evidence], lang)
    if measured or grid.rows:
        lines += ["", f"## {t('note.measured')}"]
        for block in measured:
            lines += ["", *block]
    if grid.rows:
        lines += ["", f"### {t('note.evidence')}", "", *grid_lines(grid.head, grid.rows)]
    steps = list(dict.fromkeys(rendered.do for rendered in said if rendered.do))
    if steps:
        lines += ["", f"## {t('note.do')}", "", *(f"- {escape(step)}" for step in steps)]
    lines += ["", f"## {t('note.again')}", "", *code_lines(document.commands, "sh"), ""]
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


def _tried(document: Document, findings: Sequence[Finding], lang: str) -> list[str]:
    """The runs that the findings stand on: what was done in each, for how long, and how its requests ended."""
    wanted = {item.run_id for finding in findings for item in finding.evidence}
    lines = []
    for record in document.runs:
        run = record.run
        if run.id not in wanted:
            continue
        told = [run_name(run, lang), *(piece for piece in (run.model, run.engine) if piece)]
        if run.ended_at is not None:
            told.append(in_words("s", (run.ended_at - run.created_at).total_seconds(), lang))
        told += [samples_said(record, lang)] if record.counts else []
        lines.append(f"`{run.id[:10]}` " + " · ".join(map(escape, told)))
    return lines


def _example(example: Example, lang: str) -> str:
    answer = example.answer or word(lang, "example.empty")
    return f"- {escape(example_name(example, lang))}: {escape(plain(f'{example.question} → {answer}'))}"


def _table(table: Table, lang: str) -> list[str]:
    """A table of figures with their intervals, and the runs they are from."""
    grid = table_grid(table, lang)
    runs = ", ".join(f"`{run_id[:10]}`" for run_id in table.run_ids)
    source = f"{word(lang, 'note.brackets')} {word(lang, 'ui.from_runs')} {runs}"
    return [f"### {grid.title}", "", *grid_lines(grid.head, grid.rows), "", source]
