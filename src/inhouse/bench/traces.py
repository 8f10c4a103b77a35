"""Recorded traffic: reads the Azure 2023 CSV and the Mooncake JSONL traces into arrivals and lengths.

Knows the two file formats; knows nothing of prompts or engines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import orjson

from inhouse.core.errors import UsageError

BLOCK_TOKENS = 512
"""Tokens that one of Mooncake's hash ids stands for (Mooncake, FAST '25, section 4)."""

_AZURE = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"]
_FORMATS = (
    "Give an Azure CSV (TIMESTAMP,ContextTokens,GeneratedTokens) or a Mooncake JSONL "
    "(timestamp, input_length, output_length, hash_ids)"
)


@dataclass(frozen=True, slots=True)
class TraceRequest:
    """One request of a trace: when it came (seconds from the first) and how long it was, in tokens.

    `blocks` name the prompt's blocks of 512 tokens: requests with equal blocks have equal text there.
    """

    at_s: float
    prompt_tokens: int
    output_tokens: int
    blocks: tuple[int, ...] = ()


def read_trace(path: Path) -> list[TraceRequest]:
    """Reads a trace of either format, told by its first line, in order of arrival.

    Raises:
        UsageError: no such file, an unknown format, or a line that cannot be read (it is named).
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UsageError(f"The trace {path} cannot be read", why=error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise UsageError(f"The trace {path} is no text file", do=_FORMATS) from None
    first = lines[0].strip() if lines else ""
    if first.startswith("{"):
        parse, skip = _mooncake, 0
    elif [column.strip() for column in first.split(",")] == _AZURE:
        parse, skip = _azure, 1
    else:
        raise UsageError(f"The trace {path} is of no known format", do=_FORMATS)
    requests = []
    for number, line in enumerate(lines[skip:], skip + 1):
        if line.strip():
            try:
                requests.append(parse(line))
            except (ValueError, KeyError, TypeError) as error:
                why = f"no {error.args[0]}" if isinstance(error, KeyError) else str(error)
                raise UsageError(f"Line {number} of the trace {path} cannot be read", why=why) from None
    if not requests:
        raise UsageError(f"The trace {path} holds no requests")
    requests.sort(key=lambda request: request.at_s)
    start = requests[0].at_s
    return [replace(request, at_s=request.at_s - start) for request in requests]


def speed_up(requests: Sequence[TraceRequest], speed: float) -> list[TraceRequest]:
    """The trace with its arrivals `speed` times as fast."""
    return [replace(request, at_s=request.at_s / speed) for request in requests]


def cap(request: TraceRequest, context: int) -> TraceRequest:
    """The request cut to fit a window of `context` tokens; the same object where it fits.

    The answer keeps its length up to half the window. The prompt is cut to what is left, from its end, so
    that shared prefixes stay shared.
    """
    if request.prompt_tokens + request.output_tokens <= context:
        return request
    output = min(request.output_tokens, context // 2)
    return replace(request, prompt_tokens=min(request.prompt_tokens, context - output), output_tokens=output)


def _azure(line: str) -> TraceRequest:
    columns = line.split(",")
    if len(columns) != len(_AZURE):
        raise ValueError(f"{len(columns)} columns in place of {len(_AZURE)}")
    at = datetime.fromisoformat(columns[0].strip())
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return _checked(at.timestamp(), int(columns[1]), int(columns[2]))


def _mooncake(line: str) -> TraceRequest:
    row = orjson.loads(line)
    blocks = tuple(int(block) for block in row.get("hash_ids", ()))
    return _checked(row["timestamp"] / 1000, int(row["input_length"]), int(row["output_length"]), blocks)


def _checked(at_s: float, prompt: int, output: int, blocks: tuple[int, ...] = ()) -> TraceRequest:
    if at_s < 0 or prompt < 0 or output < 0:
        raise ValueError("a negative number")
    # A trace may hold answers that were cut off before their first token; an engine must be asked for one.
    return TraceRequest(at_s, max(1, prompt), max(1, output), blocks)
