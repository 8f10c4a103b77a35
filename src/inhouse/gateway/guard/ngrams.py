"""Turns a text into hashed n-grams of letters and words, sentence by sentence, for the injection classifier.

Everything is vectorised: a 2,000-character text takes well under a millisecond. Training and use share this
module, so that they cannot differ.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BITS = 18
_WIDTHS = (3, 4, 5)
_MAX_SENTENCE = 320
_MIN_SENTENCE = 16
# A line break, or the end of a sentence: a mark and a space. Korean ends in 다. 요. and the same marks.
_BREAK = re.compile(r"\n+|(?<=[.!?。;])[\"'”’)\]]{0,2}[ \t]+|(?<=-->)|(?=<!--)|\s(?=\d{1,2}[.)] )")

_PRIME = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_SALTS = np.array([0x1B873593, 0x85EBCA6B, 0xC2B2AE35, 0x27D4EB2F, 0x165667B1, 0xD3A2646C, 0xFD7046C5], dtype=np.uint64)


def sentences(text: str) -> tuple[tuple[int, int], ...]:
    """Where the sentences of a text stand: cut at line breaks and full stops, short ones joined, long ones cut."""
    cuts = [0, *(match.end() for match in _BREAK.finditer(text)), len(text)]
    spans: list[tuple[int, int]] = []
    begin = 0
    for cut in cuts[1:]:
        if cut - begin < _MIN_SENTENCE and cut != len(text):
            continue
        while cut - begin > _MAX_SENTENCE:
            middle = text.rfind(" ", begin + _MAX_SENTENCE // 2, begin + _MAX_SENTENCE)
            middle = middle if middle > 0 else begin + _MAX_SENTENCE
            spans.append((begin, middle))
            begin = middle
        if cut - begin < _MIN_SENTENCE and spans and cut == len(text):
            spans[-1] = (spans[-1][0], cut)
        elif cut > begin:
            spans.append((begin, cut))
        begin = cut
    return tuple(spans)


@dataclass(frozen=True, slots=True)
class Letters:
    """A folded text as numbers: digits are 0, white space is one blank.

    `owner[i]` is the sentence of character i, `place[i]` where it stood; `words` are the hashes of the words
    that begin at `first`.
    """

    codes: NDArray[np.uint64]
    owner: NDArray[np.int32]
    place: NDArray[np.int64]
    first: NDArray[np.int64]
    words: NDArray[np.uint64]


def letters(folded: str, spans: tuple[tuple[int, int], ...]) -> Letters:
    """The text as numbers, with its words."""
    codes = np.frombuffer(folded.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    owner = np.repeat(np.arange(len(spans), dtype=np.int32), [end - start for start, end in spans])
    codes[(codes >= 48) & (codes <= 57)] = 48
    blank = (codes == 32) | ((codes >= 9) & (codes <= 13))
    codes[blank] = 32
    keep = np.ones(len(codes), bool)
    keep[1:] = ~(blank[1:] & blank[:-1])
    place = np.flatnonzero(keep)
    codes, owner = codes[place], owner[place]
    return Letters(codes, owner, place, *_find_words(codes))


def word_hash(word: str) -> int:
    """The hash that `letters` gives the word."""
    return int(letters(word, ((0, len(word)),)).words[0])


def _find_words(codes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    letter = ((codes >= 97) & (codes <= 122)) | (codes == 48) | (codes == 39) | (codes >= 0xC0)
    begins = letter.copy()
    begins[1:] &= ~letter[:-1]
    first = np.flatnonzero(begins)
    if not len(first):
        return first, np.zeros(0, np.uint64)
    place = np.arange(len(codes))
    inside = place - np.maximum.accumulate(np.where(begins, place, 0))
    with np.errstate(over="ignore"):
        terms = (codes + inside.astype(np.uint64) * _SALTS[3]) * _MIX
        terms = np.where(letter, (terms ^ (terms >> np.uint64(31))) * _PRIME, np.uint64(0))
        words: NDArray[np.uint64] = np.add.reduceat(terms, first)
    return first, words ^ (words >> np.uint64(27))


def grams(read: Letters, count: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The buckets of the n-grams, ordered by sentence, and where each of the `count` sentences' begin."""
    hashes, owners = _runs(read.codes, read.owner)
    word_hashes, word_owners = _word_runs(read)
    joined, owner = np.concatenate(hashes + word_hashes), np.concatenate(owners + word_owners)
    order = np.argsort(owner, kind="stable")
    with np.errstate(over="ignore"):
        buckets = ((joined * _PRIME) >> np.uint64(64 - BITS)).astype(np.int32)[order]
    return buckets, np.searchsorted(owner[order], np.arange(count + 1)).astype(np.int64)


def _runs(
    codes: NDArray[np.uint64], owner: NDArray[np.int32]
) -> tuple[list[NDArray[np.uint64]], list[NDArray[np.int32]]]:
    """Runs of three to five characters, and pairs of Korean syllables."""
    hashes: list[NDArray[np.uint64]] = []
    owners: list[NDArray[np.int32]] = []
    with np.errstate(over="ignore"):
        running = codes * _MIX + _SALTS[0]
        for width in range(2, max(_WIDTHS) + 1):
            size = len(codes) - width + 1
            if size <= 0:
                break
            running = (running[:size] ^ (running[:size] >> np.uint64(29))) * _PRIME + codes[width - 1 :] * _MIX
            if width == 2:
                hangul = (codes >= 0xAC00) & (codes <= 0xD7A3)
                pairs = hangul[:-1] & hangul[1:]
                hashes.append(running[pairs] ^ _SALTS[1])
                owners.append(owner[:-1][pairs])
            else:
                hashes.append(running ^ _SALTS[2])
                owners.append(owner[:size])
    return hashes, owners


def _word_runs(read: Letters) -> tuple[list[NDArray[np.uint64]], list[NDArray[np.int32]]]:
    """Words, pairs and triples of words, and pairs with one word between."""
    words, at = read.words, read.owner[read.first]
    hashes, owners = [words ^ _SALTS[4]], [at]
    with np.errstate(over="ignore"):
        if len(words) > 1:
            pairs = words[:-1] * _MIX + words[1:] * _PRIME
            hashes.append((pairs ^ (pairs >> np.uint64(30))) + _SALTS[5])
            owners.append(at[:-1])
        if len(words) > 2:
            triples = (pairs[:-1] ^ (pairs[:-1] >> np.uint64(28))) * _MIX + words[2:] * _PRIME
            apart = words[:-2] * _PRIME + words[2:] * _MIX
            hashes += [triples + _SALTS[6], (apart ^ (apart >> np.uint64(26))) + _SALTS[1]]
            owners += [at[:-2], at[:-2]]
    return hashes, owners
