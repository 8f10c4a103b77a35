"""A report as data: the decision, the findings with their words and evidence, the runs with their figures."""

from __future__ import annotations

from typing import Any

from inhouse import __version__
from inhouse.core.records import Finding
from inhouse.report.document import Document, RunRecord
from inhouse.report.message import render
from inhouse.report.themes import theme_of


def as_data(document: Document, lang: str) -> dict[str, Any]:
    """The report as JSON-ready values (dataclasses and dates included, as orjson writes them)."""
    decision = document.decision
    place = {id(finding): number for number, finding in enumerate(document.findings)}
    return {
        "inhouse": __version__,
        "lang": lang,
        "study": document.study,
        "decision": {
            "answer": decision.answer,
            "severity": decision.severity,
            "reasons": [place[id(finding)] for finding in decision.reasons],
            "first": None if decision.first is None else place[id(decision.first)],
            "missing": decision.missing,
            "cost": None if document.cost is None else place[id(document.cost)],
        },
        "findings": [_finding(finding, lang) for finding in document.findings],
        "withdrawn": document.withdrawn,
        "runs": [_run(record) for record in document.runs],
        "commands": document.commands,
    }


def _finding(finding: Finding, lang: str) -> dict[str, Any]:
    said = render(finding, lang)
    return {
        "phase": finding.phase,
        "side": finding.side,
        "theme": theme_of(finding) if finding.evidence else None,
        "severity": finding.severity,
        "message": finding.message,
        "title": said.title,
        "text": said.text,
        "do": said.do,
        "figures": finding.figures,
        "evidence": finding.evidence,
    }


def _run(record: RunRecord) -> dict[str, Any]:
    return {"run": record.run, "metrics": record.metrics, "samples": record.counts}
