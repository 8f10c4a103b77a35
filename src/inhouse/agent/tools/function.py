"""Makes a tool of a Python function: its schema from the signature, its description from the docstring.

@tool(effect="effect")
def book(room: str, hours: int = 1) -> str:
    '''Books a meeting room.'''
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, overload

import orjson
from pydantic import ConfigDict, Field, ValidationError, create_model

from inhouse.agent.tools.base import Effect, Tool, ToolContext, ToolResult
from inhouse.core.errors import ToolError, UsageError

_ARGS = re.compile(r"^\s*Args:\s*$(.*?)(?=^\s*(?:Returns|Raises|Yields):|\Z)", re.MULTILINE | re.DOTALL)
_ARG = re.compile(r"^\s+(\w+)(?:\s*\([^)]*\))?:\s*(.+)$", re.MULTILINE)


@overload
def tool(function: Callable[..., Any]) -> Tool: ...
@overload
def tool(
    *,
    name: str | None = ...,
    effect: Effect = ...,
    trusted: bool = ...,
    keyed: bool = ...,
    timeout_s: float = ...,
    retries: int = ...,
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    effect: Effect = "none",
    trusted: bool = True,
    keyed: bool = False,
    timeout_s: float = 20.0,
    retries: int = 0,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """The function as a Tool. A parameter typed `ToolContext` is given the call's context, not asked of the model.

    A plain function runs in a thread (which a time limit leaves running: Python cannot end it). What it returns is
    told to the model: a text as it is, anything else as JSON.
    """

    def make(function: Callable[..., Any]) -> Tool:
        return _make(function, name or function.__name__, effect, trusted, keyed, timeout_s, retries)

    return make if function is None else make(function)


def _make(
    function: Callable[..., Any], name: str, effect: Effect, trusted: bool, keyed: bool, timeout_s: float, retries: int
) -> Tool:
    signature = inspect.signature(function, eval_str=True)
    docstring = inspect.getdoc(function) or ""
    told = dict(_ARG.findall(found.group(1))) if (found := _ARGS.search(docstring)) else {}
    fields: dict[str, Any] = {}
    given: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.annotation is ToolContext:
            given.append(parameter.name)
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise UsageError(f"{name} cannot be a tool", why=f"{parameter} has no name that a model could give")
        annotation = Any if parameter.annotation is parameter.empty else parameter.annotation
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (annotation, Field(default, description=told.get(parameter.name)))
    model = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    schema = _plain(model.model_json_schema())

    async def run(arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        try:
            checked = model(**arguments)
        except ValidationError as error:
            first = error.errors()[0]
            raise ToolError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        values = {field: getattr(checked, field) for field in fields} | dict.fromkeys(given, context)
        result = function(**values) if inspect.iscoroutinefunction(function) else asyncio.to_thread(function, **values)
        value = await result
        if isinstance(value, ToolResult):
            return value
        return ToolResult(value if isinstance(value, str) else as_json(value), value, source=name)

    description = docstring.partition("\n\n")[0].replace("\n", " ") or name
    return Tool(name, description, schema, run, effect, trusted, keyed, timeout_s, retries)


def as_json(value: Any) -> str:
    """Any value as JSON text; what JSON lacks, as Python prints it."""
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Without the titles that pydantic adds: they only cost the model tokens."""
    return {
        key: {name: _plain(one) for name, one in value.items()}
        if key in ("properties", "$defs")
        else _plain(value)
        if isinstance(value, dict)
        else value
        for key, value in schema.items()
        if key != "title"
    }
