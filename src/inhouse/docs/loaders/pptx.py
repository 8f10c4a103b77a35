"""PowerPoint decks, from their XML: a page a slide, its title the heading; tables, groups, charts and notes too."""

from __future__ import annotations

from typing import Any

from inhouse.docs.loaders.base import Loader, Source
from inhouse.docs.loaders.delimited import table_text
from inhouse.docs.loaders.package import Package
from inhouse.docs.records import Block, Loaded

_MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_FURNITURE = frozenset({"sldNum", "dt", "ftr", "hdr", "sldImg"})


def load_pptx(source: Source) -> Loaded:
    """A deck. Slides are read in their order, shapes from top to bottom."""
    package = Package(source)
    main = package.main_part()
    relations = package.relations(main)
    blocks: list[Block] = []
    warnings = []
    number = 0
    for reference in package.xml(main).iter(_P + "sldId"):
        name = relations.get(reference.get(_R + "id", ""), ("", ""))[1]
        if name not in package.names:
            continue
        number += 1
        found = _slide(package, name, number)
        if not found and any(kind == "image" for kind, _ in package.relations(name).values()):
            warnings.append(f"slide {number} is a picture without text")
        blocks += found
    title = next((block.text for block in blocks if block.kind == "heading"), source.stem)
    return Loaded(package.core_title() or title, tuple(blocks), _MEDIA_TYPE, number, tuple(warnings))


def _slide(package: Package, name: str, number: int) -> list[Block]:
    root = package.xml(name)
    relations = package.relations(name)
    titles: list[Block] = []
    blocks: list[Block] = []
    for shape in sorted(_shapes(root.find(f"{_P}cSld/{_P}spTree")), key=_place):
        kind = _placeholder(shape)
        if kind in _FURNITURE:
            continue
        if kind in {"title", "ctrTitle"} and not titles:
            text = " ".join(_paragraphs(shape)).strip()
            titles += [Block(text, "heading", 1, number)] if text else []
        else:
            blocks += _shape(package, shape, relations, number)
    for kind, target in relations.values():
        if kind == "notesSlide" and target in package.names:
            blocks += _notes(package.xml(target), number)
        elif kind == "diagramData" and target in package.names and (lines := _paragraphs(package.xml(target))):
            blocks.append(Block("\n".join(lines), "list", page=number))
    return titles + blocks


def _notes(root: Any, number: int) -> list[Block]:
    lines: list[str] = []
    for shape in root.iter(_P + "sp"):
        if _placeholder(shape) not in _FURNITURE:
            lines += _paragraphs(shape)
    return [Block("\n".join(lines), "paragraph", page=number)] if lines else []


def _shapes(tree: Any) -> list[Any]:
    """Shapes with text, frames and connectors, groups taken apart."""
    found: list[Any] = []
    for child in tree if tree is not None else ():
        if child.tag == _P + "grpSp":
            found += _shapes(child)
        elif child.tag in {_P + "sp", _P + "graphicFrame", _P + "cxnSp"}:
            found.append(child)
    return found


def _place(shape: Any) -> tuple[int, int]:
    """Top then left, in EMU; a placeholder that takes its place from the layout comes first, as in the file."""
    offset = next(shape.iter(_A + "off"), None)
    transform = shape.find(_P + "xfrm")
    if transform is not None:
        offset = transform.find(_A + "off")
    if offset is None:
        return (0, 0)
    try:
        # Within a quarter of an inch shapes stand in one row.
        return (int(offset.get("y", "0")) // 228_600, int(offset.get("x", "0")))
    except ValueError:
        return (0, 0)


def _placeholder(shape: Any) -> str:
    mark = shape.find(f"{_P}nvSpPr/{_P}nvPr/{_P}ph")
    return "" if mark is None else mark.get("type", "body")


def _shape(package: Package, shape: Any, relations: dict[str, tuple[str, str]], number: int) -> list[Block]:
    table = next(shape.iter(_A + "tbl"), None)
    if table is not None:
        rows = [[" ".join(_paragraphs(cell)) for cell in row.iter(_A + "tc")] for row in table.iter(_A + "tr")]
        text = table_text(rows)
        return [Block(text, "table", page=number)] if text else []
    chart = next(shape.iter(_C + "chart"), None)
    if chart is not None:
        target = relations.get(chart.get(_R + "id", ""), ("", ""))[1]
        return _chart(package.xml(target), number) if target in package.names else []
    lines = _paragraphs(shape)
    if not lines:
        return []
    kind = "list" if _placeholder(shape) and len(lines) > 1 else "paragraph"
    text = "\n".join(f"- {line}" for line in lines) if kind == "list" else "\n".join(lines)
    return [Block(text, "list" if kind == "list" else "paragraph", page=number)]


def _chart(root: Any, number: int) -> list[Block]:
    """A chart as the table that it draws: a row a series, with its title above."""
    title = " ".join(_paragraphs(root.find(f"{_C}chart/{_C}title")))
    blocks = [Block(title, "caption", page=number)] if title else []
    rows: list[list[str]] = []
    for series in root.iter(_C + "ser"):
        name = " ".join(value.text or "" for value in _values(series.find(_C + "tx")))
        categories = [value.text or "" for value in _values(series.find(_C + "cat"))]
        if categories and not rows:
            rows.append(["", *categories])
        rows.append([name, *(value.text or "" for value in _values(series.find(_C + "val")))])
    text = table_text(rows)
    return [*blocks, Block(text, "table", page=number)] if text else blocks


def _values(element: Any) -> list[Any]:
    return [] if element is None else list(element.iter(_C + "v"))


def _paragraphs(element: Any) -> list[str]:
    lines = []
    for paragraph in element.iter(_A + "p") if element is not None else ():
        parts = [("\n" if part.tag == _A + "br" else part.text or "") for part in paragraph.iter(_A + "t", _A + "br")]
        if text := "".join(parts).strip():
            lines.append(text)
    return lines


LOADER = Loader(_MEDIA_TYPE, (".pptx", ".pptm"), load_pptx)
