"""Finds people's names where something says that it is one: a label, a title, an honorific.

A name alone is not looked for: without a dictionary of everyone it would flag every document. Works on the
plain reading.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.resources import files

from inhouse.gateway.guard.verdict import Span

_WORDS = {
    name: words.split() for name, words in tomllib.loads((files(__package__) / "names.toml").read_text("utf-8")).items()
}
MAILBOX_ROLES = frozenset(_WORDS["mailbox_roles"])
"""Words of a mailbox that name a role (support, admin) or anyone (johndoe), in lower case."""
_COMMON = frozenset(_WORDS["common_surnames"][0])
_SURNAMES = _COMMON | frozenset(_WORDS["rare_surnames"][0])
_DOUBLE = frozenset(_WORDS["double_surnames"])
_GIVEN = frozenset("".join(_WORDS["given"]))
_LABEL_WORDS = [label.replace("_", "") for label in (*_WORDS["labels"], *_WORDS["labels_with_colon"])]
_STOP = frozenset((*_WORDS["not_korean_names"], *_LABEL_WORDS))
_NOT_A_NAME = frozenset(_WORDS["not_english_names"])
_STRONG_LABELS = "|".join(_WORDS["labels"]).replace("_", " ?")
_WEAK_LABELS = "|".join(_WORDS["labels_with_colon"])
_LABELLED = re.compile(
    rf"(?:{_STRONG_LABELS}|{_WEAK_LABELS})(?:은|는|이|가)? ?[:=|"
    rf")\]>\t\-][ \t]{{0,3}}[\"'(]?([가-힣]{{2,5}})(?![가-힣]{{4}})"
)
_SPACED = re.compile(rf"(?:{_STRONG_LABELS})(?:은|는|이|가)? {{1,2}}([가-힣]{{3,5}})(?![가-힣])")
_TITLES = "님|씨|귀하|고객|대리|과장|차장|부장|주임|팀장|매니저|실장|사원|선생님"
_HONORIFIC = re.compile(rf"(?:{_TITLES})(?![가-힣]{{3}})")
_BEFORE_TITLE = re.compile(r"(?<![가-힣])([가-힣]{2,4}) ?$")
_SELF = re.compile(
    r"(?:저는|제 이름은|나는|내 이름은|제가|본인은|"
    r"안녕하세요[,.]? ?(?:저는)?) ?(?:[가-힣]{2,10}의? )?([가-힣]{3})(?=(?:이?라고 (?:합|해|하|불)|입니다|이에요|"
    r"예요))"
)
_PARTICLE = re.compile(
    r"(?:이라고|라고|입니다|이며|이고|에게|한테|께서|으로|님|씨|은|는|이|가|을|를|의|와|과|께|도|로)$"
)
_PARTICLE_SYLLABLES = "은는이가을를의도로만과와나에자"
_BARE = re.compile(r"(?<![가-힣A-Za-z])([가-힣]{3})(?![가-힣])")

_WORD = r"[A-ZÀ-Þ][\w'’\-]{1,20}"
_FULL = rf"(?:[A-Z]\. )?{_WORD}(?: (?:[A-Z]\.|{_WORD}|(?:de|van|von|der|den|la|al|bin)(?= {_WORD}))){{0,3}}"
_PERSON = re.compile(_FULL)
_TITLED = re.compile(rf"(?:Mr|Mrs|Ms|Miss|Mx|Dr)\.? ({_FULL})")
_NAME_LABEL = re.compile(
    rf"(?:(?:{'|'.join(_WORDS['english_labels']).replace('_', ' ')})(?:'s)?(?: name)?|name(?:'s)?)"
    r" ?(?::|is )[ \t]{0,3}\"?"
)
_NAMED_THINGS = re.compile(rf"(?:{'|'.join(_WORDS['named_things'])}) ?$")
_MY_NAME = re.compile(r"(?:my name is|my name's|i am called|call me) ")
_LETTER_END = re.compile(
    r"(?:regards|sincerely|cheers|best wishes|many thanks|best|thanks|yours truly),?[ ]?\n{1,2}[ \t]{0,8}"
)
_GREETING = re.compile(r"(?:dear|hi|hello) ")


def find_names(text: str, low: str) -> Iterator[Span]:
    """Every span that reads as a person's name with something to say so."""
    if not text.isascii():
        yield from _korean(text)
    if low != text:
        yield from _english(text, low)


def bare_names(text: str, start: int, end: int) -> Iterator[Span]:
    """Korean names that stand alone between two positions: only worth asking beside other personal data."""
    for match in _BARE.finditer(text, start, end):
        if _is_name(match[1], strict=True):
            yield Span("name", *match.span(1), 0.6, "beside other personal data")


def _korean(text: str) -> Iterator[Span]:
    for pattern, strict in ((_LABELLED, False), (_SPACED, True)):
        for match in pattern.finditer(text):
            length = _name_length(match[1], strict=strict)
            if length:
                yield Span("name", match.start(1), match.start(1) + length, 0.8, "after a label")
    for match in _SELF.finditer(text):
        if _is_name(match[1], strict=True):
            yield Span("name", *match.span(1), 0.75, "introduces themselves")
    for match in _HONORIFIC.finditer(text):
        word = _BEFORE_TITLE.search(text, max(0, match.start() - 6), match.start())
        if word is None or not _is_name(word[1], strict=True):
            continue
        if len(word[1]) == 2 and match[0] not in ("씨", "귀하", "고객"):
            continue
        if word[1].endswith("모") and len(word[1]) == 2:  # 김모 씨: already anonymous
            continue
        if word[1].endswith(("자", "원", "객", "관", "장")) and not word[1].endswith(
            (
                "영자",
                "숙자",
                "순자",
                "미자",
                "경자",
                "정자",
                "지원",
                "시원",
                "예원",
                "채원",
                "혜원",
                "주원",
                "태원",
                "재원",
                "동원",
                "상원",
            )
        ):
            continue
        yield Span("name", *word.span(1), 0.75, "before an honorific or a title")


def _name_length(word: str, *, strict: bool) -> int:
    """How many leading syllables of the word are a name; 0 for none."""
    for length in dict.fromkeys((len(word), 4, 3, 2)):
        if length > len(word) or length < 2 or (strict and length == 2):
            continue
        if length < len(word) and not _PARTICLE.fullmatch(word[length:]):
            continue
        if _is_name(word[:length], strict=strict):
            return length
    return 0


def _is_name(name: str, *, strict: bool) -> bool:
    if name[:2] in _DOUBLE and 3 <= len(name) <= 4:
        return True
    if (
        name in _STOP
        or (name[:2] in _STOP and (len(name) == 2 or name[2] in _PARTICLE_SYLLABLES))
        or not 2 <= len(name) <= 3
        or name[0] not in (_COMMON if strict else _SURNAMES)
    ):
        return False
    return all(syllable in _GIVEN for syllable in name[1:])


def _english(text: str, low: str) -> Iterator[Span]:
    for match in _TITLED.finditer(text):
        if not (match.start() and text[match.start() - 1].isalnum()) and _reads_as_name(match[1]):
            yield Span("name", *match.span(1), 0.8, "after a title")
    if "name" in low or ":" in low:
        for label in _NAME_LABEL.finditer(low):
            head = low[max(0, label.start() - 14) : label.start()]
            if (
                (head and head[-1].isalnum())
                or head.endswith("_")
                or (label[0].startswith("name") and _NAMED_THINGS.search(head))
            ):
                continue
            yield from _person_at(text, label.end(), "after a label")
        for label in _MY_NAME.finditer(low):
            yield from _person_at(text, label.end(), "introduces themselves")
    for label in _LETTER_END.finditer(low):
        yield from _person_at(text, label.end(), "signs a letter")
    for label in _GREETING.finditer(low):
        for span in _person_at(text, label.end(), "is addressed"):
            if text[span.end : span.end + 1] in (",", ":", "\n", "!") and not (
                label.start() and low[label.start() - 1].isalnum()
            ):
                yield span


def _person_at(text: str, start: int, rule: str) -> Iterator[Span]:
    match = _PERSON.match(text, start, start + 60)
    if match is not None and _reads_as_name(match[0]):
        yield Span("name", *match.span(), 0.65, rule)


def _reads_as_name(words: str) -> bool:
    first = words.split()[0].rstrip(".,")
    return first not in _NOT_A_NAME and not (first.isupper() and len(first) > 3)
