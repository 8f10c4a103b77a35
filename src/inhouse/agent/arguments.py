"""A call's arguments against its tool's JSON schema: near misses are set right and named, others explained.

Knows no tool; pure functions over JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

_TRUE, _FALSE = {"true", "yes", "1"}, {"false", "no", "0"}


def fit_arguments(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The arguments with near misses set right, and what those were in a word each.

    A number or a truth value written as text, one item for a list, an enum's value in another case, null or an
    unknown name for what may be left out. Nothing is made up.
    """
    properties = schema.get("properties", {})
    required = schema.get("required", ())
    closed = schema.get("additionalProperties") is False
    fitted: dict[str, Any] = {}
    mended: set[str] = set()
    for name, value in arguments.items():
        if name not in properties:
            if closed:
                mended.add("unknown argument")
            else:
                fitted[name] = value
            continue
        if value is None and name not in required and not _allows(properties[name], "null"):
            mended.add("null")
            continue
        fitted[name] = _fit(value, properties[name], mended)
    return fitted, tuple(sorted(mended))


def find_fault(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """What in the arguments breaks the schema, in a line that a model can act on; empty where nothing does."""
    validator = _validator(orjson.dumps(schema, option=orjson.OPT_SORT_KEYS))
    faults = sorted(validator.iter_errors(dict(arguments)), key=lambda fault: list(map(str, fault.absolute_path)))
    lines = []
    for fault in faults[:3]:
        where = ".".join(str(part) for part in fault.absolute_path)
        message = fault.message if len(fault.message) <= 200 else fault.message[:200] + "…"
        lines.append(f"{where}: {message}" if where else message)
    return "; ".join(lines)


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(orjson.loads(schema))


def _allows(schema: Mapping[str, Any], kind: str) -> bool:
    named = schema.get("type")
    return named == kind or (isinstance(named, list) and kind in named)


def _fit(value: Any, schema: Mapping[str, Any], mended: set[str]) -> Any:
    fitted = _fit_one(value, schema, mended)
    options = schema.get("enum")
    if isinstance(fitted, str) and isinstance(options, list) and fitted not in options:
        same = [one for one in options if isinstance(one, str) and one.casefold() == fitted.strip().casefold()]
        if len(same) == 1:
            mended.add("enum")
            return same[0]
    return fitted


def _fit_one(value: Any, schema: Mapping[str, Any], mended: set[str]) -> Any:
    kind = schema.get("type")
    if isinstance(value, str) and kind in ("number", "integer", "boolean"):
        read = _from_text(value, kind)
        if read is not None:
            mended.add("type")
            return read
    elif kind == "string" and isinstance(value, int | float) and not isinstance(value, bool):
        mended.add("type")
        return str(value)
    elif kind == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    elif kind == "array" and not isinstance(value, list):
        if isinstance(value, str) and value.strip().startswith("["):
            try:
                value = orjson.loads(value)
            except orjson.JSONDecodeError:
                value = [value]
        else:
            value = [value]
        mended.add("list")
    elif kind == "object" and isinstance(value, str):
        try:
            read = orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
        mended.add("type")
        value = read
    if kind == "array" and isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        return [_fit(item, schema["items"], mended) for item in value]
    if kind == "object" and isinstance(value, Mapping) and "properties" in schema:
        inner, more = fit_arguments(value, schema)
        mended.update(more)
        return inner
    return value


def _from_text(text: str, kind: str) -> int | float | bool | None:
    plain = text.strip().replace(",", "").lower()
    if kind == "boolean":
        return True if plain in _TRUE else False if plain in _FALSE else None
    try:
        number = float(plain)
    except ValueError:
        return None
    if number != number or number in (float("inf"), float("-inf")):
        return None
    return int(number) if number.is_integer() and "e" not in plain else number if kind == "number" else None
