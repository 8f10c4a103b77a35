"""Records what any engine answers to a file, and replays it: the base of deterministic replays and fast tests.

A recording is JSON lines, one a call, in the order in which the calls ended; times count from each call's start.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import orjson

from inhouse.core import errors
from inhouse.core.errors import EngineError, EngineOverloaded, EngineRefused, UnsupportedFeature, UsageError
from inhouse.engines.base import (
    Capabilities,
    ChatRequest,
    DoneEvent,
    Embeddings,
    Engine,
    Event,
    Health,
    LoadedModel,
    LoadTimes,
    ModelInfo,
    TextEvent,
    TokenLogprob,
    ToolCall,
    ToolCallEvent,
    UsageEvent,
)

T = TypeVar("T")

_EVENTS: dict[str, type[Event]] = {
    "text": TextEvent,
    "tool_call": ToolCallEvent,
    "usage": UsageEvent,
    "done": DoneEvent,
}
_EVENT_NAMES = {kind: name for name, kind in _EVENTS.items()}


class Recorder:
    """`engine` with everything it answers, errors included, appended to the file at `path`.

    Answers that their reader broke off are not kept: they would replay as something that never ended.
    """

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine = engine
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)  # each line whole on disk before the answer is
        except OSError as error:
            raise UsageError(f"{path} cannot be written", why=error.strerror or str(error)) from None
        if not self._file.tell():
            self._write({"capabilities": asdict(engine.capabilities), "engine": engine.name})

    @property
    def name(self) -> str:
        """The recorded engine's name."""
        return self._engine.name

    @property
    def capabilities(self) -> Capabilities:
        """The recorded engine's capabilities."""
        return self._engine.capabilities

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """See `Engine.chat`."""
        key, start = request_hash(request), time.perf_counter()
        events: list[dict[str, Any]] = []
        call = {"call": "chat", "key": key, "request": asdict(request), "events": events}
        try:
            answer = self._engine.chat(request)
            async with aclosing(answer) if isinstance(answer, AsyncGenerator) else nullcontext():
                async for event in answer:
                    events.append(event_data(event, start))
                    if isinstance(event, DoneEvent):
                        self._write(call)
                    yield event
        except EngineError as error:
            self._write(call | {"error": error_data(error), "after_s": time.perf_counter() - start})
            raise

    async def embed(self, model: str, texts: Sequence[str]) -> Embeddings:
        """See `Engine.embed`."""
        answer = self._engine.embed(model, texts)
        return await self._kept("embed", [model, list(texts)], answer, asdict)

    async def count_tokens(self, model: str, text: str) -> int:
        """See `Engine.count_tokens`."""
        return await self._kept("count_tokens", [model, text], self._engine.count_tokens(model, text), int)

    async def models(self) -> tuple[ModelInfo, ...]:
        """See `Engine.models`."""
        return await self._kept("models", [], self._engine.models(), lambda models: [asdict(m) for m in models])

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """See `Engine.loaded`; not recorded, since a replay has nothing in memory."""
        return await self._engine.loaded()

    async def load(self, model: str) -> LoadTimes:
        """See `Engine.load`; not recorded."""
        return await self._engine.load(model)

    async def unload(self, model: str) -> None:
        """See `Engine.unload`; not recorded."""
        await self._engine.unload(model)

    async def health(self) -> Health:
        """See `Engine.health`; not recorded."""
        return await self._engine.health()

    async def close(self) -> None:
        """Closes the file and the engine."""
        self._file.close()
        await self._engine.close()

    async def _kept(self, call: str, asked: list[Any], answer: Awaitable[T], data: Callable[[T], Any]) -> T:
        line = {"call": call, "key": _hash(call, asked), "request": asked}
        try:
            result = await answer
        except EngineError as error:
            self._write(line | {"error": error_data(error)})
            raise
        self._write(line | {"result": data(result)})
        return result

    def _write(self, line: Mapping[str, Any]) -> None:
        if not self._file.closed:
            self._file.write(orjson.dumps(line, option=orjson.OPT_NON_STR_KEYS) + b"\n")


class Replayer:
    """Answers from a recording. The same request asked again gets its next recorded answer, then the last again.

    `real_time` keeps the recorded pace; otherwise the answers come at once.
    """

    name = "recorded"

    def __init__(self, path: Path, *, real_time: bool = False) -> None:
        self._path = path
        self._real_time = real_time
        self._calls: dict[str, list[dict[str, Any]]] = {}
        self._next: dict[str, int] = {}
        head, *lines = _read(path)
        self.capabilities = replace(Capabilities(**head["capabilities"]), lifecycle=False)
        for line in lines:
            self._calls.setdefault(line["key"], []).append(line)

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """See `Engine.chat`; EngineRefused names the request where it was not recorded."""
        start = time.perf_counter()
        last = request.messages[-1].content if request.messages else ""
        call = self._call(request_hash(request), f"chat with {request.model}: {last!r}")
        for data in call["events"]:
            yield read_event(data, await self._reached(start, data["at"]))
        if "error" in call:
            await self._reached(start, call.get("after_s", 0.0))
            raise read_error(call["error"])

    async def embed(self, model: str, texts: Sequence[str]) -> Embeddings:
        """See `Engine.embed`."""
        result = self._result("embed", [model, list(texts)])
        return Embeddings(tuple(map(tuple, result["vectors"])), result["prompt_tokens"])

    async def count_tokens(self, model: str, text: str) -> int:
        """See `Engine.count_tokens`."""
        return int(self._result("count_tokens", [model, text]))

    async def models(self) -> tuple[ModelInfo, ...]:
        """The recorded list; without one, the models that answered."""
        key = _hash("models", [])
        if key in self._calls:
            return tuple(ModelInfo(**model) for model in self._result("models", []))
        asked = [call["request"] for calls in self._calls.values() for call in calls]
        names = dict.fromkeys(request["model"] if isinstance(request, dict) else request[0] for request in asked)
        return tuple(map(ModelInfo, names))

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """Empty: a recording holds nothing in memory."""
        return ()

    async def load(self, model: str) -> LoadTimes:
        """Unsupported: there is nothing to load."""
        raise UnsupportedFeature(f"A recording cannot load {model}")

    async def unload(self, model: str) -> None:
        """Unsupported: there is nothing to unload."""
        raise UnsupportedFeature(f"A recording cannot unload {model}")

    async def health(self) -> Health:
        """Always well: the file was read."""
        return Health(True, detail=f"recording {self._path}")

    async def close(self) -> None:
        """Nothing to free."""

    async def _reached(self, start: float, offset_s: float) -> float:
        """The time to stamp on what was recorded `offset_s` after the start, waited for in real time."""
        if not self._real_time:
            return time.perf_counter()
        await asyncio.sleep(max(0.0, start + offset_s - time.perf_counter()))
        return time.perf_counter()

    def _result(self, call: str, asked: list[Any]) -> Any:
        line = self._call(_hash(call, asked), f"{call} {asked}")
        if "error" in line:
            raise read_error(line["error"])
        return line["result"]

    def _call(self, key: str, asked: str) -> dict[str, Any]:
        calls = self._calls.get(key)
        if calls is None:
            short = asked if len(asked) <= 200 else asked[:200] + "…"
            raise EngineRefused(
                f"{self._path} holds no such call", why=short, do="Record it anew: the request must be the same in all"
            )
        position = self._next.get(key, 0)
        self._next[key] = position + 1
        return calls[min(position, len(calls) - 1)]


def request_hash(request: ChatRequest) -> str:
    """The key of a request in a recording: a hash over all that it asks for."""
    return _hash("chat", asdict(request))


def _hash(call: str, asked: Any) -> str:
    try:
        text = orjson.dumps([call, asked], option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        raise UsageError("The request cannot be kept", why=str(error), do="Send valid UTF-8 text") from None
    return hashlib.sha256(text).hexdigest()[:32]


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UsageError(f"The recording {path} cannot be read", why=error.strerror or str(error)) from None
    # A recorder that was killed leaves half a line at the end, which no newline closes.
    try:
        calls = [orjson.loads(line) for line in lines[:-1]]
        if calls and "capabilities" in calls[0] and all("key" in call for call in calls[1:]):
            return calls
    except (orjson.JSONDecodeError, TypeError):
        pass
    raise UsageError(f"{path} is no recording of an engine", do="Record one first, or correct the path")


def event_data(event: Event, start: float) -> dict[str, Any]:
    """The event as JSON, its time counted from `start`."""
    return {"event": _EVENT_NAMES[type(event)], **asdict(event), "at": event.at - start}


def read_event(data: Mapping[str, Any], at: float) -> Event:
    """The inverse of `event_data`, stamped `at`."""
    values = {name: value for name, value in data.items() if name != "event"} | {"at": at}
    if "call" in values:
        values["call"] = ToolCall(**values["call"])
    if "logprobs" in values:
        values["logprobs"] = tuple(
            TokenLogprob(one["token"], one["logprob"], tuple(map(tuple, one["top"]))) for one in values["logprobs"]
        )
    return _EVENTS[data["event"]](**values)


def error_data(error: EngineError) -> dict[str, Any]:
    """The error as JSON."""
    retry = {"retry_after_s": error.retry_after_s} if isinstance(error, EngineOverloaded) else {}
    return {"class": type(error).__name__, "what": error.what, "why": error.why, "do": error.do} | retry


def read_error(data: Mapping[str, Any]) -> EngineError:
    """The inverse of `error_data`."""
    kind = getattr(errors, data["class"], EngineError)
    error: EngineError = kind(data["what"], why=data["why"], do=data["do"])
    if isinstance(error, EngineOverloaded):
        error.retry_after_s = data["retry_after_s"]
    return error
