"""The report as PDF: the same page as in a browser, laid out on paper, with a Korean font that ships with it.

Knows nothing of what the page says.
"""

from __future__ import annotations

import io
import re
from importlib import resources

from inhouse.core.errors import MissingExtra, UsageError

_PLACE = "file:///report.html"  # what the links within the page are relative to; nothing is read there
_FONTS = {"regular": ("NotoSansKR-Regular.otf", 400), "bold": ("NotoSansKR-Bold.otf", 700)}
_FACE = '@font-face {{ font-family: "Report Sans"; font-weight: {}; src: url("font:{}") format("opentype"); }}'
_STYLE = "\n".join(
    (
        *(_FACE.format(weight, name) for name, (_, weight) in _FONTS.items()),
        '* { font-family: "Report Sans", sans-serif !important; }',
        # Where words may break anywhere, the layout breaks them everywhere.
        "body, .facts dd, .line, code { overflow-wrap: normal !important; }",
        "code { background: #f5f6f8; }",  # the one font has to do for code as well
    )
)


def render_pdf(page: str) -> bytes:
    """The page (self-contained HTML, as html.py writes it) as a PDF of A4 sheets.

    Raises:
        MissingExtra: where the package that lays out pages is not installed.
        UsageError: where it cannot lay this page out.
    """
    try:
        import plutoprint
    except ImportError:
        raise MissingExtra(
            "The report cannot be written as PDF", why="not installed: plutoprint",
            do="Install it with: pip install 'inhouse[pdf]', or print report.html from a browser",
        ) from None  # fmt: skip

    class Fonts(plutoprint.ResourceFetcher):
        """Hands out the fonts that ship with the report, and nothing else: no file, no network."""

        def fetch_url(self, url: str) -> plutoprint.ResourceData:
            file, _ = _FONTS[url.removeprefix("font:")]
            content = (resources.files("inhouse.report") / "fonts" / file).read_bytes()
            return plutoprint.ResourceData(content, "font/otf", "")

    book = plutoprint.Book(plutoprint.PAGE_SIZE_A4, media=plutoprint.MEDIA_TYPE_PRINT)
    book.custom_resource_fetcher = Fonts()
    written = io.BytesIO()
    try:
        book.load_html(_for_paper(page), user_style=_STYLE, base_url=_PLACE)
        book.write_to_pdf_stream(written)
    except plutoprint.Error as error:
        raise UsageError("The report cannot be laid out as PDF", why=str(error)) from None
    return written.getvalue()


def _for_paper(page: str) -> str:
    """Everything unfolded, since paper cannot be; and no control characters, which the layout refuses."""
    return re.sub(r"[\x00-\x08\x0b-\x1f]", "\N{REPLACEMENT CHARACTER}", page).replace("<details>", "<details open>")
