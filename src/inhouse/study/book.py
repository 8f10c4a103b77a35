"""Questions on documents as a suite: with the book closed, and open at the right place. Knows no engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from inhouse.core.errors import PartSkipped
from inhouse.core.records import Metric, Scalar
from inhouse.docs.load import load_safely
from inhouse.docs.questions import Question, read_questions
from inhouse.docs.records import Loaded
from inhouse.docs.sources import Source, scan
from inhouse.quality.answers import Answer
from inhouse.quality.measures.base import share, shuffled, value_of
from inhouse.quality.statistics import paired_difference
from inhouse.quality.suite import Item, Prompt, Sampling, ScorerUse, Suite
from inhouse.study.base import StudyConfig

MANUAL = Path(__file__).parent / "manual"
_AROUND = 500  # letters of the passage on either side of the place: 250 tokens in English, 500 to 700 in Korean
_PROMPTS = {
    "ko": (
        "다음 질문에 짧게 답하세요.\n\n질문: {question}",
        "글:\n{passage}\n\n위 글을 보고 짧게 답하세요.\n\n질문: {question}",
    ),
    "en": (
        "Answer briefly.\n\nQuestion: {question}",
        "Text:\n{passage}\n\nAnswer briefly from it.\n\nQuestion: {question}",
    ),
}


def book_suite(config: StudyConfig, lang: str) -> Suite:
    """The study's questions on its documents (without its own: those on a part of a real manual).

    Raises:
        PartSkipped: there are documents without questions, or no question's place can be found in them.
    """
    if config.documents and not config.questions:
        raise PartSkipped("There are no questions on these documents", message="phase2.no_questions")
    folder = Path(config.documents) if config.documents else MANUAL / lang
    asked = read_questions(Path(config.questions) if config.questions else MANUAL / f"questions_{lang}.jsonl")
    items = _in_turn(_items(folder, [one for one in asked if one.answerable and one.answers]), config.seed)
    if not items:
        raise PartSkipped("No question's answer was found in the documents", message="phase2.no_questions")
    closed, opened = _PROMPTS[lang]
    return Suite(
        name="book", title={"en": "Questions on documents", "ko": "문서에 관한 질문"}, language=lang,
        licence="the user's", source=str(folder), task="text", items=tuple(items), scorers=(ScorerUse("contains"),),
        prompts=(Prompt("closed", closed), Prompt("open", opened)), sampling=Sampling(max_tokens=40),
    )  # fmt: skip


def book_metrics(answers: Sequence[Answer]) -> list[Metric]:
    """Right from memory, right with the page open, and `book_gain`: what that adds, question by question."""
    found: list[Metric] = []
    right: dict[str, dict[str, Answer]] = {"closed": {}, "open": {}}
    for one in answers:
        if value_of(one, "contains") is not None:
            right[one.prompt][one.item] = one
    both = sorted(set(right["closed"]) & set(right["open"]))
    clusters = [right["open"][item].cluster for item in both]
    values = {way: [value_of(kept[item], "contains") or 0.0 for item in both] for way, kept in right.items()}
    for way, each in values.items():
        found += share("accuracy", each, {"suite": "book", "scorer": "contains", "prompt": way}, clusters)
    gap = paired_difference(values["closed"], values["open"], clusters)
    labels: dict[str, Scalar] = {"p": gap.p}
    return (
        [*found, Metric("book_gain", gap.value, "share", labels, gap.low, gap.high, gap.n, gap.method)] if both else []
    )


def _items(folder: Path, questions: Sequence[Question]) -> list[Item]:
    """Each question with the text around its place; those whose place is not found are left out."""
    wanted = {one.document for one in questions}
    paths = [
        found for found in sorted(scan(Source(folder)), key=lambda found: found.path)
        if "" in wanted or any(found.path == name or found.path.endswith(f"/{name}") for name in wanted)
    ]  # fmt: skip
    by_path = {found.file: found.path for found in paths}
    texts = {
        by_path[path]: "\n".join(block.text for block in loaded.blocks)
        for path, loaded in load_safely([found.file for found in paths])
        if isinstance(loaded, Loaded)
    }
    items = []
    for number, question in enumerate(questions):
        passage = next(
            (
                passage
                for path, text in texts.items()
                if not question.document or path == question.document or path.endswith(f"/{question.document}")
                for passage in [_passage(text, [question.quote] if question.quote else question.answers)]
                if passage
            ),
            "",
        )
        if passage:
            fields = {"question": question.question, "passage": passage}
            items.append(Item(f"question-{number}", fields, question.answers, cluster=question.document or str(number)))
    return items


def _in_turn(items: Sequence[Item], seed: int) -> list[Item]:
    """The items in an order by lot in which the documents take turns: a few from one document are as one question."""
    taken: Counter[str] = Counter()
    rounds: list[tuple[int, Item]] = []
    for item in shuffled(items, seed):
        rounds.append((taken[item.cluster], item))
        taken[item.cluster] += 1
    return [item for _, item in sorted(rounds, key=lambda one: one[0])]


def _passage(text: str, quotes: Sequence[str]) -> str:
    """The text around the first quote that it holds, markup and line breaks apart; empty where it holds none."""
    letters = [(place, one) for place, one in enumerate(text.lower()) if one.isalnum()]
    folded = "".join(one for _, one in letters)
    for quote in quotes:
        at = folded.find("".join(one for one in quote.lower() if one.isalnum()))
        if at >= 0 and quote:
            place = letters[at][0]
            return text[max(0, place - _AROUND) : place + _AROUND].strip()
    return ""
