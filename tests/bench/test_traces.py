"""Recorded traffic is read as it was; what cannot be read is refused with its line."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from inhouse.bench.traces import TraceRequest, cap, read_trace, speed_up
from inhouse.core.errors import UsageError

FIXTURES = Path(__file__).parents[1] / "fixtures" / "traces"
SHARED = Path(__file__).parents[3] / "shared" / "data"


def test_the_azure_trace_gives_arrivals_and_lengths() -> None:
    requests = read_trace(FIXTURES / "azure_conv_excerpt.csv")
    assert len(requests) == 20
    assert requests[0] == TraceRequest(0.0, 374, 44)
    assert requests[1].at_s == pytest.approx(4.314579, abs=1e-6)
    assert (requests[1].prompt_tokens, requests[1].output_tokens) == (396, 109)


def test_the_mooncake_trace_gives_arrivals_lengths_and_blocks() -> None:
    requests = read_trace(FIXTURES / "mooncake_conversation_excerpt.jsonl")
    assert len(requests) == 12
    assert requests[0].prompt_tokens == 6758
    assert requests[0].output_tokens == 500
    assert requests[0].blocks == tuple(range(14))
    assert requests[1].blocks[0] == 0


@pytest.mark.parametrize(
    ("name", "count", "span_s"),
    [
        ("llm_traces_azure_2023/AzureLLMInferenceTrace_conv.csv", 19_366, 3500),
        ("llm_traces_azure_2023/AzureLLMInferenceTrace_code.csv", 8_819, 3400),
        ("llm_traces_mooncake/conversation_trace.jsonl", 12_031, 3537),
        ("llm_traces_mooncake/synthetic_trace.jsonl", 3_993, 1000),
    ],
)
def test_the_whole_published_traces_are_read(name: str, count: int, span_s: float) -> None:
    if not (SHARED / name).is_file():
        pytest.skip("the published trace is not on this machine")
    requests = read_trace(SHARED / name)
    assert len(requests) == count
    assert requests[-1].at_s == pytest.approx(span_s, rel=0.05)
    assert all(a.at_s <= b.at_s for a, b in itertools.pairwise(requests))


def test_a_faster_replay_keeps_lengths_and_shrinks_gaps() -> None:
    requests = [TraceRequest(0.0, 10, 5), TraceRequest(4.0, 20, 6)]
    assert speed_up(requests, 2.0) == [TraceRequest(0.0, 10, 5), TraceRequest(2.0, 20, 6)]


def test_a_request_that_fits_is_not_touched() -> None:
    request = TraceRequest(0.0, 100, 50)
    assert cap(request, 150) is request


def test_a_request_that_is_too_long_loses_the_end_of_its_prompt_first() -> None:
    assert cap(TraceRequest(0.0, 1000, 50), 512) == TraceRequest(0.0, 462, 50)
    assert cap(TraceRequest(0.0, 1000, 900), 512) == TraceRequest(0.0, 256, 256)
    assert cap(TraceRequest(0.0, 10, 900), 512) == TraceRequest(0.0, 10, 256)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no known format"),
        ("hello\n1,2,3\n", "no known format"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n", "holds no requests"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,374\n", "Line 2"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,374,44\nyesterday,374,44\n", "Line 3"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,-1,44\n", "negative"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,many,44\n", "Line 2"),
        ('{"timestamp": 0, "input_length": 5}\n', "no output_length"),
        ('{"timestamp": 0, "input_length": 5, "output_length": 1}\n{"timestamp": \n', "Line 2"),
        ('{"timestamp": "noon", "input_length": 5, "output_length": 1}\n', "Line 1"),
        ('{"timestamp": 0, "input_length": 5, "output_length": 1, "hash_ids": 7}\n', "Line 1"),
    ],
)
def test_a_bad_trace_is_refused_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "trace"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        read_trace(path)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_a_binary_and_an_unreadable_trace_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x80")
    for path in (tmp_path / "nowhere.csv", tmp_path / "binary", tmp_path):
        with pytest.raises(UsageError):
            read_trace(path)
