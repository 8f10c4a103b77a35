"""Citations: the numbered sources of an answer, and the filter that lets only numbers of given sources through.

Knows no model and no store; light enough to be imported where nothing is searched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_OPENING = re.compile(r"\[[\d,\s]{0,24}$")
_CITATION = re.compile(r"(?P<gap>[ \t]*)\[(?P<numbers>\d{1,3}(?:\s*,\s*\d{1,3})*)\]")
_SOURCES = {"ko": "출처:", "en": "Sources:"}
_PAGE = {"ko": "{page}쪽", "en": "page {page}"}


@dataclass(frozen=True, slots=True)
class Citation:
    """A source of an answer: passage `number` of those that the model was given, and where it stands.

    `by` is "model" where the answer names the number itself, "words" where it names none and the passage is the
    one that holds its words.
    """

    number: int
    document_id: str
    title: str
    path: str
    headings: tuple[str, ...]
    page: int | None
    sheet: str | None
    text: str
    by: str = "model"

    def place(self, lang: str = "en") -> str:
        """Document › heading › page, as people read it."""
        page = _PAGE[lang].format(page=self.page) if self.page else ""
        return " › ".join(part for part in (self.path, *self.headings, self.sheet or "", page) if part)


@dataclass(frozen=True, slots=True)
class CitationsEvent:
    """What an answer stands on, after its text. `refused`: it says that the documents do not hold it.

    `dropped` counts the numbers that the model made up, which were taken out of its text.
    """

    at: float
    citations: tuple[Citation, ...]
    refused: bool = False
    dropped: int = 0


def sources_text(citations: Sequence[Citation], lang: str) -> str:
    """The list of sources that is put under an answer; empty without any."""
    if not citations:
        return ""
    return "\n".join(["", "", _SOURCES[lang], *(f"[{one.number}] {one.place(lang)}" for one in citations)])


def language_of(text: str) -> str:
    """The language that a question is answered in: ko where it has Hangul, else en."""
    return "ko" if re.search(r"[가-힣ㄱ-ㆎ]", text) else "en"


class CitationFilter:
    """Passes an answer on as it streams, without citations of sources that were not given.

    Text in backquotes is code, whose brackets mean something else. `cited` holds the valid numbers in the order
    of their first use, `dropped` counts the others.
    """

    def __init__(self, given: Iterable[int]) -> None:
        self.cited: list[int] = []
        self.dropped = 0
        self._given = frozenset(given)
        self._held = ""
        self._code = False

    def feed(self, piece: str) -> str:
        """What of the text so far can be passed on; what may yet become a citation is held back."""
        text = self._held + piece
        opening = _OPENING.search(text)
        # Blanks before a bracket go with it, as they would be left over where it is dropped.
        end = len(text[: opening.start() if opening else len(text)].rstrip(" \t"))
        self._held = text[end:]
        return self._checked(text[:end])

    def finish(self) -> str:
        """The rest, at the answer's end."""
        rest, self._held = self._held, ""
        return self._checked(rest)

    def _checked(self, text: str) -> str:
        parts = text.split("`")
        for at, part in enumerate(parts):
            if at:
                self._code = not self._code
            if not self._code:
                parts[at] = _CITATION.sub(self._valid, part)
        return "`".join(parts)

    def _valid(self, match: re.Match[str]) -> str:
        numbers = [int(number) for number in match["numbers"].split(",")]
        valid = [number for number in dict.fromkeys(numbers) if number in self._given]
        self.dropped += sum(number not in self._given for number in numbers)
        self.cited += [number for number in valid if number not in self.cited]
        return match["gap"] + "".join(f"[{number}]" for number in valid) if valid else ""
