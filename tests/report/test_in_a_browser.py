"""The page in a real browser, where one is installed: it fits a phone, is dark in the dark, and asks for nothing."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from inhouse.report.html import render_html
from inhouse.report.language import LANGUAGES

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def browser() -> Iterator:
    from playwright.sync_api import sync_playwright

    quiet = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *quiet])
        yield opened
        opened.close()


@pytest.fixture(scope="module", params=LANGUAGES)
def url(request, kept, tmp_path_factory) -> str:
    path: Path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render_html(kept[1], request.param), encoding="utf-8")
    return path.as_uri()


def test_nothing_is_wider_than_a_phone(browser, url):
    page = browser.new_page(viewport={"width": 320, "height": 640})
    page.goto(url)
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    page.close()


def test_the_page_asks_for_nothing_and_complains_of_nothing(browser, url):
    page = browser.new_page()
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(url)
    assert asked == [url]
    assert said == []
    page.close()


def test_paper_and_chart_change_with_the_readers_scheme(browser, url):
    seen = {}
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(url)
        seen[scheme] = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor,"
            " getComputedStyle(document.querySelector('svg path[stroke^=\"var(--series\"]')).stroke]"
        )
        page.close()
    assert seen["light"][0] == "rgb(255, 255, 255)"
    assert seen["dark"][0] != seen["light"][0]
    assert seen["dark"][1] != seen["light"][1]
    assert all(colour.startswith("rgb") for _, colour in seen.values())


def test_the_link_of_a_figure_leads_to_its_run(browser, url):
    page = browser.new_page(reduced_motion="reduce")  # no smooth scrolling to wait for
    page.goto(url)
    page.locator(".reasons a.run").first.click()
    assert 0 <= page.evaluate("document.querySelector(':target').getBoundingClientRect().top") < 100
    page.close()


def test_on_paper_the_first_page_holds_the_decision_alone(browser, url):
    page = browser.new_page()
    page.goto(url)
    page.emulate_media(media="print")
    # A4 within its margins, in CSS pixels: 297 mm less 16 mm and 18 mm; 176 mm wide.
    page.set_viewport_size({"width": 665, "height": 994})
    assert page.evaluate("document.querySelector('.cover').getBoundingClientRect().height") < 994
    assert page.evaluate("getComputedStyle(document.querySelector('.cover')).breakAfter") == "page"
    page.close()
