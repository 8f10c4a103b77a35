"""What pages show of runs: figures with their units, heat maps, what a model answered."""

from __future__ import annotations

import math

from inhouse.core.records import Metric
from inhouse.gateway.web import run_view
from inhouse.quality.answers import Answer
from inhouse.quality.scorers import Response


def answer(response: Response) -> Answer:
    return Answer("s", "i", "default", 0, "0" * 64, "?", response)


def test_figures_stand_with_their_units_in_the_readers_language():
    assert run_view.figure(0.0421, "s", "en") == "42.1\N{NO-BREAK SPACE}ms"
    assert run_view.figure(2.5, "s", "ko") == "2.5\N{NO-BREAK SPACE}초"
    assert run_view.figure(1234567, "bytes", "en") == "1.23\N{NO-BREAK SPACE}MB"
    assert run_view.figure(None, "s", "en") == "–"
    assert run_view.figure(0.125, "", "en", share=True) == "12.5\N{NO-BREAK SPACE}%"


def test_a_share_is_told_from_other_figures_without_a_unit():
    assert run_view.is_share(Metric("wording_accuracy", 1.0, "share"), "eval")
    assert run_view.is_share(Metric("accuracy", 0.5, "", low=0.4, high=0.6), "eval")
    assert run_view.is_share(Metric("error_rate", 0.01, ""), "bench")
    assert not run_view.is_share(Metric("mrr", 0.5, "", low=0.4, high=0.6), "docs_eval")
    assert not run_view.is_share(Metric("ndcg_5", 0.5, "", low=0.4, high=0.6), "docs_eval")
    assert not run_view.is_share(Metric("requests", 1.0, ""), "bench")
    assert not run_view.is_share(Metric("ratio", 0.9, "", low=0.7, high=1.1), "eval")


def test_a_map_leaves_open_what_was_not_measured():
    metrics = [
        Metric("needle_found", value, "share", {"language": "ko", "length": length, "depth": depth}, n=5)
        for length, depth, value in ((256, 0, 1.0), (1024, 0, 0.42), (256, 100, 0.0))
    ]
    (found,) = run_view.heat_maps(metrics, "en")
    assert found.columns == ("256", "1,024")
    assert found.rows[0][0] == "0 %"
    assert [cell.level for cell in found.rows[0][1]] == [10, 4]
    assert found.rows[1][1][0].level == 0
    assert found.rows[1][1][1] is None


def test_parts_of_a_suite_make_a_map_where_there_are_some():
    whole = Metric("accuracy", 0.6, "", {"suite": "s", "scorer": "c"})
    parts = [Metric("accuracy", 0.1 * n, "", {"suite": "s", "scorer": "c", "tag_level": n}) for n in (1, 2)]
    assert run_view.heat_maps([whole, parts[0]], "en") == []
    (found,) = run_view.heat_maps([whole, *parts], "ko")
    assert [row for row, _ in found.rows] == ["전체", "level 1", "level 2"]


def test_an_answer_without_text_is_the_choice_that_weighed_most():
    assert run_view.said(answer(Response("Seoul"))) == "Seoul"
    assert run_view.said(answer(Response("", letters=(-2.0, -0.1, -math.inf)))) == "→ B"
    assert run_view.said(answer(Response("", continuations=(-0.5, -3.0)))) == "→ A"
    assert run_view.said(answer(Response(""))) == "–"


def test_a_long_text_is_cut_and_says_so_and_half_characters_do_no_harm():
    assert run_view.shortened("x" * 1500) == ("x" * 1500, True)
    text, whole = run_view.shortened("y" * 1501)
    assert (len(text), whole) == (1500, False)
    assert run_view.shortened("\ud83d")[0] == "?"
    assert run_view.shortened(None) == ("", True)
