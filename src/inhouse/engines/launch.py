"""What an embedded model's worker is started with; knows nothing of GGUF, catalogues or processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """One model's launch.

    `context` counts the tokens of each of `slots` requests that are decoded together; `gpu_layers` -1 puts as
    many layers on a GPU as fit. `embeddings` makes the worker embed as well. `sha256` is the file's, where known.
    """

    model: str
    path: Path
    context: int
    slots: int
    threads: int
    gpu_layers: int = -1
    embeddings: bool = False
    sha256: str | None = None
