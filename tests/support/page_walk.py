"""Walks a report page: which of its numbers lead to no run."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from inhouse.report.document import Document

# What a number may stand in: each holds a link to a run, or is the run itself.
_HOLDERS = ("finding", "reasons", "best", "keys", "data", "run-card", "first")
# Numbers that no run has measured: the study's date, machine and size, how many findings weigh what, ids, commands.
_FREE = ("eyebrow", "lede", "facts", "run", "line")
_VOID = {"meta", "br", "link", "img", "input", "hr"}


class Walk(HTMLParser):
    """Every piece of text with the elements around it, outermost first; and the links inside each element."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[dict] = []
        self.pieces: list[tuple[str, list[dict]]] = []
        self.links: dict[int, set[str]] = {}
        self.ids: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, **{key: value or "" for key, value in attrs}}
        if "id" in element:
            self.ids[element["id"]] = tag
        if tag == "a" and element.get("href", "").startswith("#"):
            for around in self.open:
                self.links.setdefault(id(around), set()).add(element["href"][1:])
        if tag not in _VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        while self.open and self.open.pop()["tag"] != tag:
            pass

    def handle_data(self, data):
        if data.strip():
            self.pieces.append((data, list(self.open)))


def classes(element: dict) -> set[str]:
    return set(element.get("class", "").split())


def numbers_that_lead_nowhere(document: Document, page: str) -> tuple[int, list[str]]:
    """How many numbers of runs the page holds, and the texts of those that no link leads from to a run."""
    walk = Walk(page)
    runs = {f"run-{record.run.id}" for record in document.runs}
    assert runs <= walk.ids.keys()
    seen, lost = 0, []
    for text, around in walk.pieces:
        tags = {element["tag"] for element in around}
        if not re.search(r"\d", text) or tags & {"style", "title", "pre", "code", "svg", "nav", "h2", "footer"}:
            continue
        if any(classes(element) & set(_FREE) for element in around):
            continue
        holder = next(
            (e for e in around if classes(e) & set(_HOLDERS) or e["tag"] == "figure" or e.get("id") in runs), None
        )
        seen += 1
        if holder is None:
            lost.append(text)
        elif holder.get("id") not in runs and not any(e.get("id") == "not-measured" for e in around):
            led = walk.links.get(id(holder), set())
            leads = any(target in runs or target.startswith(("fig-", "finding-")) for target in led)
            if not leads or not led <= walk.ids.keys():
                lost.append(text)
    return seen, lost
