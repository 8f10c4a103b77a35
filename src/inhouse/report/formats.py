"""Every form that a report is written in, by the name that the command takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import orjson

from inhouse.report.data import as_data
from inhouse.report.document import Document
from inhouse.report.docx import render_docx
from inhouse.report.files import write_whole
from inhouse.report.html import render_html
from inhouse.report.language import word
from inhouse.report.markdown import render_markdown
from inhouse.report.outline import outline
from inhouse.report.pdf import render_pdf


def _docx(document: Document, lang: str) -> bytes:
    return render_docx(outline(document, lang), title=word(lang, "ui.title"), lang=lang)


def _json(document: Document, lang: str) -> bytes:
    return orjson.dumps(as_data(document, lang), option=orjson.OPT_INDENT_2)


FORMATS: Mapping[str, Callable[[Document, str], bytes]] = {
    "html": lambda document, lang: render_html(document, lang).encode(),
    "pdf": lambda document, lang: render_pdf(render_html(document, lang)),
    "md": lambda document, lang: render_markdown(outline(document, lang)).encode(),
    "docx": _docx,
    "json": _json,
}
"""How a document becomes a file, by the file's ending."""


def write_report(document: Document, path: Path, lang: str, form: str) -> Path:
    """Writes the report in that form (one of FORMATS) and language; returns its path.

    Raises:
        UsageError: where the place cannot be written to.
        MissingExtra: where the form needs a package that is not installed.
    """
    return write_whole(path, FORMATS[form](document, lang))
