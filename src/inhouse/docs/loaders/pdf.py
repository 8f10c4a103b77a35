"""PDF by pdfium: the letters of each page with their places, from which pdf_layout makes text and tables.

Scanned pages are named, since without text recognition nothing can be read from them.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from inhouse.core.errors import UnreadableDocument
from inhouse.docs.loaders.base import Loader, Source
from inhouse.docs.loaders.package import REMOVE_PASSWORD, SAVE_AGAIN
from inhouse.docs.loaders.pdf_blocks import page_blocks
from inhouse.docs.loaders.pdf_layout import Line, Rules, Span, page_lines
from inhouse.docs.records import Loaded

_MEDIA_TYPE = "application/pdf"
_FEW = 12
"""Letters under which a page with a large picture counts as scanned (a stamp, a page number)."""
_MOST_OBJECTS = 20_000
_GAP = 1.0
"""A gap of so many letter sizes parts two spans of a line."""
_BOLD = 600


def load_pdf(source: Source) -> Loaded:
    """A PDF; one that needs a password to open is refused."""
    try:
        document = pypdfium2.PdfDocument(source.file)
        document.init_forms()
    except pypdfium2.PdfiumError as error:
        if pdfium.FPDF_GetLastError() == pdfium.FPDF_ERR_PASSWORD or "assword" in str(error):
            raise UnreadableDocument("The PDF is encrypted", do=REMOVE_PASSWORD) from None
        raise UnreadableDocument("The PDF is broken", why=str(error), do=SAVE_AGAIN) from None
    pages: list[list[Line]] = []
    warnings: list[str] = []
    for index in range(len(document)):
        try:
            page = document[index]
        except pypdfium2.PdfiumError:
            warnings.append(f"page {index + 1} is broken and was left out")
            pages.append([])
            continue
        spans, rules, warning = _page(page)
        if warning:
            warnings.append(f"page {index + 1} {warning}")
        pages.append(page_lines(spans, rules))
        page.close()
    blocks = page_blocks(pages)
    title = (document.get_metadata_dict().get("Title") or "").strip()
    first = next((block.text for block in blocks if block.kind == "heading"), "")
    count = len(pages)
    document.close()
    # A title among the properties that the text does not have is a template's or a program's.
    known = any(title in " ".join(block.text.split()) for block in blocks if block.page == 1)
    return Loaded((title if known else "") or first or source.stem, tuple(blocks), _MEDIA_TYPE, count, tuple(warnings))


def _page(page: Any) -> tuple[list[Span], Rules, str]:
    """A page's spans, its ruled lines, and what could not be read on it."""
    text = page.get_textpage()
    rules, picture = _objects(page)
    spans, unreadable = _spans(text, rules)
    text.close()
    letters = sum(len(span.text) for span in spans)
    warning = ""
    if picture > 0.4 and letters < _FEW:
        warning = "is a scanned image without text"
    elif unreadable > 0.2 * (letters + unreadable):
        warning = "has letters that stand for no known characters"
    return spans, rules, warning


def _spans(text: Any, rules: Rules) -> tuple[list[Span], int]:
    """The runs of letters on one line without a wide gap or a ruled line in between; and how many are unreadable."""
    raw, box = text.raw, pdfium.FS_RECTF()
    reference = ctypes.byref(box)
    spans: list[Span] = []
    unreadable = 0
    letters: list[str] = []
    left = right = top = bottom = size = 0.0
    start = 0

    def finish() -> None:
        run = "".join(letters)
        if run.strip():
            bold = pdfium.FPDFText_GetFontWeight(raw, start) >= _BOLD or _named_bold(raw, start)
            spans.append(Span(run, left, right, top, bottom, _font_size(raw, start), bold))
        letters.clear()

    for index in range(text.count_chars()):
        code = pdfium.FPDFText_GetUnicode(raw, index)
        if code in {10, 13}:
            finish()
            continue
        if code in {2, 0xAD}:  # pdfium's mark for a hyphen that ends a line
            letters.append("\u00ad")
            continue
        if code in {0, 0xFFFD, 0xFFFE, 0xFFFF} or 0xE000 <= code < 0xF900:
            unreadable += 1
            if code != 0xFFFD:
                continue
        if code in {32, 160, 9, 0x3000}:
            if letters:
                letters.append(" ")
            continue
        if not pdfium.FPDFText_GetLooseCharBox(raw, index, reference):
            continue
        if letters:
            middle = (box.top + box.bottom) / 2
            gap = box.left - right
            if (
                not bottom - 0.2 * size <= middle <= top + 0.2 * size
                or gap > _GAP * size
                or gap < -1.5 * size
                or rules.between(right, box.left, middle)
            ):
                finish()
        if not letters:
            start, left, top, bottom, right = index, box.left, box.top, box.bottom, box.right
            size = top - bottom
        letters.append(chr(code) if code < 0x110000 else "\ufffd")
        right = max(right, box.right)
    finish()
    return spans, unreadable


def _font_size(raw: Any, index: int) -> float:
    """The size of a letter as it is drawn: the font's, scaled."""
    matrix = pdfium.FS_MATRIX()
    pdfium.FPDFText_GetMatrix(raw, index, ctypes.byref(matrix))
    return float(pdfium.FPDFText_GetFontSize(raw, index) * (math.hypot(matrix.c, matrix.d) or 1.0))


def _named_bold(raw: Any, index: int) -> bool:
    """Many files give no weight, but a font whose name does."""
    name = ctypes.create_string_buffer(128)
    flags = ctypes.c_int()
    pdfium.FPDFText_GetFontInfo(raw, index, name, 128, ctypes.byref(flags))
    lower = name.value.lower()
    return b"bold" in lower or b"heavy" in lower or b"black" in lower


def _objects(page: Any) -> tuple[Rules, float]:
    """The ruled lines of a page, and the share of it that its largest picture covers."""
    rules = Rules()
    width, height = page.get_size()
    area = max(width * height, 1.0)
    largest = 0.0
    for number, item in enumerate(page.get_objects(max_depth=4)):
        if number > _MOST_OBJECTS:
            break
        if item.type not in {pdfium.FPDF_PAGEOBJ_IMAGE, pdfium.FPDF_PAGEOBJ_PATH}:
            continue
        try:
            left, bottom, right, top = item.get_bounds()
        except pypdfium2.PdfiumError:
            continue
        if item.type == pdfium.FPDF_PAGEOBJ_IMAGE:
            largest = max(largest, (right - left) * (top - bottom) / area)
        elif (right - left) * (top - bottom) < 0.8 * area:
            rules.add(left, bottom, right, top)
    return rules, largest


LOADER = Loader(_MEDIA_TYPE, (".pdf",), load_pdf)
