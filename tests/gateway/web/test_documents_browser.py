"""The documents' pages in a browser: upload, search with scores, sources that open, and what a key may see."""

from __future__ import annotations

from dataclasses import replace

import pytest
from asked_documents import SayingModel, make_collection
from browsing import talking_site, too_wide, violations
from kept_runs import build_runs
from kept_study import ENVIRONMENT
from playwright.sync_api import expect

from inhouse.core.records import Metric, RunStatus
from inhouse.docs.embed import NanoEmbedder
from inhouse.docs.sources import Source, keep_source
from inhouse.engines.base import Health
from inhouse.gateway.documents import Collection, DocumentsUpstream
from inhouse.gateway.failover import Router
from inhouse.gateway.pool import Offer
from inhouse.gateway.replica import Replica
from inhouse.store.repository import Store

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

    keep_source(searcher.store, Source(tmp_path / "files", rules=(("hr", frozenset({"hr"})),)))
    lock = tmp_path / "docs" / "default.lock"
    collections = Opened(default=Collection("default", searcher, "m", 5, 100, lock))
    model = Model(lambda request: "Every employee has 25 days [1], surely [42].")
    upstream = DocumentsUpstream(Router({"m": Offer((Replica("saying", model, "m", 4),))}), collections)
    with talking_site(store_url, upstream=upstream, documents=collections) as site:
        yield replace(site, folder=tmp_path)


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


def test_an_admin_syncs_the_folders_and_sees_what_was_done_and_what_failed(looks, library):
    files = library.folder / "files"
    (files / "parking.md").write_text(ATTACK, encoding="utf-8")
    (files / "travel.md").unlink()
    (files / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    page = looks.open(library, "/ui/documents/default", library.admin)
    page.get_by_role("button", name="Sync now").click()
    folders = page.locator("#folders")
    expect(folders).to_contain_text("1 added", timeout=60_000)  # the page is loaded anew once the sync has ended
    expect(folders).to_contain_text("1 deleted")
    expect(folders).to_contain_text("1 could not be read")
    expect(folders.locator("li")).to_contain_text("broken.pdf: The PDF is broken")
    expect(page.locator(".documents")).to_contain_text("parking.md")
    expect(page.locator(".documents")).not_to_contain_text("travel.md")
    assert violations(page) == ""
    assert page.evaluate("window.hit") is None
    user = looks.open(library, "/ui/documents/default", library.user)
    expect(user.locator("#folders")).to_have_count(0)
    csrf = user.locator("body").get_attribute("data-csrf")
    for method in ("get", "post"):
        sent = getattr(user.request, method)("/ui/documents/default/sync", headers={"X-CSRF-Token": csrf})
        assert sent.status == 403
    assert page.request.post("/ui/documents/default/sync").status == 403  # without the token of a page of ours


@pytest.mark.parametrize(("lang", "theme"), [("ko", "dark"), ("en", "light")])
def test_what_was_measured_of_a_collection_stands_beside_it(looks, library, lang, theme):
    with Store(library.store_url) as store:
        build_runs(store)
        labels = {"suite": "x"}
        run = store.create_run("docs_eval", {"collection": "default", "questions": 12}, seed=0, environment=ENVIRONMENT)
        store.set_metrics(run.id, [Metric("recall_5", 0.917, "", {}, 0.75, 1.0, 12), Metric("mrr", 0.8, "", labels)])
        store.finish_run(run.id, RunStatus.DONE)
    page = looks.open(library, "/ui/documents/default", library.admin, lang=lang, theme=theme, width=320)
    measured = page.locator("#measured")
    expect(measured.locator("tbody tr").first).to_contain_text("0.917")
    expect(measured.locator(".heat caption").first).to_have_text("mrr")
    assert not too_wide(page)
    assert violations(page) == ""
    user = looks.open(library, "/ui/documents/default", library.user)
    expect(user.locator("#measured")).to_have_count(0)  # runs are for admins here
