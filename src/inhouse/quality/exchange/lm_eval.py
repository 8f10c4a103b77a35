"""Results of lm-evaluation-harness (0.4: results_*.json with samples_*.jsonl beside it), read and written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inhouse.core.errors import QualityError
from inhouse.quality.answers import Answer
from inhouse.quality.exchange.base import Exchanged, by_suite
from inhouse.quality.scorers import Response, Score

_DO = "Give results_*.json of a run with --log_samples, its folder, or one samples_*.jsonl"


def read(path: Path) -> Exchanged:
    """The evaluation of a results file, of its folder, or of one samples file.

    A score of a filter other than "none" goes by `metric,filter`, as in the harness' own results. Metrics that are no
    shares (perplexities, sums) are left out, and named in `notes`.

    Raises:
        QualityError: no such file, no samples, or not the harness' form.
    """
    results, samples = _files(path)
    told = _json(results) if results is not None else {}
    answers: list[Answer] = []
    left_out: set[str] = set()
    for name in samples:
        task = _task_of(name)
        answers += _answers(task, name, left_out)
    config = told.get("config", {})
    made = told.get("date")
    notes = [f"{one}: no share from 0 to 1, left out" for one in sorted(left_out)]
    return Exchanged(
        tuple(answers),
        by=f"lm-eval {told.get('lm_eval_version', '')}".strip(),
        model=_model(told, config),
        made_at=datetime.fromtimestamp(made, UTC) if isinstance(made, int | float) else None,
        metrics={one.suite: next(iter(one.scores), "accuracy").split(",")[0] for one in answers},
        notes=tuple(notes),
    )


def write(found: Exchanged, folder: Path) -> list[Path]:
    """Writes the evaluation as the harness would; the files. Only the first repeat of an item goes in."""
    stamp = (found.made_at or datetime.now(UTC)).strftime("%Y-%m-%dT%H-%M-%S.%f")
    results: dict[str, Any] = {}
    configs: dict[str, Any] = {}
    counts: dict[str, Any] = {}
    higher: dict[str, Any] = {}
    made = []
    for suite, mine in by_suite(found.answers).items():
        prompts = _by_prompt(mine)
        for prompt, answers in prompts.items():
            task = suite if len(prompts) == 1 else f"{suite}_{prompt}".replace(" ", "_").replace("/", "_")
            rows = [_row(place, one) for place, one in enumerate(answers)]
            path = folder / f"samples_{task}_{stamp}.jsonl"
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
            made.append(path)
            results[task] = {"alias": task, "sample_len": len(rows), **_means(answers)}
            counts[task] = {"original": len(rows), "effective": len(rows)}
            kind = "multiple_choice" if any(one.response.continuations for one in answers) else "generate_until"
            configs[task] = {"task": task, "output_type": kind, "metadata": {"version": "inhouse"}}
            higher[task] = {_named(key)[0]: True for one in answers for key in one.scores}
    document: dict[str, Any] = {
        "results": results, "group_subtasks": {task: [] for task in results}, "configs": configs,
        "versions": dict.fromkeys(results, "inhouse"), "n-shot": dict.fromkeys(results, 0), "higher_is_better": higher,
        "n-samples": counts, "config": {"model": found.by, "model_args": {"pretrained": found.model}},
        "date": found.made_at.timestamp() if found.made_at else None, "model_source": found.by,
        "model_name": found.model, "model_name_sanitized": found.model.replace("/", "__"),
    }  # fmt: skip
    path = folder / f"results_{stamp}.json"
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False), encoding="utf-8")
    return [path, *made]


def _files(path: Path) -> tuple[Path | None, list[Path]]:
    if path.is_dir():
        newest = sorted(path.rglob("results_*.json"))
        if not newest:
            raise QualityError(f"The folder {path} holds no results_*.json", do=_DO)
        path = newest[-1]
    if path.name.startswith("samples_"):
        return None, [path]
    stamp = path.stem.removeprefix("results_")
    found = sorted(path.parent.glob(f"samples_*_{stamp}.jsonl"))
    if not found:
        raise QualityError(f"There are no samples beside {path}", why="scores alone cannot be compared", do=_DO)
    return path, found


def _task_of(path: Path) -> str:
    """`samples_<task>_<date>.jsonl`; the date holds no underscore."""
    return path.stem.removeprefix("samples_").rpartition("_")[0] or path.stem.removeprefix("samples_")


def _answers(task: str, path: Path, left_out: set[str]) -> list[Answer]:
    found: dict[str, Answer] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            item = str(row["doc_id"])
            scores = _scores(row, task, left_out)
            if item in found:
                merged = {**found[item].scores, **scores}
                found[item] = _answer(task, item, row, merged)
            else:
                found[item] = _answer(task, item, row, scores)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            why = f"{type(error).__name__}: {error}"
            raise QualityError(f"{path}, line {number} is no sample of lm-eval", why=why, do=_DO) from None
    return list(found.values())


def _answer(task: str, item: str, row: Mapping[str, Any], scores: Mapping[str, Score]) -> Answer:
    asked = row["arguments"]
    pairs = [one for _, one in sorted(asked.items(), key=lambda one: int(one[0].rpartition("_")[2]))] if isinstance(
        asked, dict) else [{"arg_0": one[0], "arg_1": one[1] if len(one) > 1 else None} for one in asked]  # fmt: skip
    question = str(pairs[0]["arg_0"])
    first = row["resps"][0]
    while isinstance(first, list) and len(first) == 1:
        first = first[0]
    target = row["target"]
    if isinstance(first, str):
        return Answer(
            task, item, "default", 0, "", question, Response(first), scores=scores,
            targets=tuple(map(str, target if isinstance(target, list) else [target])),
        )  # fmt: skip
    choices = tuple(str(one["arg_1"]).strip() for one in pairs)
    logprobs = tuple(float(one[0] if isinstance(one, list) else one) for one in row["filtered_resps"])
    right = choices[int(target)] if str(target).lstrip("-").isdigit() and 0 <= int(target) < len(choices) else target
    return Answer(
        task, item, "default", 0, "", question, Response(continuations=logprobs), scores=scores,
        targets=(str(right),), choices=choices if len(choices) > 1 else (),
    )  # fmt: skip


def _scores(row: Mapping[str, Any], task: str, left_out: set[str]) -> dict[str, Score]:
    scores = {}
    taken = row["filtered_resps"][0] if row.get("filtered_resps") else ""
    for metric in row.get("metrics", ()):
        value = row.get(metric)
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            left_out.add(f"{task}, {metric}")
            continue
        key = metric if row.get("filter", "none") == "none" else f"{metric},{row['filter']}"
        scores[key] = Score(float(value), taken if isinstance(taken, str) else "")
    return scores


def _by_prompt(answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    found: dict[str, list[Answer]] = {}
    for one in answers:
        if one.error is None and one.repeat == 0:
            found.setdefault(one.prompt, []).append(one)
    return found


def _row(place: int, one: Answer) -> dict[str, Any]:
    response = one.response
    if response.continuations:
        asked = [(one.question, f" {choice}") for choice in one.choices]
        resps: list[Any] = [[[str(value), "False"]] for value in response.continuations]
        filtered: list[Any] = [[str(value), "False"] for value in response.continuations]
        target = str(one.choices.index(one.targets[0])) if one.targets and one.targets[0] in one.choices else ""
    else:
        asked = [(one.question, "")]
        resps, filtered = [[response.text]], [next((s.answer for s in one.scores.values()), response.text)]
        target = one.targets[0] if one.targets else ""
    doc = {"id": one.item, "question": one.question, "choices": list(one.choices), "targets": list(one.targets)}
    return {
        "doc_id": place, "doc": doc, "target": target,
        "arguments": {f"gen_args_{at}": {"arg_0": a, "arg_1": b} for at, (a, b) in enumerate(asked)},
        "resps": resps, "filtered_resps": filtered, "filter": "none", "metrics": list(one.scores),
        "doc_hash": _hash(json.dumps(doc, ensure_ascii=False)), "prompt_hash": _hash(one.question),
        "target_hash": _hash(target), **{key: score.value for key, score in one.scores.items()},
    }  # fmt: skip


def _means(answers: Sequence[Answer]) -> dict[str, float]:
    found: dict[str, float] = {}
    for key in dict.fromkeys(key for one in answers for key in one.scores):
        values = [value for one in answers if key in one.scores and (value := one.scores[key].value) is not None]
        metric, used = _named(key)
        if values:
            mean = sum(values) / len(values)
            found[f"{metric},{used}"] = mean
            spread = sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1)
            found[f"{metric}_stderr,{used}"] = (spread / len(values)) ** 0.5
    return found


def _named(key: str) -> tuple[str, str]:
    metric, _, used = key.partition(",")
    return metric, used or "none"


def _model(told: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    args = config.get("model_args") or {}
    if isinstance(args, dict) and args.get("gguf_file"):
        return str(args["gguf_file"])
    return str(told.get("model_name") or "")


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise QualityError(f"{path} cannot be read", why=str(error), do=_DO) from None
    if not isinstance(found, dict) or "results" not in found:
        raise QualityError(f"{path} holds no results of lm-eval", do=_DO)
    return found


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
