"""A browser, and gateways with pages to look at."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from browsing import Looks, Site, chromium, real_site, talking_site
from playwright.sync_api import Browser, sync_playwright


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """For modules whose tests and fixtures are none of them async: while it is open, its own event loop runs."""
    path = chromium()
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is not installed; CI must install it")
        pytest.skip("chromium is not installed")
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def looks(browser) -> Iterator[Looks]:
    """Opens pages; the test fails where the browser complained of one."""
    looks = Looks(browser)
    yield looks
    for context in browser.contexts:
        context.close()
    assert looks.complaints == []


@pytest.fixture(scope="session")
def site(tmp_path_factory, tiny_model) -> Iterator[Site]:
    """`inhouse serve` with smollm2:135m, for all tests that leave it as they found it."""
    with real_site(tmp_path_factory.mktemp("site")) as served:
        yield served


@pytest.fixture
def talking(store_url) -> Iterator[Site]:
    """A gateway of the test's own whose model says back what it was told."""
    with talking_site(store_url) as served:
        yield served
