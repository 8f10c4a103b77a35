"""Evaluations as JSONL or CSV: a row an answer, in both directions. Scores stand in `score.<scorer>` and beside it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from inhouse.core.errors import QualityError
from inhouse.quality.answers import Answer, Label
from inhouse.quality.exchange.base import Exchanged
from inhouse.quality.scorers import Response, Score

BY = "rows"
_COLUMNS = (
    "model", "suite", "item", "prompt", "repeat", "cluster", "question", "choices", "targets", "answer",
    "finish_reason", "letters", "continuations", "seed", "prompt_tokens", "completion_tokens", "duration_s", "error",
)  # fmt: skip
_NOT_JUDGED = "not judged"  # in CSV, where an empty cell says that the scorer is another suite's
_NEEDED = ("suite", "item", "question")
_DO = "Give a file that `inhouse eval export` wrote, or rows with suite, item, question, answer and score.<scorer>"


def to_jsonl(found: Exchanged) -> str:
    """One JSON object a line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in _rows(found))


def to_csv(found: Exchanged) -> str:
    """A line an answer under one heading; lists and details stand as JSON."""
    rows = list(_rows(found))
    columns = dict.fromkeys([*_COLUMNS, *(name for row in rows for name in row)])
    out = io.StringIO()
    writer = csv.DictWriter(out, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(name, value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def from_jsonl(text: str) -> Exchanged:
    """The answers of such rows; QualityError where a line cannot be read."""
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise QualityError(f"Line {number} is no JSON", why=str(error), do=_DO) from None
        if not isinstance(row, dict):
            raise QualityError(f"Line {number} is no JSON object", do=_DO)
        rows.append((number, row))
    return _exchanged(rows)


def from_csv(text: str) -> Exchanged:
    """The answers of such a table; QualityError where a row cannot be read."""
    reader = csv.DictReader(io.StringIO(text))
    rows = []
    for row in reader:
        filled = {name: _value(name, cell) for name, cell in row.items() if name and cell not in (None, "")}
        rows.append((reader.line_num, filled))
    return _exchanged(rows)


def _rows(found: Exchanged) -> Iterable[dict[str, Any]]:
    labels: dict[tuple[str, str, str, int], list[Label]] = {}
    for key, label in found.labels:
        labels.setdefault(key, []).append(label)
    for one in found.answers:
        response = one.response
        row: dict[str, Any] = {
            "model": found.model, "suite": one.suite, "item": one.item, "prompt": one.prompt, "repeat": one.repeat,
            "cluster": one.cluster, "question": one.question, "choices": list(one.choices),
            "targets": list(one.targets), "answer": response.text, "finish_reason": response.finish_reason,
            "letters": _finite(response.letters), "continuations": _finite(response.continuations), "seed": one.seed,
            "prompt_tokens": one.prompt_tokens, "completion_tokens": one.completion_tokens,
            "duration_s": one.duration_s, "error": one.error,
        }  # fmt: skip
        for scorer, score in one.scores.items():
            row |= {f"score.{scorer}": score.value, f"taken.{scorer}": score.answer}
            row |= {f"detail.{scorer}": dict(score.detail)}
        row |= {f"label.{label.person}": label.value for label in labels.get(one.key, ())}
        yield row


def _exchanged(rows: Sequence[tuple[int, Mapping[str, Any]]]) -> Exchanged:
    answers, labels = [], []
    for number, row in rows:
        missing = [name for name in _NEEDED if name not in row]
        if missing:
            raise QualityError(f"Line {number} has no {' and no '.join(missing)}", do=_DO)
        try:
            one = _answer(row)
            mine = [(name.removeprefix("label."), float(row[name])) for name in row if name.startswith("label.")]
        except (TypeError, ValueError) as error:
            raise QualityError(f"Line {number} cannot be read", why=str(error), do=_DO) from None
        answers.append(one)
        labels += [(one.key, Label(0, person, value)) for person, value in mine]
    models = {str(row["model"]) for _, row in rows if row.get("model")}
    return Exchanged(tuple(answers), BY, ", ".join(sorted(models)), labels=tuple(labels))


def _answer(row: Mapping[str, Any]) -> Answer:
    tokens = {
        name: None if row.get(name) is None else int(row[name]) for name in ("prompt_tokens", "completion_tokens")
    }
    scores = {}
    for name in row:
        if name.startswith("score."):
            scorer = name.removeprefix("score.")
            value = None if row[name] is None else float(row[name])
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} is {value:g}, but scores go from 0 to 1")
            scores[scorer] = Score(value, str(row.get(f"taken.{scorer}", "")), row.get(f"detail.{scorer}") or {})
        elif name.startswith("taken.") and (scorer := name.removeprefix("taken.")) and f"score.{scorer}" not in row:
            scores[scorer] = Score(None, str(row[name]), row.get(f"detail.{scorer}") or {})
    response = Response(
        str(row.get("answer") or ""), row.get("finish_reason"),
        letters=_logprobs(row.get("letters")), continuations=_logprobs(row.get("continuations")),
    )  # fmt: skip
    return Answer(
        str(row["suite"]), str(row["item"]), str(row.get("prompt") or "default"), int(row.get("repeat") or 0), "",
        str(row["question"]), response, int(row.get("seed") or 0), **tokens,  # type: ignore[arg-type]
        duration_s=float(row.get("duration_s") or 0.0), error=row.get("error"), scores=scores,
        cluster=str(row.get("cluster") or row["item"]), targets=tuple(map(str, row.get("targets") or ())),
        choices=tuple(map(str, row.get("choices") or ())),
    )  # fmt: skip


def _finite(values: Iterable[float]) -> list[float | None]:
    return [value if abs(value) != float("inf") else None for value in values]


def _logprobs(values: Iterable[float | None] | None) -> tuple[float, ...]:
    return tuple(-float("inf") if value is None else float(value) for value in values or ())


def _cell(name: str, value: Any) -> Any:
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False) if value else None
    return _NOT_JUDGED if value is None and name.startswith("score.") else value


def _value(name: str, cell: str) -> Any:
    if name in ("choices", "targets", "letters", "continuations") or name.startswith("detail."):
        return json.loads(cell)
    return None if name.startswith("score.") and cell == _NOT_JUDGED else cell
