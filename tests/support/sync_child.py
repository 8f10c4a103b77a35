"""Syncs a folder in a process of its own, to be killed: sync_child.py FOLDER DATA_DIR. Vectors from hashed words."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class HashedWords:
    """An embedder with no model: each word adds to a dimension that its checksum names."""

    name = "hashed-words"
    dimensions = 32
    max_tokens = 512

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.embedded += texts
        return self.queries(texts)

    def queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.full((len(texts), 32), 1e-3, np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.split():
                row[zlib.crc32(word.encode()) % 32] += 1
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        found, at = [], 0
        for word in text.split():
            at = text.index(word, at)
            found.append((at, at + len(word)))
            at += len(word)
        return found


def main() -> None:
    from inhouse.docs.sources import Source
    from inhouse.docs.stores.open import open_store
    from inhouse.docs.sync import sync

    folder, data_dir = map(Path, sys.argv[1:3])
    store = open_store("", "kept", data_dir=data_dir)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sync(Source(folder), store, HashedWords(), lock=data_dir / "kept.lock", wait_s=30)
    store.close()


if __name__ == "__main__":
    main()
