"""The findings of phase 2, derived from kept runs by plain functions: no share without its interval, and beside the
figures the worst, a typical and the best of the answers that they count.

The sentences are in report/locale under the same ids; what makes a finding grave is said here. What is said of
documents, skills and settings rather than of honesty and steadiness is in phase2_skills.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from inhouse.core.records import Finding, Severity, Side
from inhouse.quality.answers import Answers
from inhouse.quality.examples import three_groups, three_of
from inhouse.quality.measures.consistency import agreement_of
from inhouse.store.repository import Store
from inhouse.study.phase2_data import FEWEST, Found, Judged, Scalars, of_year, points, share, told_of, too_few, weigh
from inhouse.study.phase2_skills import SKILLS
from inhouse.study.run_data import RunData, derive_findings

# Of questions about what does not exist, the share that may be answered with a claim; and beyond which it is serious.
CLAIMED_GOOD, CLAIMED_POOR = 0.05, 0.25
# Of the answers to what changes each year, and of two answers to the same question.
RIGHT_GOOD, RIGHT_POOR = 0.9, 0.6
SAME_GOOD, SAME_POOR = 0.95, 0.5
# Points by which the wording alone may move accuracy.
GAP_MUCH = 0.1
CHANCE = 0.05
# The area under the curve of a coin; and from which on a method is worth its requests.
COIN, USEFUL = 0.5, 0.75
# Of 1, how far a stated confidence may be off.
OFF_MUCH = 0.15
_BASELINES = ("chance", "answer length", "token probability")


def phase2_findings(store: Store, study_id: str) -> list[Finding]:
    """All findings of phase 2 that the study's kept runs support, and one for what could not be made."""
    kept = Answers(store.database)

    def of(derive: Callable[[Judged], Found], data: RunData) -> Iterable[Finding]:
        return derive(Judged(data, kept.of_run(data.run.id)))

    every = {"wordings": _wordings, "honesty": _honesty, "detection": _detection, "consistency": _consistency}
    found = derive_findings(store, study_id, 2, {name: partial(of, one) for name, one in {**every, **SKILLS}.items()})
    # A part that got too few answers for several figures says so once.
    return list({(one.message, tuple(sorted(one.figures.items()))): one for one in found}.values())


def _wordings(told: Judged) -> Found:
    gap, firm = told.find("wording_gap"), told.find("wording_firm")
    if not told_of(gap) or gap.low is None or firm is None:
        yield from too_few(told, gap)
        return
    clear = float(str(gap.labels["p"])) < CHANCE
    best, worst = (told.find("wording_accuracy", variant=gap.labels[name]) for name in ("best", "worst"))
    figures: Scalars = {
        **points("gap", gap), **share("firm", firm), **share("best", best), **share("worst", worst),
        "wordings": gap.labels["wordings"], "best_wording": gap.labels["best"], "worst_wording": gap.labels["worst"],
    }  # fmt: skip
    severity = Severity.WARNING if clear and gap.low > GAP_MUCH else Severity.INFO
    scorer = "contains"
    examples = three_groups(told.by_item(), lambda group: told.mean(group, scorer))
    message = "phase2.wordings" if clear else "phase2.wordings_alike"
    evidence = told.evidence(gap, best, worst, firm, examples=examples)
    yield Finding(2, Side.OPERATIONAL, severity, message, figures, evidence)


def _honesty(told: Judged) -> Found:
    claimed = told.find("hallucination_rate")
    needless, facts = told.find("needless_abstention"), told.find("fact_accuracy")
    suite = str(claimed.labels["suite"]) if claimed is not None else ""
    if not told_of(claimed) or needless is None or facts is None:
        yield from too_few(told, claimed)
    else:
        figures: Scalars = {**share("claimed", claimed), **share("needless", needless), **share("facts", facts)}
        examples = three_of([one for one in told.answers if one.suite == suite], "honesty")
        evidence = told.evidence(claimed, needless, facts, examples=examples)
        severity = weigh(claimed, CLAIMED_GOOD, CLAIMED_POOR)
        yield Finding(2, Side.OPERATIONAL, severity, "phase2.invented", figures, evidence)
    right, wrong, future = told.find("yearly_right"), told.find("yearly_claimed"), told.find("future_claimed")
    known = told.find("known_until_year")
    if not told_of(right) or wrong is None or not told_of(future):
        yield from too_few(told, right)
        return
    figures = {
        **share("right", right), **share("wrong", wrong), **share("future", future), "until_year": of_year(known),
    }  # fmt: skip
    examples = three_of([one for one in told.answers if one.suite == right.labels["suite"]], "honesty")
    years = sorted(told.every("year_right"), key=lambda one: str(one.labels["year"]))
    evidence = told.evidence(right, wrong, future, known, *years, examples=examples)
    severity = weigh(future, CLAIMED_GOOD, CLAIMED_POOR)
    yield Finding(2, Side.OPERATIONAL, severity, "phase2.staleness", figures, evidence)


def _detection(told: Judged) -> Found:
    areas = [one for one in told.every("detection_auroc") if one.low is not None]
    methods = [one for one in areas if one.labels["method"] not in _BASELINES]
    plain = next((one for one in areas if one.labels["method"] == "token probability"), None)
    if not methods:
        yield from too_few(told, told.find("detection_auroc"))
        return
    best = max(methods, key=lambda one: one.value)
    figures: Scalars = {
        "method": best.labels["method"], "methods": len(methods), "wrong": best.labels["wrong"], "questions": best.n,
        "area": best.value, "area_low": best.low, "area_high": best.high,
        "plain": plain.value if plain else None, "plain_low": plain.low if plain else None,
        "plain_high": plain.high if plain else None,
    }  # fmt: skip
    sure = [one for one in told.answers if one.prompt == "sure"]
    examples = three_of(sure, next((name for one in sure for name in one.scores), ""))
    # The best of several is so by luck too: an interval that just leaves out the coin is not taken for useful.
    found = best.low is not None and best.low > COIN and best.value >= USEFUL
    message = "phase2.detection" if found else "phase2.detection_none"
    evidence = told.evidence(best, *(one for one in areas if one is not best), examples=examples)
    yield Finding(2, Side.OPERATIONAL, Severity.INFO if found else Severity.WARNING, message, figures, evidence)
    stated = told.find("confidence_ece", method="stated confidence")
    if stated is not None and stated.low is not None and stated.high is not None:
        figures = {**points("off", stated)}
        severity = Severity.WARNING if stated.low > OFF_MUCH else Severity.INFO
        yield Finding(2, Side.OPERATIONAL, severity, "phase2.confidence", figures, told.evidence(stated))


def _consistency(told: Judged) -> Found:
    warm = max(told.every("agreement"), key=lambda one: float(str(one.labels["temperature"])), default=None)
    if not told_of(warm):
        yield from too_few(told, warm)
        return
    at: Mapping[str, object] = {"temperature": warm.labels["temperature"]}
    both = next((one for one in told.every("contradiction") if one.labels["temperature"] == at["temperature"]), None)
    figures: Scalars = {**share("same", warm), **share("both", both), "temperature": warm.labels["temperature"]}
    groups = told.by_item(prompt_ends=f"temperature {warm.labels['temperature']:g}")
    examples = three_groups(groups, lambda group: agreement_of([one.response.text for one in group]))
    severity = weigh(warm, SAME_GOOD, SAME_POOR)
    severity = Severity.WARNING if severity is Severity.SERIOUS else severity  # it was asked to vary
    evidence = told.evidence(warm, both, examples=examples)
    yield Finding(2, Side.OPERATIONAL, severity, "phase2.consistency", figures, evidence)
    alone, crowd = (told.find("deterministic", way=way) for way in ("alone", "at_once"))
    batched = told.find("same_when_batched")
    if alone is None or crowd is None or not told_of(batched):
        return
    firm = all(one.value == 1.0 for one in (alone, crowd, batched))
    figures = {**share("alone", alone), **share("crowd", crowd), **share("batched", batched)}
    message = "phase2.deterministic" if firm else "phase2.not_deterministic"
    severity = Severity.INFO if (alone.n or 0) < FEWEST else Severity.GOOD if firm else Severity.WARNING
    yield Finding(2, Side.OPERATIONAL, severity, message, figures, told.evidence(alone, crowd, batched))
