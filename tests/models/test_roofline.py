"""Decode prediction: two roofs, what calibration changes, and published speeds of 7B models."""

from dataclasses import replace
from pathlib import Path

import pytest

from inhouse.models.catalogue import find_entry
from inhouse.models.gguf import GgufInfo
from inhouse.models.roofline import DecodePoint, fit_roofline, predict_decode, token_time_s


@pytest.fixture
def llama(tmp_path: Path) -> GgufInfo:
    layout = find_entry("llama2:7b", tmp_path).layout
    assert layout is not None
    return layout


@pytest.fixture
def small(tmp_path: Path) -> GgufInfo:
    layout = find_entry("smollm2:135m", tmp_path).layout
    assert layout is not None
    return layout


@pytest.mark.parametrize(
    ("bandwidth", "cores", "published"),
    [(20.0e9, 4, 1 / 0.2537), (51.2e9, 6, 1 / 0.10043), (346e9, 0, 56.8)],
    ids=["i5-6500", "Ryzen 5700G", "P40"],
)
def test_published_speeds_of_a_7b_model_lie_within_a_quarter_and_in_the_interval(
    llama: GgufInfo, bandwidth: float, cores: int, published: float
):
    prediction = predict_decode(llama, bandwidth, cores=cores)
    assert prediction.tokens_s == pytest.approx(published, rel=0.25)
    assert prediction.low < published < prediction.high


def test_where_memory_is_the_limit_twice_the_bandwidth_is_twice_the_speed(llama: GgufInfo):
    slow, fast = (token_time_s(llama, bandwidth, cores=0) for bandwidth in (10e9, 20e9))
    assert slow / fast == pytest.approx(2, rel=0.02)


def test_where_the_cores_are_the_limit_bandwidth_does_not_help(llama: GgufInfo):
    one, other = (token_time_s(llama, bandwidth, cores=1) for bandwidth in (400e9, 800e9))
    assert one / other == pytest.approx(1, rel=0.02)


def test_more_cores_never_predict_less_speed(llama: GgufInfo):
    times = [token_time_s(llama, 50e9, cores=cores) for cores in (1, 2, 4, 8, 16)]
    assert times == sorted(times, reverse=True)


def test_a_longer_context_costs_the_reading_of_its_kv_cache(llama: GgufInfo):
    short, long = (token_time_s(llama, 50e9, cores=0, context_tokens=tokens) for tokens in (0, 4096))
    cache = 4096 * llama.kv_values * 2
    assert long / short == pytest.approx(1 + cache / llama.decode_bytes, rel=0.05)


def test_experts_that_are_not_used_are_not_read(llama: GgufInfo):
    sparse = replace(llama, decode_bytes=llama.decode_bytes // 4)
    ratio = token_time_s(llama, 50e9, cores=0, context_tokens=0) / token_time_s(sparse, 50e9, cores=0, context_tokens=0)
    assert ratio == pytest.approx(4, rel=0.1)


def test_a_point_measured_here_moves_every_prediction_by_its_ratio(llama: GgufInfo, small: GgufInfo):
    bare = predict_decode(llama, 30e9, cores=4)
    assumed = 1 / token_time_s(small, 30e9, cores=4)
    calibrated = predict_decode(llama, 30e9, [DecodePoint(small, 30e9, assumed / 2, cores=4)], cores=4)
    assert calibrated.tokens_s == pytest.approx(bare.tokens_s / 2)


def test_a_calibrated_prediction_is_surer_and_says_so(llama: GgufInfo, small: GgufInfo):
    bare = predict_decode(llama, 30e9, cores=4)
    point = DecodePoint(small, 30e9, 1 / token_time_s(small, 30e9, cores=4), cores=4)
    calibrated = predict_decode(llama, 30e9, [point], cores=4)
    assert calibrated.high - calibrated.low < bare.high - bare.low
    assert "calibrated on 1 model measured here" in calibrated.method
    assert "not calibrated" in bare.method


def test_points_that_contradict_each_other_widen_the_interval(small: GgufInfo):
    speed = 1 / token_time_s(small, 30e9, cores=4)
    points = [DecodePoint(small, 30e9, speed * factor, cores=4) for factor in (0.5, 2.0)]
    line = fit_roofline(points)
    assert line.factor == pytest.approx(1.0)
    assert line.spread > 0.6


def test_a_failed_measurement_is_no_point(small: GgufInfo):
    assert fit_roofline([DecodePoint(small, 30e9, 0.0)]).points == 0
