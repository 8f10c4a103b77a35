"""The page that describes the API: complete, and with nothing that a browser would have to fetch."""

from __future__ import annotations

import asyncio
import re
import shutil

import httpx
import pytest
from playwright.sync_api import sync_playwright

from inhouse.gateway.docs_page import docs_page


async def test_every_operation_and_schema_is_on_the_page_and_every_link_leads_somewhere(running):
    async with httpx.AsyncClient(base_url=running.url) as http:
        document = (await http.get("/openapi.json")).json()
        answer = await http.get("/docs")
    page = answer.text
    for path, operations in document["paths"].items():
        for method in operations:
            assert f'<span class="method">{method.upper()}</span><code>{path}</code>' in page
    names = set(document["components"]["schemas"])
    assert {"ChatBody", "OllamaChatBody", "NewKey"} <= names
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert {f"of-{name}" for name in names} <= set(ids)
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)
    assert f"curl -X POST {running.url}/v1/chat/completions" in page


async def test_nothing_is_loaded_from_anywhere_and_no_script_can_run(running):
    async with httpx.AsyncClient(base_url=running.url) as http:
        answer = await http.get("/docs")
    assert "<script" not in answer.text
    assert not re.search(r'(src|href)="https?:', answer.text)
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_names_and_descriptions_are_text_and_not_html():
    evil = "<img src=x onerror=alert(1)>"
    operation = {"tags": [evil], "summary": evil, "responses": {"200": {"description": evil}}}
    schema = {
        "properties": {evil: {"enum": [evil]}, "b": {"$ref": f"#/x/{evil}"}, "c": {"type": evil}},
        "description": evil,
    }
    page = docs_page(
        {
            "info": {"title": evil, "version": evil},
            "paths": {f"/{evil}": {"get": operation}},
            "components": {"schemas": {evil: schema}},
        },
        evil,
    )
    assert "<img" not in page


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
async def test_a_browser_shows_it_styled_without_asking_for_anything_else(running):
    def look() -> tuple[list[str], list[str], str, bool]:
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 400, "height": 800})
            asked: list[str] = []
            complaints: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            page.on("console", lambda message: complaints.append(message.text))
            page.goto(f"{running.url}/docs")
            font = page.evaluate("getComputedStyle(document.body).maxWidth")
            wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
            browser.close()
            return asked, complaints, font, wide

    asked, complaints, width, too_wide = await asyncio.to_thread(look)
    assert [url for url in asked if not url.endswith("/favicon.ico")] == [f"{running.url}/docs"]
    assert [text for text in complaints if "favicon" not in text and "404" not in text] == []
    assert width == "992px"  # the style was taken, so its hash in the policy is right
    assert not too_wide
