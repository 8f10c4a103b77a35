"""Keeps what answered a tool from outside, and gives it again: while it is fresh, offline, or when nobody answers.

An answer that is not live says so, with its date. Knows no tool.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from inhouse.core.errors import ToolError


@dataclass(frozen=True, slots=True)
class Recorded:
    """An answer. `note` is empty for a fresh one, else says that and when it was recorded."""

    data: Any
    at: datetime
    note: str = ""


class Recordings:
    """The recorded answers of one tool, a JSON file each in `folder/tool`.

    `fresh_s`: within so many seconds an answer is given again without asking. `offline`: nothing is ever asked.
    """

    def __init__(self, folder: Path, tool: str, *, fresh_s: float, offline: bool = False) -> None:
        self._folder = folder / tool
        self._tool = tool
        self._fresh_s = fresh_s
        self._offline = offline

    async def answer(self, question: Mapping[str, Any], now: datetime, ask: Callable[[], Awaitable[Any]]) -> Recorded:
        """The answer to the question, live or recorded. A refusal (a ToolError that is not retryable) is passed on."""
        kept = await asyncio.to_thread(self._read, question)
        if kept is not None and 0 <= (now - kept.at).total_seconds() < self._fresh_s:
            return kept
        if self._offline:
            if kept is None:
                raise ToolError(f"{self._tool} is offline, and no answer to this was recorded")
            return _marked(kept)
        try:
            data = await ask()
        except ToolError as error:
            if kept is None or not error.retryable:
                raise
            return _marked(kept)
        await asyncio.to_thread(self._write, question, now, data)
        return Recorded(data, now)

    def _path(self, question: Mapping[str, Any]) -> Path:
        asked = orjson.dumps(dict(question), option=orjson.OPT_SORT_KEYS)
        return self._folder / f"{hashlib.sha256(asked).hexdigest()[:32]}.json"

    def _read(self, question: Mapping[str, Any]) -> Recorded | None:
        try:
            kept = orjson.loads(self._path(question).read_bytes())
            return Recorded(kept["data"], datetime.fromisoformat(kept["at"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None  # none, or a file of another make: asked again

    def _write(self, question: Mapping[str, Any], now: datetime, data: Any) -> None:
        path = self._path(question)
        made = path.with_suffix(f".{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.write_bytes(orjson.dumps({"question": dict(question), "at": now.isoformat(), "data": data}))
            made.replace(path)
        except OSError:
            made.unlink(missing_ok=True)  # an answer that cannot be kept is still an answer


def _marked(kept: Recorded) -> Recorded:
    return Recorded(kept.data, kept.at, f" (recorded {kept.at:%Y-%m-%d %H:%M} UTC, not live)")
