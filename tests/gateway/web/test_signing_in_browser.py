"""Signing in as a browser shows it: in both languages and themes, on a phone, with the keyboard."""

from __future__ import annotations

import pytest
from browsing import too_wide, violations
from playwright.sync_api import expect


def test_in_a_browser_one_signs_in_and_out_in_ones_own_language(talking, looks):
    page = looks.open(talking, "/ui/me", lang="ko")
    assert page.locator("h1").inner_text() == "로그인"
    page.locator("#key").fill("ih-nothing")
    page.keyboard.press("Enter")
    assert "폐기된 키" in page.locator("#problem").inner_text()
    looks.complaints.clear()  # the browser notes the 401
    page.locator("#key").fill(talking.user)
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/me")
    assert "worker" in page.locator("main").inner_text()
    page.get_by_role("button", name="English").click()
    assert page.locator("h1").inner_text() == "My key"
    page.reload()
    assert page.locator("h1").inner_text() == "My key"  # it is remembered
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/ui/sign-in")


def test_the_theme_follows_the_system_until_it_is_chosen_and_is_remembered(talking, looks):
    page = looks.open(talking, "/ui/sign-in", theme="auto")
    ground = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="light")
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(ground)
    assert light != dark
    page.get_by_role("button", name="Theme: system").click()
    page.emulate_media(color_scheme="light")
    expect(page.locator("body")).to_have_css("background-color", dark)  # the choice goes by way of the server
    page.goto("/ui/sign-in")
    assert page.evaluate(ground) == dark


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("lang", ["en", "ko"])
def test_the_pages_are_open_to_all_and_fit_a_phone(talking, looks, lang, theme):
    for path, key in (("/ui/sign-in", None), ("/ui/me", talking.user)):
        page = looks.open(talking, path, key, lang=lang, theme=theme, width=320, height=600)
        assert not too_wide(page)
        assert violations(page) == ""
