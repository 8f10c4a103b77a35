"""A browser on the gateway's pages: each look in a context of its own, signed in, and strict about what goes wrong."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from running_gateway import Running, serving
from talking_engine import TalkingEngine

from inhouse.gateway.key_store import KeyStore
from inhouse.gateway.server import listen
from inhouse.store.database import Database

INHOUSE = Path(sys.executable).with_name("inhouse")


@dataclass(frozen=True)
class Site:
    """A gateway with pages: an admin's key and a user's, and the store they are in."""

    url: str
    admin: str
    user: str
    store_url: str
    running: Running | None = None
    """Where it runs in this process."""
    folder: Path = Path()
    """Where a test keeps what the site reads."""


def make_keys(store_url: str) -> tuple[str, str]:
    """An admin's key and a user's."""
    database = Database(store_url)
    try:
        keys = KeyStore(database)
        return keys.create("boss", role="admin")[1], keys.create("worker", team="search")[1]
    finally:
        database.close()


@contextmanager
def real_site(folder: Path, *options: str, **environment: str) -> Iterator[Site]:
    """`inhouse serve` with the small model, in a process of its own."""
    store_url = f"sqlite:///{folder}/inhouse.db"
    admin, user = make_keys(store_url)
    probe = listen("127.0.0.1", 0)
    port = probe.getsockname()[1]
    probe.close()
    env = {**os.environ, "INHOUSE_DATA_DIR": str(folder), "INHOUSE_STORE_URL": store_url, **environment}
    with (folder / "log").open("wb") as log:
        command = [INHOUSE, "serve", "--model", "smollm2:135m", "--port", str(port), *options]
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        try:
            _wait_for(f"http://127.0.0.1:{port}/readyz", process, folder / "log")
            yield Site(f"http://127.0.0.1:{port}", admin, user, store_url)
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def talking_site(store_url: str, engine: TalkingEngine | None = None, **parts) -> Iterator[Site]:
    """A gateway before a talking engine, on an event loop in a thread of its own; see `running_gateway.serving`."""
    admin, user = make_keys(store_url)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    gateway = serving(store_url, engine, **parts)
    running = asyncio.run_coroutine_threadsafe(gateway.__aenter__(), loop).result(30)
    try:
        yield Site(running.url, admin, user, store_url, running)
    finally:
        asyncio.run_coroutine_threadsafe(gateway.__aexit__(None, None, None), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def _wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def chromium() -> str | None:
    """Debian's browser."""
    return shutil.which("chromium")


@dataclass
class Looks:
    """Opens pages in a browser; `complaints` are what it found wrong (errors of scripts, what the policy refused)."""

    browser: Browser
    complaints: list[str] = field(default_factory=list)

    def open(
        self,
        site: Site,
        path: str,
        key: str | None = None,
        *,
        lang: str = "en",
        theme: str = "light",
        width: int = 1280,
        height: int = 900,
    ) -> Page:
        """The page, with who holds the key signed in."""
        context = self.browser.new_context(
            locale={"ko": "ko-KR", "en": "en-US"}[lang], viewport={"width": width, "height": height}, base_url=site.url
        )
        context.set_default_timeout(10_000)
        # With the path of the gateway's own: another would stay beside the one that a choice sets.
        where = {"domain": urlsplit(site.url).hostname, "path": "/ui"}
        context.add_cookies([{"name": "inhouse_theme", "value": theme, **where}])
        page = context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(f"{page.url}: {error}"))
        page.on("console", lambda said: said.type == "error" and self.complaints.append(f"{page.url}: {said.text}"))
        if key is not None:
            page.goto("/ui/sign-in")
            page.locator("#key").fill(key)
            page.locator("main button").click()
            page.wait_for_url(lambda url: "sign-in" not in url)
        page.goto(path)
        return page


def violations(page: Page) -> str:
    """What axe finds wrong with the page for people with disabilities; empty where nothing is."""
    results = Axe().run(page, options={"resultTypes": ["violations"]})
    return results.generate_report() if results.violations_count else ""


def too_wide(page: Page) -> bool:
    """Whether the page can be pushed sideways."""
    return page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
