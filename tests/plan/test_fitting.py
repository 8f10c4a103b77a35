"""Fitting: costs that are known come out of samples again, also out of those of a real engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from simulated_samples import samples_of, step_by_step

from inhouse.core.errors import BenchError
from inhouse.core.records import Sample
from inhouse.plan.fitting import fit_service
from inhouse.plan.service import ServiceModel
from inhouse.plan.simulate import Workload

TRUE = ServiceModel(
    slots=8, decode_s=((1, 0.011), (2, 0.016), (4, 0.027), (8, 0.05)), cache_s=1.5e-6, prompt_fixed_s=0.004,
    prompt_s=7e-4, prompt_square_s=3e-7, request_s=0.006,
)  # fmt: skip


def _stage(streams: int, prompt: int, noise: float = 0.0) -> list[Sample]:
    count = 10 * streams
    work = Workload(np.arange(count) * 1e-3, np.full(count, prompt), 30 + np.arange(count) % 9, users=streams)
    answers = step_by_step(TRUE, work)
    rng = np.random.default_rng(streams)
    for answer in answers:
        answer.arrival_s += noise  # whoever asks next has seen the end of the answer before
        answer.times = sorted(
            at + float(jitter)
            for at, jitter in zip(answer.times, rng.uniform(0, noise, len(answer.times)), strict=True)
        )
    return samples_of(answers, f"{streams} streams, {prompt}", streams)


def _samples(noise: float = 0.0) -> list[Sample]:
    return [
        sample for streams in (1, 2, 4, 8) for prompt in (64, 256, 512) for sample in _stage(streams, prompt, noise)
    ]


def test_known_costs_come_out_again() -> None:
    found = fit_service(_samples(), slots=8)
    assert found.off is not None
    assert found.off < 0.01
    for requests, seconds in TRUE.decode_s:
        assert found.step_s(requests) == pytest.approx(seconds, rel=0.03)
    assert found.prefill_s(256) == pytest.approx(TRUE.prefill_s(256), rel=0.03)
    assert found.request_s == pytest.approx(TRUE.request_s, abs=0.002)


def test_what_arrives_jittered_still_tells_the_costs() -> None:
    found = fit_service(_samples(noise=0.001), slots=8)
    assert found.step_s(4) == pytest.approx(TRUE.step_s(4), rel=0.1)
    assert found.prefill_s(256) == pytest.approx(TRUE.prefill_s(256), rel=0.1)


def test_no_cost_is_below_zero() -> None:
    rng = np.random.default_rng(0)
    wild = [
        replace(one, token_times_s=tuple(np.sort(rng.uniform(one.start_s, one.end_s, len(one.token_times_s)))))
        for one in _stage(2, 64)
    ]
    found = fit_service(wild)
    costs = [found.cache_s, found.prompt_fixed_s, found.prompt_s, found.prompt_square_s, found.request_s]
    assert min(costs + [seconds for _, seconds in found.decode_s]) >= 0


def test_failed_requests_teach_nothing() -> None:
    from inhouse.core.records import SampleError

    samples = _samples()
    failed = [
        replace(one, error=SampleError("crashed", "gone"), token_times_s=(), first_token_s=None) for one in samples
    ]
    assert fit_service(samples + failed[:50], slots=8).decode_s == fit_service(samples, slots=8).decode_s


def test_runs_of_the_same_stage_are_not_mixed() -> None:
    one, other = _stage(2, 64), _stage(2, 64)
    both = fit_service(one, other)
    assert both.step_s(2) == pytest.approx(fit_service(one).step_s(2), rel=1e-6)


def test_too_few_tokens_are_refused() -> None:
    with pytest.raises(BenchError, match="no steps"):
        fit_service(_stage(1, 64)[:0])
