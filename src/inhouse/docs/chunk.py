"""Cutting a document into the parts that are searched: five strategies, sizes in the embedding model's tokens.

Blocks become units that are never parted (words, sentences, rows, blocks), and units are packed into chunks:
see chunk_units. Knows no file format and no store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from inhouse.core.errors import UsageError
from inhouse.docs.chunk_units import Unit, make_units
from inhouse.docs.records import Chunk, Loaded

Strategy = Literal["tokens", "sentences", "structure", "semantic", "parent_child"]

_RESERVED = 8
"""Tokens of a model's limit that its own marks and prefix ("passage: ") take."""
_LEAST = 16
_BATCH = 64
_SEMANTIC_PERCENTILE = 85.0
"""A chunk ends where the next sentence is further from the last than so many percent of the document's pairs are."""


class Measure(Protocol):
    """What cutting needs of an embedder (see docs.embed.Embedder)."""

    @property
    def max_tokens(self) -> int:
        """The longest input, in tokens."""
        ...

    def count_tokens(self, text: str) -> int:
        """The length of a text."""
        ...

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Where each token starts and ends, in characters."""
        ...

    def passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of unit length, one a row."""
        ...


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """How documents are cut. `size` and `overlap` are in the embedding model's tokens.

    "tokens" packs words up to the size whatever they say, "sentences" whole sentences, "structure" whole blocks
    within one section, "semantic" sentences up to where the subject changes, "parent_child" small chunks to
    search within larger ones (`parent_size`) to read. `overlap` repeats the end of a chunk that was cut for
    its size; what was cut at a heading or a change of subject is not repeated, and no table's rows are.
    """

    strategy: Strategy = "structure"
    size: int = 256
    overlap: int = 0
    parent_size: int = 1024

    def __post_init__(self) -> None:
        if self.strategy not in get_args(Strategy):
            names = ", ".join(get_args(Strategy))
            raise UsageError(f"There is no chunk strategy {self.strategy!r}", do=f"Take one of {names}")
        if self.size < _LEAST:
            raise UsageError(f"A chunk of {self.size} tokens is too small", do=f"Take at least {_LEAST}")
        if not 0 <= self.overlap <= self.size // 2:
            raise UsageError(f"An overlap of {self.overlap} tokens is out of bounds", do="Take at most half the size")
        if self.strategy == "parent_child" and self.parent_size < self.size:
            raise UsageError("A parent is smaller than its children", do="Make parent_size larger than size")


def chunk(loaded: Loaded, plan: ChunkPlan, embedder: Measure) -> tuple[Chunk, ...]:
    """The chunks of a document, in order; each that is embedded fits the model.

    Every word of the document is in one of them: headings too, at the head of what they are above.
    """
    limit = min(plan.size, embedder.max_tokens - _RESERVED)
    grain = {"tokens": "words", "structure": "blocks"}.get(plan.strategy, "sentences")
    units = make_units(loaded.blocks, embedder.token_offsets, limit, grain)
    packer = _Packer(limit, min(plan.overlap, limit // 2), embedder.count_tokens)
    if plan.strategy in {"tokens", "sentences"}:
        groups = packer.pack(units, lambda before, unit: False)
    elif plan.strategy == "structure":
        groups = packer.pack(units, _new_section)
    elif plan.strategy == "semantic":
        turns = _turns(units, embedder)
        groups = packer.pack(
            units,
            lambda before, unit: (
                _new_section(before, unit)
                or (unit.place in turns and sum(other.tokens for other in before) >= limit // 4)
            ),
        )
    else:
        return _parents_and_children(units, plan, packer)
    return tuple(packer.chunk(group, order) for order, group in enumerate(groups))


def _new_section(before: Sequence[Unit], unit: Unit) -> bool:
    """A chunk ends at a heading, but headings alone go with what follows them."""
    return unit.section != before[-1].section and not all(other.heading for other in before)


def _parents_and_children(units: Sequence[Unit], plan: ChunkPlan, packer: _Packer) -> tuple[Chunk, ...]:
    """Each parent before its children; one that a single child would fill is that child."""
    chunks: list[Chunk] = []
    parents = _Packer(plan.parent_size, 0, packer.count)
    for group in parents.pack(units, _new_section):
        children = packer.pack(group, lambda before, unit: False)
        if len(children) == 1:
            chunks.append(packer.chunk(children[0], len(chunks)))
            continue
        parent = replace(parents.chunk(group, len(chunks)), embed=False)
        chunks.append(parent)
        for child in children:
            chunks.append(replace(packer.chunk(child, len(chunks)), parent=parent.order))
    return tuple(chunks)


class _Packer:
    """Fills chunks with units up to a limit of tokens."""

    def __init__(self, limit: int, overlap: int, count: Callable[[str], int]) -> None:
        self._limit, self._overlap, self.count = limit, overlap, count

    def pack(self, units: Sequence[Unit], ends: Callable[[Sequence[Unit], Unit], bool]) -> list[list[Unit]]:
        """Groups of units; `ends` says whether a chunk has to end before a unit, whatever its size."""
        groups: list[list[Unit]] = []
        current: list[Unit] = []
        fresh = 0  # units of `current` that no earlier chunk has

        for unit in units:
            if current and fresh and ends(current, unit):
                groups += self._checked(current)
                current, fresh = [], 0
            elif current and self._tokens([*current, unit]) > self._limit:
                carried = self._carried(current) if fresh else []
                dangling = _dangling(current)
                if fresh > len(dangling):
                    groups += self._checked(current[: len(current) - len(dangling)])
                    current, fresh = [*(() if dangling else carried), *dangling], len(dangling)
                while current and not current[0].heading and self._tokens([*current, unit]) > self._limit:
                    current.pop(0)  # only what an earlier chunk has already
                if current and self._tokens([*current, unit]) > self._limit:
                    groups += self._checked(current)
                    current, fresh = [], 0
            current.append(unit)
            fresh += 1
        return [*groups, *self._checked(current)] if fresh else groups

    def chunk(self, units: Sequence[Unit], order: int) -> Chunk:
        """A group as a chunk, placed where its first text that is no heading is."""
        text = _text(units)
        first = next((unit for unit in units if not unit.heading), units[-1])
        return Chunk(text, first.headings, units[0].page, units[0].sheet, order, self.count(text))

    def _tokens(self, units: Sequence[Unit]) -> int:
        return sum(unit.tokens for unit in units) + units[0].header_tokens

    def _carried(self, units: Sequence[Unit]) -> list[Unit]:
        """The end of a chunk that the next one repeats."""
        carried: list[Unit] = []
        for unit in reversed(units[1:]):
            if unit.row or sum(other.tokens for other in carried) + unit.tokens > self._overlap:
                break
            carried.insert(0, unit)
        return carried

    def _checked(self, units: list[Unit]) -> list[list[Unit]]:
        """A group, parted where its text has more tokens than its units alone have (cuts within words)."""
        if len(units) < 2 or self.count(_text(units)) <= self._limit:
            return [units] if units else []
        half = len(units) // 2
        return [*self._checked(units[:half]), *self._checked(units[half:])]


def _dangling(units: Sequence[Unit]) -> list[Unit]:
    """Headings at the end of a chunk: they belong to what follows."""
    count = 0
    while count < len(units) and units[-1 - count].heading:
        count += 1
    return list(units[len(units) - count :])


def _text(units: Sequence[Unit]) -> str:
    first = units[0]
    head = f"{first.header}\n" if first.header else ""
    return head + first.text + "".join(unit.gap + unit.text for unit in units[1:])


def _turns(units: Sequence[Unit], embedder: Measure) -> frozenset[int]:
    """The places of units before which the subject changes: neighbours in a section that lie far apart.

    Each sentence is embedded with the one before it, as a single short one says too little.
    """
    if len(units) < 3:
        return frozenset()
    texts = [units[0].text, *(f"{before.text} {unit.text}" for before, unit in pairwise(units))]
    vectors = np.concatenate([embedder.passages(texts[at : at + _BATCH]) for at in range(0, len(texts), _BATCH)])
    # The window at a unit against the one that begins after it.
    distances = {
        unit.place: 1.0 - float(vectors[at] @ vectors[min(at + 2, len(units) - 1)])
        for at, (before, unit) in enumerate(pairwise(units))
        if unit.section == before.section and not before.heading and not unit.row
    }
    if len(distances) < 3:
        return frozenset()
    bar = float(np.percentile(list(distances.values()), _SEMANTIC_PERCENTILE))
    return frozenset(place for place, distance in distances.items() if distance > bar)
