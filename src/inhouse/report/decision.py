"""What follows from a study's findings for whoever has to decide: yes, no or when, why, and what to do first.

A plain function of the findings' severities and sides; knows no language, and nothing is decided by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from inhouse.core.records import Finding, Severity, Side

REASONS = 3
_PLAN = 6  # of equal findings of one side, what the whole costs speaks before what one part showed
_AGAINST = (Severity.BLOCKER, Severity.SERIOUS, Severity.WARNING, Severity.GOOD, Severity.INFO)
_FOR = (Severity.GOOD, Severity.WARNING, Severity.INFO)


class Answer(StrEnum):
    """YES: nothing grave was found on any side. NO: something forbids it as things stand. WHEN: once the serious
    points are settled. MEASURE: nothing grave, but a side of the question was not measured. UNKNOWN: nothing was.
    """

    YES = "yes"
    NO = "no"
    WHEN = "when"
    MEASURE = "measure"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer with what it stands on.

    `severity` is what weighs most, `reasons` the findings that decided, `missing` the sides without any evidence,
    `first` the finding whose remedy comes first.
    """

    answer: Answer
    severity: Severity | None
    reasons: tuple[Finding, ...]
    missing: tuple[Side, ...]
    first: Finding | None


def decide(findings: Sequence[Finding]) -> Decision:
    """The decision that findings lead to; those without evidence say only what was not measured, and decide nothing.

    A blocker makes it no, a serious finding when, neither of them yes; but yes takes evidence on every side. The
    reasons are the findings that weigh most (for a yes: the good ones first); of equal ones, the sides in turn.
    """
    measured = [finding for finding in findings if finding.evidence]
    if not measured:
        return Decision(Answer.UNKNOWN, None, (), tuple(Side), None)
    severity = min((finding.severity for finding in measured), key=_AGAINST.index)
    missing = tuple(side for side in Side if not any(finding.side is side for finding in measured))
    if severity is Severity.BLOCKER:
        answer = Answer.NO
    elif severity is Severity.SERIOUS:
        answer = Answer.WHEN
    else:
        answer = Answer.MEASURE if missing else Answer.YES
    grave = answer in (Answer.NO, Answer.WHEN)
    reasons = _weightiest(measured, _AGAINST if grave else _FOR)
    to_settle = _weightiest(measured, _AGAINST)
    return Decision(answer, severity, reasons, missing, to_settle[0] if to_settle else None)


def _weightiest(findings: Sequence[Finding], order: Sequence[Severity]) -> tuple[Finding, ...]:
    """The findings that come first in `order`; among those of one severity each side speaks once before any twice."""
    chosen: list[Finding] = []
    for severity in order:
        left = [finding for finding in findings if finding.severity is severity]
        while left and len(chosen) < REASONS:
            spoken = [finding.side for finding in chosen]
            finding = min(left, key=lambda one: (spoken.count(one.side), one.phase != _PLAN))
            left.remove(finding)
            chosen.append(finding)
    return tuple(chosen)
