"""Figures are written with their unit in the reader's language, and their interval in the same unit."""

import math

import pytest

from inhouse.core.records import Metric
from inhouse.report.figures import circumstances, in_words, method_of, name_of, quantity
from inhouse.report.language import number


@pytest.mark.parametrize(
    ("name", "value", "korean", "english"),
    [
        ("ttft_s", 0.0123, "12.3밀리초", "12.3 ms"),
        ("ttft_s", 0.9996, "1초", "1 s"),
        ("total_s", 12.44, "12.4초", "12.4 s"),
        ("download_s", 59.7, "1분", "1 min"),
        ("download_s", 78.4, "1분 18초", "1 min 18 s"),
        ("llama_s", 7260.0, "2시간 1분", "2 h 1 min"),
        ("size_bytes", 98_362_432.0, "98.4 MB", "98.4 MB"),
        ("memory_bytes", 999_900.0, "1 MB", "1 MB"),
        ("bandwidth_bytes_s", 18.4e9, "18.4 GB/s", "18.4 GB/s"),
        ("tokens_s", 3.314, "초당 3.31토큰", "3.31 tokens/s"),
        ("low_tokens_s", 1234.5, "초당 1,234토큰", "1,234 tokens/s"),
        ("slowdown_ratio", 20.36, "20.4배", "20.4×"),
        ("ratio", 0.5, "0.5배", "0.5×"),
        ("error_percent", -2.84, "−2.84%", "−2.84%"),
        ("streams", 8.0, "8", "8"),
        ("requests_hour", 3007.5, "3,008", "3,008"),
        ("context", 131072, "131,072", "131,072"),
        ("kind", "overloaded", "과부하", "overloaded"),
        ("kind", "a kind of tomorrow", "a kind of tomorrow", "a kind of tomorrow"),
        ("gpu_tokens_s", None, "–", "–"),
        ("ttft_s", math.nan, "–", "–"),
    ],
)
def test_a_figure_is_said_with_the_unit_that_its_name_ends_in(name, value, korean, english):
    assert in_words(name, value, "ko").replace("\u00a0", " ") == korean
    assert in_words(name, value, "en").replace("\u00a0", " ") == english


def test_a_number_and_its_unit_stay_on_one_line():
    assert " " not in in_words("size_bytes", 1.2e9, "en")
    assert " " not in quantity(Metric("ttft_s", 0.5, "s"), "en").text


def test_an_interval_is_in_the_unit_of_its_value_even_across_a_unit_border():
    q = quantity(Metric("ttft_s", 0.98, "s", low=0.9, high=1.1), "en")
    assert (q.number, q.unit, q.interval) == ("980", "ms", "900–1,100")


def test_a_column_is_in_one_unit():
    small = quantity(Metric("ttft_s", 0.05, "s", low=0.04, high=0.06), "ko", largest=12.0)
    assert (small.number, small.unit, small.interval) == ("0.0500", "초", "0.0400–0.0600")


def test_the_unit_of_a_rate_comes_from_its_name_where_the_metric_only_says_per_second():
    assert quantity(Metric("output_tokens_s", 41.2, "1/s"), "ko").text == "41.2토큰/초"
    assert quantity(Metric("requests_s", 2.0, "1/s"), "en").text == "2.00\u00a0requests/s"


def test_a_share_is_shown_in_percent():
    assert quantity(Metric("error_rate", 0.025, "", low=0.01, high=0.05), "en").text == "2.50%"
    assert quantity(Metric("error_rate", 0.0, ""), "en").text == "0%"


def test_a_count_has_no_decimals():
    assert quantity(Metric("requests", 60.0, ""), "en").text == "60"


def test_a_metric_is_named_by_what_it_is_and_where_it_holds():
    metric = Metric(
        "ttft_s",
        1.0,
        "s",
        {"stage": "8 streams, 128/48 tokens", "streams": 8, "prompt_tokens": 1280, "stat": "p95"},
    )
    assert name_of(metric, "ko") == "첫 토큰까지(TTFT) p95"
    assert name_of(metric, "ko", with_stat=False) == "첫 토큰까지(TTFT)"
    assert circumstances(metric, "ko") == "동시 요청 8개, 프롬프트 1,280토큰"
    assert circumstances(metric, "en") == "8 at once, 1,280 prompt tokens"


def test_a_stage_without_other_labels_is_named_itself():
    assert circumstances(Metric("ttft_s", 1.0, "s", {"stage": "trace x", "stat": "p95"}), "en") == "trace x"


def test_a_metric_or_label_of_another_version_shows_under_its_own_name():
    metric = Metric("sparkle_s", 1.0, "s", {"moon": "full"})
    assert name_of(metric, "ko") == "sparkle_s"
    assert circumstances(metric, "ko") == "moon full"


def test_a_predictions_method_does_not_say_predicted_twice():
    assert method_of(Metric("x", 1, "s", method="predicted: roofline", predicted=True), "en") == "roofline"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_a_dash(value):
    assert number(value, "en") == "–"


def test_tiny_and_negative_numbers_keep_their_precision():
    assert number(0.000123456, "en") == "0.000123"
    assert number(-0.05, "en") == "−0.05"
    assert number(5.0, "en", aligned=True) == "5.00"
    assert number(999.6, "en") == "1,000"


@pytest.mark.parametrize(
    ("key", "korean", "english"),
    [
        ("share.ml.own", "LLM 개발 투입 (자체 서버)", "LLM developer's time (own machines)"),
        ("roles.ml.kr", "LLM 개발자 인건비 (한국)", "LLM developer, a year (Korea)"),
        ("machines.years", "장비 사용 연수", "years of use"),
        ("mine.own_thing", "mine.own_thing", "mine.own_thing"),
    ],
)
def test_an_assumption_is_said_by_its_name_and_what_it_is_of(key, korean, english):
    moved = Metric("swing_won", 1e6, "won", {"assumption": key})
    assert circumstances(moved, "ko") == korean
    assert circumstances(moved, "en") == english


def test_so_many_a_year_are_counted_and_a_calendar_year_is_written_as_one():
    assert quantity(Metric("requests_year", 148200, "requests"), "en").text == "148,200\u00a0requests"
    assert quantity(Metric("known_until_year", 2023, "year"), "en").number == "2023"
