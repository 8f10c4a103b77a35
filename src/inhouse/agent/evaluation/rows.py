"""The suites' files as their authors give them: lines of JSON, parameters in BFCL's types, tasks drawn by a seed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

Kind = TypeVar("Kind")


def rows(path: Path) -> Iterator[Any]:
    """The values of a file with one in each line. OSError, ValueError where it is not there or no JSON."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.strip():
                yield json.loads(line)


def draw(found: Sequence[Kind], limit: int | None, seed: int, category: str) -> list[Kind]:
    """At most `limit` of a category's tasks, in their order; the same ones for the same seed."""
    if limit is None or limit >= len(found):
        return list(found)
    kept = sorted(random.Random(f"{seed}:{category}").sample(range(len(found)), limit))
    return [found[place] for place in kept]


def as_schema(written: Mapping[str, Any]) -> dict[str, Any]:
    """BFCL's parameters as JSON schema: its types are Python's."""
    types = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}
    schema: dict[str, Any] = {}
    for key, value in written.items():
        if key == "type" and isinstance(value, str):
            schema[key] = types.get(value, value)
        elif key == "properties":
            schema[key] = {name: as_schema(one) for name, one in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, Mapping):
            schema[key] = as_schema(value)
        else:
            schema[key] = value
    return schema
