"""Each page of the gateway is painted within a second, and weighs under 150 kB, where a browser has nothing of it yet.

A gateway over a store with a study, benches and evaluations; Debian's Chromium with an empty cache for every page, both
on this machine. Prints each page's first contentful paint (median of some visits) and what was loaded for it.

    python benchmarks/page_paint.py [--visits 5]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from browsing import chromium  # type: ignore[import-not-found]
from kept_site import ADMIN_PATHS, kept_site  # type: ignore[import-not-found]

MOST_S = 1.0
MOST_BYTES = 150_000
_LOADED = """() => {
  const [page] = performance.getEntriesByType("navigation");
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  const parts = performance.getEntriesByType("resource").filter((one) => one.initiatorType !== "iframe");
  return [paint ? paint.startTime : null, parts.reduce((sum, one) => sum + one.transferSize, page.transferSize)];
}"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=5)
    visits = parser.parse_args().visits
    worst_s, worst_bytes = 0.0, 0
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        with kept_site(f"sqlite:///{folder}/g.db", Path(folder)) as kept:
            state = signed_in(browser, kept.site.url, kept.site.admin)
            for path in ["/ui/chat", "/ui/dashboard", *kept.run_paths, *ADMIN_PATHS]:
                found = [look(browser, kept.site.url, path, state) for _ in range(visits)]
                paint_s = statistics.median(one for one, _ in found)
                weight = max(size for _, size in found)
                print(f"{path[:70]:<70} {paint_s * 1000:6.0f} ms {weight / 1000:7.1f} kB")
                worst_s, worst_bytes = max(worst_s, paint_s), max(worst_bytes, weight)
        browser.close()
    print(f"slowest first paint {worst_s * 1000:.0f} ms, heaviest page {worst_bytes / 1000:.1f} kB")
    return int(worst_s > MOST_S or worst_bytes > MOST_BYTES)


def signed_in(browser: Browser, url: str, key: str) -> Any:
    """The cookies of who holds the key."""
    context = browser.new_context(base_url=url)
    page = context.new_page()
    page.goto("/ui/sign-in")
    page.locator("#key").fill(key)
    page.locator("main button").click()
    page.wait_for_url(lambda address: "sign-in" not in address)
    state = context.storage_state()
    context.close()
    return state


def look(browser: Browser, url: str, path: str, state: Any) -> tuple[float, int]:
    """Seconds to the first contentful paint, and bytes over the wire, in a browser that has nothing of the page."""
    # Waiting for a function evaluates code, which the pages' own policy forbids.
    context = browser.new_context(base_url=url, storage_state=state, bypass_csp=True)
    page = context.new_page()
    page.goto(path)
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length > 0")
    paint_ms, size = page.evaluate(_LOADED)
    context.close()
    return paint_ms / 1000, int(size)


if __name__ == "__main__":
    sys.exit(main())
