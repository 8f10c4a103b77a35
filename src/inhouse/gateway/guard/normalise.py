"""One plain reading of a text, with the way back to its own characters.

Undoes what people and attackers do to digits and letters: full-width and styled forms, zero-width
characters, odd hyphens and spaces, decomposed Hangul. Knows no pattern.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass

# Letters of other scripts that look like Latin ones, in the forms used to hide words. Only for the view that
# injections are looked for in: personal data may be written in these scripts in earnest.
_LOOKALIKES = str.maketrans(
    "аеорсухіјѕԁһԛԝкмтвнАВЕКМНОРСТУХІЈЅαοινρτυχκΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "aeopcyxijsdhqwkmtbhABEKMHOPCTYXIJSaoivptuxkABEZHIKMNOPTYX",
)
_OTHER_SCRIPTS = re.compile("[\u0370-\u03ff\u0400-\u052f]")
_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
)
INVISIBLE = re.compile(f"[{_INVISIBLE}\U000e0000-\U000e007f\U000e0100-\U000e01ef]")
# What can be left as it stands: ASCII, Hangul syllables and letters, CJK, the usual punctuation.
_ODD = re.compile("[^\\x00-\\x7f가-힣ㄱ-ㅎㅏ-ㅣ一-鿿ぁ-ヿ·…“”‘’「」『』《》〈〉、。→←↑↓■□●○◆◇★☆※▶▷△▲▼℃€£¥₩°×÷±]")
_JAMO = re.compile("[\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7ff]")
_SPECIAL = re.compile(f"{INVISIBLE.pattern}+|{_JAMO.pattern}+")
_ASCII_LOWER = {code: code + 32 for code in range(65, 91)}
_HYPHENS = "‐‑‒–—―−﹘﹣－⁃ー─━"
_SPACES = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"


def _single_forms() -> dict[int, str]:
    """Every character that is one plain character in another dress (compatibility decomposition)."""
    forms: dict[int, str] = {}
    for code in range(0x80, min(sys.maxunicode, 0x1FFFF)):
        if 0xAC00 <= code <= 0xD7A3 or 0x4E00 <= code <= 0x9FFF or 0xD800 <= code <= 0xDFFF:
            continue
        character = chr(code)
        plain = unicodedata.normalize("NFKC", character)
        if len(plain) == 1 and plain != character and (plain.isascii() or "ㄱ" <= plain <= "ㅣ"):
            forms[code] = plain
        elif character.isdecimal() and not character.isascii():
            forms[code] = str(unicodedata.decimal(character))
    forms |= {ord(hyphen): "-" for hyphen in _HYPHENS} | {ord(space): " " for space in _SPACES}
    circled = {ord("①") + index: str(index + 1) for index in range(9)} | {ord("⓪"): "0"}
    return forms | circled


_FORMS: dict[int, str] = {}


@dataclass(frozen=True, slots=True)
class Plain:
    """The plain reading `text`; `starts[i]` is where its character i begins in the original (None: the same)."""

    text: str
    length: int
    starts: tuple[int, ...] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where the plain characters start to end stand in the original."""
        if self.starts is None:
            return start, end
        return self._at(start), self._at(end)

    def _at(self, index: int) -> int:
        assert self.starts is not None
        return self.starts[index] if index < len(self.starts) else self.length

    def position(self, original: int) -> int:
        """The plain index of an original position."""
        return original if self.starts is None else max(0, bisect_right(self.starts, original) - 1)


def plain(text: str) -> Plain:
    """The plain reading of the text. Linear; nothing to do for ASCII and ordinary Korean."""
    if text.isascii() or _ODD.search(text) is None:
        return Plain(text, len(text))
    if not _FORMS:
        _FORMS.update(_single_forms())
    if INVISIBLE.search(text) is None and _JAMO.search(text) is None:
        return Plain(text.translate(_FORMS), len(text))
    return _with_offsets(text)


def _with_offsets(text: str) -> Plain:
    pieces: list[str] = []
    starts: list[int] = []
    done = 0
    for special in _SPECIAL.finditer(text):
        start, end = special.span()
        if start > done:
            pieces.append(text[done:start])
            starts.extend(range(done, start))
        if _JAMO.match(special[0]):
            at = start
            for syllable in unicodedata.normalize("NFC", special[0]):
                pieces.append(syllable)
                starts.append(at)
                at += len(unicodedata.normalize("NFD", syllable))
        done = end
    pieces.append(text[done:])
    starts.extend(range(done, len(text)))
    return Plain("".join(pieces).translate(_FORMS), len(text), tuple(starts))


def lower(text: str) -> str:
    """The text in lower case at the same positions (a few letters grow when lowered: then only ASCII is)."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else text.translate(_ASCII_LOWER)


def fold(text: str) -> str:
    """The view that instructions are read in: plain, lower case, look-alike letters as the ones they imitate."""
    reading = plain(text).text
    if not reading.isascii() and _OTHER_SCRIPTS.search(reading):
        reading = reading.translate(_LOOKALIKES)
    return lower(reading)
