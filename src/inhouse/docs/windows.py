"""Embeds chunks by windows of a few sentences: a question is mostly about one sentence, and a mean blurs it.

A chunk's own vector is the mean of its windows', so that windows cost no embedding of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inhouse.docs.embed import Embedder, OnProgress, embed_passages
from inhouse.docs.sentences import sentence_spans
from inhouse.docs.stores.base import Vectors, VectorStore, content_key
from inhouse.docs.stores.windows import NONE, Windows, windows_of

SIZE = 64
"""Tokens of a window at most, but for a sentence that is longer."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """For each chunk its vector, what the embedding cache knows it by, and its windows (none if it is one)."""

    vectors: Vectors
    keys: list[bytes]
    windows: list[Windows]


def windows_in(text: str, embedder: Embedder) -> list[str]:
    """The text's windows: neighbouring sentences together, as many as fit."""
    found: list[str] = []
    start = end = size = 0
    for first, last in sentence_spans(text):
        tokens = embedder.count_tokens(text[first:last])
        if end and size + tokens > SIZE:
            found.append(text[start:end])
            start, size = first, 0
        elif not end:
            start = first
        end = last
        size += tokens
    return [*found, text[start:end]] if end else [text]


def embed_in_windows(
    embedder: Embedder,
    texts: Sequence[str],
    store: VectorStore,
    *,
    title: str = "",
    on_progress: OnProgress | None = None,
) -> Embedded:
    """Embeds chunks; what the store has is taken from there. Each window bears the title, where it lacks it."""
    parts = [[_titled(window, title) for window in windows_in(text, embedder)] for text in texts]
    keys = [content_key("\n".join([embedder.name, *windows])) for windows in parts]
    known = store.cached(list(dict.fromkeys(keys))) if keys else {}
    old = store.cached_windows(list(known)) if known else {}
    wanted = [window for key, windows in zip(keys, parts, strict=True) if key not in known for window in windows]
    rows, _ = embed_passages(embedder, wanted, store, on_progress=on_progress)
    vectors: list[Vectors] = []
    kept: list[Windows] = []
    at = 0
    for key, windows in zip(keys, parts, strict=True):
        if key in known:
            vectors.append(known[key])
            kept.append(old.get(key, NONE))
            continue
        mine = rows[at : at + len(windows)]
        at += len(windows)
        mean = mine.mean(axis=0)
        vectors.append(mean / np.linalg.norm(mean))
        kept.append(windows_of(mine) if len(windows) > 1 else NONE)
    stacked = np.stack(vectors) if vectors else np.zeros((0, embedder.dimensions), np.float32)
    return Embedded(np.asarray(stacked, np.float32), keys, kept)


def _titled(window: str, title: str) -> str:
    """A window with the document's title, which says what it is about."""
    return window if not title or title in window[: 4 * len(title)] else f"{title}\n{window}"
