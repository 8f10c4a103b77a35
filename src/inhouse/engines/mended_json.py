"""Reads JSON that a model wrote almost right, and says what had to be mended. Knows no tools.

Read are single quotes, bare names, Python's literals, comments, stray and missing commas, quotes inside strings,
raw line breaks and missing brackets. A value that the end of the text cuts off is left out: half a value is a
wrong one.
"""

from __future__ import annotations

import json
import re
from typing import Any

_SPACE = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/|#[^\n]*)*", re.DOTALL)
_BARE = re.compile(r"[^\s,:\[\]{}\"']+")
_NUMBER = re.compile(r"[+-]?\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?")
_KEY = re.compile(r"""["'][\w.-]+["']\s*:""")
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "`": "`"}
_WORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None, "undefined": None}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\n": ""}
_DEEPEST = 50


class _Cut(Exception):
    """The text ended inside a value."""


class _Unreadable(Exception):
    """This is no JSON, however kindly read."""


def read_json(text: str, start: int = 0) -> tuple[Any, int, tuple[str, ...]]:
    """The value that begins at `start`, where it ends, and what was mended in it (nothing: it was right).

    Raises:
        ValueError: there is none.
    """
    try:
        value, end = json.JSONDecoder().raw_decode(text, start)
    except (json.JSONDecodeError, RecursionError):
        reader = _Reader(text, start)
        try:
            value = reader.value(0)
        except (_Cut, _Unreadable):
            raise ValueError("no JSON") from None
        return value, reader.at, tuple(sorted(reader.mended))
    return value, end, ()


class _Reader:
    """A position in the text, and what was mended up to it."""

    def __init__(self, text: str, at: int) -> None:
        self.text, self.at = text, at
        self.mended: set[str] = set()

    def value(self, depth: int) -> Any:
        if depth > _DEEPEST:
            raise _Unreadable
        sign = self._peek()
        if sign == "{":
            return self._object(depth)
        if sign == "[":
            return self._array(depth)
        if sign in _QUOTES:
            return self._string()
        return self._bare()

    def _object(self, depth: int) -> dict[str, Any]:
        self.at += 1
        found: dict[str, Any] = {}
        while True:
            try:
                sign = self._peek()
                if sign == "}":
                    self.at += 1
                    return found
                if sign == ",":
                    self.at += 1
                    continue
                if sign == "]":  # the wrong bracket: the object ends, its list too
                    self.mended.add("brackets")
                    return found
                key = self._string() if sign in _QUOTES else str(self._word())
                if self._peek() not in ":=":
                    raise _Unreadable
                self.at += 1
                found[key] = self.value(depth + 1)
                self._after_value("}")
            except _Cut:
                self.mended.add("cut off")
                return found

    def _array(self, depth: int) -> list[Any]:
        self.at += 1
        found: list[Any] = []
        while True:
            try:
                sign = self._peek()
                if sign == "]":
                    self.at += 1
                    return found
                if sign == ",":
                    self.at += 1
                    continue
                if sign == "}":
                    self.mended.add("brackets")
                    return found
                found.append(self.value(depth + 1))
                self._after_value("]")
            except _Cut:
                self.mended.add("cut off")
                return found

    def _after_value(self, closing: str) -> None:
        sign = self._peek()
        if sign == ",":
            self.at += 1
            if self._peek() == closing:
                self.mended.add("commas")
        elif sign not in "}]":
            self.mended.add("commas")

    def _string(self) -> str:
        opening = self.text[self.at]
        closing = _QUOTES[opening]
        if opening != '"':
            self.mended.add("quotes")
        self.at += 1
        pieces: list[str] = []
        while self.at < len(self.text):
            sign = self.text[self.at]
            if sign == "\\" and self.at + 1 < len(self.text):
                pieces.append(self._escape())
                continue
            self.at += 1
            if sign == closing:
                if self._ends_string():
                    return "".join(pieces)
                self.mended.add("quotes")
            if sign == "\n":
                self.mended.add("line breaks")
            pieces.append(sign)
        raise _Cut

    def _escape(self) -> str:
        sign = self.text[self.at + 1]
        self.at += 2
        if sign == "u":
            digits = self.text[self.at : self.at + 4]
            try:
                self.at += 4
                return chr(int(digits, 16))
            except ValueError:
                raise _Unreadable from None
        return _ESCAPES.get(sign, sign)

    def _ends_string(self) -> bool:
        """Whether a closing quote just read ends its string: only what may follow a string follows it."""
        rest = self.text[self.at :].lstrip()
        return not rest or rest[0] in ",:=}]" or rest.startswith(("//", "/*", "<")) or bool(_KEY.match(rest))

    def _bare(self) -> Any:
        if number := _NUMBER.match(self.text, self.at):
            after = self.text[number.end() : number.end() + 1]
            if not after:
                raise _Cut  # more digits may have been to come
            if after in ",]} \t\r\n":
                self.at = number.end()
                digits = number[0].replace("_", "").lstrip("+")
                try:
                    return int(digits)
                except ValueError:
                    return float(digits)
        return self._word()

    def _word(self) -> Any:
        word = _BARE.match(self.text, self.at)
        if word is None:
            raise _Unreadable
        self.at = word.end()
        if self.at == len(self.text):
            raise _Cut
        self.mended.add("literals" if word[0] in _WORDS else "quotes")
        return _WORDS.get(word[0], word[0])

    def _peek(self) -> str:
        space = _SPACE.match(self.text, self.at)
        assert space is not None
        if "/" in space[0] or "#" in space[0]:
            self.mended.add("comments")
        self.at = space.end()
        if self.at >= len(self.text):
            raise _Cut
        return self.text[self.at]
