"""Reads the policy file: which kinds of finding are allowed, logged, masked or blocked. Knows no detector."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from inhouse.core.errors import UsageError
from inhouse.gateway.guard.personal_data import PERSONAL_KINDS
from inhouse.gateway.guard.topics import Topic, make_topic
from inhouse.gateway.guard.verdict import Action


@dataclass(frozen=True, slots=True)
class Policy:
    """What to do about each kind of finding. None for a threshold: the one the classifier was shipped with."""

    dry_run: bool = False
    exempt_keys: frozenset[str] = frozenset()
    max_characters: int = 1_000_000
    max_messages: int = 1000
    personal_data: Mapping[str, Action] = field(default_factory=dict)
    secrets: Action = Action.MASK
    injection: Action = Action.BLOCK
    user_threshold: float | None = None
    document_threshold: float | None = None
    output_personal_data: Mapping[str, Action] = field(default_factory=dict)
    output_secrets: Action = Action.MASK
    system_prompt: Action = Action.BLOCK
    max_answer_characters: int = 1_000_000
    denied: tuple[Topic, ...] = ()
    allowed: Topic | None = None


def default_policy_text() -> str:
    """The shipped policy file, with its comments."""
    return (files("inhouse.gateway.guard") / "policy.toml").read_text(encoding="utf-8")


def load_policy(path: Path | None = None) -> Policy:
    """The policy of a file, or the shipped one.

    Raises:
        UsageError: the file cannot be read, or says something that is no policy; names the place.
    """
    if path is None:
        return parse_policy(default_policy_text(), "the shipped policy")
    try:
        return parse_policy(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UsageError(f"The policy {path} cannot be read", why=why) from None


def parse_policy(text: str, name: str) -> Policy:
    """The policy in the text; `name` says in errors where it came from.

    What it leaves out is as in the shipped policy; a default of its own stands for all kinds that it does not name.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name} is no TOML", why=str(error)) from None
    shipped = tomllib.loads(default_policy_text())
    top = _Table(document, name, "")
    limits, personal, secrets = top.table("limits"), top.table("personal_data"), top.table("secrets")
    injection, output, topics = top.table("injection"), top.table("output"), top.table("topics")
    policy = Policy(
        dry_run=top.flag("dry_run", False),
        exempt_keys=frozenset(top.texts("exempt_keys")),
        max_characters=limits.count("max_characters", 1_000_000),
        max_messages=limits.count("max_messages", 1000),
        personal_data=_kinds(personal, "default", shipped["personal_data"]),
        secrets=secrets.action("action", Action.MASK),
        injection=injection.action("action", Action.BLOCK, masks=False),
        user_threshold=injection.share("user_threshold"),
        document_threshold=injection.share("document_threshold"),
        output_personal_data=_kinds(output, "personal_data", shipped["output"]),
        output_secrets=output.action("secrets", Action.MASK),
        system_prompt=output.action("system_prompt", Action.BLOCK),
        max_answer_characters=output.count("max_characters", 1_000_000),
        denied=tuple(_topic(table) for table in topics.tables("deny")),
        allowed=_allowed(topics),
    )
    for table in (limits, personal, secrets, injection, output, topics, top):
        table.refuse_others()
    return policy


def _kinds(table: _Table, default_key: str, shipped: Mapping[str, str]) -> dict[str, Action]:
    default = table.action(default_key, Action(shipped[default_key]))
    base = {} if default_key in table else shipped
    return {kind: table.action(kind, Action(base.get(kind, default))) for kind in PERSONAL_KINDS}


def _topic(table: _Table) -> Topic:
    name = table.text("name")
    topic = make_topic(
        name, table.action("action", Action.BLOCK, masks=False), table.texts("words"), table.texts("patterns")
    )
    table.refuse_others()
    return topic


def _allowed(topics: _Table) -> Topic | None:
    if "allow" not in topics:
        return None
    table = topics.table("allow")
    topic = make_topic(
        "allow", table.action("action", Action.BLOCK, masks=False), table.texts("words"), table.texts("patterns")
    )
    table.refuse_others()
    return topic


class _Table:
    """One table of the file: reads typed values, remembers what was asked for, refuses the rest."""

    def __init__(self, values: Mapping[str, Any], file: str, path: str) -> None:
        self._values, self._file, self._path = values, file, path
        self._asked: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def _get(self, key: str, kinds: type | tuple[type, ...], default: Any, expected: str) -> Any:
        self._asked.add(key)
        value = self._values.get(key, default)
        if value is not default and (not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool)):
            raise self._wrong(key, value, expected)
        return value

    def _wrong(self, key: str, value: object, expected: str) -> UsageError:
        return UsageError(f"{self._file}: {self._path}{key} = {value!r} cannot be used", why=f"it must be {expected}")

    def table(self, key: str) -> _Table:
        return _Table(self._get(key, dict, {}, "a table"), self._file, f"{self._path}{key}.")

    def tables(self, key: str) -> list[_Table]:
        found = self._get(key, list, [], "a list of tables")
        if not all(isinstance(entry, dict) for entry in found):
            raise self._wrong(key, found, "a list of tables")
        return [_Table(entry, self._file, f"{self._path}{key}[{index}].") for index, entry in enumerate(found)]

    def flag(self, key: str, default: bool) -> bool:
        return bool(self._get(key, bool, default, "true or false"))

    def text(self, key: str) -> str:
        value = self._get(key, str, "", "a text")
        if not value:
            raise self._wrong(key, value, "a text that is not empty")
        return str(value)

    def texts(self, key: str) -> list[str]:
        found = self._get(key, list, [], "a list of texts")
        if not all(isinstance(entry, str) for entry in found):
            raise self._wrong(key, found, "a list of texts")
        return list(found)

    def count(self, key: str, default: int) -> int:
        value = self._get(key, int, default, "a whole number over zero")
        if value < 1:
            raise self._wrong(key, value, "a whole number over zero")
        return int(value)

    def share(self, key: str) -> float | None:
        value = self._get(key, (int, float), None, "a number between 0 and 1")
        if value is not None and not 0 < value < 1:
            raise self._wrong(key, value, "a number between 0 and 1")
        return None if value is None else float(value)

    def action(self, key: str, default: Action, *, masks: bool = True) -> Action:
        value = self._get(key, str, default, "an action")
        choices = [action.value for action in Action if masks or action is not Action.MASK]
        if value not in choices:
            raise self._wrong(key, value, "one of " + ", ".join(choices))
        return Action(value)

    def refuse_others(self) -> None:
        unknown = [key for key in self._values if key not in self._asked]
        if unknown:
            near: Iterable[str] = difflib.get_close_matches(unknown[0], self._asked, 1)
            hint = "".join(f"Did you mean {word}?" for word in near)
            raise UsageError(f"{self._file}: there is no {self._path}{unknown[0]}", do=hint)
