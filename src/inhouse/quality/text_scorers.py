"""Scorers of free answers: exact match, what they contain, a pattern, and F1 of words. Pure functions of texts."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from inhouse.core.errors import BadSuite
from inhouse.core.records import Scalar
from inhouse.quality.scorers import Need, Response, Score, Support, check_options
from inhouse.quality.suite import Case

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


@dataclass(frozen=True, slots=True)
class TextScorer:
    """Judges the answer's text alone."""

    judge: Callable[[Case, str], Score]

    @property
    def needs(self) -> frozenset[Need]:
        """The text."""
        return frozenset({"text"})

    async def score(self, case: Case, response: Response) -> Score:
        """See `Scorer.score`."""
        return self.judge(case, response.text)


def plain(text: str) -> str:
    """As SQuAD's evaluation compares texts: lower case, no punctuation, no English articles, single spaces.

    In Korean, where spacing is often left out or put in, `tight` goes further.
    """
    folded = unicodedata.normalize("NFKC", text).lower()
    letters = "".join(one if not unicodedata.category(one).startswith(("P", "S")) else " " for one in folded)
    return " ".join(_ARTICLES.sub(" ", letters).split())


def tight(text: str) -> str:
    """`plain` without spaces."""
    return plain(text).replace(" ", "")


def names(text: str, target: str) -> bool:
    """Whether the text holds the target: Hangul wherever it stands and however it is spaced, a word in Latin letters
    or a number only as a whole ("8" is not in "18", nor "NC" in "since").
    """
    wanted = plain(target)
    if not wanted:
        return False
    if not wanted.isascii():
        return tight(target) in tight(text)
    folded = plain(_THOUSANDS.sub("", text))
    wanted = plain(_THOUSANDS.sub("", target))
    return re.search(rf"(?<![a-z0-9]){re.escape(wanted)}(?![a-z0-9])", folded) is not None


def names_one(text: str, targets: Iterable[str]) -> bool:
    """Whether the text holds one of the targets."""
    return any(names(text, target) for target in targets)


def exact(options: Mapping[str, Any], support: Support) -> TextScorer:
    """The answer is one of the targets. Options: `first_line` (only that counts), `strict` (to the letter)."""
    check_options("exact", options, {"first_line": bool, "strict": bool})

    def judge(case: Case, text: str) -> Score:
        answer = text.strip()
        if options.get("first_line"):
            answer = answer.splitlines()[0].strip() if answer else ""
        same = (lambda one: one) if options.get("strict") else tight
        return Score(float(any(same(answer) == same(target) for target in case.item.targets)), answer)

    return TextScorer(judge)


def contains(options: Mapping[str, Any], support: Support) -> TextScorer:
    """The answer holds one of the targets. Options: `all` (each of them), `none` (not one of them is right)."""
    check_options("contains", options, {"all": bool, "none": bool})

    def judge(case: Case, text: str) -> Score:
        found = [target for target in case.item.targets if names(text, target)]
        if options.get("none"):
            value = not found
        else:
            value = len(found) == len(case.item.targets) if options.get("all") else bool(found)
        return Score(float(value), text.strip(), {"found": len(found), "wanted": len(case.item.targets)})

    return TextScorer(judge)


def regex(options: Mapping[str, Any], support: Support) -> TextScorer:
    """The `pattern` (last match, its first group where it has one) gives the answer, which must be a target.

    Without targets a match is right. Options: `pattern`, `first` (match instead of the last), `ignore_case`,
    `numeric` (compared as numbers).
    """
    check_options("regex", options, {"pattern": str, "first": bool, "ignore_case": bool, "numeric": bool})
    if "pattern" not in options:
        raise BadSuite("The scorer 'regex' needs a pattern", do='Give it, such as pattern = "answer is (\\\\d+)"')
    try:
        pattern = re.compile(options["pattern"], re.IGNORECASE if options.get("ignore_case") else 0)
    except re.error as error:
        raise BadSuite(f"The pattern {options['pattern']!r} cannot be used", why=str(error)) from None

    def judge(case: Case, text: str) -> Score:
        matches = list(pattern.finditer(text))
        if not matches:
            return Score(0.0, "", {"matched": False})
        taken = matches[0 if options.get("first") else -1]
        answer = (taken[1] if pattern.groups else taken[0]) or ""
        if not case.item.targets:
            return Score(1.0, answer, {"matched": True})
        same = _number if options.get("numeric") else tight
        return Score(float(any(same(answer) == same(target) for target in case.item.targets)), answer)

    return TextScorer(judge)


def f1(options: Mapping[str, Any], support: Support) -> TextScorer:
    """The best F1 of words over the targets (SQuAD); `letters` counts letters instead, as KorQuAD does for Korean."""
    check_options("f1", options, {"letters": bool})

    def judge(case: Case, text: str) -> Score:
        split: Callable[[str], list[str]] = (lambda one: list(tight(one))) if options.get("letters") else _words
        best = max((overlap(split(text), split(target)) for target in case.item.targets), default=0.0)
        detail: dict[str, Scalar] = {"exact": any(tight(text) == tight(target) for target in case.item.targets)}
        return Score(best, text.strip(), detail)

    return TextScorer(judge)


def overlap(answer: list[str], target: list[str]) -> float:
    """F1 of two bags of words: the harmonic mean of the share of each that the other holds."""
    common = sum((Counter(answer) & Counter(target)).values())
    if not common:
        return float(answer == target)
    return 2 * common / (len(answer) + len(target))


def _words(text: str) -> list[str]:
    return plain(text).split()


def _number(text: str) -> str | float:
    cleaned = text.replace(",", "").strip().rstrip(".%")
    try:
        return float(cleaned)
    except ValueError:
        return tight(text)
