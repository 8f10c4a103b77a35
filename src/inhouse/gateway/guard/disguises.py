"""Undoes the disguises in which orders are hidden from filters: invisible letters, spelt-out or encoded words.

Each disguise gives another reading of the text, or of a part of it; nothing here judges what is read.
"""

from __future__ import annotations

import codecs
import html
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from inhouse.gateway.guard.leak import decodings
from inhouse.gateway.guard.normalise import fold

_TAGS = re.compile("[\U000e0020-\U000e007e]{6,}")
_SPELT = re.compile(
    r"(?<![가-힣a-zㄱ-ㅣ])(?:[가-힣a-zㄱ-ㅣ][ \t_*^@.\-·~|/+]{1,3}){5,400}[가-힣a-zㄱ-ㅣ](?![가-힣a-z])"
)
_SEPARATORS = re.compile(r"[ \t_*^@.\-·~|/+]+")
_MARKED = re.compile(r"(?:[가-힣][@*^_~|+]){2,200}[가-힣]")
_JAMO = re.compile(r"[ㄱ-ㅣ]{2}(?:[ㄱ-ㅣ ]{4,400})")
# Any of these may be a disguise, at the price of a closer look: letters with single gaps or marks, loose Korean
# letters, digits inside words.
_SIGNS = re.compile(
    r"(?<![가-힣a-zㄱ-ㅣ])(?:[가-힣a-zㄱ-ㅣ][ \t_*^@.\-·~|/+]{1,3}){3}"
    r"|[가-힣][@*^_~|+][가-힣]|[ㄱ-ㅣ]{4}|[a-z][013457@$][a-z]"
)
_LONGEST_LINE = 600
_BLOB = re.compile(r"[A-Za-z0-9+/_\-]{20,4000}={0,2}")
_LEET = re.compile(r"\b[a-z]*(?:[a-z][013457@$][a-z]|[a-z]{2}[013457@$]|[013457@$][a-z]{2})[a-z013457@$]*\b")
_LEET_SIGN = re.compile(r"[013457@$](?<=[a-z].)|[013457@$](?=[a-z])")
_LEET_LETTERS = str.maketrans("013457@$", "oieastas")
_ENTITIES = re.compile(
    r"(?:&#x?[0-9a-fA-F]{2,5};){4}|(?:%[0-9a-fA-F]{2}){4}|(?:\\u[0-9a-fA-F]{4}){4}|(?:\\x[0-9a-fA-F]{2}){4}"
)
_ESCAPED_LINE = re.compile(r"[^\n]{0,600}(?:&#x?[0-9a-fA-F]{2,5};|%[0-9a-fA-F]{2}|\\[ux][0-9a-fA-F]{2})[^\n]{0,600}")
# Words of orders as rot13 and backwards writing show them: ignore, previous, instructions, system, prompt, password.
_ROT13 = ("vtaber", "cerivbhf", "vafgehpgvba", "flfgrz", "cebzcg", "cnffjbeq", "erirny")
_BACKWARDS = (
    "erongi",
    "suoiverp",
    "snoitcurtsni",
    "metsys",
    "tpmorp",
    "drowssap",
    "laever",
    "시지",
    "트프롬프",
    "해시무",
)
_LEADS, _VOWELS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ", "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_TAILS = " ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"


@dataclass(frozen=True, slots=True)
class Disguise:
    """What a stretch of the text says when read another way. `whole`: the stretch says nothing else."""

    reading: str
    name: str
    start: int
    end: int
    whole: bool = True


def undisguise(text: str, folded: str) -> Iterator[Disguise]:
    """The other readings of a text; none for ordinary text."""
    for match in _TAGS.finditer(text):
        yield Disguise(
            "".join(chr(ord(character) - 0xE0000) for character in match[0]), "invisible letters", *match.span()
        )
    for match in _ESCAPED_LINE.finditer(text) if _ENTITIES.search(text) else ():
        unescaped = re.sub(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})", _unescaped, match[0])
        yield Disguise(unquote(html.unescape(unescaped)), "escaped letters", *match.span(), whole=False)
    for match in _BLOB.finditer(text):
        if any(character.isdigit() or character.isupper() for character in match[0]) and "/" not in match[0][:2]:
            for decoded in decodings(match[0]):
                yield Disguise(decoded, "encoded text", *match.span())
    for start, end in _lines(folded):
        yield from _in_line(folded[start:end], start)


def _lines(folded: str) -> Iterator[tuple[int, int]]:
    """The lines that hold any sign of a disguise; a very long one in pieces."""
    if _SIGNS.search(folded) is None and not any(word in folded for word in (*_ROT13, *_BACKWARDS)):
        return
    start = 0
    for line in folded.split("\n"):
        for at in range(start, start + len(line), _LONGEST_LINE):
            yield at, min(at + _LONGEST_LINE, start + len(line))
        start += len(line) + 1


def _in_line(line: str, start: int) -> Iterator[Disguise]:
    def found(reading: str, name: str) -> Disguise:
        return Disguise(reading, name, start, start + len(line), whole=False)

    spelt = _JAMO.sub(lambda match: compose_jamo(match[0]), line) if _JAMO.search(line) else line
    spelt = _MARKED.sub(lambda match: _SEPARATORS.sub("", match[0]), spelt)
    spelt = _SPELT.sub(_unspelt, spelt)
    if spelt != line:
        yield found(spelt, "spelt-out words")
    if sum(word in line for word in _ROT13) > 1:
        yield found(codecs.encode(line, "rot13"), "rot13")
    if sum(word in line for word in _BACKWARDS) > 1:
        yield found(line[::-1], "backwards")
    if len(_LEET_SIGN.findall(line)) > 2:
        words = _LEET.findall(line)
        # Names and codes with digits are common; a sentence of them is not.
        if len(words) > 2 and len(words) * 4 >= len(line.split()):
            yield found(_LEET.sub(lambda match: match[0].translate(_LEET_LETTERS), line), "digits for letters")


def _unspelt(match: re.Match[str]) -> str:
    """The letters together; where some gaps are wider than others, those part words."""
    narrow = min(map(len, _SEPARATORS.findall(match[0])))
    return _SEPARATORS.sub(lambda gap: "" if len(gap[0]) == narrow else " ", match[0])


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match[1] or match[2], 16))


def compose_jamo(text: str) -> str:
    """Korean written letter by letter (ㅅㅣㅅㅡㅌㅔㅁ) as syllables; what makes none stays as it is."""
    out: list[str] = []
    index = 0
    while index < len(text):
        lead = _LEADS.find(text[index])
        vowel = _VOWELS.find(text[index + 1]) if lead >= 0 and index + 1 < len(text) else -1
        if vowel < 0:
            out.append(text[index])
            index += 1
            continue
        index += 2
        tail = 0
        # A consonant belongs to this syllable unless a vowel follows it.
        closes = index < len(text) and text[index] != " " and _TAILS.find(text[index]) > 0
        if closes and not (index + 1 < len(text) and text[index + 1] in _VOWELS):
            tail = _TAILS.find(text[index])
            index += 1
        out.append(chr(0xAC00 + (lead * 21 + vowel) * 28 + tail))
    return unicodedata.normalize("NFC", "".join(out))


def fold_disguise(disguise: Disguise) -> str:
    """The reading as the classifier takes it."""
    return fold(disguise.reading)
