"""The documents' pages in a browser: upload, search with scores, sources that open, and what a key may see."""

from __future__ import annotations

import pytest
from asked_documents import SayingModel, make_collection
from browsing import talking_site, too_wide, violations
from playwright.sync_api import expect

from inhouse.docs.embed import NanoEmbedder
from inhouse.engines.base import Health
from inhouse.gateway.documents import Collection, DocumentsUpstream
from inhouse.gateway.failover import Router
from inhouse.gateway.pool import Offer
from inhouse.gateway.replica import Replica

LEAVE = "How many days of annual leave do employees have?"
ATTACK = "# <img src=x onerror=window.hit=1>\n\nThe car park opens at six. <script>window.hit=1</script>\n"


class Model(SayingModel):
    """A whole engine as the router wants one."""

    async def health(self):
        return Health(True)

    async def loaded(self):
        return ()

    async def close(self):
        pass


@pytest.fixture(scope="module")
def embedder():
    return NanoEmbedder(threads=1)


@pytest.fixture
def library(store_url, embedder, tmp_path):
    searcher = make_collection(tmp_path, embedder)

    class Opened(dict):
        def close(self):
            searcher.store.close()

    collections = Opened(default=Collection("default", searcher, "m", 5, 100))
    model = Model(lambda request: "Every employee has 25 days [1], surely [42].")
    upstream = DocumentsUpstream(Router({"m": Offer((Replica("saying", model, "m", 4),))}), collections)
    with talking_site(store_url, upstream=upstream, documents=collections) as site:
        yield site


def test_an_answers_source_opens_at_its_passage(looks, library):
    page = looks.open(library, "/ui/chat", library.user)
    page.locator("#model").select_option("docs/default")
    page.locator("#text").fill(LEAVE)
    page.locator("#text").press("Enter")
    expect(page.locator("article.model [data-do=retry]")).to_be_visible()
    answer = page.locator("article.model .text")
    expect(answer).to_contain_text("25 days [1], surely")
    expect(answer).not_to_contain_text("Sources:")
    expect(page.locator(".sources")).to_contain_text("leave.md › Leave › Annual leave")
    assert violations(page) == ""
    page.goto(answer.locator(".cite").get_attribute("href"))
    expect(page.locator("#passage")).to_contain_text("25 days of annual leave")
    assert violations(page) == ""


@pytest.mark.parametrize(("lang", "theme"), [("ko", "dark"), ("en", "light")])
def test_an_upload_is_found_a_failure_is_named_and_nothing_in_a_document_runs(looks, library, lang, theme):
    page = looks.open(library, "/ui/documents/default", library.admin, lang=lang, theme=theme, width=320, height=640)
    bad = {"name": "empty.md", "mimeType": "text/markdown", "buffer": b""}
    good = {"name": "parking.md", "mimeType": "text/markdown", "buffer": ATTACK.encode()}
    page.locator("#files").set_input_files([good])
    expect(page.locator("#uploads .good")).to_contain_text("parking.md")
    looks.complaints.clear()
    page.locator("#files").set_input_files([bad])
    expect(page.locator("#uploads .problem")).to_contain_text("empty")
    looks.complaints.clear()  # the browser notes the refusal itself
    page.locator("#q").fill("When does the car park open?")
    page.locator("#q").press("Enter")
    expect(page.locator(".hits li").first).to_contain_text("parking.md")
    expect(page.locator(".hits li").first).to_contain_text("BM25")
    assert not too_wide(page)
    assert violations(page) == ""
    page.locator(".hits a").first.click()
    expect(page.locator("#passage")).to_contain_text("<img src=x onerror=window.hit=1>")
    assert page.evaluate("window.hit") is None


def test_a_key_sees_and_does_only_what_it_may(looks, library):
    page = looks.open(library, "/ui/documents/default?q=salary", library.user)
    expect(page.locator(".documents li")).to_have_count(3)
    expect(page.locator("main")).not_to_contain_text("salaries")
    expect(page.locator("#drop")).to_have_count(0)
    csrf = page.locator("body").get_attribute("data-csrf")
    sent = page.request.post(
        "/ui/documents/default/upload?path=a.md",
        data="# x",
        headers={"X-CSRF-Token": csrf, "Content-Type": "text/plain"},
    )
    assert sent.status == 403
    boss = looks.open(library, "/ui/documents/default", library.admin)
    expect(boss.locator(".documents li")).to_have_count(4)
    secret = boss.locator(".documents a", has_text="salaries").get_attribute("href")
    assert page.request.get(secret).status == 404
