"""A conversation kept as one JSON file, written whole after every turn; knows nothing of engines."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import orjson

from inhouse.core.errors import InhouseError, UsageError
from inhouse.engines.base import Message

_NAME = re.compile(r"[\w][\w.-]{0,79}")


@dataclass(slots=True)
class Conversation:
    """Messages and what they were said to. Every change is on disk when the method returns."""

    path: Path
    name: str
    engine: str | None = None
    model: str | None = None
    system: str | None = None
    messages: list[Message] = field(default_factory=list)
    updated_at: str = ""

    @classmethod
    def new(cls, folder: Path, name: str, engine: str | None, model: str | None) -> Conversation:
        """An empty conversation; UsageError if the name is taken or is no plain name."""
        path = _path(folder, name)
        if path.exists():
            raise UsageError(f"A conversation {name} is kept already", do=f"inhouse chat --resume {name}")
        return cls(path, name, engine, model)

    @property
    def first_line(self) -> str:
        """What the user began with, shortened."""
        text = next((m.content for m in self.messages if m.role == "user"), "")
        line = text.splitlines()[0] if text else ""
        return line if len(line) <= 60 else line[:59] + "…"

    def request_messages(self, dropped: int = 0) -> tuple[Message, ...]:
        """What to send: the system prompt, then all but the `dropped` oldest messages."""
        system = (Message("system", self.system),) if self.system else ()
        return system + tuple(self.messages[dropped:])

    def append(self, message: Message) -> None:
        """Adds a turn."""
        self.messages.append(message)
        self._save()

    def set_system(self, text: str) -> None:
        """Changes the system prompt."""
        self.system = text
        self._save()

    def reset(self) -> None:
        """Forgets all turns; the system prompt stays."""
        self.messages.clear()
        self._save()

    def drop_unanswered(self) -> None:
        """Takes back a question that got no answer, so that the turns stay in pairs."""
        if self.messages and self.messages[-1].role == "user":
            self.messages.pop()
            self._save()

    def drop_last_answer(self) -> bool:
        """Takes back the last answer, so that its question can be answered again; False without one."""
        if not self.messages or self.messages[-1].role != "assistant":
            return False
        self.messages.pop()
        self._save()
        return True

    def _save(self) -> None:
        self.updated_at = datetime.now(UTC).isoformat(timespec="seconds")
        document = {
            "engine": self.engine,
            "model": self.model,
            "system": self.system,
            "updated_at": self.updated_at,
            "messages": [{"role": m.role, "content": m.content} for m in self.messages],
        }
        partial = self.path.with_suffix(".partial")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
            partial.chmod(0o600)
            partial.replace(self.path)
        except OSError as error:
            raise InhouseError(
                f"The conversation cannot be kept in {self.path}",
                why=error.strerror or str(error),
                do="Free some space, or set INHOUSE_DATA_DIR",
            ) from None


def load_conversation(folder: Path, name: str) -> Conversation:
    """The kept conversation of that name; `last` is the newest.

    Raises:
        UsageError: there is none, or its file is damaged.
    """
    if name == "last":
        newest = max(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, default=None)
        if newest is None:
            raise UsageError("No conversation is kept yet", do="Start one: inhouse chat")
        name = newest.stem
    path = _path(folder, name)
    try:
        data = orjson.loads(path.read_bytes())
        messages = [Message(m["role"], m["content"]) for m in data["messages"]]
        return Conversation(
            path, name, data["engine"], data["model"], data["system"], messages, data["updated_at"]
        )  # fmt: skip
    except FileNotFoundError:
        raise UsageError(f"No conversation {name} is kept", do="inhouse chat --list shows what is") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"The conversation {path} cannot be read", why=str(error)) from None


def list_conversations(folder: Path) -> list[Conversation]:
    """The kept conversations, newest first; damaged files are left out."""
    kept = []
    for path in folder.glob("*.json"):
        try:
            kept.append(load_conversation(folder, path.stem))
        except UsageError:
            continue
    return sorted(kept, key=lambda conversation: conversation.updated_at, reverse=True)


def _path(folder: Path, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a conversation", do="Use letters, digits, - . and _, 80 at most")
    return folder / f"{name}.json"
