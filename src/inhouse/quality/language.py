"""What language an answer is in, and in which register of Korean; scorers of both. Pure functions of texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inhouse.core.errors import BadSuite
from inhouse.quality.scorers import Need, Response, Score, Support, check_options
from inhouse.quality.suite import Case

_HANGUL = re.compile(r"[가-힣ㄱ-ㅎㅏ-ㅣ]")
_LATIN = re.compile(r"[A-Za-z]")
_OTHER_SCRIPTS = re.compile(r"[\u4e00-\u9fff\u3040-\u30ff\u0400-\u04ff\u0e00-\u0e7f\u0600-\u06ff]")
_CODE = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)
_POLITE = re.compile(r"(?:요|니다|니까|시오|세요|십시오|지요|죠|네요|군요|까요)$")
_SENTENCE = re.compile(r"[^.!?。\n]+[.!?。]?")
_MARKS = " \t\"'”’)]*_~:-"


@dataclass(frozen=True, slots=True)
class Scripts:
    """How the letters of a text are spread over scripts, as shares of all letters. Code does not count."""

    letters: int
    hangul: float
    latin: float
    other: float


def scripts(text: str) -> Scripts:
    """The spread; all shares are 0 where there is no letter."""
    text = _CODE.sub(" ", text)
    counts = [len(found.findall(text)) for found in (_HANGUL, _LATIN, _OTHER_SCRIPTS)]
    total = sum(counts)
    hangul, latin, other = (count / total if total else 0.0 for count in counts)
    return Scripts(total, hangul, latin, other)


def drift(text: str) -> bool:
    """Whether a Korean answer leaves Korean: a sentence without any, or letters of a third language.

    Chinese characters are what multilingual models drift into; a name or two in Latin letters is no drift.
    """
    body = _CODE.sub(" ", text)
    if len(_OTHER_SCRIPTS.findall(body)) > 1:
        return True
    return any(len(_LATIN.findall(one)) >= 20 and not _HANGUL.search(one) for one in _SENTENCE.findall(body))


def polite(text: str) -> bool:
    """Whether every Korean sentence that ends with a mark of punctuation ends in a polite form (-요, -니다, -시오)."""
    sentences = [one.strip() for one in _SENTENCE.findall(_CODE.sub(" ", text)) if one.strip()[-1:] in ".!?。"]
    ends = [one.rstrip(".!?。" + _MARKS) for one in sentences if _HANGUL.search(one)]
    return bool(ends) and all(_POLITE.search(one) for one in ends)


@dataclass(frozen=True, slots=True)
class AnswerLanguage:
    """1 where the answer is in the language: its script's share is at least `least` and nothing drifts."""

    language: str
    least: float

    @property
    def needs(self) -> frozenset[Need]:
        """The text."""
        return frozenset({"text"})

    async def score(self, case: Case, response: Response) -> Score:
        """See `Scorer.score`."""
        found = scripts(response.text)
        share = found.hangul if self.language == "ko" else found.latin
        drifts = drift(response.text) if self.language == "ko" else found.hangul + found.other > 0.05
        right = found.letters > 0 and share >= self.least and not drifts
        detail = {"share": round(share, 4), "drift": drifts, "polite": polite(response.text)}
        return Score(float(right), response.text.strip(), detail)


def language(options: Mapping[str, Any], support: Support) -> AnswerLanguage:
    """See AnswerLanguage. Options: `language` (ko or en), `least` (share of its letters, 0.7 unless given)."""
    check_options("language", options, {"language": str, "least": (int, float)})
    wanted = options.get("language", "ko")
    if wanted not in ("ko", "en"):
        raise BadSuite(f"The scorer 'language' knows ko and en, not {wanted!r}")
    return AnswerLanguage(wanted, float(options.get("least", 0.7)))
