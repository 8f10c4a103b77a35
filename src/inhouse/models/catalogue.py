"""The catalogue: which models there are, how large, under which licence, and where their files come from.

catalogue.toml beside this module ships with the program; entries of the user's own catalogue.toml (in the
data folder) are added, and replace those of the same name. Knows nothing of what is on this machine.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from inhouse.core.errors import ModelError, UnknownModel
from inhouse.core.settings import get_settings
from inhouse.models.gguf import GgufInfo
from inhouse.models.package_index import PackageIndex
from inhouse.models.source import HuggingFace, ModelSource, OllamaRegistry


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One model. `layout` is what its GGUF file will say, so that it can be judged before it is pulled."""

    name: str
    title: str
    file_name: str
    size_bytes: int
    sha256: str
    licence: str
    languages: tuple[str, ...]
    parameters: int
    quantisation: str
    context: int
    sources: tuple[ModelSource, ...]
    layout: GgufInfo | None = None
    notes: str = ""
    reference: bool = False
    """Known for comparison: never chosen by itself, unless it is here already."""


def load_catalogue(data_dir: Path | None = None) -> dict[str, CatalogueEntry]:
    """All entries by name: the shipped ones, then the user's (`data_dir`/catalogue.toml)."""
    own = (data_dir or get_settings().data_dir) / "catalogue.toml"
    entries = dict(_shipped())
    try:
        text = own.read_text(encoding="utf-8")
    except FileNotFoundError:
        return entries
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"Your catalogue {own} cannot be read", why=str(error)) from None
    return entries | parse_catalogue(text, own)


def find_entry(name: str, data_dir: Path | None = None) -> CatalogueEntry:
    """The entry of that name; a name without its tag (`llama2`) finds the only model of that family.

    Raises:
        UnknownModel: There is none; names near matches.
    """
    catalogue = load_catalogue(data_dir)
    key = name.strip().lower()
    if key in catalogue:
        return catalogue[key]
    family = [known for known in catalogue if known.partition(":")[0] == key]
    if len(family) == 1:
        return catalogue[family[0]]
    near = family or difflib.get_close_matches(key, catalogue, n=3, cutoff=0.5)
    raise UnknownModel(
        f"The catalogue has no model {name!r}",
        do=f"Did you mean {' or '.join(near)}?" if near else f"It has {', '.join(catalogue)}",
    )


def parse_catalogue(text: str, origin: Path) -> dict[str, CatalogueEntry]:
    """Entries of a catalogue file; ModelError says which entry and key is wrong."""
    try:
        models = tomllib.loads(text).get("model", [])
    except tomllib.TOMLDecodeError as error:
        raise ModelError(f"The catalogue {origin} is no valid TOML", why=str(error)) from None
    entries = {}
    for position, table in enumerate(models, 1):
        try:
            entry = _entry(table)
        except (KeyError, TypeError, ValueError) as error:
            name = table.get("name", f"number {position}") if isinstance(table, dict) else f"number {position}"
            why = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
            raise ModelError(f"The catalogue {origin}: model {name} cannot be used", why=why) from None
        entries[entry.name] = entry
    return entries


@lru_cache(maxsize=1)
def _shipped() -> Mapping[str, CatalogueEntry]:
    file = resources.files("inhouse.models") / "catalogue.toml"
    return parse_catalogue(file.read_text(encoding="utf-8"), Path("catalogue.toml"))


def _entry(table: Mapping[str, Any]) -> CatalogueEntry:
    name, file = str(table["name"]).lower(), str(table["file"])
    if not file.endswith(".gguf") or Path(file).name != file:
        raise ValueError(f"file must be the bare name of a .gguf file, not {file!r}")
    size, sha256 = int(table["size_bytes"]), str(table.get("sha256", "")).lower()
    if size <= 0:
        raise ValueError("size_bytes must be positive")
    if sha256 and (len(sha256) != 64 or set(sha256) - set("0123456789abcdef")):
        raise ValueError("sha256 must be 64 hexadecimal digits")
    layout = table.get("layout")
    info = _layout(layout, table) if layout else None
    return CatalogueEntry(
        name=name,
        title=str(table.get("title", name)),
        file_name=file,
        size_bytes=size,
        sha256=sha256,
        licence=str(table.get("licence", "unknown")),
        languages=tuple(table.get("languages", ())),
        parameters=int(table.get("parameters", info.parameters if info else 0)),
        quantisation=str(table.get("quantisation", "")),
        context=int(table.get("context", info.context if info else 0)),
        sources=tuple(_source(source, file, size, sha256) for source in table["source"]),
        layout=info,
        notes=str(table.get("notes", "")),
        reference=bool(table.get("reference", False)),
    )


def _source(table: Mapping[str, Any], file: str, size: int, sha256: str) -> ModelSource:
    """A source; `other_build` says that it delivers another file than the entry names, known by its own digest."""
    other = bool(table.get("other_build", False))
    known_size = table.get("size_bytes", None if other else size)
    known_sha256 = table.get("sha256", None if other else sha256) or None
    match table["kind"]:
        case "hugging_face":
            return HuggingFace(
                str(table["repository"]), str(table.get("file", file)), str(table.get("revision", "main")),
                size_bytes=known_size, sha256=known_sha256,
            )  # fmt: skip
        case "ollama":
            registry = str(table.get("registry", "https://registry.ollama.ai"))
            return OllamaRegistry(str(table["model"]), registry, size_bytes=known_size, sha256=known_sha256)
        case "package_index":
            packages = table["packages"]
            if isinstance(packages, str):
                packages = [packages.format(n=number) for number in range(1, int(table["parts"]) + 1)]
            return PackageIndex(tuple(packages), size_bytes=known_size, sha256=known_sha256)
        case kind:
            raise ValueError(f"a source of the kind {kind!r} is unknown")


def _layout(table: Mapping[str, Any], entry: Mapping[str, Any]) -> GgufInfo:
    """A layout table as the GGUF reader's result; what follows from the rest need not be written down."""
    known = {field.name for field in fields(GgufInfo)}
    if unknown := set(table) - known:
        raise ValueError(f"layout has the unknown key {sorted(unknown)[0]!r}")
    values = dict(table)
    values.setdefault("quantisation", entry.get("quantisation", ""))
    values.setdefault("context", entry.get("context", 0))
    values.setdefault("parameters", entry.get("parameters", 0))
    values.setdefault("head_dim_k", values["embedding"] // values["heads"])
    values.setdefault("head_dim_v", values["head_dim_k"])
    values.setdefault(
        "kv_values", values["layers"] * values["kv_heads"] * (values["head_dim_k"] + values["head_dim_v"])
    )
    tied = 0 if values["output_bytes"] else values["embedding_bytes"]
    values.setdefault("decode_bytes", sum(values["bytes_by_type"].values()) + tied)
    return GgufInfo(**values)
