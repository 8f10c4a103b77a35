"""Question sets: the user's own (JSONL or CSV), read and checked, and which chunks answer a question.

A question says where its answer stands (`document`, `quote`), what it is (`answers`), or that there is none.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inhouse.core.errors import UsageError
from inhouse.docs.records import Document
from inhouse.docs.stores.base import StoredChunk, VectorStore

_NO = ("false", "no", "0", "아니오", "x")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and what is known of its answer.

    `answers` are the wordings that count as right, `document` the path that holds it, `quote` words of the place
    that does. `answerable` false: the documents do not hold it, and saying so is right.
    """

    question: str
    answers: tuple[str, ...] = ()
    document: str = ""
    quote: str = ""
    answerable: bool = True


def read_questions(path: Path) -> list[Question]:
    """The questions of a JSONL or CSV file (answers separated by | there); rows with `keep` false are left out.

    Raises:
        UsageError: the file cannot be read, or a row of it says too little; the row is named.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The questions {path} cannot be read", why=str(error), do="Give a UTF-8 file") from None
    rows = list(_csv(text, path) if path.suffix.lower() == ".csv" else _jsonl(text, path))
    questions = [_question(row, f"{path}, row {at}") for at, row in rows if not _is_no(row.get("keep"))]
    if not questions:
        raise UsageError(f"{path} holds no question", do='Write rows like {"question": "…", "answers": ["…"]}')
    return questions


def write_questions(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows as JSONL, to be reviewed by hand."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def right_chunks(questions: Sequence[Question], store: VectorStore) -> list[frozenset[int]]:
    """For each question the ids of the chunks that answer it; empty for one that has no answer.

    Raises:
        UsageError: the collection has no chunk that answers any of them.
    """
    documents = store.documents()
    held: dict[str, list[tuple[str, StoredChunk]]] = {}

    def chunks_of(document: Document) -> list[tuple[str, StoredChunk]]:
        if document.id not in held:
            held[document.id] = [(_plain(one.chunk.text), one) for one in store.chunks_of(document.id)]
        return held[document.id]

    found = []
    for question in questions:
        wanted = [_plain(text) for text in ([question.quote] if question.quote else question.answers)]
        right = [
            stored.id
            for document in documents
            if not question.document or _is_path(document.path, question.document)
            for text, stored in chunks_of(document)
            if stored.chunk.embed and (any(words in text for words in wanted) if wanted else question.document)
        ] if question.answerable else []  # fmt: skip
        found.append(frozenset(right))
    if not any(found) and any(question.answerable for question in questions):
        raise UsageError(
            "The collection answers none of these questions",
            why="no chunk has the quote, or the answer, in the document that the question names",
            do="Check that the questions belong to this collection",
        )
    return found


def as_row(question: Question) -> dict[str, Any]:
    """The question as a row of JSONL."""
    return asdict(question) | {"answers": list(question.answers)}


def _question(row: Mapping[str, Any], where: str) -> Question:
    text = str(row.get("question") or "").strip()
    if not text:
        raise UsageError(f"{where} has no question", do='Give each row a "question"')
    answers = row.get("answers", row.get("answer"))
    if isinstance(answers, str):
        answers = [answers]
    given = tuple(str(answer) for answer in answers or () if str(answer).strip())
    answerable = not _is_no(row.get("answerable"))
    document, quote = str(row.get("document") or ""), str(row.get("quote") or "")
    if answerable and not (given or document or quote):
        raise UsageError(
            f"{where} does not say what is right",
            do="Give answers, a quote or a document; or answerable: false where the documents hold none",
        )
    return Question(text, given, document, quote, answerable)


def _jsonl(text: str, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for at, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UsageError(f"{path}, row {at} is no JSON", why=str(error)) from None
        if not isinstance(row, dict):
            raise UsageError(f"{path}, row {at} is no JSON object")
        yield at, row


def _csv(text: str, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(text.splitlines())
    if "question" not in (reader.fieldnames or ()):
        raise UsageError(f"{path} has no column question", do="Name its columns in the first row")
    for at, row in enumerate(reader, 2):
        answers = [answer.strip() for answer in (row.get("answers") or row.get("answer") or "").split("|")]
        yield at, {**row, "answers": answers}


def _is_no(value: Any) -> bool:
    return value is False or (isinstance(value, str) and value.strip().lower() in _NO)


def _is_path(path: str, wanted: str) -> bool:
    return path == wanted or path.endswith("/" + wanted)


def _plain(text: str) -> str:
    """Letters and digits alone: neither markup nor line breaks keep a quote from being found."""
    return "".join(letter for letter in text.lower() if letter.isalnum())
