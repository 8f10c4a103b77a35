"""The dashboard in a browser: its figures move under load, in both languages and themes, on a phone, for everybody."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import urllib.request
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import psutil
import pytest
from browsing import real_site, talking_site, too_wide, violations
from playwright.sync_api import expect
from talking_engine import TalkingEngine

from inhouse.gateway.prices import Price
from inhouse.gateway.traffic.alert_book import Reading
from inhouse.gateway.traffic.meter import Bin

PRICE = Price((10**9,) * 3, (10**10,) * 3)


@pytest.fixture
def site(store_url):
    with talking_site(store_url, TalkingEngine("parrot"), prices={"parrot": PRICE}) as served:
        yield served


@contextmanager
def load(site, key):
    """Asks again and again until the block ends."""
    ends = threading.Event()

    def ask() -> None:
        body = json.dumps({"model": "parrot", "messages": [{"role": "user", "content": "one two three"}]}).encode()
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        while not ends.wait(0.02):
            with suppress(OSError):
                urllib.request.urlopen(urllib.request.Request(f"{site.url}/v1/chat/completions", body, headers)).read()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        ends.set()
        asking.join(10)


def moves(page, name) -> None:
    """The figure changes, and changes again."""
    figure = page.locator(f"[data-figure={name}]")
    for _ in range(2):
        expect(figure).not_to_have_text(figure.inner_text(), timeout=15_000)


def drawn(page, name) -> int:
    """How many of a chart's dots are not of one colour with its ground."""
    return page.locator(f"[data-chart={name}] canvas").evaluate(
        """(canvas) => {
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let count = 0;
          for (let at = 3; at < data.length; at += 4) count += data[at] > 0;
          return count;
        }"""
    )


@pytest.mark.parametrize(("lang", "theme", "width"), [("ko", "dark", 320), ("en", "light", 1280)])
def test_the_figures_of_an_admin_move_under_load(site, looks, lang, theme, width):
    page = looks.open(site, "/ui/dashboard", site.admin, lang=lang, theme=theme, width=width, height=800)
    expect(page.locator("#state")).to_have_class("live")
    with load(site, site.user):
        expect(page.locator("#keys")).to_contain_text("worker")
        moves(page, "tokens_s")
        moves(page, "month_krw")
        expect(page.locator("[data-figure=ttft]")).to_contain_text("ms")
        expect(page.locator("#models")).to_contain_text({"ko": "준비됨", "en": "Ready"}[lang])
        expect(page.locator("#machines")).to_contain_text("CPU")
        expect(page.locator("[data-chart=requests] canvas")).to_be_visible()
        assert drawn(page, "requests") > 500
        assert not too_wide(page)
        assert violations(page) == ""


def test_a_user_watches_their_own_use_and_no_more(site, looks):
    page = looks.open(site, "/ui/dashboard", site.user, lang="ko", width=320, height=640)
    with load(site, site.admin):
        expect(page.locator("#state")).to_have_text("실시간")
        page.wait_for_timeout(2500)
        expect(page.locator("[data-figure=requests_s]")).to_have_text("0")
    with load(site, site.user):
        expect(page.locator("[data-figure=requests_s]")).not_to_have_text("0")
    for place in ("#keys", "#machines", "#alerts", "#of"):
        expect(page.locator(place)).to_have_count(0)
    assert not too_wide(page)
    assert violations(page) == ""


def test_a_range_is_chosen_with_the_keyboard_and_drawn_from_the_history(site, looks):
    gateway = site.running.gateway
    hour = int(gateway.clock() // 3600) * 3600
    history = gateway.traffic.history
    history.write([Bin(3600, hour - 3600 * n, "all", {"requests": 60.0 * n, "ttft:90": 5}) for n in range(1, 100)])
    page = looks.open(site, "/ui/dashboard", site.admin)
    page.locator("#range").focus()
    page.keyboard.type("7 days")
    page.wait_for_url("**range=7d*")
    expect(page.locator("#came")).to_contain_text("297,000")
    expect(page.locator("[data-chart=ttft] canvas")).to_be_visible()
    assert drawn(page, "ttft") > 500
    assert violations(page) == ""


def test_an_alert_appears_on_an_open_page_and_goes(site, looks):
    page = looks.open(site, "/ui/dashboard", site.admin)
    expect(page.locator("#alerts")).to_contain_text("None in the last day")
    name = "host:<img src=x onerror=window.hit=1>"
    book = site.running.gateway.alerts.book
    now = datetime.now(UTC)
    book.settle([Reading("disk", name, 0.97, 0.9)], (), now)
    site.running.gateway.traffic.history.write([Bin(10, int(now.timestamp()), name, {"samples": 1})])
    expect(page.locator("#alerts")).to_contain_text("97 % full", timeout=20_000)
    expect(page.locator("#alerts")).to_contain_text("<img src=x")
    assert page.evaluate("window.hit") is None
    assert violations(page) == ""
    book.settle([Reading("disk", name, 0.5, 0.9)], (), now)
    expect(page.locator("#alerts")).to_contain_text("Over: Machine", timeout=20_000)


def test_who_is_signed_out_elsewhere_is_led_to_sign_in(site, looks):
    page = looks.open(site, "/ui/dashboard", site.user)
    expect(page.locator("#state")).to_have_class("live")
    key = next(one for one in site.running.keys.all() if one.name == "worker")
    site.running.keys.revoke(key.id)
    page.wait_for_url("**/ui/sign-in*", timeout=20_000)


def test_a_page_that_nobody_sees_asks_for_nothing(site, looks):
    page = looks.open(site, "/ui/dashboard", site.admin)
    expect(page.locator("#state")).to_have_class("live")
    traffic = site.running.gateway.traffic
    assert traffic.viewers == 1
    page.evaluate(
        """() => {
          Object.defineProperty(document, "hidden", { value: true, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    for _ in range(100):
        if traffic.viewers == 0:
            break
        page.wait_for_timeout(100)
    assert traffic.viewers == 0


def test_a_real_engine_is_seen_to_answer_to_die_and_to_come_back(looks, tmp_path, tiny_model):
    with real_site(tmp_path) as site:
        page = looks.open(site, "/ui/dashboard", site.admin)
        expect(page.locator("#models .state")).to_have_text("Ready")
        ask(site, site.user, "smollm2:135m")
        expect(page.locator("[data-figure=tokens_s]")).not_to_have_text("0")
        expect(page.locator("[data-figure=ttft]")).to_have_text(re.compile(r"^[\d.]+\sm?s$"))
        expect(page.locator("#machines")).to_contain_text("Engine", timeout=20_000)
        restarts = page.locator("#models td").last
        expect(restarts).to_have_text("0")
        os.kill(engine_of(site), signal.SIGKILL)
        expect(restarts).to_have_text("1", timeout=30_000)
        expect(page.locator("#models .state")).to_have_text("Ready", timeout=30_000)
        page.context.close()


def ask(site, key, model) -> None:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 40}).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(f"{site.url}/v1/chat/completions", body, headers), timeout=60).read()


def engine_of(site) -> int:
    """The process that runs the model for the gateway on that port."""
    port = site.url.rpartition(":")[2]
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "serve" in command and port in command:
            for child in process.children():
                if "inhouse.engines.worker" in child.cmdline():
                    return child.pid
    raise AssertionError("no engine runs")
