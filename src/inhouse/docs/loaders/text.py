"""Plain text: paragraphs between empty lines. Underlined and numbered headings are left to the eye."""

from __future__ import annotations

import re

from inhouse.docs.loaders.base import Loader, Source
from inhouse.docs.loaders.encoding import decode
from inhouse.docs.records import Block, Loaded

_EMPTY_LINE = re.compile(r"\n[^\S\n]*\n\s*")


def load_text(source: Source) -> Loaded:
    """A text file."""
    decoded = decode(source.read())
    return Loaded(source.stem, tuple(paragraphs(decoded.text)), "text/plain", warnings=decoded.warnings)


def paragraphs(text: str) -> list[Block]:
    """The paragraphs of a plain text; form feeds part them too."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n")
    return [Block(part.strip(), "paragraph") for part in _EMPTY_LINE.split(lines) if part.strip()]


LOADER = Loader("text/plain", (".txt", ".text", ".log", ".rst"), load_text)
