"""Cuts an expression into dates, numbers, names and signs. Knows no meaning of them: see arithmetic."""

from __future__ import annotations

import re

from inhouse.core.errors import ToolError

_TOKEN = re.compile(
    r"\s*(?:(?P<date>\d{4}-\d{2}-\d{2})(?!\d)"
    r"|(?P<number>(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][+-]?\d+)?|\.\d+)"
    r"|(?P<name>°?[^\W\d_][^\W\d_]*\d?(?!\w)|°?[^\W\d_]+|[℃℉])"
    r"|(?P<sign>\*\*|//|->|[-+*/^%!(),=×÷·−–₩$€]))"
)
# Between a function's arguments a comma does not group digits: max(1,234) has two numbers.
_TOKEN_IN_CALL = re.compile(_TOKEN.pattern.replace(r"\d{1,3}(?:,\d{3})+(?!\d)|", ""))
_SAME = {"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "**": "^"}


def split_tokens(text: str) -> list[tuple[str, str]]:
    """The words of an expression, each with its kind: date, number, name or sign. ToolError for what is none."""
    tokens: list[tuple[str, str]] = []
    at = 0
    text = text.strip()
    calls: list[bool] = []  # of each open parenthesis, whether it holds a function's arguments
    while at < len(text):
        found = (_TOKEN_IN_CALL if any(calls) else _TOKEN).match(text, at)
        if found is None:
            raise ToolError(f"{text[at:].strip()[:20]!r} cannot be read", do="Use numbers, units, + - * / ^ % and ( )")
        kind = found.lastgroup or ""
        word = found[kind]
        if word == "(":
            calls.append(bool(tokens) and tokens[-1][0] == "name")
        elif word == ")" and calls:
            calls.pop()
        tokens.append((kind, _SAME.get(word, word)))
        at = found.end()
    return tokens
