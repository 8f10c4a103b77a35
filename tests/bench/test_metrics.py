"""From samples to figures: what counts, what does not, and over which time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from inhouse.bench.metrics import summarise
from inhouse.bench.plan import Objectives
from inhouse.core.records import Metric, Sample, SampleError, Scalar

CLOSED = {"stage": "s", "streams": 1}
OPEN = {"stage": "s", "rate": 10.0, "arrival": "constant"}


def sample(
    index: int,
    start: float,
    *,
    ttft: float | None = 0.1,
    gaps: Sequence[float] = (0.02, 0.02),
    intended: float | None = None,
    error: SampleError | None = None,
    tags: dict[str, Scalar] | None = None,
    timings: dict[str, float] | None = None,
) -> Sample:
    times = []
    if ttft is not None:
        times = [start + ttft]
        for gap in gaps:
            times.append(times[-1] + gap)
    return Sample(
        index,
        start if intended is None else intended,
        start,
        times[-1] if times else start + 5.0,
        times[0] if times else None,
        tuple(times),
        prompt_tokens=100,
        completion_tokens=len(times),
        error=error,
        tags=CLOSED if tags is None else tags,
        engine_timings=timings or {},
    )


def figure(metrics: list[Metric], name: str, **labels: Scalar) -> Metric:
    found = [m for m in metrics if m.name == name and all(m.labels.get(k) == v for k, v in labels.items())]
    assert len(found) == 1, found
    return found[0]


def test_failed_requests_are_counted_and_in_no_latency() -> None:
    failed = sample(9, 9.0, ttft=None, error=SampleError("stalled", "nothing came"))
    metrics = summarise([*(sample(i, float(i)) for i in range(9)), failed])
    assert figure(metrics, "error_rate").value == pytest.approx(0.1)
    assert figure(metrics, "errors", kind="stalled").value == 1
    assert figure(metrics, "e2e_s", stat="mean").n == 9
    assert figure(metrics, "e2e_s", stat="mean").value == pytest.approx(0.14)


def test_a_request_that_broke_off_after_tokens_is_in_no_latency_either() -> None:
    broken = sample(5, 5.0, ttft=3.0, error=SampleError("crashed", "gone"))
    metrics = summarise([*(sample(i, float(i)) for i in range(5)), broken])
    assert figure(metrics, "ttft_s", stat="mean").value == pytest.approx(0.1)
    assert figure(metrics, "itl_s", stat="mean").n == 5


def test_an_answer_without_a_token_has_no_ttft() -> None:
    metrics = summarise([sample(0, 0.0), sample(1, 1.0, ttft=None)])
    assert figure(metrics, "ttft_s", stat="p50").n == 1
    assert figure(metrics, "e2e_s", stat="p50").n == 2


def test_warm_up_is_in_no_figure() -> None:
    warm = sample(0, 0.0, ttft=50.0, tags={**CLOSED, "warmup": True})
    metrics = summarise([warm, *(sample(i, 60.0 + i) for i in range(1, 4))])
    assert figure(metrics, "requests").value == 3
    assert figure(metrics, "ttft_s", stat="p50").value == pytest.approx(0.1)


def test_percentiles_that_few_requests_cannot_carry_are_left_out() -> None:
    stats = {m.labels["stat"] for m in summarise([sample(i, float(i)) for i in range(12)]) if m.name == "ttft_s"}
    assert stats == {"p50", "p90", "mean"}
    stats = {m.labels["stat"] for m in summarise([sample(i, float(i)) for i in range(100)]) if m.name == "ttft_s"}
    assert stats == {"p50", "p90", "p95", "p99", "mean"}


def test_latency_from_the_intended_start_shows_what_the_client_held_back() -> None:
    late = [sample(i, 1.0 + i, intended=float(i), tags=OPEN) for i in range(5)]
    metrics = summarise(late)
    assert figure(metrics, "client_wait_s", stat="p50").value == pytest.approx(1.0)
    assert figure(metrics, "e2e_s", stat="p50").value == pytest.approx(0.14)
    assert figure(metrics, "e2e_from_intended_s", stat="p50").value == pytest.approx(1.14)


def test_the_queue_is_ttft_less_the_engines_prefill() -> None:
    metrics = summarise([sample(i, float(i), ttft=0.5, timings={"prompt_s": 0.2}) for i in range(5)])
    assert figure(metrics, "queue_s", stat="p50").value == pytest.approx(0.3)
    assert figure(metrics, "prefill_s", stat="p50").value == pytest.approx(0.2)
    assert figure(metrics, "prefill_tokens_s").value == pytest.approx(500)


def test_without_the_engines_word_there_is_no_queue_rather_than_zero() -> None:
    assert not [m for m in summarise([sample(0, 0.0)]) if m.name in ("queue_s", "prefill_s", "prefill_tokens_s")]


def test_decode_speed_is_the_inverse_of_tpot_with_its_interval_turned() -> None:
    metrics = summarise([sample(i, float(i), gaps=[0.01 * (1 + i % 5)] * 4) for i in range(25)])
    speed, tpot = figure(metrics, "decode_tokens_s"), figure(metrics, "tpot_s", stat="p50")
    assert speed.value == pytest.approx(1 / tpot.value)
    assert (speed.low, speed.high) == (pytest.approx(1 / tpot.high), pytest.approx(1 / tpot.low))  # type: ignore[operator]


def test_throughput_of_a_closed_loop_leaves_out_the_end_when_streams_run_dry() -> None:
    # Two streams, each request about a second and ten tokens; the second stream's last one drags on alone.
    tags: dict[str, Scalar] = {"stage": "s", "streams": 2}
    gaps = [0.099] * 9
    samples = [sample(i, float(i // 2), ttft=0.1, gaps=gaps, tags=tags) for i in range(8)]
    samples.append(sample(8, 4.0, ttft=0.1, gaps=gaps, tags=tags))
    samples.append(sample(9, 4.0, ttft=10.0, gaps=gaps, tags=tags))
    metrics = summarise(samples)
    # Over all of the time it would be 100 tokens in 14.9 s; while both streams were busy it was 18 a second.
    assert figure(metrics, "output_tokens_s").value == pytest.approx(18.0, rel=0.03)
    assert figure(metrics, "requests_s").value == pytest.approx(1.8, rel=0.03)


def test_goodput_counts_what_keeps_every_objective() -> None:
    slow = [sample(i, float(i), ttft=0.9) for i in range(5, 10)]
    samples = [*(sample(i, float(i)) for i in range(5)), *slow]
    metrics = summarise(samples, objectives=Objectives(ttft_s=0.5))
    assert figure(metrics, "goodput_share").value == pytest.approx(0.5)
    good, requests = figure(metrics, "goodput_requests_s"), figure(metrics, "requests_s")
    assert good.value == pytest.approx(requests.value / 2)
    assert good.labels["objectives"] == "ttft=0.5s"


def test_a_failed_request_and_one_held_back_in_the_client_keep_no_objective() -> None:
    failed = sample(0, 0.0, ttft=None, error=SampleError("crashed", "gone"))
    held_back = sample(1, 3.0, intended=0.0, tags=OPEN)
    metrics = summarise([failed, held_back], objectives=Objectives(ttft_s=0.5))
    assert {m.value for m in metrics if m.name == "goodput_share"} == {0.0}


def test_an_answer_of_one_token_breaks_no_tpot_objective() -> None:
    metrics = summarise([sample(0, 0.0, gaps=())], objectives=Objectives(tpot_s=0.001))
    assert figure(metrics, "goodput_share").value == 1.0


def test_the_cache_share_and_real_lengths_are_reported() -> None:
    metrics = summarise([sample(i, float(i)) for i in range(3)])
    assert figure(metrics, "actual_prompt_tokens", stat="mean").value == 100
    assert figure(metrics, "actual_output_tokens", stat="max").value == 3


def test_stages_are_figured_apart_and_do_not_hang_on_each_other() -> None:
    other = [sample(100 + i, 100.0 + i, ttft=0.1 + i / 100, tags={"stage": "other", "streams": 1}) for i in range(30)]
    alone = summarise(other, seed=3)
    both = summarise([*(sample(i, float(i)) for i in range(30)), *other], seed=3)
    assert [m for m in both if m.labels["stage"] == "other"] == alone


def test_a_stage_whose_every_request_failed_has_an_error_rate_and_nothing_more() -> None:
    failed = [sample(i, float(i), ttft=None, error=SampleError("unavailable", "refused")) for i in range(3)]
    assert {m.name for m in summarise(failed)} == {"requests", "error_rate", "errors"}
