"""What every engine must do, whatever serves it. Each test runs on each engine of conftest's list."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator

import contract_requests as requests
import pytest

from inhouse.core.errors import ContextExceeded, EngineModelMissing, InhouseError, UnsupportedFeature
from inhouse.engines.base import ChatRequest, DoneEvent, Engine, Event, TextEvent, ToolCallEvent, UsageEvent

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def collect(engine: Engine, request: ChatRequest) -> list[Event]:
    return [event async for event in engine.chat(request)]


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextEvent))


def usage_of(events: list[Event]) -> UsageEvent:
    return next(event for event in events if isinstance(event, UsageEvent))


async def test_an_answer_is_text_in_pieces_then_one_usage_then_one_done(subject):
    events = await collect(subject.engine, requests.plain(subject.model))

    *pieces, usage, done = events
    assert len(pieces) > 3
    assert all(isinstance(piece, TextEvent) for piece in pieces)
    assert isinstance(usage, UsageEvent)
    assert isinstance(done, DoneEvent)
    assert text_of(events).strip()


async def test_events_are_stamped_in_order_between_call_and_end(subject):
    begin = time.perf_counter()
    times = [event.at for event in await collect(subject.engine, requests.plain(subject.model))]

    assert times == sorted(times)
    assert begin <= times[0]
    assert times[-1] <= time.perf_counter()


async def test_pieces_arrive_while_the_answer_is_still_being_written(subject):
    if subject.generating is None:
        pytest.skip("no server")
    stream = subject.engine.chat(requests.long_answer(subject.model))
    assert isinstance(stream, AsyncGenerator)
    async for event in stream:
        if isinstance(event, TextEvent):
            assert await subject.generating()
            break
    await stream.aclose()


async def test_usage_counts_the_tokens_and_the_limit_is_kept_to(subject):
    events = await collect(subject.engine, requests.cut_at_eight(subject.model))
    usage = usage_of(events)

    assert usage.completion_tokens == 8
    assert usage.prompt_tokens > 8
    assert events[-1].finish_reason == "length"


async def test_a_repeated_prompt_is_read_from_the_cache_unless_that_is_forbidden(subject):
    if not subject.engine.capabilities.prompt_cache or subject.generating is None:
        pytest.skip("no prompt cache")
    cached = []
    for reuse in (True, True, False):
        request = requests.ask(subject.model, "Name four rivers of Europe.", max_tokens=2, cache_prompt=reuse)
        cached.append(usage_of(await collect(subject.engine, request)).cached_tokens)

    assert cached[1] > 8
    assert not cached[2]


async def test_a_stop_text_ends_the_answer_and_is_not_in_it(subject):
    events = await collect(subject.engine, requests.stopped_by_text(subject.model))

    assert "," not in text_of(events)
    assert events[-1].finish_reason == "stop"


async def test_the_same_seed_gives_the_same_answer(subject):
    first = await collect(subject.engine, requests.plain(subject.model))
    second = await collect(subject.engine, requests.plain(subject.model))

    assert text_of(first) == text_of(second)


async def test_closing_the_iterator_makes_the_server_stop(subject):
    if subject.generating is None:
        pytest.skip("no server")
    stream = subject.engine.chat(requests.long_answer(subject.model))
    async for event in stream:
        if isinstance(event, TextEvent):
            break
    await stream.aclose()

    await _quiet_within(subject, 2.0)


async def test_cancelling_the_task_makes_the_server_stop(subject):
    if subject.generating is None:
        pytest.skip("no server")
    begun = asyncio.Event()

    async def read() -> None:
        async for event in subject.engine.chat(requests.long_answer(subject.model)):
            if isinstance(event, TextEvent):
                begun.set()

    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await _quiet_within(subject, 2.0)


async def test_a_model_that_is_not_there_is_said_so(subject):
    if subject.missing is None:
        pytest.skip("this server answers whatever the name")
    with pytest.raises(EngineModelMissing) as caught:
        await collect(subject.engine, requests.plain(subject.missing))
    assert caught.value.what


async def test_a_prompt_that_does_not_fit_the_context_is_refused(subject):
    with pytest.raises(ContextExceeded) as caught:
        await collect(subject.engine, requests.too_long(subject.model))
    assert caught.value.do


async def test_the_engine_goes_on_after_a_refusal(subject):
    with pytest.raises(ContextExceeded):
        await collect(subject.engine, requests.too_long(subject.model))

    assert text_of(await collect(subject.engine, requests.plain(subject.model)))


async def test_a_schema_is_kept_to_and_text_of_many_scripts_comes_whole(subject):
    if not subject.engine.capabilities.json_schema:
        pytest.skip("no JSON schema")
    events = await collect(subject.engine, requests.as_schema(subject.model))

    assert json.loads(text_of(events)) == {"greeting": requests.GREETING}


async def test_a_tool_is_called_with_arguments_that_parse(subject):
    if not subject.engine.capabilities.tools:
        pytest.skip("no tools")
    events = await collect(subject.engine, requests.with_tool(subject.model))

    calls = [event.call for event in events if isinstance(event, ToolCallEvent)]
    assert [call.name for call in calls] == ["get_weather"]
    assert list(json.loads(calls[0].arguments)) == ["city"]
    assert calls[0].id
    assert events[-1].finish_reason == "tool_calls"
    assert isinstance(events[-2], UsageEvent)


async def test_a_tool_result_is_taken_and_answered(subject):
    if not subject.engine.capabilities.tools:
        pytest.skip("no tools")
    events = await collect(subject.engine, requests.after_tool(subject.model))

    assert usage_of(events).completion_tokens > 0
    assert isinstance(events[-1], DoneEvent)


async def test_log_probabilities_come_with_their_text(subject):
    if not subject.engine.capabilities.logprobs:
        pytest.skip("no log-probabilities")
    events = await collect(subject.engine, requests.with_logprobs(subject.model))

    tokens = [token for event in events if isinstance(event, TextEvent) for token in event.logprobs]
    assert len(tokens) == usage_of(events).completion_tokens
    assert "".join(token.token for token in tokens) == text_of(events)
    assert all(token.logprob <= 0 for token in tokens)
    assert all(len(token.top) == 3 and token.top[0][1] >= token.top[-1][1] for token in tokens)


async def test_embeddings_are_one_vector_a_text_alike_for_like_texts(subject):
    if not subject.engine.capabilities.embeddings:
        pytest.skip("no embeddings")
    model = subject.embedder or subject.model
    first, other, again = (await subject.engine.embed(model, requests.TEXTS)).vectors

    assert len(first) == len(other) == len(again) > 100
    assert first == pytest.approx(again, abs=1e-3)
    assert first != pytest.approx(other, abs=1e-2)


async def test_tokens_are_counted_without_answering(subject):
    if not subject.engine.capabilities.token_count:
        with pytest.raises(UnsupportedFeature):
            await subject.engine.count_tokens(subject.model, requests.TEXTS[0])
        return
    count = await subject.engine.count_tokens(subject.model, requests.TEXTS[0])

    assert 4 <= count <= len(requests.TEXTS[0])


async def test_it_lists_its_model_and_says_that_it_is_well(subject):
    assert subject.model in [model.name for model in await subject.engine.models()]
    assert (await subject.engine.health()).ok


async def test_requests_at_once_are_all_answered_alike(subject):
    answers = await asyncio.gather(*(collect(subject.engine, requests.cut_at_eight(subject.model)) for _ in range(6)))

    assert {usage_of(events).completion_tokens for events in answers} == {8}
    assert all(isinstance(events[-1], DoneEvent) for events in answers)


async def test_text_that_is_no_unicode_is_refused_with_a_clear_error(subject):
    with pytest.raises(InhouseError) as caught:
        await collect(subject.engine, requests.ask(subject.model, "half a pair: \ud83d"))
    assert caught.value.do


async def test_what_is_not_offered_is_refused_as_unsupported(subject):
    if subject.engine.capabilities.lifecycle:
        pytest.skip("it is offered")
    with pytest.raises(UnsupportedFeature):
        await subject.engine.load(subject.model)
    with pytest.raises(UnsupportedFeature):
        await subject.engine.unload(subject.model)


async def _quiet_within(subject, limit_s: float) -> None:
    """Passes when the server has stopped generating; the answer itself would take several times the limit."""
    deadline = time.perf_counter() + limit_s
    while await subject.generating():
        assert time.perf_counter() < deadline, "the server goes on generating"
        await asyncio.sleep(0.05)
