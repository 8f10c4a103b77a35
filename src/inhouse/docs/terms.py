"""The terms that a text is found by: words, Korean morphemes (Kiwi) and pairs of letters.

Stores index whatever terms they are given; only this module knows languages. Pairs are marked with PAIR, so that one
index holds both kinds and each can be asked for alone.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from functools import lru_cache
from typing import Any, Literal, get_args

from inhouse.core.errors import MissingExtra, UsageError

How = Literal["words", "bigrams", "kiwi", "words+bigrams", "kiwi+bigrams"]
"""Which terms: several kinds together have more chances to meet a question's wording."""

PAIR = "\u00b7"
"""The mark before a pair of letters."""

_WORD = re.compile(r"[0-9a-z]+|[가-힣]+|[\u4e00-\u9fff]+|[\u3040-\u30ff]+|[^\W\d_a-z가-힣\u4e00-\u9fff\u3040-\u30ff]+")
_ASCII = re.compile(r"[0-9a-z]")
_KEPT = ("NNG", "NNP", "NNB", "NR", "NP", "VV", "VA", "XR", "SL", "SN", "SH", "MAG", "MM")
"""Kiwi's tags of what carries meaning: nouns, verbs, adjectives, roots, foreign words, numbers, adverbs."""
_kiwi_lock = threading.Lock()


def terms(text: str, how: How) -> list[str]:
    """The terms of a text, with repetition; the same `how` must be used for what is stored and what is asked."""
    if how not in get_args(How):
        raise UsageError(f"There is no kind of terms {how!r}", do=f"Take one of {', '.join(get_args(How))}")
    kinds = how.split("+")
    found: list[str] = []
    if "words" in kinds:
        found += words(text)
    if "kiwi" in kinds:
        found += morphemes(text)
    if "bigrams" in kinds:
        found += pairs(text)
    return found


def default_how() -> How:
    """Morphemes where Kiwi is installed, words otherwise; letter pairs with either."""
    try:
        import kiwipiepy  # noqa: F401
    except ImportError:
        return "words+bigrams"
    return "kiwi+bigrams"


def words(text: str) -> list[str]:
    """The words in lower case; English ones without their plural s."""
    return [_stem(word) for word in _WORD.findall(_fold(text))]


def pairs(text: str) -> list[str]:
    """Every two neighbouring letters of a Korean, Chinese or Japanese word, and Latin words and numbers whole."""
    found: list[str] = []
    for word in _WORD.findall(_fold(text)):
        if len(word) == 1 or _ASCII.match(word):
            found.append(PAIR + _stem(word))
        else:
            found += [PAIR + word[at : at + 2] for at in range(len(word) - 1)]
    return found


def morphemes(text: str) -> list[str]:
    """The meaning-bearing morphemes of a Korean text, and its words in other scripts; MissingExtra without Kiwi."""
    kiwi = _kiwi()
    with _kiwi_lock:
        tokens = kiwi.tokenize(text)
    return [
        _stem(form) for token in tokens if token.tag.partition("-")[0] in _KEPT for form in _fold(token.form).split()
    ]


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()


def _stem(word: str) -> str:
    """Takes an English plural's s off, and leaves all else: more stemming confuses names and codes."""
    if len(word) > 4 and word.endswith("s") and not word.endswith(("ss", "us", "is")) and word.isascii():
        return word[:-3] + "y" if word.endswith("ies") else word[:-1]
    return word


@lru_cache(maxsize=1)
def _kiwi() -> Any:
    try:
        from kiwipiepy import Kiwi
    except ImportError:
        raise MissingExtra(
            "This collection is searched by Korean morphemes, which need kiwipiepy",
            do="Install it: pip install 'inhouse[korean]'",
        ) from None
    return Kiwi(num_workers=1)
