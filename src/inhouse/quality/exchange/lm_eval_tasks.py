"""A task of lm-evaluation-harness (YAML over local JSON, JSONL or CSV) made into a suite of ours.

Its templates are rendered once, sandboxed; what only Python code could tell (`!function`) is refused.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inhouse.core.errors import BadSuite, MissingExtra

_NORMALISED = {"acc": "none", "acc_norm": "letters", "acc_bytes": "bytes"}
_MAX_TOKENS = 256  # the harness' own


def to_suite(path: Path, folder: Path) -> Path:
    """Writes the task as `<task>.toml` and `<task>.jsonl` into the folder; the TOML's path.

    Items go by the harness' doc_id and scorers by its metrics, so that a run of the suite compares with the harness'
    imported results. Choices are scored after the bare prompt, as there; free answers are asked through the model's
    chat template, as with its --apply_chat_template.

    Raises:
        BadSuite: the task needs what has no counterpart here, or its data cannot be read.
        MissingExtra: the packages that read YAML and its templates are not installed.
    """
    task = _config(path)
    name = str(task.get("task") or path.stem)
    kind = task.get("output_type", "generate_until")
    if kind not in ("multiple_choice", "generate_until"):
        raise BadSuite(f"{path}: tasks of the kind {kind!r} have no counterpart here")
    if task.get("num_fewshot"):
        raise BadSuite(f"{path}: examples before the question are not taken over", do="Set num_fewshot: 0")
    render = _Rendering(path, task)
    items = [_item(number, doc, task, render, kind) for number, doc in enumerate(_docs(path, task))]
    if not items:
        raise BadSuite(f"{path}: the task's data holds no document")
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in items)
    (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    made = folder / f"{name}.toml"
    made.write_text(_toml(name, path, task, kind), encoding="utf-8")
    return made


class _Rendering:
    """A document's fields in the task's templates."""

    def __init__(self, path: Path, task: Mapping[str, Any]) -> None:
        try:
            from jinja2 import StrictUndefined
            from jinja2.sandbox import SandboxedEnvironment
        except ImportError:
            raise _missing("jinja2") from None
        self._path = path
        self._environment = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
        self._environment.filters["regex_replace"] = _replaced
        self._task = task

    def text(self, key: str, doc: Mapping[str, Any]) -> Any:
        """What `key` of the task gives for the document: a field's value, a rendered template, or itself."""
        from jinja2 import TemplateError

        given = self._task.get(key)
        if given is None:
            raise BadSuite(f"{self._path} has no {key}")
        if not isinstance(given, str):
            return given
        if given in doc:
            return doc[given]
        try:
            return self._environment.from_string(given).render(**doc)
        except (TemplateError, TypeError, ValueError, AttributeError) as error:
            raise BadSuite(f"{self._path}: {key} cannot be rendered", why=str(error)) from None


def _item(
    number: int, doc: Mapping[str, Any], task: Mapping[str, Any], render: _Rendering, kind: str
) -> dict[str, Any]:
    prompt = str(task.get("description") or "") + str(render.text("doc_to_text", doc))
    target = render.text("doc_to_target", doc)
    if kind != "multiple_choice":
        return {"id": str(number), "prompt": prompt, "targets": target if isinstance(target, list) else [str(target)]}
    choices = render.text("doc_to_choice", doc)
    if isinstance(choices, str):
        choices = _listed(choices)
    choices = [str(one) for one in choices]
    if isinstance(target, str) and target.strip().lstrip("-").isdigit() and target not in choices:
        target = int(target)
    return {"id": str(number), "prompt": prompt, "choices": choices, "target": target}


def _listed(text: str) -> list[Any]:
    """A template's list is rendered as Python writes it."""
    import ast

    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        found = None
    if not isinstance(found, list | tuple):
        raise BadSuite(f"doc_to_choice gives no list: {text[:80]}")
    return list(found)


def _toml(name: str, path: Path, task: Mapping[str, Any], kind: str) -> str:
    choice = kind == "multiple_choice"
    settings = task.get("generation_kwargs") or {}
    until = settings.get("until") or []
    stops = [until] if isinstance(until, str) else list(until)
    lines = [
        f"name = {_quoted(name)}", f"title = {_quoted(name)}", 'language = "en"',
        'licence = "not stated by the task"', f"source = {_quoted(f'lm-eval task {path.name}')}",
        f"task = {_quoted('choice' if choice else 'text')}",
    ]  # fmt: skip
    if not choice:
        lines += ["", "[sampling]", f"max_tokens = {int(settings.get('max_gen_toks', _MAX_TOKENS))}"]
        lines += [f"temperature = {float(settings.get('temperature', 0) or 0)}"]
        lines += [f"stop = [{', '.join(map(_quoted, stops))}]"] if stops else []
    lines += ["", "[[prompt]]", 'template = "{prompt}"']
    if choice:
        lines += ["raw = true", f"delimiter = {_quoted(str(task.get('target_delimiter', ' ')))}"]
    for scorer in _choice_scorers(task) if choice else _text_scorers(path, task):
        lines += ["", "[[scorer]]", *(f"{key} = {_value(value)}" for key, value in scorer.items())]
    return "\n".join(lines) + "\n"


def _choice_scorers(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    metrics = [str(one["metric"]) for one in task.get("metric_list") or [{"metric": "acc"}, {"metric": "acc_norm"}]]
    found = [
        {"name": "choice_continuation", "label": one, "normalise": _NORMALISED[one]}
        for one in metrics if one in _NORMALISED
    ]  # fmt: skip
    return found or [{"name": "choice_continuation", "label": "acc", "normalise": "none"}]


def _text_scorers(path: Path, task: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for given in task.get("filter_list") or [{"name": "none", "filter": []}]:
        label = "exact_match" if given["name"] == "none" else f"exact_match,{given['name']}"
        patterns = [one for one in given["filter"] if one["function"] == "regex"]
        others = {one["function"] for one in given["filter"]} - {"regex", "take_first", "remove_whitespace", "strip"}
        if others or len(patterns) > 1:
            raise BadSuite(f"{path}: the filter {given['name']!r} has no counterpart here", why=", ".join(others))
        if patterns:
            pattern = {"pattern": patterns[0].get("regex_pattern", r"#### (\-?[0-9\.\,]+)")}
            found.append({"name": "regex", "label": label, **pattern, "first": patterns[0].get("group_select", 0) == 0})
        else:
            found.append({"name": "exact", "label": label})
    return found


def _config(path: Path) -> dict[str, Any]:
    """The task with what it includes, its own values over them."""
    try:
        import yaml
    except ImportError:
        raise _missing("pyyaml") from None

    class Loader(yaml.SafeLoader):
        """Refuses `!function`."""

    def refused(loader: yaml.SafeLoader, node: yaml.Node) -> None:
        raise BadSuite(f"{path} needs Python code ({node.value})", do="Render its data to JSONL, and name that")

    Loader.add_constructor("!function", refused)
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader)  # noqa: S506  (a SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadSuite(f"{path} cannot be read", why=str(error)) from None
    if not isinstance(found, dict):
        raise BadSuite(f"{path} is no task")
    included = found.pop("include", None)
    return {**_config(path.parent / included), **found} if included else found


def _docs(path: Path, task: Mapping[str, Any]) -> list[dict[str, Any]]:
    given = (task.get("dataset_kwargs") or {}).get("data_files")
    split = task.get("test_split") or task.get("validation_split") or "train"
    if isinstance(given, dict):
        given = given.get(split)
    names = [given] if isinstance(given, str) else list(given or ())
    if task.get("dataset_path") not in ("json", "csv") or not names:
        raise BadSuite(
            f"{path}: the data is not local ({task.get('dataset_path')})",
            do="Save it as JSONL and name it: dataset_path: json, dataset_kwargs: {data_files: {test: FILE}}",
        )
    found: list[dict[str, Any]] = []
    for name in names:
        file = path.parent / name
        try:
            text = file.read_text(encoding="utf-8-sig")
            if task["dataset_path"] == "csv":
                found += csv.DictReader(text.splitlines())
            elif text.lstrip().startswith("["):
                found += json.loads(text)
            else:
                found += [json.loads(line) for line in text.splitlines() if line.strip()]
        except (OSError, ValueError) as error:
            raise BadSuite(f"The task's data {file} cannot be read", why=str(error)) from None
    return found


def _replaced(text: str, pattern: str, by: str = "", count: int = 0) -> str:
    import re

    return re.sub(pattern, by, text, count=count)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else _quoted(str(value))


def _missing(package: str) -> MissingExtra:
    return MissingExtra(
        "Tasks of lm-eval cannot be read", why=f"not installed: {package}", do="pip install 'inhouse[quality]'"
    )
