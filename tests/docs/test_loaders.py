"""Every format yields its text with title, headings, and page or sheet."""

from __future__ import annotations

import io
from email.message import EmailMessage
from pathlib import Path

import docx
import openpyxl
import pptx
import pytest
from hwpx import HwpxDocument
from made_documents import make_pdf, written

from inhouse.docs.load import LoadFailure, load_safely
from inhouse.docs.loaders.base import known_suffixes
from inhouse.docs.records import Loaded

_DATA = Path(__file__).parents[3] / "shared" / "data"
_LOREM = "The quick brown fox jumps over the lazy dog near"


def load(path: Path) -> Loaded:
    ((_, outcome),) = load_safely([path])
    assert isinstance(outcome, Loaded), outcome
    return outcome


def sample(name: str) -> Path:
    path = _DATA / name
    if not path.exists():
        pytest.skip(f"the sample {name} is not on this machine")
    return path


def texts(loaded: Loaded, kind: str) -> list[str]:
    return [block.text for block in loaded.blocks if block.kind == kind]


def test_word_headings_lists_tables_and_deleted_text(tmp_path: Path) -> None:
    made = docx.Document()
    made.add_heading("휴가 규정", 1)
    made.add_paragraph("연차는 15일이다.")
    made.add_heading("신청", 2)
    made.add_paragraph("신청서를 낸다", style="List Bullet")
    made.add_paragraph("승인을 받는다", style="List Bullet")
    table = made.add_table(2, 2)
    for cell, text in zip(table._cells, ("구분", "일수", "연차", "15"), strict=True):
        cell.text = text
    made.save(str(tmp_path / "a.docx"))
    loaded = load(tmp_path / "a.docx")
    assert loaded.title == "휴가 규정"
    assert [(b.kind, b.level) for b in loaded.blocks if b.kind == "heading"] == [("heading", 1), ("heading", 2)]
    assert texts(loaded, "list") == ["- 신청서를 낸다\n- 승인을 받는다"]
    assert texts(loaded, "table") == ["구분 | 일수\n연차 | 15"]


def test_slides_are_pages_with_tables_and_notes(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    for number in (1, 2):
        slide = deck.slides.add_slide(deck.slide_layouts[5])
        slide.shapes.title.text = f"Slide {number}"
        slide.notes_slide.notes_text_frame.text = f"Say this {number}"
    table = slide.shapes.add_table(1, 2, 0, 2_000_000, 4_000_000, 500_000).table
    table.cell(0, 0).text, table.cell(0, 1).text = "cost", "12"
    deck.save(str(tmp_path / "a.pptx"))
    loaded = load(tmp_path / "a.pptx")
    assert loaded.pages == 2
    assert [(b.text, b.page) for b in loaded.blocks if b.kind == "heading"] == [("Slide 1", 1), ("Slide 2", 2)]
    assert texts(loaded, "table") == ["cost | 12"]
    assert texts(loaded, "paragraph") == ["Say this 1", "Say this 2"]


def test_a_workbook_names_its_sheets_and_reads_as_a_person_does(tmp_path: Path) -> None:
    import datetime

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "매출"
    sheet.append(["월", "금액", "비율", "날짜"])
    sheet.append(["1월", 0.1 + 0.2, 0.25, datetime.date(2026, 1, 31)])
    sheet["C2"].number_format = "0%"
    sheet["F9"] = "메모"
    book.create_sheet("빈 시트")
    book.save(tmp_path / "a.xlsx")
    loaded = load(tmp_path / "a.xlsx")
    assert [block.text for block in loaded.blocks] == [
        "매출",
        "월 | 금액 | 비율 | 날짜\n1월 | 0.3 | 25% | 2026-01-31",
        "메모",
    ]
    assert {block.sheet for block in loaded.blocks} == {"매출"}


def test_a_pdf_by_layout(tmp_path: Path) -> None:
    head = [(72.0, 740.0, 20.0, "Travel policy"), (72.0, 700.0, 11.0, "Costs are paid back within ten days.")]
    table = [
        (x, 640.0 - 18 * row, 11.0, f"{name}{row}") for row in range(3) for x, name in ((72.0, "city"), (250.0, "rate"))
    ]
    columns = [
        (x, 500.0 - 14 * row, 11.0, f"{_LOREM} {side}{row}")
        for row in range(8)
        for x, side in ((40.0, "L"), (330.0, "R"))
    ]
    loaded = load(written(tmp_path, "a.pdf", make_pdf([head + table, columns])))
    assert loaded.pages == 2
    assert loaded.title == "Travel policy"
    assert loaded.blocks[0].kind == "heading"
    assert texts(loaded, "table") == ["city0 | rate0\ncity1 | rate1\ncity2 | rate2"]
    second = " ".join(block.text for block in loaded.blocks if block.page == 2)
    assert second.index("L7") < second.index("R0"), "columns are read one after the other"


def test_running_heads_are_left_out(tmp_path: Path) -> None:
    pages = [
        [
            (72.0, 760.0, 9.0, "Company confidential"),
            (72.0, 400.0, 11.0, f"Text of part {n}"),
            (300.0, 30.0, 9.0, f"{n} of 5"),
        ]
        for n in range(1, 6)
    ]
    loaded = load(written(tmp_path, "a.pdf", make_pdf(pages)))
    assert [block.text for block in loaded.blocks] == [f"Text of part {n}" for n in range(1, 6)]


def test_scanned_pages_are_named() -> None:
    path = sample("office_samples/MEDRPT-2024-PAT-3847_medical_report_scan.pdf")
    ((_, outcome),) = load_safely([path])
    assert isinstance(outcome, LoadFailure)
    assert "page 1 is a scanned image" in outcome.reason
    assert "OCR" in outcome.do


def test_a_borderless_table_of_a_real_pdf_keeps_its_rows_and_columns() -> None:
    loaded = load(sample("office_samples/SPARSE-2024-INV-1234_borderless_table.pdf"))
    first = texts(loaded, "table")[0].splitlines()
    assert first[0] == "Product Code | Location | Expected | Actual | Variance | Status"
    assert first[2] == " | B-07 |  | 289 | -23"


def test_hyphens_at_line_ends_of_a_real_paper_are_joined() -> None:
    text = " ".join(block.text for block in load(sample("office_samples/test.pdf")).blocks)
    assert "confirming" in text
    assert "leverage" in text


@pytest.mark.parametrize(
    "name", [path.name for path in sorted((_DATA / "hwp_samples").glob("*.hwp"))] or ["source.hwp"]
)
def test_hwp_files_hold_what_hangul_itself_previews(name: str) -> None:
    """The preview stream was written by Hangul: its words must be in the text that we read."""
    import olefile

    path = sample(f"hwp_samples/{name}")
    with olefile.OleFileIO(path) as ole:
        if not ole.exists("PrvText"):
            pytest.skip("this file has no preview")
        preview = (
            ole.openstream("PrvText").read().decode("utf-16-le").replace("<", " ").replace(">", " ").split("\0")[0]
        )
    words = preview.split()[:-1]  # the last may be cut
    ((_, outcome),) = load_safely([path])
    if not words:
        assert isinstance(outcome, LoadFailure)
        assert "no text" in outcome.reason
        return
    assert isinstance(outcome, Loaded)
    text = "".join("".join(block.text.split()) for block in outcome.blocks)
    missing = [word for word in words if word not in text]
    assert len(missing) <= 0.02 * len(words), missing[:20]


def test_a_distribution_document_is_read_and_named() -> None:
    loaded = load(sample("hwp_samples/distribution.hwp"))
    assert "2025년 강남세움센터 시설관리원 용역업체 선정 입찰공고" in texts(loaded, "paragraph")
    assert "distribution" in loaded.warnings[0]


def test_hwp_tables_keep_rows_and_columns() -> None:
    loaded = load(sample("hwp_samples/merging-cell.hwp"))
    (table,) = texts(loaded, "table")
    assert table.splitlines()[1] == "1,0 | 1,1 | 1,2 | 1,3 | 1,4 | 1,5 | 1,6"


def test_hwpx_text_and_tables(tmp_path: Path) -> None:
    made = HwpxDocument.new()
    made.add_paragraph("재택근무는 주 2회까지 가능하다.")
    table = made.add_table(2, 2)
    for row, cells in enumerate((("항목", "값"), ("연차", "15일"))):
        for column, text in enumerate(cells):
            table.set_cell_text(row, column, text)
    made.save_to_path(tmp_path / "a.hwpx")
    loaded = load(tmp_path / "a.hwpx")
    assert texts(loaded, "paragraph") == ["재택근무는 주 2회까지 가능하다."]
    assert texts(loaded, "table") == ["항목 | 값\n연차 | 15일"]


def test_html_without_scripts_and_navigation(tmp_path: Path) -> None:
    page = """<html><head><meta charset="euc-kr"><title>안내</title><script>var x=1</script></head><body><nav>메뉴</nav>
    <h1>회사 소개</h1><p>우리는 <b>서울</b>에 있다.<br>둘째 줄</p>
    <ul><li>하나<ul><li>안쪽</li></ul></li><li>둘</li></ul>
    <table><tr><th>이름</th><th>값</th></tr><tr><td>가</td><td>1</td></tr></table><div style="display:none">숨김</div>
    <pre>code
  here</pre></body></html>"""
    loaded = load(written(tmp_path, "a.html", page.encode("euc-kr")))
    assert loaded.title == "안내"
    assert [(block.kind, block.text) for block in loaded.blocks] == [
        ("heading", "회사 소개"),
        ("paragraph", "우리는 서울에 있다.\n둘째 줄"),
        ("list", "- 하나\n  - 안쪽\n- 둘"),
        ("table", "이름 | 값\n가 | 1"),
        ("code", "code\n  here"),
    ]


def test_markdown_by_its_syntax(tmp_path: Path) -> None:
    text = "---\ntitle: 안내서\n---\n# 처음 { #first }\n글 **굵게**\n\n```\n# not a heading\n```\n\n"
    text += "1. 하나\n2. 둘\n\n|a|b|\n|-|-|\n|1|2|\n"
    loaded = load(written(tmp_path, "a.md", text.encode()))
    assert loaded.title == "안내서"
    assert [(block.kind, block.text) for block in loaded.blocks] == [
        ("heading", "처음"),
        ("paragraph", "글 굵게"),
        ("code", "# not a heading"),
        ("list", "1. 하나\n2. 둘"),
        ("table", "a | b\n1 | 2"),
    ]


def test_mail_names_its_attachments_and_does_not_open_them(tmp_path: Path) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@example.com", "b@example.com", "회의 안내"
    mail.set_content("내일 세 시에 만납니다.\n")
    mail.add_alternative("<p>내일 세 시에 만납니다.</p>", subtype="html")
    mail.add_attachment(b"x" * 2048, maintype="application", subtype="zip", filename="자료.zip")
    loaded = load(written(tmp_path, "a.eml", mail.as_bytes()))
    assert loaded.title == "회의 안내"
    assert texts(loaded, "paragraph")[1:] == ["내일 세 시에 만납니다."]
    assert "자료.zip (application/zip" in texts(loaded, "list")[0]
    assert "자료.zip" in loaded.warnings[0]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "euc-kr", "cp949", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text",
    [
        "안녕하세요. 재택근무 규정을 안내합니다.\n\n신청은 사흘 전에 합니다.",
        "The policy applies to all staff.\n\nAsk first.",
    ],
)
def test_encodings_are_found(tmp_path: Path, encoding: str, text: str) -> None:
    loaded = load(written(tmp_path, "a.txt", text.encode(encoding)))
    assert [block.text for block in loaded.blocks] == text.split("\n\n")
    assert not loaded.warnings


def test_japanese_is_not_taken_for_korean() -> None:
    loaded = load(sample("office_samples/test_mskanji.csv"))
    assert loaded.blocks[0].text.startswith("名前 | 年齢 | 住所")


def test_delimiters_are_found(tmp_path: Path) -> None:
    for name, data in (("a.csv", "이름;값\n가;1"), ("b.tsv", "이름\t값\n가\t1"), ("c.csv", '이름,값\n"가",1')):
        assert load(written(tmp_path, name, data.encode("cp949"))).blocks[0].text == "이름 | 값\n가 | 1"


def test_every_page_of_the_sample_manuals_is_read() -> None:
    paths = sorted(sample("manual_fastapi_ko").rglob("*.md")) + sorted(sample("company_docs_en").glob("*.md"))
    outcomes = [outcome for _, outcome in load_safely(paths)]
    assert len(outcomes) > 30
    assert all(isinstance(outcome, Loaded) and outcome.blocks for outcome in outcomes)


def test_the_formats_that_the_issue_names_are_all_known() -> None:
    named = ".pdf .docx .pptx .xlsx .html .md .txt .csv .eml .hwpx .hwp"
    assert set(named.split()) <= known_suffixes()


def test_a_loader_of_another_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point in the group inhouse.loaders, as pip would install it, read in the worker."""
    (tmp_path / "shouting.py").write_text(
        "from inhouse.docs.loaders.base import Loader\nfrom inhouse.docs.records import Block, Loaded\n"
        "def load(source):\n"
        "    return Loaded('loud', (Block(source.read().decode().upper(), 'list'),), 'text/loud')\n"
        "LOADER = Loader('text/loud', ('.loud',), load)\n"
    )
    info = tmp_path / "shouting-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[inhouse.loaders]\nloud = shouting:LOADER\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert load(written(tmp_path, "a.loud", b"hear me")).blocks[0].text == "HEAR ME"


def test_nothing_of_a_package_is_left_open(tmp_path: Path) -> None:
    made = docx.Document()
    made.add_paragraph("x")
    buffer = io.BytesIO()
    made.save(buffer)
    paths = [written(tmp_path, f"{n}.docx", buffer.getvalue()) for n in range(300)]
    assert sum(isinstance(outcome, Loaded) for _, outcome in load_safely(paths)) == 300
