"""CSV and TSV: one table, its first row the header. Knows nothing of types; a cell is text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from inhouse.core.errors import UnreadableDocument
from inhouse.docs.loaders.base import Loader, Source
from inhouse.docs.loaders.encoding import decode
from inhouse.docs.records import Block, Loaded

_SAMPLE = 16 * 1024


def load_delimited(source: Source) -> Loaded:
    """A file of rows; the delimiter is found, a comma where nothing speaks for another."""
    decoded = decode(source.read())
    csv.field_size_limit(source.limits.text_bytes)
    try:
        dialect: type[csv.Dialect] = csv.Sniffer().sniff(decoded.text[:_SAMPLE], ",;\t|")
    except csv.Error:
        dialect = csv.excel_tab if source.name.lower().endswith(".tsv") else csv.excel
    try:
        text = table_text(csv.reader(io.StringIO(decoded.text, newline=""), dialect))
    except csv.Error as error:
        raise UnreadableDocument("The rows cannot be read", why=str(error), do="Check its quotes") from None
    blocks = (Block(text, "table"),) if text else ()
    return Loaded(source.stem, blocks, "text/csv", warnings=decoded.warnings)


def table_text(rows: Iterable[Iterable[object]]) -> str:
    """A table as Block keeps it: a row a line, cells joined by ` | `. Rows without any text are left out."""
    lines = []
    for row in rows:
        cells = ["" if cell is None else " ".join(str(cell).split()) for cell in row]
        if any(cells):
            lines.append(" | ".join(cells).rstrip(" |"))
    return "\n".join(lines)


LOADER = Loader("text/csv", (".csv", ".tsv"), load_delimited)
