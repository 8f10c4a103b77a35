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
_SPELT = re.compile(r"(?:[가-힣a-zㄱ-ㅣ][ \t_*^@.\-·~|/+]{1,3}){5,400}[가-힣a-zㄱ-ㅣ](?![가-힣a-z])")
_SEPARATORS = re.compile(r"[ \t_*^@.\-·~|/+]+")
_MARKED = re.compile(r"(?<=[가-힣])[@*^_~|+](?=[가-힣])")
_JAMO = re.compile(r"[ㄱ-ㅣ]{2}(?:[ㄱ-ㅣ ]{4,400})")
_BLOB = re.compile(r"[A-Za-z0-9+/_\-]{20,4000}={0,2}")
_LEET = re.compile(r"\b[a-z]*(?:[a-z][013457@$][a-z]|[a-z]{2}[013457@$]|[013457@$][a-z]{2})[a-z013457@$]*\b")
_LEET_SIGN = re.compile(r"[013457@$](?<=[a-z].)|[013457@$](?=[a-z])")
_LEET_LETTERS = str.maketrans("013457@$", "oieastas")
_ENTITIES = re.compile(
    r"(?:&#x?[0-9a-fA-F]{2,5};){4}|(?:%[0-9a-fA-F]{2}){4}|(?:\\u[0-9a-fA-F]{4}){4}|(?:\\x[0-9a-fA-F]{2}){4}"
)
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
    if any(mark in text for mark in ("&#", "%", "\\u", "\\x")) and _ENTITIES.search(text):
        decoded = unquote(html.unescape(re.sub(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})", _unescaped, text)))
        yield Disguise(decoded, "escaped letters", 0, len(text), whole=False)
    for match in _BLOB.finditer(text):
        if any(character.isdigit() or character.isupper() for character in match[0]) and "/" not in match[0][:2]:
            for decoded in decodings(match[0]):
                yield Disguise(decoded, "encoded text", *match.span())
    # A line read without its marks or gaps stands where the line stood.
    spelt = _JAMO.sub(lambda match: compose_jamo(match[0]), folded) if max(folded, default="") >= "ㄱ" else folded
    spelt = _MARKED.sub("", spelt)
    spelt = _SPELT.sub(_unspelt, spelt)
    if spelt != folded:
        yield Disguise(spelt, "spelt-out words", 0, len(text), whole=False)
    if any(word in folded for word in _ROT13):
        yield Disguise(codecs.encode(folded, "rot13"), "rot13", 0, len(text), whole=False)
    if any(word in folded for word in _BACKWARDS):
        yield Disguise(folded[::-1], "backwards", 0, len(text), whole=False)
    if len(_LEET_SIGN.findall(folded)) >= 3 and len(_LEET.findall(folded)) >= 3:
        yield Disguise(
            _LEET.sub(lambda match: match[0].translate(_LEET_LETTERS), folded),
            "digits for letters",
            0,
            len(text),
            whole=False,
        )


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
