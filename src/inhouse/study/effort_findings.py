"""The findings on the study as a whole: how much had to be built, run and mended to measure at all.

Derived from the kept run of effort.py by plain functions; the sentences are in report/locale under the same ids.
"""

from __future__ import annotations

from collections.abc import Iterator

from inhouse.core.records import Finding, Scalar, Severity, Side
from inhouse.store.repository import Store
from inhouse.study.effort import WHOLE
from inhouse.study.run_data import RunData, derive_findings

# A first answer within these is a coffee break, and a morning lost (both assumptions on patience, not measured).
SOON_S, LATE_S = 600.0, 3600.0


def effort_findings(store: Store, study_id: str) -> list[Finding]:
    """What making the study took, as far as it was counted."""
    return derive_findings(store, study_id, WHOLE, {"effort": _effort})


def _effort(data: RunData) -> Iterator[Finding]:
    yield from _first_answer(data)
    parts, made = data.find("study_parts"), data.find("study_parts", status="done")
    started = {str(metric.labels["process"]): metric for metric in data.every("processes_started")}
    settings, values = data.find("settings_touched"), data.find("configuration_values")
    if parts is not None and made is not None and settings is not None and values is not None:
        figures: dict[str, Scalar] = {
            "made": made.value,
            "parts": parts.n,
            "processes": sum(metric.value for metric in started.values()),
            "engines": started["engine"].value if "engine" in started else 0,
            "gateways": started["gateway"].value if "gateway" in started else 0,
            "settings": settings.value,
            "values": values.value,
        }
        evidence = data.evidence(made, *started.values(), settings, values)
        yield Finding(WHOLE, Side.TECHNICAL, Severity.INFO, "phase0.built", figures, evidence)
    yield from _failures(data)


def _first_answer(data: RunData) -> Iterator[Finding]:
    first, packages, size = (data.find(name) for name in ("first_answer_s", "packages_loaded", "packages_bytes"))
    if first is None or packages is None or size is None:
        return
    severity = Severity.GOOD if first.value <= SOON_S else Severity.INFO
    if first.value > LATE_S:
        severity = Severity.WARNING
    figures: dict[str, Scalar] = {
        "first_answer_s": first.value,
        "download_s": first.labels["download_s"],
        "start_s": first.labels["start_s"],
        "packages": packages.value,
        "packages_bytes": size.value,
    }
    evidence = data.evidence(first, packages, size)
    yield Finding(WHOLE, Side.TECHNICAL, severity, "phase0.first_answer", figures, evidence)


def _failures(data: RunData) -> Iterator[Finding]:
    sent, retried, repeated = (data.find(name) for name in ("requests_sent", "requests_retried", "repeated_parts"))
    broken = data.find("study_parts", status="failed")
    failed = list(data.every("failed_requests"))
    if sent is None or retried is None or repeated is None or broken is None:
        return
    figures: dict[str, Scalar] = {
        "requests": sent.value,
        "failed": sum(metric.value for metric in failed),
        "retried": retried.value,
        "broken": broken.value,
        "repeated": repeated.value,
    }
    met = figures["failed"] or retried.value or broken.value or repeated.value
    message = "phase0.failures" if met else "phase0.no_failures"
    severity = Severity.WARNING if met else Severity.GOOD
    evidence = data.evidence(sent, *failed, retried, broken, repeated)
    yield Finding(WHOLE, Side.TECHNICAL, severity, message, figures, evidence)
