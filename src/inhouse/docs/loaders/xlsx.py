"""Excel workbooks: each sheet's tables with the values that Excel last computed. Charts and pictures are not read."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from typing import Any
from zipfile import BadZipFile

from defusedxml.common import DefusedXmlException
from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from inhouse.core.errors import UnreadableDocument
from inhouse.docs.loaders.base import Loader, Source
from inhouse.docs.loaders.delimited import table_text
from inhouse.docs.loaders.package import SAVE_AGAIN, Package
from inhouse.docs.records import Block, Loaded

_MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def load_xlsx(source: Source) -> Loaded:
    """A workbook; the sheet's name heads its tables, which empty rows part."""
    title = Package(source).core_title()
    source.file.seek(0)
    try:
        book = load_workbook(source.file, read_only=True, data_only=True, keep_links=False)
        blocks: list[Block] = []
        warnings: list[str] = []
        for sheet in book.worksheets:
            blocks += _sheet(sheet)
            if sheet.sheet_state != "visible":
                warnings.append(f"the sheet {sheet.title} is hidden; it was read")
    except DefusedXmlException as error:
        raise UnreadableDocument("The file's XML declares entities", why=f"it may be an XML bomb ({error})") from None
    except (InvalidFileException, BadZipFile, KeyError, ValueError) as error:
        raise UnreadableDocument("The workbook is broken", why=str(error), do=SAVE_AGAIN) from None
    return Loaded(title or source.stem, tuple(blocks), _MEDIA_TYPE, warnings=tuple(warnings))


def _sheet(sheet: Any) -> Iterator[Block]:
    sheet.reset_dimensions()  # what the file says of them is often wrong, and would cut or pad rows
    headed = False
    for rows in _tables([_value(cell) for cell in row] for row in sheet.rows):
        if not headed:
            yield Block(sheet.title, "heading", 1, sheet=sheet.title)
            headed = True
        text = table_text(rows)
        wide = any(sum(cell != "" for cell in row) > 1 for row in rows)
        yield Block(text, "table" if wide else "paragraph", sheet=sheet.title)


def _tables(rows: Iterable[list[str]]) -> Iterator[list[list[str]]]:
    """The rows between empty ones, without the columns that are empty on the left."""
    table: list[list[str]] = []
    for row in rows:
        if any(row):
            table.append(row)
        elif table:
            yield _shifted(table)
            table = []
    if table:
        yield _shifted(table)


def _shifted(table: list[list[str]]) -> list[list[str]]:
    left = min(next(place for place, cell in enumerate(row) if cell) for row in table)
    return [row[left:] for row in table]


def _value(cell: Any) -> str:
    """A cell as a person reads it: dates in ISO form, percentages as such, no 0.30000000000000004."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, datetime.datetime):
        midnight = value.time() == datetime.time()
        return value.date().isoformat() if midnight else value.isoformat(" ", "minutes")
    if isinstance(value, float):
        if "%" in (cell.number_format or ""):
            return f"{value * 100:.10g}%"
        return f"{value:.15g}"
    return str(value).strip()


LOADER = Loader(_MEDIA_TYPE, (".xlsx", ".xlsm"), load_xlsx)
