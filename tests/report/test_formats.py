"""Every form says the same: the decision, every finding with its figures, and the run of each figure, one link away."""

import io
import json
import re
import subprocess
import sys

import pypdfium2
import pytest
from docx import Document as Word
from kept_study import ENVIRONMENT
from markdown_it import MarkdownIt

from inhouse.core.records import Evidence, Finding, Metric, RunStatus, Severity, Side
from inhouse.report.document import gather
from inhouse.report.formats import FORMATS
from inhouse.report.language import LANGUAGES
from inhouse.report.message import render


@pytest.fixture(scope="module", params=LANGUAGES)
def lang(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def written(kept, lang) -> dict[str, bytes]:
    return {form: FORMATS[form](kept[1], lang) for form in FORMATS}


def words_of(form: str, content: bytes) -> str:
    """All text, without layout: spaces differ from form to form, and signs that only mark figures."""
    if form == "pdf":
        pages = pypdfium2.PdfDocument(content)
        text = "".join(page.get_textpage().get_text_bounded() for page in pages)
    elif form == "docx":
        body = Word(io.BytesIO(content)).element.body
        text = "".join(node.text or "" for node in body.iter() if node.tag.endswith("}t"))
    else:
        text = re.sub(r"</?\w[^>]*>", "", content.decode()) if form in ("html", "md") else content.decode()
    return re.sub(r"[\s*`\\\u2060\ufffe\u200b\x02-]", "", text.replace("&#34;", '"').replace("&#39;", "'"))


@pytest.mark.parametrize("form", FORMATS)
def test_every_finding_is_told_with_its_sentence_and_what_to_do(kept, written, lang, form):
    text = words_of(form, written[form])
    for finding in kept[1].findings:
        said = render(finding, lang)
        for piece in (said.title, said.text, said.do):
            assert re.sub(r"[\s*`\\-]", "", piece) in text, piece


@pytest.mark.parametrize("form", ["html", "md", "docx", "pdf", "json"])
def test_every_run_is_in_the_appendix(kept, written, form):
    text = words_of(form, written[form])
    assert all(record.run.id[:10] in text for record in kept[1].runs)


def test_links_in_markdown_lead_to_anchors_within_it(written):
    text = written["md"].decode()
    anchors = re.findall(r'<a id="([^"]+)">', text)
    links = set(re.findall(r"\]\(#([^)]+)\)", text))
    assert len(anchors) == len(set(anchors))
    assert links
    assert links <= set(anchors)


def test_emphasis_in_markdown_closes_before_a_korean_ending(kept):
    text = FORMATS["md"](kept[1], "ko").decode()
    assert "<b>14.7%</b>입니다" in text
    shown = MarkdownIt().enable("table").render(text)
    assert "<strong>12.4초</strong>입니다" in shown
    assert "**" not in shown


def test_links_in_word_lead_to_bookmarks_within_it_and_names_are_short_enough(written):
    body = Word(io.BytesIO(written["docx"])).element.body
    names = [value for node in body.iter() for key, value in node.attrib.items()
             if node.tag.endswith("}bookmarkStart") and key.endswith("}name")]  # fmt: skip
    links = {value for node in body.iter() for key, value in node.attrib.items()
             if node.tag.endswith("}hyperlink") and key.endswith("}anchor")}  # fmt: skip
    assert len(names) == len(set(names))
    assert links
    assert links <= set(names)
    assert max(map(len, names)) <= 40


def test_word_holds_the_charts_and_real_headings(written):
    word = Word(io.BytesIO(written["docx"]))
    assert len(word.inline_shapes) == 7
    assert [p.text for p in word.paragraphs if p.style.name == "Heading 2"]


def test_in_word_a_title_stays_with_its_chart_and_no_heading_is_slanted(kept, written, lang):
    word = Word(io.BytesIO(written["docx"]))
    pictures = [n for n, p in enumerate(word.paragraphs) if p._p.xpath(".//w:drawing")]
    assert pictures
    assert all(word.paragraphs[n - 1].paragraph_format.keep_with_next for n in pictures)
    assert not any(style.font.italic for style in word.styles if (style.name or "").startswith("Heading"))


def test_the_pdf_brings_its_korean_font_and_links_to_the_runs(kept, written):
    content = written["pdf"]
    assert content.startswith(b"%PDF-")
    pages = pypdfium2.PdfDocument(content)
    assert len(pages) > 5
    assert re.search(rb"/BaseFont\s*/\w+\+NotoSansCJKkr-Regular", content) or b"NotoSansCJKkr" in content
    destinations = pypdfium2.raw.FPDF_CountNamedDests(pages.raw)
    assert destinations >= len(kept[1].runs)


def test_the_decision_stands_alone_on_the_first_page_of_the_pdf(written, kept, lang):
    first = pypdfium2.PdfDocument(written["pdf"])[0].get_textpage().get_text_bounded()
    second = pypdfium2.PdfDocument(written["pdf"])[1].get_textpage().get_text_bounded()
    assert ("무엇을 어디서 쟀나" if lang == "ko" else "What was measured, and where") in first
    assert second.split()[0] in ("기술", "Technical")


def test_data_for_programs_names_the_decision_and_every_figures_run(kept, written):
    data = json.loads(written["json"])
    assert data["decision"]["answer"] == "when"
    assert [data["findings"][n]["message"] for n in data["decision"]["reasons"]] == [
        finding.message for finding in kept[1].decision.reasons
    ]
    runs = {record["run"]["id"]: record for record in data["runs"]}
    for finding in data["findings"]:
        for item in finding["evidence"]:
            assert item["metric"] in runs[item["run_id"]]["metrics"]


@pytest.mark.parametrize("form", FORMATS)
def test_hostile_text_is_only_text_in_every_form(empty_store, form):
    attack = '<script>alert(1)</script>\x00\x1b[31m](#x)"><img src=file:///etc/passwd>`'
    study = empty_store.create_run("study", {"name": attack}, seed=0, environment=ENVIRONMENT, model=attack)
    run = empty_store.create_run("bench", {attack: attack}, seed=0, environment=ENVIRONMENT, study_id=study.id)
    metric = Metric("x_s", 1.0, "s", {"stage": attack})
    empty_store.set_metrics(run.id, [metric])
    empty_store.finish_run(run.id, RunStatus.DONE)
    finding = Finding(1, Side.TECHNICAL, Severity.SERIOUS, attack, {attack: attack}, (Evidence(run.id, metric),))
    empty_store.set_findings(study.id, 1, [finding])
    content = FORMATS[form](gather(empty_store, study.id), "en")
    assert content
    if form in ("html", "md"):
        page = content.decode() if form == "html" else MarkdownIt().enable("table").render(content.decode())
        assert "<script" not in page
        assert "<img" not in page
        assert not re.search(r"[\x00-\x08\x0b-\x1f]", content.decode()) or form == "html"
    if form == "pdf":
        assert b"root:" not in content


def test_a_form_whose_package_is_missing_says_which(tmp_path):
    code = (
        "import sys\nsys.modules['plutoprint'] = None\n"
        "from inhouse.report.pdf import render_pdf\nfrom inhouse.core.errors import MissingExtra\n"
        "try:\n    render_pdf('<p>x</p>')\nexcept MissingExtra as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert "pip install 'inhouse[pdf]'" in done.stdout
