"""The forms in which models write tool calls as text, each read into a name and JSON arguments.

Only a call of an offered tool counts. Strict reading takes what is written right; lenient reading mends JSON,
looks inside prose, and forgives a name's spelling. Knows no stream (that is tool_calls').
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from inhouse.engines.base import ToolSpec
from inhouse.engines.mended_json import read_json

_TAGS = "tool_call|tools|tool|function_call|function"
MARKS = ("<tool_call>", "<tools>", "<function=", "<function_call>", "<|python_tag|>", "[TOOL_CALLS]", "```")
"""Where a call may begin inside an answer."""

_BLOCK = re.compile(
    rf"<(?P<tag>{_TAGS})>\s*(?P<tagged>.*?)\s*(?:</(?:{_TAGS})>|\Z|(?=<(?:{_TAGS})>))"
    r"|<function=(?P<function>[\w.-]+)>\s*(?P<body>.*?)\s*(?:</function>|\Z)"
    r"|<\|python_tag\|>\s*(?P<python>.*?)\s*(?:<\|e\w+\|>|\Z)"
    r"|\[TOOL_CALLS\]\s*(?P<mistral>.*)\Z"
    r"|```(?:\w+\n)?\s*(?P<fenced>.*?)\s*(?:```|\Z)",
    re.DOTALL,
)
_PARAMETER = re.compile(r"<parameter=([\w.-]+)>\s*(.*?)\s*(?:</parameter>|\Z)", re.DOTALL)
_ACTION = re.compile(r"^\s*Action:\s*(?P<name>[\w.-]+)\s*\n\s*Action Input:\s*", re.MULTILINE)
_NAMED = re.compile(r"\[ARGS\]|(?=\{)")
_WRAPPERS = ("function", "function_call", "tool_call", "tool_calls", "calls")
_NAME_KEYS = ("name", "tool", "tool_name", "function_name", "action")
_ARGUMENT_KEYS = ("arguments", "parameters", "args", "input", "action_input", "params")
_LONGEST_PYTHON = 20_000


@dataclass(frozen=True, slots=True)
class ReadCall:
    """A call as it was read. `form`: json, tag, function_tag, python_tag, mistral, fence, python, action, prose.

    `mended` says what had to be mended, in a word each; none where it was written right.
    """

    name: str
    arguments: str
    form: str
    mended: tuple[str, ...] = ()


def read_calls(text: str, tools: Sequence[ToolSpec], *, lenient: bool = False) -> tuple[list[ReadCall], str]:
    """The calls in the text, and the text around them; all of it, where it holds none."""
    forms = _Forms(tools, lenient)
    stripped = text.strip()
    if stripped.startswith(("{", "[{", "[ ", "[\n")) and (calls := forms.json(stripped, "json", whole=True)):
        return calls, ""
    if calls := forms.python(stripped):
        return calls, ""
    found: list[ReadCall] = []
    rest: list[str] = []
    end = 0
    for block in _BLOCK.finditer(text):
        if calls := forms.block(block):
            found += calls
            rest.append(text[end : block.start()])
            end = block.end()
    if not found and lenient:
        return forms.prose(text)
    return found, "".join([*rest, text[end:]])


def read_arguments(text: str) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """A call's arguments, kindly read, and what was mended; None where they are no JSON object."""
    if not text.strip():
        return {}, ()
    try:
        value, end, mended = read_json(text.strip())
        if isinstance(value, str):  # JSON written inside a JSON string
            value, _, again = read_json(value)
            mended = ("nested string", *mended, *again)
    except ValueError:
        return None, ()
    if not isinstance(value, dict):
        return None, ()
    return value, mended if end == len(text.strip()) or mended else ("trailing text",)


class _Forms:
    """Reads each form, for the tools on offer."""

    def __init__(self, tools: Sequence[ToolSpec], lenient: bool) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._lenient = lenient
        self._spellings = {_spelling(name): name for name in self._tools}

    def block(self, block: re.Match[str]) -> list[ReadCall]:
        """The calls in a marked part of the text."""
        if (name := block["function"]) is not None:
            return self._function_tag(name, block["body"])
        if (python := block["python"]) is not None:
            return self.json(python, "python_tag") or self.python(python, "python_tag")
        if (mistral := block["mistral"]) is not None:
            return self.json(mistral, "mistral") or self._named(mistral, "mistral")
        form, text = ("tag", block["tagged"]) if block["tag"] else ("fence", block["fenced"])
        return self.json(text, form) or self.python(text, form)

    def json(self, text: str, form: str, *, whole: bool = False) -> list[ReadCall]:
        """Calls from one or more JSON values after one another; none if anything in them is something else."""
        calls: list[ReadCall] = []
        at = 0
        while at < len(text):
            if text[at] not in "{[":
                # What is left is not JSON: a lenient reader stops there, a strict one was wrong to begin.
                return calls if self._lenient else []
            try:
                value, at, mended = read_json(text, at)
            except ValueError:
                return calls if self._lenient else []
            if mended and not self._lenient:
                return []
            found = [replace(call, mended=(*call.mended, *mended)) for call in self._from_value(value, form)]
            if not found:
                return [] if whole or not self._lenient else calls
            calls += found
            while at < len(text) and (text[at].isspace() or text[at] in ",;"):
                at += 1
        return calls

    def python(self, text: str, form: str = "python") -> list[ReadCall]:
        """Calls in Python's syntax: alone, one a line, in a list, printed or assigned."""
        if len(text) > _LONGEST_PYTHON or "(" not in text:
            return []
        if not any(name in text or name.rpartition(".")[2] in text for name in self._tools):
            return []
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(text.strip())
            nodes = [node for statement in tree.body for node in _expressions(statement)]
            calls = [self._from_python(node, form) for node in nodes]
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return []
        whole = [call for call in calls if call is not None]
        return whole if len(whole) == len(calls) else []

    def prose(self, text: str) -> tuple[list[ReadCall], str]:
        """Calls somewhere in a text: ReAct's Action lines, else JSON objects that name a tool."""
        if action := _ACTION.search(text):
            arguments, mended = _object_at(text, action.end())
            if (name := self._known(action["name"])) and arguments is not None:
                return [ReadCall(name, _dump(arguments), "action", mended)], text[: action.start()]
        found: list[ReadCall] = []
        at = 0
        while (at := text.find("{", at)) >= 0:
            try:
                value, end, mended = read_json(text, at)
            except ValueError:
                at += 1
                continue
            calls = [replace(call, mended=(*call.mended, *mended)) for call in self._from_value(value, "prose")]
            found += calls
            at = end if calls else at + 1
        if not found:
            return self._lines(text)
        return found, text[: text.find("{")].rstrip("` \n")

    def _lines(self, text: str) -> tuple[list[ReadCall], str]:
        """Lines that are a call in Python's syntax, among others that are not."""
        found: list[ReadCall] = []
        rest = []
        for line in text.splitlines():
            calls = self.python(line.strip().strip("`"), "prose")
            found += calls
            if not calls:
                rest.append(line)
        return (found, "\n".join(rest)) if found else ([], text)

    def _function_tag(self, written: str, body: str) -> list[ReadCall]:
        name = self._known(written)
        if name is None:
            return []
        if parameters := _PARAMETER.findall(body):
            properties = self._tools[name].parameters.get("properties", {})
            values = {key: _typed(value, properties.get(key, {})) for key, value in parameters}
            return [ReadCall(name, _dump(values), "function_tag")]
        arguments, mended = read_arguments(body)
        if arguments is None or (mended and not self._lenient):
            return []
        return [ReadCall(name, _dump(arguments), "function_tag", mended)]

    def _named(self, text: str, form: str) -> list[ReadCall]:
        """name[ARGS]{…} or name{…}, as newer Mistral models write."""
        parts = _NAMED.split(text, maxsplit=1)
        name = self._known(parts[0].strip())
        if name is None or len(parts) < 2:
            return []
        arguments, mended = read_arguments(parts[1])
        return [] if arguments is None else [ReadCall(name, _dump(arguments), form, mended)]

    def _from_value(self, value: Any, form: str) -> Iterator[ReadCall]:
        if isinstance(value, list):
            for item in value:
                yield from self._from_value(item, form)
            return
        if not isinstance(value, Mapping):
            return
        keys = _NAME_KEYS if self._lenient else ("name",)
        written = next((value[key] for key in keys if isinstance(value.get(key), str)), None)
        if written is not None and (name := self._known(written)):
            arguments: Any = next((value[key] for key in _ARGUMENT_KEYS if key in value), {})
            mended = () if name == written else ("name",)
            if isinstance(arguments, str):
                yield ReadCall(name, arguments, form, mended)
            elif isinstance(arguments, Mapping):
                yield ReadCall(name, _dump(arguments), form, mended)
            return
        for wrapper in _WRAPPERS:
            if wrapper in value:
                yield from self._from_value(value[wrapper], form)
                return
        # {"get_weather": {"city": …}}: the name as the only key.
        if self._lenient and len(value) == 1:
            ((key, arguments),) = value.items()
            if isinstance(arguments, Mapping) and (name := self._known(key)):
                yield ReadCall(name, _dump(arguments), form, ("wrapper",))

    def _from_python(self, node: ast.expr, form: str) -> ReadCall | None:
        if not isinstance(node, ast.Call):
            return None
        if isinstance(node.func, ast.Name) and node.func.id == "print" and len(node.args) == 1:
            return self._from_python(node.args[0], form)
        name = self._known(ast.unparse(node.func))
        if name is None:
            return None
        order = list(self._tools[name].parameters.get("properties", {}))
        if len(node.args) > len(order) or any(keyword.arg is None for keyword in node.keywords):
            return None
        arguments = dict(zip(order, map(_literal, node.args), strict=False))
        arguments |= {keyword.arg or "": _literal(keyword.value) for keyword in node.keywords}
        return ReadCall(name, _dump(arguments), form)

    def _known(self, written: str) -> str | None:
        if written in self._tools:
            return written
        return self._spellings.get(_spelling(written)) if self._lenient else None


def _expressions(statement: ast.stmt) -> Iterator[ast.expr]:
    if isinstance(statement, ast.Assign | ast.Expr):
        value = statement.value
        if isinstance(value, ast.List | ast.Tuple) and value.elts:
            yield from value.elts
        else:
            yield value
    elif not isinstance(statement, ast.Import | ast.ImportFrom):
        raise ValueError("a program, not a call")


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Name) and node.id in ("true", "false", "null"):
        return {"true": True, "false": False, "null": None}[node.id]
    value = ast.literal_eval(node)
    if isinstance(value, bytes | complex | set) or value is ...:
        raise ValueError("no JSON value")
    return value


def _object_at(text: str, at: int) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    try:
        value, _, mended = read_json(text, at)
    except ValueError:
        return None, ()
    return (value, mended) if isinstance(value, dict) else (None, ())


def _typed(text: str, schema: Mapping[str, Any]) -> Any:
    """A value written between tags: as JSON, unless the schema wants a text."""
    if schema.get("type") == "string":
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _spelling(name: str) -> str:
    """A name without what models vary: case, separators, a `functions.` before it."""
    return re.sub(r"[\W_]", "", name.removeprefix("functions.").removeprefix("default_api.")).lower()


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
