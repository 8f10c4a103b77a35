"""Charts are SVG that takes colour and font from the page, with its words in the reader's language."""

import re
from xml.etree import ElementTree

import pytest

from inhouse.core.records import Series
from inhouse.report.charts import charts_of, over_time
from inhouse.report.language import LANGUAGES
from inhouse.report.tables import tables


def words(svg: str) -> set[str]:
    return {"".join(node.itertext()) for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("text")}


@pytest.mark.parametrize("lang", LANGUAGES)
def test_there_is_a_chart_for_each_question(document, lang):
    assert list(charts_of(tables(document), lang)) == [
        "ttft_by_streams", "throughput_by_streams", "latency_by_prompt", "memory_by_context", "cold_start_parts",
    ]  # fmt: skip


def test_colours_are_the_pages_so_that_one_drawing_serves_light_and_dark(document):
    for chart in charts_of(tables(document), "ko").values():
        colours = set(re.findall(r'(?:fill|stroke)="([^"]*)"', chart.svg))
        assert colours <= {
            "none", "transparent", "var(--ink)", "var(--muted)", "var(--line)", "var(--paper)",
            "var(--series-1)", "var(--series-2)", "var(--series-3)",
        }, chart.name  # fmt: skip
        assert "font-family" not in chart.svg


def test_words_are_in_the_readers_language(document):
    made = tables(document)
    korean, english = charts_of(made, "ko"), charts_of(made, "en")
    assert {"동시 요청", "초", "p50", "p95"} <= words(korean["ttft_by_streams"].svg)
    assert {"Requests at once", "s", "p50", "p95"} <= words(english["ttft_by_streams"].svg)
    assert {"프로세스 시작", "모델 적재", "첫 토큰", "캐시 있음", "캐시 비움"} <= words(korean["cold_start_parts"].svg)


def test_the_axis_is_marked_where_something_was_measured(document):
    assert {"1", "2", "4", "8"} <= words(charts_of(tables(document), "en")["throughput_by_streams"].svg)


def test_a_chart_that_holds_predictions_says_so_and_dashes_them(document):
    charts = charts_of(tables(document), "en")
    assert charts["memory_by_context"].predicted
    assert 'stroke-dasharray="4,3"' in charts["memory_by_context"].svg
    assert not charts["ttft_by_streams"].predicted


def test_a_chart_scales_with_the_page_and_tells_a_screen_reader_what_it_is(document):
    root = ElementTree.fromstring(charts_of(tables(document), "ko")["ttft_by_streams"].svg)
    assert "width" not in root.attrib
    assert root.attrib["viewBox"]
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"]


def test_a_long_course_is_thinned_to_what_can_be_seen():
    times = tuple(step / 10 for step in range(36_000))  # an hour
    stretches = [
        Series("cpu_percent", "%", times[18_000:], (100.0,) * 18_000, {"stage": "b"}),
        Series("cpu_percent", "%", times[:18_000], (50.0,) * 18_000, {"stage": "a"}),
    ]
    chart = over_time("cpu_percent", "run", stretches, "en")
    assert chart is not None
    assert len(chart.svg) < 30_000
    assert "%" in words(chart.svg)


@pytest.mark.parametrize("stretches", [[], [Series("cpu_percent", "%", (0.0, 0.1), (1.0, 2.0))]])
def test_what_is_too_short_for_a_course_is_not_drawn(stretches):
    assert over_time("cpu_percent", "run", stretches, "en") is None
