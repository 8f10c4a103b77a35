"""Runs, review, traces and reports in a browser: open to all, safe with hostile texts, judged with the keyboard."""

from __future__ import annotations

import shutil

import pytest
from browsing import too_wide, violations
from kept_site import ADMIN_PATHS, kept_site
from playwright.sync_api import expect

from inhouse.quality.answers import Answers
from inhouse.store.database import Database

LARGEST = 150_000
"""Bytes that a page may take, with its scripts and styles, where a browser has none of them yet."""


@pytest.fixture(scope="module")
def kept(tmp_path_factory, empty_store):
    """For tests that leave it as they found it, or change what the others do not look at."""
    folder = tmp_path_factory.mktemp("kept")
    shutil.copy(empty_store, folder / "g.db")
    with kept_site(f"sqlite:///{folder}/g.db", folder) as site:
        yield site


@pytest.mark.parametrize(("lang", "theme", "width"), [("en", "light", 1280), ("ko", "dark", 320)])
def test_every_page_is_open_to_all_fits_a_phone_and_runs_nothing_that_a_model_wrote(looks, kept, lang, theme, width):
    page = looks.open(kept.site, "/ui/me", kept.site.admin, lang=lang, theme=theme, width=width, height=700)
    for path in [*kept.run_paths, *ADMIN_PATHS]:
        answer = page.goto(path)
        assert answer.status == 200, path
        if "compare" in path:
            expect(page.locator("#rows table").first).to_be_visible()
        assert page.locator("h1").count() == 1, path
        assert not too_wide(page), path
        assert violations(page) == "", path
        assert page.evaluate("window.hit") is None, path
        page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true })")
    assert page.evaluate("window.hit") is None


def test_texts_of_models_are_shown_as_they_were_written(looks, kept):
    page = looks.open(kept.site, f"/ui/runs/{kept.runs.bench}/samples/0", kept.site.admin)
    expect(page.locator("main")).to_contain_text("Answer 0 <img src=x onerror=window.hit=1><script>")
    page.goto(f"/ui/runs/{kept.runs.eval}/answers/1")
    expect(page.locator("main")).to_contain_text("It is **0** <img src=x onerror=window.hit=1>")
    page.goto(f"/ui/runs/traces/{kept.trace}")
    page.get_by_text("What was sent and came back").click()
    expect(page.locator(".sent pre")).to_contain_text("<img src=x onerror=window.hit=1>")
    page.goto("/ui/admin/audit")
    expect(page.locator("tbody")).to_contain_text("boss <img src=x onerror=window.hit=1>")
    assert page.evaluate("window.hit") is None


def test_every_page_is_small_where_nothing_is_cached(looks, kept):
    page = looks.open(kept.site, "/ui/me", kept.site.admin)
    for path in ["/ui/chat", *kept.run_paths, *ADMIN_PATHS]:
        sizes: list[int] = []

        def count(answer, sizes=sizes):
            if f"/{kept.runs.study}/en" not in answer.url:  # the report in its frame, which comes after the page
                sizes.append(int(answer.headers.get("content-length") or len(answer.body())))

        page.on("response", count)
        page.goto(path)
        page.remove_listener("response", count)
        assert 0 < sum(sizes) < LARGEST, (path, sizes)


def test_two_runs_are_chosen_and_compared(looks, kept):
    page = looks.open(kept.site, "/ui/runs?kind=eval", kept.site.admin)
    expect(page.locator("tbody tr")).to_have_count(3)
    for one in (kept.runs.eval, kept.runs.eval_after):
        page.locator(f"input[value='{one}']").check()
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("h1")).to_have_text("Two runs compared")
    row = page.locator("tbody tr", has_text="capitals").first
    expect(row).to_contain_text("50 %")
    expect(row).to_contain_text("90 %")
    expect(row).to_contain_text("worse")  # the newest stands first in the list, so that it is A
    page.get_by_role("link", name="Swap A and B").click()
    expect(page.locator("tbody tr", has_text="capitals").first).to_contain_text("better")


def test_needles_stand_in_a_map_by_depth_and_length(looks, kept):
    page = looks.open(kept.site, f"/ui/runs/{kept.runs.needles}", kept.site.admin)
    maps = page.locator(".heat")
    expect(maps).to_have_count(2)
    expect(maps.first.locator("tbody tr").first.locator("td").last).to_have_class("h0")
    expect(maps.first.locator("tbody tr").last.locator("td").first).to_have_text("93.8 %")


def test_answers_are_judged_with_single_keys_and_agreement_is_shown(looks, kept):
    page = looks.open(kept.site, f"/ui/runs/{kept.runs.eval_after}/review?limit=12", kept.site.admin)
    expect(page.locator("#judged")).not_to_contain_text("contains")  # no verdict of a scorer leads the reviewer
    first = page.locator("#judged h2").inner_text()
    page.locator("#note").fill("yes, nearly")  # letters in a field are no verdicts
    page.locator("main").click(position={"x": 3, "y": 3})
    page.keyboard.press("h")
    for done in range(1, 12):
        expect(page.locator("p[role=status]")).to_have_text(f"{done} of 12 judged by you")
        page.keyboard.press("n" if done == 5 else "y")
    expect(page.locator("#all-done")).to_be_visible()
    expect(page.locator("#trust tbody tr")).to_contain_text("contains")
    expect(page.locator("#trust tbody td").first).to_have_text("12")
    assert violations(page) == ""
    page.get_by_text("What you have judged").click()
    expect(page.locator("details li", has_text=first)).to_contain_text("half right: yes, nearly")
    database = Database(kept.site.store_url)
    try:
        labels = Answers(database).labels(kept.runs.eval_after)
    finally:
        database.close()
    assert sorted(label.value for label in labels) == [0.0, 0.5, *[1.0] * 10]
    assert {label.person for label in labels} == {labels[0].person}
    assert labels[0].person.startswith("boss (")


def test_single_keys_can_be_turned_off(looks, kept):
    page = looks.open(kept.site, f"/ui/runs/{kept.runs.eval}/review", kept.site.admin)
    page.locator("#keys").uncheck()
    page.locator("h1").click()
    page.keyboard.press("y")
    page.reload()
    expect(page.locator("#keys")).not_to_be_checked()
    expect(page.locator("p[role=status]")).to_have_text("0 of 20 judged by you")


def test_a_studys_report_stands_in_a_frame_that_runs_nothing_in_the_language_asked_for(looks, kept):
    page = looks.open(kept.site, "/ui/report", kept.site.admin, theme="dark")
    page.locator("tbody a").first.click()
    frame = page.frame_locator("iframe")
    expect(frame.locator("html")).to_have_attribute("data-theme", "dark", timeout=60_000)
    expect(frame.locator("h1")).to_have_text("It is too early to run this in service")
    page.get_by_role("link", name="한국어").click()
    expect(frame.locator("html")).to_have_attribute("lang", "ko", timeout=60_000)
    answer = page.request.get(f"/ui/report/{kept.runs.study}/ko")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "script-src" not in policy
    assert page.locator("iframe").get_attribute("sandbox") == "allow-popups"
