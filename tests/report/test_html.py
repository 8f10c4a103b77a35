"""The page stands alone, escapes what it is given, and every figure in it leads to its run."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from kept_study import ENVIRONMENT, build_study

from inhouse.core.environment import Gpu
from inhouse.core.errors import UsageError
from inhouse.core.records import Evidence, Finding, Metric, RunStatus, Severity, Side
from inhouse.report.document import gather
from inhouse.report.html import render_html, write_html
from inhouse.report.language import LANGUAGES

ATTACK = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'


class Page(HTMLParser):
    """The parts of a page that the tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def every(self, attribute: str) -> list[str]:
        return [attrs[attribute] or "" for _, attrs in self.tags if attribute in attrs]

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words)).replace("\u2060", "")


@pytest.fixture(scope="module", params=LANGUAGES)
def page(request, kept) -> Page:
    return Page(render_html(kept[1], request.param))


def test_the_page_needs_no_network_and_no_script(document):
    text = render_html(document, "en")
    page = Page(text)
    assert not {"script", "link", "iframe", "img", "object", "embed", "form"} & {tag for tag, _ in page.tags}
    assert all(link.startswith("#") for link in page.every("href"))
    assert not page.every("src")
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_every_link_leads_somewhere_on_the_page(page):
    ids = page.every("id")
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in page.every("href")} <= set(ids)


def test_every_piece_of_evidence_is_shown_with_its_run_and_interval(document, page):
    links = page.every("href")
    for finding in document.findings:
        for evidence in finding.evidence:
            assert f"#run-{evidence.run_id}" in links
    assert "11.8–13.2" in page.text, "the interval of TTFT p95 under load"


def test_the_first_page_gives_the_verdict_three_reasons_and_the_machine(document):
    page = render_html(document, "ko")
    cover = page[page.index('<header class="cover">') : page.index("</header>")]
    assert "이대로 운영하기에는 이릅니다" in cover
    assert cover.count("<li>") == 3
    assert "심각 3건, 주의 3건, 좋음 2건" in cover
    assert "AMD EPYC 7B13" in cover
    assert "요청 240건" in cover


def test_a_prediction_is_labelled_wherever_it_stands(page):
    label = "예측" if "<b>" not in page.text and "Predicted" not in page.text else "predicted"
    assert sum(label in word for word in page.words) >= 6
    assert "bandwidth roofline" in page.text


def test_what_was_not_measured_stands_with_its_reason(page):
    assert "No Ollama server answered at http://127.0.0.1:11434" in page.text


def test_the_language_is_declared_and_used(document):
    korean, english = render_html(document, "ko"), render_html(document, "en")
    assert '<html lang="ko">' in korean
    assert '<html lang="en">' in english
    assert not re.search("[가-힣]", Page(english).text)


def test_no_word_is_missing_from_the_catalogues(page):
    """A key without words would show itself: ui.reasons, metric.ttft_s, …"""
    assert not re.search(
        r"\b(ui|side|severity|status|headline|key|chart|table|series|axis|note|lede|unit)\.\w", page.text
    )


@pytest.mark.parametrize("lang", LANGUAGES)
def test_nothing_that_is_stored_becomes_markup(empty_store, lang):
    study = build_study(empty_store, model=ATTACK, environment=replace(
        ENVIRONMENT, cpu=ATTACK, os=ATTACK, gpus=(Gpu(ATTACK, 80_000_000_000, ATTACK),), engine_version=ATTACK,
        versions={ATTACK: ATTACK}, instruction_sets=(ATTACK,),
    ))  # fmt: skip
    run = empty_store.create_run(
        ATTACK, {"name": ATTACK, ATTACK: [ATTACK]}, seed=0, environment=ENVIRONMENT, model=ATTACK, engine=ATTACK,
        study_id=study.id,
    )  # fmt: skip
    metric = Metric(ATTACK, 1.0, ATTACK, {ATTACK: ATTACK, "part": ATTACK}, 0.5, 2.0, 3, ATTACK, predicted=True)
    empty_store.set_metrics(run.id, [
        metric,
        replace(metric, labels={"stat": "p50", ATTACK: ATTACK}),
        Metric("memory_measured_bytes", 1e9, "bytes", {"context": ATTACK}),
        Metric("cold_start_s", 1.0, "s", {"part": "load", "cache": ATTACK}),
        *(Metric("output_tokens_s", 1.0, "1/s", {"streams": f"{ATTACK}{n}"}) for n in range(6)),
    ])  # fmt: skip
    empty_store.finish_run(run.id, RunStatus.FAILED, ATTACK)
    empty_store.set_findings(study.id, 1, [
        Finding(1, Side.OPERATIONAL, Severity.BLOCKER, ATTACK, {ATTACK: ATTACK}, (Evidence(run.id, metric),)),
        Finding(1, Side.OPERATIONAL, Severity.INFO, "phase1.not_run", {"part": ATTACK, "reason": f"`{ATTACK}`"}),
    ])  # fmt: skip
    text = render_html(gather(empty_store, study.id), lang)
    page = Page(text)
    assert "<script" not in text
    assert not [attrs for tag, attrs in page.tags if tag == "img" or "onerror" in attrs]
    assert "alert(1)" in page.text, "it is shown, as text"


@pytest.mark.parametrize("lang", LANGUAGES)
def test_an_empty_study_says_that_nothing_was_measured(empty_store, lang):
    study = empty_store.create_run("study", {}, seed=0, environment=ENVIRONMENT)
    empty_store.finish_run(study.id, RunStatus.FAILED, "The disk is full")
    text = Page(render_html(gather(empty_store, study.id), lang)).text
    assert ("판단할 수 없습니다" if lang == "ko" else "nothing can be decided") in text
    assert "The disk is full" in text


def test_a_study_that_is_not_finished_says_so(store, study):
    assert "끝나지 않았습니다" not in render_html(gather(store, study.id), "ko")
    stopped = store.create_run("study", {}, seed=0, environment=ENVIRONMENT, model="m")
    part = store.create_run("bench", {"name": "concurrency"}, seed=0, environment=ENVIRONMENT, study_id=stopped.id)
    store.finish_run(part.id, RunStatus.INTERRUPTED)
    store.finish_run(stopped.id, RunStatus.INTERRUPTED)
    text = Page(render_html(gather(store, stopped.id), "ko")).text
    assert "이 조사는 끝나지 않았습니다(상태: 중단됨)" in text
    assert "끝까지 재지 못했습니다" in text


def test_the_page_is_written_whole_or_not_at_all(store, study, tmp_path: Path):
    path = write_html(store, study.id, tmp_path / "a" / "b" / "report.html", "ko")
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_a_place_that_cannot_be_written_to_is_one_clear_error(store, study, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        write_html(store, study.id, tmp_path / "file" / "report.html", "ko")
    with pytest.raises(UsageError, match="cannot be written"):
        write_html(store, study.id, tmp_path, "ko")
    assert not list(tmp_path.glob(".*"))
