"""Blocks as a Word document: real headings, tables and links within it. Knows nothing of what the blocks say."""

from __future__ import annotations

import io
from collections.abc import Iterable
from importlib import resources
from typing import TYPE_CHECKING, Any

from inhouse.core.errors import MissingExtra
from inhouse.report.blocks import Block, Code, Grid, Heading, Paragraph, Picture, Span
from inhouse.report.charts import on_paper

if TYPE_CHECKING:
    from docx.document import Document as Word

# What Word and others have for Hangul where the document is opened; a font cannot be part of a .docx safely.
_HANGUL = "Malgun Gothic"
_SMALL_PT, _TABLE_PT, _BODY_PT = 8.5, 8, 10
_CHART_CM = 11.0


def render_docx(blocks: Iterable[Block], *, title: str, lang: str) -> bytes:
    """The blocks as a .docx file.

    Raises:
        MissingExtra: where python-docx is not installed.
    """
    try:
        import docx
    except ImportError:
        raise MissingExtra(
            "The report cannot be written for Word", why="not installed: python-docx",
            do="Install it with: pip install 'inhouse[report]'",
        ) from None  # fmt: skip
    document = docx.Document()
    _prepare(document, title, lang)
    for number, block in enumerate(blocks):
        _add(document, block, number)
    written = io.BytesIO()
    document.save(written)
    return written.getvalue()


def _prepare(document: Word, title: str, lang: str) -> None:
    from docx.oxml.ns import qn
    from docx.shared import Cm, Pt, RGBColor

    document.core_properties.title = title
    document.core_properties.author = "inhouse"
    document.core_properties.language = lang
    section = document.sections[0]
    section.page_width, section.page_height = Cm(21), Cm(29.7)
    section.left_margin = section.right_margin = Cm(2)
    section.top_margin = section.bottom_margin = Cm(2)
    for style in document.styles:
        if style.type is not None and hasattr(style, "font") and (style.name or "").startswith(("Normal", "Heading")):
            style.font.name = "Calibri"
            style.element.get_or_add_rPr().get_or_add_rFonts().set(qn("w:eastAsia"), _HANGUL)
            if style.name != "Normal":
                style.font.color.rgb = RGBColor(0x15, 0x18, 0x1D)
                style.font.italic = False  # Word slants the lower headings, and Hangul is not made for it
                if hasattr(style, "paragraph_format"):
                    style.paragraph_format.space_before = Pt(12)
    document.styles["Normal"].font.size = Pt(_BODY_PT)


def _add(document: Word, block: Block, number: int) -> None:
    match block:
        case Heading():
            paragraph = document.add_heading(_clean(block.text), level=block.level)
            if block.anchor:
                _bookmark(paragraph, block.anchor, number)
        case Paragraph():
            _write(document.add_paragraph(), block.spans, small=block.small)
        case Grid():
            _table(document, block)
        case Picture():
            _picture(document, block)
        case Code():
            _write(document.add_paragraph(), (Span("\n".join(block.lines), code=True),), small=True)


def _write(paragraph: Any, spans: Iterable[Span], *, small: bool) -> None:
    from docx.shared import Pt, RGBColor

    for span in spans:
        run = paragraph.add_run(_clean(span.text))
        run.bold = span.strong or None
        if span.code:
            run.font.name = "Consolas"
        if small:
            run.font.size = Pt(_SMALL_PT)
            if not span.strong:
                run.font.color.rgb = RGBColor(0x5B, 0x65, 0x70)
        if span.link:
            _link(paragraph, run, span.link)
    if small:
        paragraph.paragraph_format.space_after = Pt(2)


def _table(document: Word, grid: Grid) -> None:
    from docx.shared import Pt

    if grid.title:
        _title(document, grid.title)
    table = document.add_table(rows=1, cols=len(grid.head), style="Light List")
    for row, cells in enumerate((grid.head, *grid.rows)):
        filled = table.rows[0].cells if row == 0 else table.add_row().cells
        for cell, text in zip(filled, cells, strict=True):
            run = cell.paragraphs[0].add_run(_clean(text))
            run.font.size = Pt(_TABLE_PT)
            run.bold = row == 0
    document.add_paragraph()


def _picture(document: Word, picture: Picture) -> None:
    import vl_convert
    from docx.shared import Cm

    with resources.as_file(resources.files("inhouse.report") / "fonts") as fonts:
        vl_convert.register_font_directory(str(fonts))
        png = vl_convert.svg_to_png(on_paper(picture.chart.svg), scale=3)
    _title(document, picture.title)
    shown = document.add_picture(io.BytesIO(png), width=Cm(_CHART_CM))
    shown._inline.docPr.set("descr", picture.title)
    document.paragraphs[-1].paragraph_format.keep_with_next = True  # what it shows stands below it
    _write(document.add_paragraph(), picture.note, small=True)


def _title(document: Word, text: str) -> None:
    """The title of a table or chart, on the page of what it is of."""
    paragraph = document.add_paragraph()
    _write(paragraph, (Span(text, strong=True),), small=False)
    paragraph.paragraph_format.keep_with_next = True


def _bookmark(paragraph: Any, name: str, number: int) -> None:
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    for tag in ("w:bookmarkStart", "w:bookmarkEnd"):
        mark = OxmlElement(tag)
        mark.set(qn("w:id"), str(number))
        if tag == "w:bookmarkStart":
            mark.set(qn("w:name"), _name(name))
        paragraph._p.append(mark)


def _link(paragraph: Any, run: Any, anchor: str) -> None:
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    link = OxmlElement("w:hyperlink")
    link.set(qn("w:anchor"), _name(anchor))
    paragraph._p.append(link)
    link.append(run._r)


def _name(anchor: str) -> str:
    """A bookmark's name in Word: letters, digits and underscores, 40 at most."""
    return "".join(letter if letter.isalnum() else "_" for letter in anchor)[:40]


def _clean(text: str) -> str:
    """The text without the control characters that XML cannot hold."""
    return "".join(letter for letter in text if letter in "\n\t" or letter.isprintable() or letter == "\u00a0")
