"""Requests add up: by whose they are, over any grain, with percentiles that hold for any sum of them."""

from __future__ import annotations

import random

import pytest
from made_rows import made_row

from inhouse.gateway.traffic.meter import STEPS_S, Meter
from inhouse.gateway.traffic.sums import add, add_row, figures, percentiles, total

BEGIN = 1_700_006_400.0  # midnight UTC


def counted(*rows):
    sums = {}
    for row in rows:
        add_row(sums, row)
    return sums


def test_a_percentile_is_within_five_percent_of_the_sorted_value_whatever_the_times_are():
    draw = random.Random(1)
    times = [draw.lognormvariate(-1, 1.2) for _ in range(5000)]
    sums = counted(*(made_row(ttft_s=one, e2e_s=one + 1) for one in times))
    ordered = sorted(times)
    for share, found in zip((0.5, 0.95, 0.99), percentiles(sums, "ttft", (0.5, 0.95, 0.99)), strict=True):
        assert found == pytest.approx(ordered[int(share * len(ordered))], rel=0.05)


def test_sums_of_parts_are_the_sums_of_the_whole():
    rows = [made_row(ttft_s=0.01 * n, status=200 if n % 3 else 503, prompt_tokens=n) for n in range(1, 50)]
    apart = total([counted(*rows[:20]), counted(*rows[20:])])
    assert apart == counted(*rows)


def test_errors_are_told_apart_and_their_times_are_not_those_of_answers():
    refused = made_row(status=429, error="rate_limited", e2e_s=0.0001, ttft_s=None)
    failed = made_row(status=500, error="gateway_error", e2e_s=90.0)
    left = made_row(status=499, error="client_left")
    found = figures(counted(made_row(e2e_s=1.0), refused, failed, left))
    assert (found["requests"], found["failed"], found["refused"], found["left"]) == (4, 1, 1, 1)
    assert found["error"] == {"rate_limited": 1, "gateway_error": 1, "client_left": 1}
    assert found["e2e"] == pytest.approx([1.0, 1.0, 1.0], rel=0.09)


def test_without_requests_there_is_no_percentile():
    assert percentiles({}, "ttft", (0.5,)) == [None]


def test_a_request_counts_for_all_its_model_its_team_and_its_key():
    meter = Meter(BEGIN)
    meter.rows.extend([made_row(model="a", team="x", key_id="1"), made_row(model="b", team=None, key_id="2")])
    assert meter.count(100) is False
    meter.turn(BEGIN + 1, {})
    counts = {subject: sums["requests"] for subject, sums in meter.second.items()}
    assert counts == {"all": 2, "model:a": 1, "model:b": 1, "team:x": 1, "key:1": 1, "key:2": 1}
    meter.turn(BEGIN + 2, {})
    assert meter.second == {}  # that was the last second
    assert meter.window("all")["requests"] == 2  # and is still in the last minute
    for second in range(3, 70):
        meter.turn(BEGIN + second, {})
    assert meter.window("all") == {}


def test_many_requests_are_counted_a_few_at_a_time():
    meter = Meter(BEGIN)
    meter.rows.extend(made_row() for _ in range(25))
    assert [meter.count(10), meter.count(10), meter.count(10)] == [True, True, False]


def test_every_grain_of_the_history_holds_every_request_once():
    draw = random.Random(2)
    meter, written, sent = Meter(BEGIN + 3), {}, 0
    now = BEGIN + 3
    for _ in range(3 * 3600 // 7):
        number = draw.randrange(3)
        sent += number
        meter.rows.extend(made_row(micro_krw=5) for _ in range(number))
        meter.count(1000)
        now += 7
        for one in meter.turn(now, {}):
            assert one.at % one.step_s == 0
            written[one.step_s, one.at, one.subject] = dict(one.sums)  # as the store does: the newest counts
    for one in meter.rest():
        written[one.step_s, one.at, one.subject] = dict(one.sums)
    for step in STEPS_S:
        whole = {}
        for (grain, _, subject), sums in written.items():
            if grain == step and subject == "all":
                add(whole, sums)
        assert (whole["requests"], whole["micro_krw"]) == (sent, 5 * sent), step
    assert len({at for step, at, _ in written if step == 3600}) >= 3


def test_what_is_measured_beside_the_requests_adds_up_like_them():
    meter = Meter(BEGIN)
    for second in range(1, 31):
        meter.turn(BEGIN + second, {"model:a": {"waiting_s": 2.0}, "host:h": {"samples": 1, "cpu": 0.5}})
    assert meter.window("model:a") == {"waiting_s": 60.0}
    assert meter.window("host:h") == {"samples": 30, "cpu": 15.0}
