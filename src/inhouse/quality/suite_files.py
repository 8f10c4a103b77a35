"""Reads suites: a TOML file and the JSONL of its items beside it, each mistake named with file and line.

Finds the program's own (suites/), those of other packages (entry points `inhouse.suites`: a path, or a function that
returns one, of a TOML file or a folder) and the user's paths. Knows nothing of scorers beyond their names.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from inhouse.core.errors import BadSuite
from inhouse.quality.suite import Item, Prompt, Sampling, ScorerUse, Suite

GROUP = "inhouse.suites"
OWN = Path(__file__).parent / "suites"

_TOP = {
    "name": str, "title": (str, dict), "about": str, "language": str, "licence": str, "source": str, "task": str,
    "items": str, "metric": str, "seed": int, "sampling": dict, "prompt": list, "scorer": list,
}  # fmt: skip
_NEEDED = ("name", "language", "licence", "source", "task", "prompt", "scorer")
_ITEM_KEYS = ("id", "target", "targets", "choices", "cluster", "tags")
_SAMPLING = {
    "temperature": (int, float), "samples": int, "max_tokens": int, "top_p": (int, float), "top_k": int,
    "repeat_penalty": (int, float), "stop": list, "json_schema": dict, "logprobs": bool,
}  # fmt: skip
_PROMPT = {
    "name": str,
    "template": str,
    "system": str,
    "raw": bool,
    "choice_format": str,
    "delimiter": str,
    "tags": dict,
}


def suite_files() -> dict[str, Path]:
    """The file of each suite that goes by a name: the program's own, then those of other packages."""
    found = {path.stem: path for path in sorted(OWN.glob("*.toml"))}
    for point in entry_points(group=GROUP):
        try:
            loaded = point.load()
            place = Path(loaded() if callable(loaded) else loaded)
        except (ImportError, AttributeError, TypeError) as error:
            raise BadSuite(
                f"The suites of {point.name!r} cannot be loaded", why=f"{point.value}: {error}",
                do="Mend or remove that package",
            ) from None  # fmt: skip
        files = sorted(place.glob("*.toml")) if place.is_dir() else [place]
        found |= {path.stem: path for path in files}
    return found


def load_suites(names: Iterable[str]) -> list[Suite]:
    """The suites of those names, or of those paths (a TOML file, or a folder of them), in that order.

    Raises:
        BadSuite: there is none of that name, or a file of it cannot be used.
    """
    known = suite_files()
    found: list[Suite] = []
    for name in names:
        path = Path(name).expanduser()
        if name in known:
            found.append(read_suite(known[name]))
        elif path.is_dir():
            inside = sorted(path.glob("*.toml"))
            if not inside:
                raise BadSuite(f"The folder {path} holds no suite", do="Put a .toml file there, see docs/quality.md")
            found += map(read_suite, inside)
        elif path.suffix == ".toml" or path.is_file():
            found.append(read_suite(path))
        else:
            near = difflib.get_close_matches(name, known, n=3)
            raise BadSuite(
                f"There is no suite {name!r}", why=f"did you mean {' or '.join(near)}?" if near else "",
                do="See `inhouse eval list`, or give the path of a .toml file",
            )  # fmt: skip
    names_found = [suite.name for suite in found]
    for name in names_found:
        if names_found.count(name) > 1:
            raise BadSuite(f"Two suites go by the name {name!r}", do="Name each suite once")
    return found


def read_suite(path: Path) -> Suite:
    """The suite of a TOML file with its items; BadSuite where one of the two cannot be used."""
    text = _read(path)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadSuite(f"{path} is no TOML", why=str(error), do="Mend that line") from None
    where = _Lines(path, text)
    _check(data, _TOP, where)
    for name in _NEEDED:
        if not data.get(name):
            raise BadSuite(f"{path} has no {name!r}", do="Give it; docs/quality.md shows a whole suite")
    if data["task"] not in ("choice", "text"):
        raise where.bad("task", f"the task cannot be {data['task']!r}", "Choose choice or text")
    items_path = path.parent / data.get("items", f"{path.stem}.jsonl")
    title = data.get("title", data["name"])
    sampling = data.get("sampling", {})
    _check(sampling, _SAMPLING, where)
    prompts = tuple(_prompt(row, place, where) for place, row in enumerate(data["prompt"]))
    if len({prompt.name for prompt in prompts}) < len(prompts):
        raise where.bad("prompt", "two prompts go by one name", "Give each [[prompt]] a name of its own")
    return Suite(
        name=data["name"],
        title={"en": title} if isinstance(title, str) else title,
        about=data.get("about", ""),
        language=data["language"],
        licence=data["licence"],
        source=data["source"],
        task=data["task"],
        prompts=prompts,
        scorers=tuple(_scorer(row, where) for row in data["scorer"]),
        items=tuple(read_items(items_path, choice=data["task"] == "choice")),
        metric=data.get("metric", "accuracy"),
        sampling=Sampling(**{**sampling, "stop": tuple(sampling.get("stop", ()))}),
        seed=data.get("seed", 0),
    )


def read_items(path: Path, *, choice: bool) -> list[Item]:
    """The items of a JSONL file, checked; a file without any is refused."""
    items: list[Item] = []
    seen: dict[str, int] = {}
    for line, row in _rows(path):
        item = _item(row, f"{path}, line {line}", f"{path.stem}-{line}", choice=choice)
        if item.id in seen:
            raise BadSuite(f"{path}, line {line}: the id {item.id!r} stands in line {seen[item.id]} already")
        seen[item.id] = line
        items.append(item)
    if not items:
        raise BadSuite(f"{path} holds no item", do='Write one JSON object a line: {"question": "…", "target": "…"}')
    return items


class _Lines:
    """Finds the line of a key in the TOML's text, for messages."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines = text.splitlines()

    def bad(self, key: str, why: str, do: str = "") -> BadSuite:
        for number, line in enumerate(self._lines, 1):
            if line.split("=")[0].strip().strip("[]\"' ") == key:
                return BadSuite(f"{self._path}, line {number}: {why}", do=do)
        return BadSuite(f"{self._path}: {why}", do=do)


def _check(data: Mapping[str, Any], known: Mapping[str, Any], where: _Lines) -> None:
    for name, value in data.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise where.bad(
                name, f"{name!r} is not known here", f"Did you mean {near[0]!r}?" if near else f"Known: {list(known)}"
            )
        kind = known[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise where.bad(name, f"{name!r} cannot be {value!r}")


def _prompt(row: Mapping[str, Any], place: int, where: _Lines) -> Prompt:
    _check(row, _PROMPT, where)
    if "template" not in row:
        raise where.bad("prompt", "a [[prompt]] has no template", 'Give it, such as template = "{question}"')
    return Prompt(**{"name": "default" if place == 0 else f"prompt-{place + 1}", **row})


def _scorer(row: Mapping[str, Any], where: _Lines) -> ScorerUse:
    if not isinstance(row.get("name"), str):
        raise where.bad("scorer", "a [[scorer]] has no name", 'Give it, such as name = "exact"')
    options = {name: value for name, value in row.items() if name not in ("name", "label")}
    return ScorerUse(row["name"], options, row.get("label", ""))


def _item(row: Mapping[str, Any], where: str, default_id: str, *, choice: bool) -> Item:
    choices = row.get("choices", [])
    if not isinstance(choices, list) or not all(isinstance(one, str) for one in choices):
        raise BadSuite(f"{where}: choices must be a list of texts")
    if choice and len(choices) < 2:
        raise BadSuite(f"{where}: a choice task's item needs two choices or more")
    if len(set(choices)) < len(choices):
        raise BadSuite(f"{where}: two choices are the same")
    targets = row.get("targets", row.get("target", []))
    targets = targets if isinstance(targets, list) else [targets]
    if choice:
        targets = [_chosen(target, choices, where) for target in targets]
        if len(targets) != 1:
            raise BadSuite(f"{where}: a choice task's item needs one target")
    tags = row.get("tags", {})
    if not isinstance(tags, dict):
        raise BadSuite(f"{where}: tags must be an object")
    item_id = str(row.get("id", default_id))
    return Item(
        id=item_id,
        fields={name: value for name, value in row.items() if name not in _ITEM_KEYS},
        targets=tuple(map(str, targets)),
        choices=tuple(choices),
        cluster=str(row.get("cluster", item_id)),
        tags=tags,
    )


def _chosen(target: Any, choices: list[str], where: str) -> str:
    """The right choice, given by its place or its text."""
    if isinstance(target, int) and not isinstance(target, bool):
        if not 0 <= target < len(choices):
            raise BadSuite(f"{where}: there is no choice {target}", do=f"Count from 0 to {len(choices) - 1}")
        return choices[target]
    if target not in choices:
        raise BadSuite(f"{where}: the target {target!r} is none of the choices")
    return str(target)


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for line, text in enumerate(_read(path).splitlines(), 1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except json.JSONDecodeError as error:
            raise BadSuite(f"{path}, line {line} is no JSON", why=str(error)) from None
        if not isinstance(row, dict):
            raise BadSuite(f"{path}, line {line} is no JSON object")
        yield line, row


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSuite(f"The suite's file {path} cannot be read", why=str(error), do="Give a UTF-8 file") from None
