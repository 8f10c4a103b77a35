"""A recording answers as the engine did: in the same order, with the same errors, at the same pace if asked."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest

from inhouse.core.errors import ContextExceeded, EngineOverloaded, EngineRefused, UsageError
from inhouse.engines.base import (
    Capabilities,
    ChatRequest,
    DoneEvent,
    Embeddings,
    Event,
    Message,
    ModelInfo,
    TextEvent,
    TokenLogprob,
    ToolCall,
    ToolCallEvent,
    UsageEvent,
)
from inhouse.engines.recorded import Recorder, Replayer


class Script:
    """An engine that plays given answers: times in seconds from the call, an error to end with."""

    name = "script"
    capabilities = Capabilities(tools=True, embeddings=True, lifecycle=True)

    def __init__(self, *answers: Sequence[Event | Exception]) -> None:
        self.answers = list(answers)

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        start = time.perf_counter()
        for event in self.answers.pop(0):
            if isinstance(event, Exception):
                raise event
            values = {name: getattr(event, name) for name in type(event).__slots__}
            yield type(event)(**values | {"at": start + event.at})

    async def embed(self, model: str, texts: Sequence[str]) -> Embeddings:
        return Embeddings(tuple((float(len(text)), 0.5) for text in texts), 3)

    async def count_tokens(self, model: str, text: str) -> int:
        return len(text)

    async def models(self) -> tuple[ModelInfo, ...]:
        return (ModelInfo("m", size_bytes=5),)

    async def close(self) -> None: ...


def ask(text: str = "hi", **options: object) -> ChatRequest:
    return ChatRequest("m", (Message("user", text),), **options)  # type: ignore[arg-type]


def says(text: str, at: float = 0.0) -> list[Event]:
    return [TextEvent(at, text), UsageEvent(at, 1, 1), DoneEvent(at, "stop")]


async def collect(engine: Recorder | Replayer, request: ChatRequest) -> list[Event]:
    return [event async for event in engine.chat(request)]


async def record(path: Path, *answers: Sequence[Event | Exception], text: str = "hi") -> list[list[Event]]:
    recorder = Recorder(Script(*answers), path)
    given = [await collect(recorder, ask(text)) for _ in answers]
    await recorder.close()
    return given


def without_times(events: list[Event]) -> list[Event]:
    return [type(e)(**{name: getattr(e, name) for name in type(e).__slots__} | {"at": 0.0}) for e in events]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "recording.jsonl"


async def test_every_kind_of_event_comes_back_as_it_was(path):
    answer = [
        TextEvent(0.0, "안녕", (TokenLogprob("안녕", -0.1, (("안녕", -0.1), ("hi", -2.0))),)),
        ToolCallEvent(0.0, ToolCall("c1", "add", '{"a": 1}')),
        UsageEvent(0.0, 4, 2, 1, {"prompt_s": 0.5}),
        DoneEvent(0.0, "tool_calls"),
    ]
    (given,) = await record(path, answer)
    replayed = await collect(Replayer(path), ask())

    assert without_times(replayed) == without_times(given) == answer


async def test_the_same_request_gets_its_answers_in_order_then_the_last_again(path):
    await record(path, says("one"), says("two"))
    replayer = Replayer(path)

    assert [(await collect(replayer, ask()))[0].text for _ in range(4)] == ["one", "two", "two", "two"]


async def test_an_unknown_request_is_refused_by_name(path):
    await record(path, says("one"))
    replayer = Replayer(path)

    for other in (ask("something else"), ask(temperature=0.1), ask(max_tokens=1)):
        with pytest.raises(EngineRefused) as caught:
            await collect(replayer, other)
        assert other.messages[0].content in caught.value.why


async def test_real_time_keeps_the_pace_and_instant_does_not(path):
    await record(path, [TextEvent(0.1, "a"), TextEvent(0.3, "b"), UsageEvent(0.3, 1, 2), DoneEvent(0.3, "stop")])

    begin = time.perf_counter()
    times = [event.at - begin for event in await collect(Replayer(path, real_time=True), ask())]
    assert times[0] == pytest.approx(0.1, abs=0.08)
    assert times[-1] == pytest.approx(0.3, abs=0.08)

    begin = time.perf_counter()
    await collect(Replayer(path), ask())
    assert time.perf_counter() - begin < 0.08


async def test_errors_come_back_with_their_words_after_what_preceded_them(path):
    overloaded = EngineOverloaded("busy", why="queue", do="wait")
    overloaded.retry_after_s = 3.0
    recorder = Recorder(
        Script([TextEvent(0.0, "a"), ContextExceeded("too long", why="9 > 8", do="cut")], [overloaded]), path
    )
    for kind in (ContextExceeded, EngineOverloaded):
        with pytest.raises(kind):
            await collect(recorder, ask())
    await recorder.close()

    replayer = Replayer(path)
    stream = replayer.chat(ask())
    assert (await anext(stream)).text == "a"
    with pytest.raises(ContextExceeded) as caught:
        await anext(stream)
    assert (caught.value.what, caught.value.why, caught.value.do) == ("too long", "9 > 8", "cut")
    with pytest.raises(EngineOverloaded) as caught:
        await collect(replayer, ask())
    assert caught.value.retry_after_s == 3.0


async def test_an_answer_broken_off_by_its_reader_is_not_kept(path):
    recorder = Recorder(Script(says("never read to its end"), says("whole")), path)
    stream = recorder.chat(ask())
    await anext(stream)
    await stream.aclose()
    await collect(recorder, ask())
    await recorder.close()

    assert (await collect(Replayer(path), ask()))[0].text == "whole"


async def test_other_calls_are_recorded_too(path):
    recorder = Recorder(Script(), path)
    embeddings = await recorder.embed("m", ["ab", "c"])
    count = await recorder.count_tokens("m", "abc")
    models = await recorder.models()
    await recorder.close()

    replayer = Replayer(path)
    assert await replayer.embed("m", ["ab", "c"]) == embeddings
    assert await replayer.count_tokens("m", "abc") == count
    assert await replayer.models() == models
    with pytest.raises(EngineRefused):
        await replayer.embed("m", ["ab"])


async def test_a_recording_is_added_to_and_keeps_the_capabilities(path):
    await record(path, says("one"))
    await record(path, says("two"), text="more")
    replayer = Replayer(path)

    assert (await collect(replayer, ask()))[0].text == "one"
    assert (await collect(replayer, ask("more")))[0].text == "two"
    assert replayer.capabilities == Capabilities(tools=True, embeddings=True, lifecycle=False)


async def test_a_recorder_killed_in_mid_line_costs_that_line_only(path):
    await record(path, says("one"))
    with path.open("ab") as file:
        file.write(b'{"call": "chat", "key": "12')

    assert (await collect(Replayer(path), ask()))[0].text == "one"


@pytest.mark.parametrize("content", [b"", b"hello\n", b"{}\n", b"[1]\n", b"\xff\xfe\n", b'{"capabilities": {}}\n{}\n'])
def test_a_file_that_is_no_recording_is_a_usage_error(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        Replayer(path)
    assert str(path) in caught.value.what


def test_a_file_that_is_not_there_or_cannot_be_written_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError):
        Replayer(tmp_path / "none")
    with pytest.raises(UsageError):
        Recorder(Script(), tmp_path)
