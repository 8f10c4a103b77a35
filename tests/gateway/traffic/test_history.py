"""The traffic's history in the store: several writers add up, a year is read at a grain that fits, old steps go."""

from __future__ import annotations

import random

import pytest

from inhouse.gateway.traffic.history import KEPT_S, RANGES, History, range_named
from inhouse.gateway.traffic.meter import STEPS_S, Bin
from inhouse.gateway.web.dashboard_history import history_of
from inhouse.store.database import Database

DAY = 86400
NOW = 1_700_006_400.0 + 12 * 3600


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request):
    fixture = {"sqlite": "store_url", "postgresql": "fresh_postgres_url"}[request.param]
    opened = Database(request.getfixturevalue(fixture))
    yield opened
    opened.close()


def test_what_processes_wrote_of_one_step_adds_up_and_a_later_word_replaces_an_earlier(database):
    one, other = History(database, "one"), History(database, "other")
    at = int(NOW) - 60
    one.write([Bin(10, at, "all", {"requests": 3})])
    one.write([Bin(10, at, "all", {"requests": 5, "e2e:40": 5}), Bin(10, at, "key:k", {"requests": 5})])
    other.write([Bin(10, at, "all", {"requests": 2, "e2e:40": 1, "e2e:41": 1})])
    (point,) = one.points("all", range_named("1h"), NOW)
    assert (point.at, point.seconds, point.sums) == (at, 10.0, {"requests": 7, "e2e:40": 6, "e2e:41": 1})
    assert other.points("key:k", range_named("1h"), NOW)[0].sums == {"requests": 5}
    assert one.since("all", 300, NOW) == point.sums


def test_a_step_that_has_just_begun_is_not_shown_as_a_dip(database):
    history = History(database, "one")
    today = int(NOW // DAY) * DAY
    history.write([Bin(DAY, today, "all", {"requests": 10})])
    assert history.points("all", range_named("1y"), today + 300) == []
    (point,) = history.points("all", range_named("1y"), NOW)
    assert point.seconds == 12 * 3600


def test_names_are_found_by_kind_whatever_they_are_made_of(database):
    history = History(database, "one")
    names = ["model:a:b%_", "model:나", "host:h", "key:1", "all"]
    history.write([Bin(10, int(NOW) - 60, name, {"requests": 1}) for name in names])
    assert history.subjects("model", range_named("1h"), NOW) == ["a:b%_", "나"]
    assert history.subjects("host", range_named("1h"), NOW) == ["h"]


def test_each_grain_is_forgotten_in_its_time_and_no_range_reaches_beyond_it(database):
    history = History(database, "one")
    history.write(
        [Bin(step, int(NOW - KEPT_S[step] * age), "all", {"requests": 1}) for step in STEPS_S for age in (0.9, 1.1)]
    )
    assert history.forget(NOW) == len(STEPS_S)
    assert history.forget(NOW) == 0
    assert set(KEPT_S) == set(STEPS_S)
    for shown in RANGES:
        assert shown.length_s + shown.step_s <= KEPT_S[shown.step_s]


def test_a_year_of_every_grain_is_answered_in_at_most_a_point_a_day(store_url):
    database = Database(store_url)
    history, draw = History(database, "one"), random.Random(3)
    today = int(NOW // DAY) * DAY
    sums = {f"e2e:{80 + n}": 10 for n in range(30)} | {f"ttft:{60 + n}": 10 for n in range(30)}
    days = [today - DAY * n for n in range(400)]
    hours = [today - 3600 * n for n in range(24 * 62)]
    subjects = ["all", "model:m", *(f"key:{n}" for n in range(8))]
    history.write([
        Bin(step, at, subject, {"requests": draw.randrange(1, 1000), "micro_krw": 10**6, **sums})
        for step, those in ((DAY, days), (3600, hours)) for at in those for subject in subjects
    ])  # fmt: skip
    year = history_of(history, "all", range_named("1y"), NOW, machines=False)
    assert 365 <= len(year["at"]) <= 367
    assert len(year["at"]) == len(year["requests"]) == len(year["e2e"][1])
    assert all(value > 0 for value in year["requests"])
    assert all(value is not None for value in year["ttft"][2])
    assert year["total"]["micro_krw"] == len(year["at"]) * 10**6
    month = history_of(history, "key:3", range_named("30d"), NOW, machines=False)
    assert 719 <= len(month["at"]) <= 721
    assert month["total"]["micro_krw"] == pytest.approx(720 * 10**6, rel=0.1)
    database.close()


def test_columns_have_no_rate_but_zero_where_nothing_came_and_no_percentile_at_all(store_url):
    database = Database(store_url)
    history = History(database, "one")
    at = int(NOW // 10) * 10 - 100
    history.write([
        Bin(10, at, "all", {"requests": 20, "ttft:64": 20, "cache:exact": 5, "waiting_s": 30.0}),
        Bin(10, at, "host:h", {"samples": 10, "cpu": 4.0, "memory": 5.0}),
    ])  # fmt: skip
    found = history_of(history, "all", range_named("1h"), NOW, machines=True)
    index = found["at"].index(at)
    assert (found["requests"][index], found["waiting"][index], found["cache"][index]) == (2.0, 3.0, 0.25)
    assert found["ttft"][0][index] == pytest.approx(0.0256, rel=0.06)
    assert (found["requests"][index + 1], found["ttft"][0][index + 1], found["cache"][index + 1]) == (0, None, None)
    assert found["machines"]["h"]["cpu"][index] == 0.4
    assert "gpu" not in found["machines"]["h"]
    database.close()
