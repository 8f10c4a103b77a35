"""The readable text of an HTML page: title, headings, paragraphs, lists and tables; nothing that is not shown."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_SILENT = {
    "script",
    "style",
    "noscript",
    "template",
    "svg",
    "head",
    "nav",
    "iframe",
    "object",
    "form",
    "button",
    "select",
}
_BLOCK = {
    "p", "div", "section", "article", "header", "footer", "main", "aside", "ul", "ol", "table", "tr", "blockquote",
    "pre", "figure", "dl", "dt", "dd", "br", "hr",
}  # fmt: skip
_VOID = {"br", "hr", "img", "input", "meta", "link", "area", "base", "col", "embed", "source", "track", "wbr"}
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d])|opacity\s*:\s*0(?![.\d])")


def html_text(source: str) -> tuple[str, str]:
    """The page's title and its text. Never fails: broken HTML gives what can be read of it."""
    reader = _Reader()
    reader.feed(source)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.parts).splitlines())
    return " ".join("".join(reader.title).split()), re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.title: list[str] = []
        self._open: list[tuple[str, bool]] = []  # each open element, and whether it hides what is in it
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "title":
            self._in_title = True
        given = dict(attrs)
        hides = tag in _SILENT or "hidden" in given or given.get("aria-hidden") == "true"
        hides = hides or bool(_HIDDEN.search((given.get("style") or "").lower()))
        if tag not in _VOID:
            if tag == "body":  # a head that was never closed ends here
                self._open.clear()
            self._open.append((tag, hides))
        if self._silent:
            return
        if re.fullmatch("h[1-6]", tag):
            self.parts.append(f"\n\n{'#' * int(tag[1])} ")
        elif tag == "li":
            self.parts.append("\n- ")
        elif tag in ("td", "th"):
            self.parts.append(" | ")
        elif tag in _BLOCK:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        names = [name for name, _ in self._open]
        if tag in names:
            at = len(names) - 1 - names[::-1].index(tag)
            del self._open[at:]
        if not self._silent and (tag in _BLOCK or re.fullmatch("h[1-6]", tag)):
            self.parts.append("\n\n" if tag in ("p", "div", "table", "ul", "ol", "pre") else "\n")

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title.append(data)
        elif not self._silent:
            self.parts.append(data.replace("\n", " ") if not any(n == "pre" for n, _ in self._open) else data)

    @property
    def _silent(self) -> bool:
        return any(hides for _, hides in self._open)
