"""The decision follows from the findings' severities and sides by a plain rule, and from nothing else."""

from dataclasses import replace

import pytest

from inhouse.core.records import Evidence, Finding, Metric, Severity, Side
from inhouse.report.decision import Answer, decide

TECH, OPS, BIZ = Side.TECHNICAL, Side.OPERATIONAL, Side.BUSINESS


def found(severity: Severity, side: Side, message: str = "m", *, evidence: bool = True) -> Finding:
    stands_on = (Evidence("run", Metric("x", 1.0, "")),) if evidence else ()
    return Finding(1, side, severity, message, {}, stands_on)


ALL_GOOD = [found(Severity.GOOD, side) for side in Side]


@pytest.mark.parametrize(
    ("findings", "answer"),
    [
        ([], Answer.UNKNOWN),
        ([found(Severity.BLOCKER, TECH, evidence=False)], Answer.UNKNOWN),
        (ALL_GOOD, Answer.YES),
        ([*ALL_GOOD, found(Severity.WARNING, OPS)], Answer.YES),
        (ALL_GOOD[:2], Answer.MEASURE),
        ([*ALL_GOOD, found(Severity.SERIOUS, BIZ)], Answer.WHEN),
        ([*ALL_GOOD, found(Severity.SERIOUS, BIZ), found(Severity.BLOCKER, TECH)], Answer.NO),
        ([*ALL_GOOD, found(Severity.BLOCKER, TECH, evidence=False)], Answer.YES),
    ],
)
def test_the_gravest_finding_that_stands_on_evidence_decides(findings, answer):
    assert decide(findings).answer is answer


def test_a_side_without_evidence_is_named():
    assert decide(ALL_GOOD[:2]).missing == (Side.BUSINESS,)
    assert decide([]).missing == tuple(Side)


def test_the_reasons_against_are_the_gravest_and_let_every_side_speak():
    grave = [found(Severity.SERIOUS, TECH, str(n)) for n in range(5)] + [found(Severity.SERIOUS, BIZ, "business")]
    reasons = decide([*grave, found(Severity.BLOCKER, OPS, "blocker")]).reasons
    assert [finding.message for finding in reasons] == ["blocker", "0", "business"]


def test_the_reasons_for_a_yes_are_the_good_ones_and_what_to_do_first_is_the_worst():
    decision = decide([found(Severity.WARNING, OPS, "warning"), *ALL_GOOD])
    assert [finding.severity for finding in decision.reasons] == [Severity.GOOD] * 3
    assert decision.first is not None
    assert decision.first.message == "warning"


def test_of_equal_findings_of_a_side_the_cost_speaks_first():
    part, whole = found(Severity.SERIOUS, BIZ, "part"), replace(found(Severity.SERIOUS, BIZ, "whole"), phase=6)
    assert [finding.message for finding in decide([part, whole]).reasons] == ["whole", "part"]
