"""Reads a text as the kinds of words that orders to an assistant are made of, and pairs of them.

What "disregard" and "무시" share is learnt once: the classifier sees the kind, not the word.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from inhouse.gateway.guard.ngrams import Letters, word_hash

SIGNALS = 8192  # buckets of the kinds and their pairs
_REACH = 5  # how many kinds further a pair looks
_TRIPLES = 2039
# Marks that are no words: a name, what must be in the text for a look to be worth it, the pattern.
_SHAPES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("mail", ("@",), r"[a-z0-9._%+\-]{1,64}@[a-z0-9\-]{1,63}\.[a-z.]{2,24}"),
    ("link", ("http", "www."), r"https?://|www\.[a-z0-9]"),
    (
        "hidden",
        ("<!--", "style", "hidden", "[//]"),
        r"<!--|display: ?none|font-size: ?0|color: ?(?:white|#fff)|opacity: ?0|\bhidden\b|\[//\]:",
    ),
    (
        "frame",
        ("<", "[", "###", "role", "begin", "---"),
        r"<\|[a-z_]{2,20}\|>|\[/?inst\]|<<?/?sys(?:tem)?>?>|\[(?:system|시스템|admin|관리자)[^\]\n]{0,20}\]|"
        r"#{2,4} ?(?:system|instruction|시스템|지시|new)|"
        r"\"role\": ?\"system|begin [a-z]{3,10} instructions|---+ ?end|</?(?:information|important|instructions?)>",
    ),
    ("image", ("](",), r"!\[[^\]\n]{0,40}\]\([^)\n]{0,200}[?=]"),
    (
        "speaker",
        (":", ">"),
        r"\n {0,3}(?:system|user|human|assistant|ai|admin|developer|시스템|사용자|관리자|어시스턴트) ?[:>]",
    ),
    ("quote", ('"', "“", "‘", "「", "『"), r"[\"“”‘’「」『』]"),
    (
        "money",
        ("$", "€", "£", "₩", "원", "dollar", "usd", "euro", "iban"),
        r"[$€£₩] ?[0-9]|[0-9] ?(?:원|만원|만 원|dollars?|usd|euros?)|iban",
    ),
)


@dataclass(frozen=True, slots=True)
class _Lexicon:
    """The kinds by word hash (English) and by the first two letters of a stem (Korean), ready for look-up."""

    hashes: NDArray[np.uint64]
    hash_kinds: NDArray[np.int64]
    openings: NDArray[np.uint64]
    stems: dict[int, list[tuple[str, int]]]
    shapes: tuple[tuple[tuple[str, ...], re.Pattern[str], int], ...]
    count: int


@lru_cache(maxsize=1)
def _lexicon() -> _Lexicon:
    tables = tomllib.loads((files("inhouse.gateway.guard") / "lexicon.toml").read_text(encoding="utf-8"))
    english: dict[int, int] = {}
    stems: dict[int, list[tuple[str, int]]] = {}
    for kind, table in enumerate(tables.values()):
        for word in table["en"].split():
            english.setdefault(word_hash(word), kind)
        for stem in table["ko"].split():
            stem = stem.replace("_", " ")
            stems.setdefault(_opening(stem), []).append((stem, kind))
    for found in stems.values():
        found.sort(key=lambda pair: -len(pair[0]))
    hashes = np.array(sorted(english), np.uint64)
    return _Lexicon(
        hashes=hashes,
        hash_kinds=np.array([english[int(value)] for value in hashes]),
        openings=np.array(sorted(stems), np.uint64),
        stems=stems,
        shapes=tuple(
            (literals, re.compile(pattern), len(tables) + offset)
            for offset, (_, literals, pattern) in enumerate(_SHAPES)
        ),
        count=len(tables) + len(_SHAPES),
    )


def _opening(stem: str) -> int:
    return (ord(stem[0]) << 20) | (ord(stem[1]) if len(stem) > 1 else 0)


# How a sentence begins or ends, where that says whether it tells something or asks for it. The first that fits.
_ENDINGS = (
    (
        "order",
        r"(?:세요|십시오|시오|해라|하라|마라|해줘|줘라|[가-힣] ?줘|주라|할 ?것|말 ?것|거라|도록|[해라마봐줘어아])"
        r"[.!~\"'”)\]]*$",
    ),
    ("request", r"(?:바랍니다|부탁드립니다|부탁해요|주시겠어요|주시겠습니까|주실래요|줄래)[.!?~\"'”)\]]*$"),
    ("duty", r"(?:해야|하여야|되어야|야) ?(?:한다|합니다|해|돼|된다|됩니다|함)[.!\"'”)\]]*$"),
    ("question", r"(?:까|나요|가요|니|냐|는지|[야지])\?[\"'”)\]]*$|\?[\"'”)\]]*$"),
    ("statement", r"(?:다|음|함|됨|임|요|죠)[.!\"'”)\]:;]*$"),
)
_OPENINGS = (
    (
        "telling",
        r"[\"'(*\-\d. ]*(?:the|a|an|this|these|those|it|its|he|she|they|we|i|there|in|on|at|for|from|our|his|her|their|"
        r"some|many|most|one|here|as|by|with|to)\b",
    ),
    (
        "asking",
        r"[\"'(*\-\d. ]*(?:what|how|why|who|where|which|when|can|could|would|is|are|does|do|did|will|should)\b(?! not)",
    ),
    ("addressing", r"[\"'(*\-\d. ]*(?:you|your|dear|hey|hello|hi|attention|note|important|if you|please)\b"),
    ("condition", r"[\"'(*\-\d. ]*(?:if|when|before|after|once|unless|instead|until|while)\b"),
)
_ENDING_PATTERNS = tuple(re.compile(pattern) for _, pattern in _ENDINGS)
_OPENING_PATTERNS = tuple(re.compile(pattern) for _, pattern in _OPENINGS)
_FRAMES = len(_ENDINGS) + len(_OPENINGS) + 1


def signals(
    folded: str, spans: tuple[tuple[int, int], ...], read: Letters
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Buckets of the kinds and the pairs of kinds of each sentence, and where each sentence's begin."""
    lexicon = _lexicon()
    count = lexicon.count
    places, kinds = _find(folded, read, lexicon)
    begins = np.array([start for start, _ in spans])
    sentence = np.searchsorted(begins, places, side="right") - 1
    frames = np.array([_frame(folded, *span) for span in spans])
    buckets, owners = [kinds], [sentence]

    def add(base: int, found: NDArray[np.int64], owner: NDArray[np.int64]) -> None:
        buckets.append(base + found)
        owners.append(owner)

    opens = np.ones(len(places), bool)
    opens[1:] = sentence[1:] != sentence[:-1]
    opens &= places - begins[sentence] < 4
    add(count, kinds[opens], sentence[opens])  # the sentence opens with it, as orders do
    for step in range(1, min(_REACH, len(places) - 1) + 1):
        same = sentence[:-step] == sentence[step:]
        add(2 * count, (kinds[:-step] * count + kinds[step:])[same], sentence[:-step][same])
    if len(places) > 2:
        same = sentence[:-2] == sentence[2:]
        triples = ((kinds[:-2] * count + kinds[1:-1]) * count + kinds[2:]) % _TRIPLES
        add(2 * count + count * count, triples[same], sentence[:-2][same])
    base = 2 * count + count * count + _TRIPLES
    add(base, frames, np.arange(len(spans)))
    add(base + _FRAMES, frames[sentence] * count + kinds, sentence)
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[order], np.arange(len(spans) + 1))
    return np.concatenate(buckets)[order].astype(np.int32), starts.astype(np.int64)


def _frame(folded: str, start: int, end: int) -> int:
    """Whether the sentence tells, asks or orders, as far as its first word or its last letters show."""
    tail = folded[max(start, end - 16) : end].rstrip()
    if any("가" <= letter <= "힣" for letter in tail[-5:]):
        return next((number for number, pattern in enumerate(_ENDING_PATTERNS) if pattern.search(tail)), _FRAMES - 1)
    head = folded[start : min(end, start + 24)]
    found = next((number for number, pattern in enumerate(_OPENING_PATTERNS) if pattern.match(head)), None)
    return _FRAMES - 1 if found is None else len(_ENDINGS) + found


def _find(folded: str, read: Letters, lexicon: _Lexicon) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where a word or a mark of some kind stands, in order, and its kind."""
    index = np.searchsorted(lexicon.hashes, read.words)
    index[index == len(lexicon.hashes)] = 0
    known = lexicon.hashes[index] == read.words
    places, kinds = [read.place[read.first[known]]], [lexicon.hash_kinds[index[known]]]
    more: list[tuple[int, int]] = []
    if not folded.isascii() and len(read.codes) > 1:
        openings = (read.codes[:-1] << np.uint64(20)) | read.codes[1:]
        near = np.searchsorted(lexicon.openings, openings)
        near[near == len(lexicon.openings)] = 0
        for at in np.flatnonzero(lexicon.openings[near] == openings).tolist():
            place = int(read.place[at])
            for stem, kind in lexicon.stems[int(openings[at])]:
                if folded.startswith(stem, place):
                    more.append((place, kind))
                    break
    for literals, pattern, kind in lexicon.shapes:
        if any(literal in folded for literal in literals):
            more += [(match.start(), kind) for match in pattern.finditer(folded)]
    if more:
        places.append(np.array([place for place, _ in more]))
        kinds.append(np.array([kind for _, kind in more]))
    all_places, all_kinds = np.concatenate(places), np.concatenate(kinds)
    order = np.argsort(all_places, kind="stable")
    return all_places[order], all_kinds[order]
