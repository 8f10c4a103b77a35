"""The Ollama engine against a real Ollama's recorded answers, and against forms that only older servers have."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from subprocess import PIPE, Popen

import contract_requests
import ollama_requests as requests
import pytest
from ollama_replay import Exchange, Replay, read_exchanges, replaying

from inhouse.core.errors import (
    ChecksumMismatch,
    ContextExceeded,
    EngineCrashed,
    EngineFailed,
    EngineModelMissing,
    EngineProtocolError,
    EngineRefused,
    EngineStalled,
    EngineUnavailable,
    NotEnoughSpace,
    SourceUnavailable,
    UnknownModel,
    UnsupportedFeature,
)
from inhouse.engines.base import ChatRequest, DoneEvent, Event, Message, TextEvent, ToolCall, ToolCallEvent, UsageEvent
from inhouse.engines.ollama import OllamaEngine, PullProgress
from inhouse.engines.ollama_wire import chat_body, same_model


@pytest.fixture
async def server() -> AsyncIterator[Replay]:
    async with replaying() as replay:
        yield replay


@pytest.fixture
async def engine(server: Replay) -> AsyncIterator[OllamaEngine]:
    engine = OllamaEngine(server.url)
    yield engine
    await engine.close()


async def ask_one(request: ChatRequest, *lines: object, status: int = 200) -> list[Event]:
    """The events that the engine makes of these lines, whatever server may send them."""
    chunks = tuple(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    exchange = Exchange("POST", "/api/chat", chat_body(request), status, "application/x-ndjson", chunks)
    async with replaying([exchange]) as server:
        engine = OllamaEngine(server.url)
        try:
            return await events_of(engine, request)
        finally:
            await engine.close()


async def events_of(engine: OllamaEngine, request: ChatRequest) -> list[Event]:
    return [event async for event in engine.chat(request)]


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextEvent))


async def progress_of(engine: OllamaEngine, model: str) -> list[PullProgress]:
    return [progress async for progress in engine.pull(model)]


def recorded(path: str, body: object = None) -> Exchange:
    """The recording of one request."""
    return next(each for each in read_exchanges() if each.path == path and (body is None or each.body == body))


# --- answers ----------------------------------------------------------------------------------------------


async def test_every_option_reaches_the_server_in_its_own_words(engine, server):
    await events_of(engine, requests.every_option())

    path, body = server.requests[-1]
    assert path == "/api/chat"
    assert body["options"] == {
        "num_ctx": 256,
        "num_predict": 12,
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 20,
        "repeat_penalty": 1.1,
        "seed": 11,
        "stop": ["\n\n"],
    }


async def test_what_is_not_asked_for_is_left_to_the_server(engine, server):
    with pytest.raises(EngineFailed):  # there is no recording of so bare a request
        await events_of(engine, ChatRequest(requests.MODEL, (Message("user", "Hello"),)))

    assert server.requests[-1][1] == {
        "model": requests.MODEL,
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
        "truncate": False,
        "shift": False,
        "options": {},
    }


async def test_usage_carries_ollama_s_own_timings_in_seconds(engine):
    request = contract_requests.plain(requests.MODEL)
    usage = next(event for event in await events_of(engine, request) if isinstance(event, UsageEvent))

    last = json.loads("".join(recorded("/api/chat", chat_body(request)).chunks).splitlines()[-1])
    assert usage.prompt_tokens == last["prompt_eval_count"]
    assert usage.completion_tokens == last["eval_count"]
    assert usage.timings == {
        "load_s": last["load_duration"] / 1e9,
        "prompt_s": last["prompt_eval_duration"] / 1e9,
        "decode_s": last["eval_duration"] / 1e9,
        "total_s": last["total_duration"] / 1e9,
    }


async def test_an_answer_that_meets_the_end_of_the_window_ends_for_its_length(engine):
    events = await events_of(engine, requests.to_the_window_s_end())

    assert events[-1].finish_reason == "length"


async def test_a_history_that_does_not_fit_is_refused_with_its_size_rather_than_cut(engine):
    with pytest.raises(ContextExceeded) as caught:
        await events_of(engine, requests.history_too_long())

    assert caught.value.why.startswith("request (1031 tokens) exceeds the available context size (512 tokens)")


async def test_an_older_server_that_cut_the_prompt_to_the_window_is_found_out():
    request = contract_requests.ask(requests.MODEL, context=2048)
    cut = {"message": {"content": "x"}, "done": True, "done_reason": "stop", "prompt_eval_count": 2048, "eval_count": 1}
    with pytest.raises(ContextExceeded) as caught:
        await ask_one(request, cut)

    assert "0.12.6" in caught.value.do


async def test_a_silent_end_after_endless_repetition_is_an_error_that_says_so(engine):
    with pytest.raises(EngineProtocolError) as caught:
        await events_of(engine, requests.one_token_for_ever())

    assert "repeats itself" in caught.value.why


async def test_the_death_of_the_model_s_process_is_told_from_what_it_last_complained_of(engine):
    """Ollama quotes the runner's last error, here an old overflow of the context."""
    with pytest.raises(EngineCrashed) as caught:
        await events_of(engine, requests.broken_off())

    assert "exceeds the available context size" in caught.value.why


async def test_the_death_of_the_server_in_an_answer_is_a_crash(engine):
    with pytest.raises(EngineCrashed):
        await events_of(engine, requests.server_killed())


async def test_a_connection_cut_in_an_answer_is_a_crash(engine, server):
    server.cut_after = 5
    with pytest.raises(EngineCrashed):
        await events_of(engine, contract_requests.plain(requests.MODEL))


async def test_a_server_that_falls_silent_has_stalled(server):
    server.stall_after = 5
    engine = OllamaEngine(server.url, stall_s=0.3)
    with pytest.raises(EngineStalled):
        await events_of(engine, contract_requests.plain(requests.MODEL))
    await engine.close()


async def test_connections_are_used_again(server):
    """Each answer is read to its end; the third request needs no third connection."""
    engine = OllamaEngine(server.url)
    for _ in range(3):
        await events_of(engine, contract_requests.cut_at_eight(requests.MODEL))

    assert len(server.connections) == 1
    await engine.close()


@pytest.mark.parametrize(
    "line",
    ["<html>not Ollama</html>\n", '{"message": 3, "done": false}\n', "[1]\n", '{"message":{"tool_calls":[{}]}}\n'],
)
async def test_what_is_not_ollama_s_format_is_a_protocol_error(line):
    with pytest.raises(EngineProtocolError):
        await ask_one(contract_requests.plain(requests.MODEL), line)


async def test_log_probabilities_that_a_server_leaves_out_are_reported_missing():
    request = contract_requests.with_logprobs(requests.MODEL)
    with pytest.raises(UnsupportedFeature) as caught:
        await ask_one(request, {"message": {"role": "assistant", "content": "Red"}, "done": False})

    assert "0.12.11" in caught.value.do


async def test_memory_that_does_not_suffice_is_said_in_plain_words():
    words = "model requires more system memory (5.6 GiB) than is available (3.2 GiB)"
    with pytest.raises(EngineFailed) as caught:
        await ask_one(contract_requests.plain(requests.MODEL), {"error": words}, status=500)

    assert "memory" in caught.value.what
    assert "smaller model" in caught.value.do


async def test_going_on_past_the_end_is_refused_before_anything_is_sent(engine, server):
    with pytest.raises(UnsupportedFeature):
        await events_of(engine, contract_requests.ask(requests.MODEL, ignore_eos=True))

    assert server.requests == []


# --- tools ------------------------------------------------------------------------------------------------


async def test_a_call_that_ollama_read_keeps_its_id(engine):
    events = await events_of(engine, requests.weather(requests.TOOL_MODEL))

    call = next(event.call for event in events if isinstance(event, ToolCallEvent))
    assert call.name == "get_weather"
    assert call.id.startswith("call_")
    assert events[-1] == DoneEvent(events[-1].at, "tool_calls")


async def test_a_call_that_the_model_wrote_as_text_is_a_call_too(engine):
    events = await events_of(engine, requests.weather(requests.TEXT_TOOL_MODEL))

    calls = [event.call for event in events if isinstance(event, ToolCallEvent)]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [("get_weather", {"city": "Seoul"})]
    assert text_of(events) == ""


async def test_a_model_without_a_place_for_tools_gets_them_as_text(engine, server):
    await events_of(engine, requests.weather(requests.MODEL))

    body = server.requests[-1][1]
    assert "tools" not in body
    assert "get_weather" in body["messages"][0]["content"]


async def test_a_call_of_an_older_server_gets_an_id():
    call = {"function": {"name": "get_weather", "arguments": {"city": "서울"}}}
    events = await ask_one(
        contract_requests.plain(requests.MODEL),
        {"message": {"role": "assistant", "content": "", "tool_calls": [call]}, "done": False},
        {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"},
    )

    assert events[0].call == ToolCall("call_0", "get_weather", '{"city":"서울"}')
    assert events[-1].finish_reason == "tool_calls"


async def test_a_past_call_goes_back_with_its_arguments_as_an_object(engine, server):
    await events_of(engine, contract_requests.after_tool(requests.TEXT_TOOL_MODEL))

    messages = server.requests[-1][1]["messages"]
    assert messages[2]["tool_calls"] == [
        {"id": "call_0", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
    ]
    assert messages[3]["tool_name"] == "get_weather"


@pytest.mark.parametrize("arguments", ["{broken", '"text"', "[1]"])
async def test_a_past_call_whose_arguments_are_no_object_is_refused(engine, arguments):
    history = Message("assistant", "", tool_calls=(ToolCall("c", "get_weather", arguments),))
    with pytest.raises(EngineRefused) as caught:
        await events_of(engine, ChatRequest(requests.MODEL, (history,)))

    assert "get_weather" in caught.value.what


# --- models -----------------------------------------------------------------------------------------------


async def test_models_come_with_size_window_quantisation_and_parameters(engine):
    models = {model.name: model for model in await engine.models()}

    tiny = models[requests.MODEL]
    assert (tiny.size_bytes, tiny.context, tiny.quantisation, tiny.parameters) == (98362759, 8192, "Q4_1", 134_520_000)
    assert len(tiny.digest) == 64


async def test_a_model_shown_has_the_exact_number_of_its_parameters(engine):
    shown = await engine.show(requests.MODEL)

    assert (shown.parameters, shown.context, shown.quantisation) == (134_515_008, 8192, "Q4_1")


async def test_a_loaded_model_has_its_size_gpu_share_and_window(engine):
    (model,) = await engine.loaded()

    assert model.model == requests.MODEL
    assert model.reported_bytes > 98_000_000
    assert model.gpu_bytes == 0
    assert model.context == 512


async def test_the_process_that_holds_a_model_is_found_and_its_memory_read(engine, tmp_path):
    """Only a server's child counts: the other is what a killed server leaves behind."""
    modelfile = json.loads("".join(recorded("/api/show", {"model": requests.MODEL}).chunks))["modelfile"]
    blob = next(line for line in modelfile.splitlines() if line.startswith("FROM /")).rpartition("/")[2]
    runner = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)", "--model", f"/blobs/{blob}"]
    server = tmp_path / "ollama"
    server.write_text('#!/bin/sh\n"$@" &\necho $!\nwait\n')
    server.chmod(0o755)
    with Popen([server, *runner], stdout=PIPE, text=True) as parent, Popen(runner, stdout=PIPE) as orphan:
        child = int(parent.stdout.readline())
        parent.stdout.readline()
        orphan.stdout.readline()
        try:
            (model,) = await engine.loaded()
        finally:
            os.kill(child, signal.SIGKILL)
            orphan.kill()

    assert child in model.pids
    assert orphan.pid not in model.pids
    assert model.rss_bytes > 1_000_000


async def test_processes_of_a_server_elsewhere_are_not_looked_for():
    engine = OllamaEngine("http://192.0.2.1:11434")  # an address of nobody's (RFC 5737)
    assert await engine._blob({"name": requests.MODEL, "digest": "x"}) is None
    await engine.close()


async def test_loading_takes_a_time_and_unloading_returns_when_the_model_is_gone(engine, server):
    await engine.unload(requests.MODEL)
    polls = [path for path, _ in server.requests].count("/api/ps")
    assert polls > 1  # it went on to be listed for a moment
    assert await engine.loaded() == ()

    begin = time.perf_counter()
    times = await engine.load(requests.MODEL)
    assert 0 < times.load_s <= time.perf_counter() - begin
    assert times.process_s is None
    assert [model.model for model in await engine.loaded()] == [requests.MODEL]


async def test_a_model_that_only_embeds_is_loaded_too(engine, server):
    await engine.load(requests.EMBEDDER)

    assert [path for path, _ in server.requests] == ["/api/generate", "/api/embed"]


async def test_embeddings_have_length_one_and_count_their_tokens(engine):
    embeddings = await engine.embed(requests.EMBEDDER, contract_requests.TEXTS)

    assert embeddings.prompt_tokens > 0
    for vector in embeddings.vectors:
        assert sum(each * each for each in vector) == pytest.approx(1, abs=1e-3)


async def test_nothing_to_embed_asks_nobody(engine, server):
    assert (await engine.embed(requests.EMBEDDER, [])).vectors == ()
    assert server.requests == []


async def test_a_text_too_long_to_embed_is_refused_rather_than_cut(engine):
    with pytest.raises(ContextExceeded):
        await engine.embed(requests.EMBEDDER, ["All work and no play. " * 2000])


async def test_a_chat_model_that_gives_no_embeddings_says_what_to_use(engine):
    with pytest.raises(UnsupportedFeature) as caught:
        await engine.embed(requests.MODEL, ["one"])

    assert "nomic-embed-text" in caught.value.do


@pytest.mark.parametrize("call", ["chat", "embed", "show", "load", "unload"])
async def test_a_missing_model_says_how_to_pull_it(engine, call):
    calls = {
        "chat": lambda: events_of(engine, contract_requests.plain(requests.MISSING)),
        "embed": lambda: engine.embed(requests.MISSING, ["one"]),
        "show": lambda: engine.show(requests.MISSING),
        "load": lambda: engine.load(requests.MISSING),
        "unload": lambda: engine.unload(requests.MISSING),
    }
    with pytest.raises(EngineModelMissing) as caught:
        await calls[call]()

    assert caught.value.do == "Run `inhouse models pull no-such-model --engine ollama`"


async def test_a_server_that_is_not_there_says_how_to_start_it(unused_tcp_port):
    engine = OllamaEngine(f"http://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(EngineUnavailable) as caught:
        await engine.models()

    assert "docker compose -f deploy/compose.yaml up -d" in caught.value.do
    assert "ollama serve" in caught.value.do
    health = await engine.health()
    assert not health.ok
    assert "docker compose" in health.detail
    await engine.close()


async def test_health_names_the_version_and_warns_of_one_that_cuts_prompts(engine):
    health = await engine.health()
    assert (health.ok, health.version, health.detail) == (True, "0.32.15", "")

    old = Exchange("GET", "/api/version", None, 200, "application/json", ('{"version":"0.12.5"}',))
    async with replaying([old]) as server:
        engine = OllamaEngine(server.url)
        health = await engine.health()
        await engine.close()
    assert health.ok
    assert "0.12.6" in health.detail


async def test_how_long_to_hold_a_model_goes_with_each_request(server):
    engine = OllamaEngine(server.url, keep_alive="30m")
    with pytest.raises(EngineFailed):  # no recording has it
        await engine.load(requests.MODEL)

    assert server.requests[-1][1]["keep_alive"] == "30m"
    await engine.close()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("smollm2", "smollm2:latest", True),
        ("SmolLM2:135m", "smollm2:135m", True),
        ("smollm2:135m", "smollm2:360m", False),
        ("host:5000/library/x", "host:5000/library/x:latest", True),
    ],
)
def test_names_are_compared_as_ollama_does(one, other, same):
    assert same_model(one, other) is same


# --- downloads --------------------------------------------------------------------------------------------


async def test_a_download_tells_its_bytes_layer_by_layer_and_ends_in_success(engine):
    progress = await progress_of(engine, requests.PULLED)

    assert progress[0] == PullProgress("pulling manifest")
    assert progress[-1] == PullProgress("success")
    weights = [each for each in progress if each.total_bytes and each.total_bytes > 1_000_000]
    done = [each.done_bytes or 0 for each in weights]
    assert len(weights) > 10
    assert done == sorted(done)
    assert done[-1] <= weights[-1].total_bytes == 98_362_464
    assert all(each.digest and each.digest.startswith("sha256:") for each in weights)


@pytest.mark.parametrize(
    ("model", "error"),
    [
        (requests.DAMAGED, ChecksumMismatch),
        (requests.NOT_IN_REGISTRY, UnknownModel),
        (requests.NO_REGISTRY, SourceUnavailable),
    ],
)
async def test_a_download_that_fails_says_why(engine, model, error):
    with pytest.raises(error) as caught:
        await progress_of(engine, model)

    assert caught.value.why
    assert caught.value.do


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ('{"status":"pulling manifest"}\n{"error":"write /models/x: no space left on device"}\n', NotEnoughSpace),
        ('{"status":"pulling manifest"}\n', EngineProtocolError),
    ],
)
async def test_a_download_without_space_or_end_is_an_error(lines, error):
    body = {"model": "llama2:7b", "stream": True, "insecure": False}
    async with replaying([Exchange("POST", "/api/pull", body, 200, "application/x-ndjson", (lines,))]) as server:
        engine = OllamaEngine(server.url)
        with pytest.raises(error):
            await progress_of(engine, "llama2:7b")
        await engine.close()
