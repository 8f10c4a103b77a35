"""Logs of Inspect (inspect_ai), read and written: .eval (a zip of JSON files) and .json, a log a suite.

Knows the layout of log version 2; Inspect itself is not needed.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from inhouse.core.errors import MissingExtra, QualityError
from inhouse.core.records import Scalar
from inhouse.quality.answers import Answer
from inhouse.quality.exchange.base import Exchanged, by_suite
from inhouse.quality.scorers import Response, Score

_DO = "Give a log that Inspect wrote (.eval or .json)"
_ZSTANDARD = 93  # a zip member's method that Python's zipfile learns in 3.14 only
_WORTH = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
_STOPS = {"length": "max_tokens", "content_filter": "content_filter", "tool_calls": "tool_calls"}
_ATTACHED = "attachment://"


def read(path: Path) -> Exchanged:
    """The evaluation of a log.

    Raises:
        QualityError: it is no log, or none with samples.
        MissingExtra: it is compressed in a way that takes a package to read.
    """
    try:
        if zipfile.is_zipfile(path):
            header, samples = _zipped(path)
        else:
            header = json.loads(path.read_text(encoding="utf-8"))
            samples = header.get("samples") or []
        return _exchanged(header, samples)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, zipfile.BadZipFile) as error:
        raise QualityError(
            f"{path} is no log of Inspect", why=f"{type(error).__name__}: {error}", do=_DO
        ) from None  # fmt: skip


def write(found: Exchanged, folder: Path, *, as_json: bool = False) -> list[Path]:
    """Writes a log a suite, as Inspect reads them; the files."""
    made = []
    at = found.made_at or datetime.now(UTC)
    for suite, answers in by_suite(found.answers).items():
        log = _log(found, suite, answers, at)
        path = folder / f"{at:%Y-%m-%dT%H-%M-%S}+00-00_{suite}_{log['eval']['task_id']}.{'json' if as_json else 'eval'}"
        if as_json:
            path.write_text(json.dumps(log, ensure_ascii=False, indent=2), encoding="utf-8")
        else:
            path.write_bytes(_zip(log))
        made.append(path)
    return made


def _zipped(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    with zipfile.ZipFile(path) as archive, path.open("rb") as raw:
        members = {one.filename: one for one in archive.infolist()}  # of several of one name the last counts
        if "header.json" not in members:
            raise QualityError(
                f"{path} has no end: the evaluation was cut off", do="Retry it with `inspect eval-retry`"
            )
        header = json.loads(_member(archive, raw, members["header.json"]))
        names = [name for name in members if name.startswith("samples/")]
        return header, [json.loads(_member(archive, raw, members[name])) for name in names]


def _member(archive: zipfile.ZipFile, raw: Any, member: zipfile.ZipInfo) -> bytes:
    if member.compress_type != _ZSTANDARD:
        return archive.read(member)
    try:
        import zstandard
    except ImportError:
        raise MissingExtra(
            "This log is compressed with Zstandard", why="not installed: zstandard",
            do="pip install 'inhouse[quality]', or convert it: inspect log convert --to json",
        ) from None  # fmt: skip
    raw.seek(member.header_offset)
    head = raw.read(30)  # the local header says how long the name and the extra field before the data are
    raw.seek(int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little"), io.SEEK_CUR)
    return bytes(zstandard.ZstdDecompressor().decompressobj().decompress(raw.read(member.compress_size)))


def _exchanged(header: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]) -> Exchanged:
    about = header["eval"]
    task = str(about.get("task_display_name") or about["task"]).rpartition("/")[2]
    left_out: set[str] = set()
    answers = [_answer(task, sample, left_out) for sample in samples]
    version = (about.get("packages") or {}).get("inspect_ai", "")
    notes = [f"{one}: not one figure from 0 to 1, left out" for one in sorted(left_out)]
    if header.get("status") != "success":
        notes.append(f"the log's status is {header.get('status')}: it may not hold all samples")
    return Exchanged(
        tuple(answers), f"inspect {version}".strip(), str(about.get("model", "")),
        datetime.fromisoformat(about["created"]) if about.get("created") else None,
        tags={(task, str(one["id"])): tags for one in samples if (tags := _tags(one.get("metadata") or {}))},
        notes=tuple(notes),
    )  # fmt: skip


def _answer(task: str, sample: Mapping[str, Any], left_out: set[str]) -> Answer:
    attached = sample.get("attachments") or {}
    output = sample.get("output") or {}
    said = (output.get("choices") or [{}])[0]
    usage = output.get("usage") or {}
    choices = tuple(map(str, sample.get("choices") or ()))
    targets = sample["target"] if isinstance(sample["target"], list) else [sample["target"]]
    if choices:  # Inspect names them by their letters
        targets = [
            choices[ascii_uppercase.index(one)] if one in ascii_uppercase[: len(choices)] and one else one
            for one in targets
        ]  # fmt: skip
    error = sample.get("error") or {}
    scores = {}
    for name, score in (sample.get("scores") or {}).items():
        value = _worth(score["value"])
        if value is None and not isinstance(score["value"], str):
            left_out.add(f"{task}, {name}")
            continue
        detail: dict[str, Scalar] = {"reason": score["explanation"]} if score.get("explanation") else {}
        scores[name] = Score(value, str(score.get("answer") or ""), detail)
    text = output.get("completion")
    return Answer(
        task, str(sample["id"]), "default", int(sample.get("epoch", 1)) - 1, "", _text(sample["input"], attached),
        Response(_resolved(text if text is not None else _content((said.get("message") or {}).get("content", ""))
                           , attached), said.get("stop_reason")),
        prompt_tokens=usage.get("input_tokens"), completion_tokens=usage.get("output_tokens"),
        duration_s=float(sample.get("total_time") or 0.0), error=error.get("message"),
        scores={} if error else scores, targets=tuple(map(str, targets)), choices=choices,
    )  # fmt: skip


def _worth(value: Any) -> float | None:
    if isinstance(value, str):
        value = _WORTH.get(value, _WORTH.get(value.lower(), value))
        try:
            value = float(value)
        except ValueError:
            return None
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else None


def _text(asked: Any, attached: Mapping[str, str]) -> str:
    """The last message of the user, or the text that is the input."""
    if isinstance(asked, str):
        return _resolved(asked, attached)
    mine = [one for one in asked if one.get("role") == "user"] or asked
    return _resolved(_content(mine[-1]["content"]), attached)


def _content(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(one.get("text", "") for one in content if one.get("type") == "text")


def _resolved(text: str, attached: Mapping[str, str]) -> str:
    return str(attached.get(text.removeprefix(_ATTACHED), text)) if text.startswith(_ATTACHED) else text


def _tags(metadata: Mapping[str, Any]) -> dict[str, Scalar]:
    return {name: value for name, value in metadata.items() if isinstance(value, bool)
            or (isinstance(value, str) and len(value) <= 40)}  # fmt: skip


def _log(found: Exchanged, suite: str, answers: Sequence[Answer], at: datetime) -> dict[str, Any]:
    scorers = dict.fromkeys(key for one in answers for key in one.scores)
    epochs = 1 + max(one.repeat for one in answers)
    ids = [_sample_id(one, answers) for one in answers]
    marks = {what: sha256(f"{what}{suite}{at}{found.model}".encode()).hexdigest()[:22] for what in ("e", "r", "t")}
    usage = {
        "input_tokens": sum(one.prompt_tokens or 0 for one in answers),
        "output_tokens": sum(one.completion_tokens or 0 for one in answers),
        "total_tokens": sum((one.prompt_tokens or 0) + (one.completion_tokens or 0) for one in answers),
    }
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "eval_id": marks["e"], "run_id": marks["r"], "task_id": marks["t"], "created": at.isoformat(),
            "task": suite, "task_version": 0, "task_attribs": {}, "task_args": {}, "model_args": {},
            "dataset": {"name": suite, "samples": len(set(ids)), "sample_ids": list(dict.fromkeys(ids))},
            "model": f"inhouse/{found.model}", "config": {"epochs": epochs}, "packages": {},
            "metadata": {"engine": found.by},
        },
        "plan": {"name": "plan", "steps": [], "config": {}},
        "results": {
            "total_samples": len(answers), "completed_samples": sum(one.error is None for one in answers),
            "scores": [{"name": key, "scorer": key, "params": {}, "metrics": _metrics(key, answers)}
                       for key in scorers],
        },
        "stats": {"started_at": at.isoformat(), "completed_at": at.isoformat(),
                  "model_usage": {f"inhouse/{found.model}": usage}},
        "samples": list(_samples(found, suite, answers, ids)),
    }  # fmt: skip


def _sample_id(one: Answer, answers: Sequence[Answer]) -> str:
    """The item; with the prompt's name where the suite asks in several ways."""
    return one.item if len({other.prompt for other in answers}) == 1 else f"{one.item} ({one.prompt})"


def _metrics(key: str, answers: Sequence[Answer]) -> dict[str, Any]:
    values = [value for one in answers if key in one.scores and (value := one.scores[key].value) is not None]
    mean = sum(values) / len(values) if values else 0.0
    return {"mean": {"name": "mean", "value": mean, "params": {}}}


def _samples(found: Exchanged, suite: str, answers: Sequence[Answer], ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    for name, one in zip(ids, answers, strict=True):
        text = one.response.text
        targets = [_lettered(target, one.choices) for target in one.targets]
        stop = _STOPS.get(one.response.finish_reason or "", "stop")
        sample: dict[str, Any] = {
            "id": name, "epoch": one.repeat + 1, "input": one.question, "choices": list(one.choices) or None,
            "target": targets[0] if len(targets) == 1 else targets,
            "messages": [{"role": "user", "content": one.question}, {"role": "assistant", "content": text}],
            "output": {
                "model": found.model, "completion": text,
                "choices": [{"message": {"role": "assistant", "content": text}, "stop_reason": stop}],
                "usage": {"input_tokens": one.prompt_tokens or 0, "output_tokens": one.completion_tokens or 0,
                          "total_tokens": (one.prompt_tokens or 0) + (one.completion_tokens or 0)},
            },
            "scores": {
                key: {"value": float("nan") if score.value is None else score.value, "answer": score.answer,
                      "metadata": dict(score.detail)}
                for key, score in one.scores.items()
            },
            "metadata": dict(found.tags.get((suite, one.item), {})), "store": {}, "events": [], "model_usage": {},
            "attachments": {}, "total_time": one.duration_s,
        }  # fmt: skip
        if one.error is not None:
            sample["error"] = {"message": one.error, "traceback": "", "traceback_ansi": ""}
        yield sample


def _lettered(target: str, choices: Sequence[str]) -> str:
    return ascii_uppercase[choices.index(target)] if target in choices else target


def _zip(log: Mapping[str, Any]) -> bytes:
    out = io.BytesIO()
    header = {name: value for name, value in log.items() if name != "samples"}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        start = {"version": log["version"], "eval": log["eval"], "plan": log["plan"]}
        archive.writestr("_journal/start.json", json.dumps(start))
        for sample in log["samples"]:
            name = str(sample["id"]).replace("/", "_")
            archive.writestr(f"samples/{name}_epoch_{sample['epoch']}.json", json.dumps(sample, ensure_ascii=False))
        summaries = [
            {"id": one["id"], "epoch": one["epoch"], "input": one["input"], "target": one["target"],
             "metadata": one["metadata"], "scores": one["scores"], "completed": True}
            for one in log["samples"]
        ]  # fmt: skip
        archive.writestr("summaries.json", json.dumps(summaries, ensure_ascii=False))
        archive.writestr("header.json", json.dumps(header, ensure_ascii=False))
    return out.getvalue()
