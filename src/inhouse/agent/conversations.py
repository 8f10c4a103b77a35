"""Conversations in the store: made, listed, branched, and driven by one process at a time.

Every write names its driver's fence in its own transaction. Knows no model and no tool.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, delete, exists, func, insert, select, update

from inhouse.agent.journal import with_call
from inhouse.agent.records import CallRecord, CallStatus, Conversation, Status, Step, StepKind, Usage
from inhouse.core.errors import ConversationBusy, ConversationNotFound, UsageError
from inhouse.store.agent_tables import calls, conversations, steps
from inhouse.store.database import Database
from inhouse.store.identity import Owner, new_run_id, this_process
from inhouse.store.run_table import owner_columns

_LIST = "See `inhouse agent ls`"
_STEP_FIELDS = ("number", "text", "at", "duration_s", "tokens", "error", "data")
_CALL_FIELDS = (
    "step", "index", "name", "written", "arguments", "form", "reason", "content", "data", "tainted", "source",
    "attempts", "at", "duration_s", "tokens",
)  # fmt: skip


class Conversations:
    """All kept conversations. `clock` gives the wall-clock time (UTC)."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = database
        self._clock = clock

    def create(self, config: Mapping[str, Any], *, title: str, person: str = "") -> Conversation:
        """Begins a conversation, without a step yet."""
        return self._create(config, title, person, ())

    def get(self, id_or_prefix: str, *, whose: ColumnElement[bool] | None = None) -> Conversation:
        """The conversation by its id, the beginning of its id, or "last" for the newest; `whose` as in `listed`.

        ConversationNotFound where there is none, UsageError where a prefix fits several.
        """
        wanted = id_or_prefix.strip().lower()
        query = select(conversations).order_by(conversations.c.id.desc()).limit(1 if wanted == "last" else 5)
        if wanted != "last":
            query = query.where(conversations.c.id.startswith(wanted, autoescape=True))
        if whose is not None:
            query = query.where(whose)
        with self._database.read() as connection:
            found = connection.execute(query).mappings().all()
        if not found or not wanted:
            raise ConversationNotFound(f"No conversation goes by {id_or_prefix!r}", do=_LIST)
        if len(found) > 1:
            raise UsageError(
                f"{wanted!r} fits several conversations",
                why=", ".join(row["id"] for row in found),
                do="Give more of the id",
            )
        return _conversation(found[0])

    def listed(
        self,
        *,
        person: str | None = None,
        whose: ColumnElement[bool] | None = None,
        containing: str = "",
        limit: int | None = None,
    ) -> list[Conversation]:
        """The conversations, newest first; of these the ones with `containing` in their title or in what was said.

        Of one person, or of those for whom `whose` holds, where given.
        """
        query = select(conversations).order_by(conversations.c.id.desc()).limit(limit)
        if person is not None:
            query = query.where(conversations.c.person == person)
        if whose is not None:
            query = query.where(whose)
        if containing:
            said = exists().where(
                steps.c.conversation_id == conversations.c.id, steps.c.text.icontains(containing, autoescape=True)
            )
            query = query.where(conversations.c.title.icontains(containing, autoescape=True) | said)
        with self._database.read() as connection:
            return [_conversation(row) for row in connection.execute(query).mappings()]

    def steps(self, conversation_id: str) -> list[Step]:
        """The conversation's steps in order, with their calls."""
        with self._database.read() as connection:
            return _read_steps(connection, conversation_id)

    def delete(self, conversation_id: str) -> None:
        """Removes a conversation with all its steps; ConversationBusy while somebody drives it."""
        with self._database.write() as connection:
            _refuse_if_driven(_row(connection, conversation_id))
            connection.execute(delete(conversations).where(conversations.c.id == conversation_id))

    def forget(self, before: datetime, whose: ColumnElement[bool]) -> int:
        """Removes the conversations that nobody has gone on with since `before`, of the persons for whom `whose` holds.

        One that is being driven stays. How many there were.
        """
        old = (conversations.c.updated_at < before) & conversations.c.owner_pid.is_(None)
        with self._database.write() as connection:
            return connection.execute(delete(conversations).where(old, whose)).rowcount

    def rename(self, conversation_id: str, title: str) -> None:
        """Gives a conversation another title."""
        with self._database.write() as connection:
            connection.execute(update(conversations).where(conversations.c.id == conversation_id).values(title=title))

    def lengths(self, ids: Iterable[str]) -> dict[str, int]:
        """How many steps each of the conversations has; those without one are left out."""
        query = select(steps.c.conversation_id, func.count()).where(steps.c.conversation_id.in_(list(ids)))
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query.group_by(steps.c.conversation_id))}

    def branch(self, conversation_id: str, step: int, config: Mapping[str, Any] | None = None) -> Conversation:
        """A new conversation that begins with this one's steps before number `step`.

        Calls of those steps that had not ended are refused in the branch: their outcome belongs to the parent.
        """
        parent = self.get(conversation_id)
        kept = [one for one in self.steps(parent.id) if one.number < step]
        if not 0 <= step <= len(kept):
            raise UsageError(f"{parent.id} has no step {step}", do=f"inhouse agent trace {parent.id} shows its steps")
        return self._create(config or parent.config, parent.title, parent.person, kept, parent=parent, at_step=step)

    def drive(self, conversation_id: str, *, force: bool = False) -> StoreJournal:
        """Takes the conversation for this process, to go on with it. Release it when done.

        ConversationBusy where a live process, or one of another machine, drives it; `force` takes it from that.
        """
        with self._database.write() as connection:
            row = _row(connection, conversation_id, lock=True)
            if not force:
                _refuse_if_driven(row)
            fence = row["fence"] + 1
            changes = {"fence": fence, "status": Status.RUNNING.value, **owner_columns(this_process())}
            connection.execute(update(conversations).where(conversations.c.id == conversation_id).values(changes))
            kept = _read_steps(connection, conversation_id)
        return StoreJournal(self._database, self._clock, conversation_id, fence, kept)

    def _create(
        self,
        config: Mapping[str, Any],
        title: str,
        person: str,
        begin: list[Step] | tuple[()],
        *,
        parent: Conversation | None = None,
        at_step: int | None = None,
    ) -> Conversation:
        now = self._clock()
        with self._database.write() as connection:
            newest = connection.scalar(select(func.max(conversations.c.id)))
            made = Conversation(
                id=new_run_id(now, after=newest),
                title=title,
                config=dict(config),
                status=Status.IDLE,
                person=person,
                created_at=now,
                updated_at=now,
                parent_id=parent.id if parent else None,
                parent_step=at_step,
            )
            row = asdict(made) | {"status": made.status.value, "fence": 0}
            connection.execute(insert(conversations).values(row))
            for step in begin:
                _insert_step(connection, made.id, step)
            unended = [status.value for status in CallStatus if not status.ended]
            connection.execute(
                update(calls)
                .where(calls.c.conversation_id == made.id, calls.c.status.in_(unended))
                .values(status=CallStatus.REFUSED.value, reason="branched before it ended", content="Not run.")
            )
        return made


class StoreJournal:
    """A journal (see `journal.Journal`) in the store, for the one driver that holds it."""

    def __init__(
        self, database: Database, clock: Callable[[], datetime], conversation_id: str, fence: int, kept: list[Step]
    ) -> None:
        self._database = database
        self._clock = clock
        self._id = conversation_id
        self._fence = fence
        self._steps = kept

    @property
    def id(self) -> str:
        """See `Journal.id`."""
        return self._id

    @property
    def steps(self) -> list[Step]:
        """See `Journal.steps`."""
        return self._steps

    async def append(self, step: Step) -> None:
        """See `Journal.append`."""

        def write(connection: Connection) -> None:
            _insert_step(connection, self._id, step)

        await asyncio.to_thread(self._write, write)
        self._steps.append(step)

    async def set_call(self, call: CallRecord, commit: Callable[[Connection], None] | None = None) -> None:
        """See `Journal.set_call`."""

        def write(connection: Connection) -> None:
            if commit is not None:
                commit(connection)
            mine = (calls.c.conversation_id == self._id) & (calls.c.step == call.step) & (calls.c.index == call.index)
            connection.execute(update(calls).where(mine).values(_call_row(call)))

        await asyncio.to_thread(self._write, write)
        self._steps[call.step] = with_call(self._steps[call.step], call)

    def release(self, status: Status) -> None:
        """Gives the conversation back, standing so. Nothing can be written through this journal any more."""
        self._write(lambda connection: None, status=status.value, **owner_columns(None))

    def _write(self, write: Callable[[Connection], None], **changes: Any) -> None:
        mine = (conversations.c.id == self._id) & (conversations.c.fence == self._fence)
        with self._database.write() as connection:
            changed = connection.execute(
                update(conversations).where(mine).values(updated_at=self._clock(), **changes)
            ).rowcount
            if not changed:
                raise ConversationBusy(f"Conversation {self._id} was taken over", why="another driver goes on with it")
            write(connection)


def title_of(text: str) -> str:
    """A title from what is said first: its first line, cut."""
    line = text.strip().splitlines()[0] if text.strip() else ""
    return line if len(line) <= 60 else line[:59] + "…"


def _row(connection: Connection, conversation_id: str, *, lock: bool = False) -> RowMapping:
    query = select(conversations).where(conversations.c.id == conversation_id)
    row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    if row is None:
        raise ConversationNotFound(f"No conversation goes by {conversation_id!r}", do=_LIST)
    return row


def _refuse_if_driven(row: RowMapping) -> None:
    if row["owner_pid"] is None:
        return
    owner = Owner(row["owner_host"] or "", row["owner_pid"], row["owner_started"] or "")
    if not owner.is_here:
        raise ConversationBusy(
            f"Conversation {row['id']} is driven elsewhere",
            why=f"by process {owner.pid} on {owner.host}",
            do="Stop it there; if that machine is gone, take it over with --force",
        )
    if owner.is_alive:
        raise ConversationBusy(
            f"Conversation {row['id']} is being driven", why=f"by process {owner.pid}", do="Wait for it, or stop it"
        )


def _read_steps(connection: Connection, conversation_id: str) -> list[Step]:
    by_step: dict[int, list[CallRecord]] = {}
    query = select(calls).where(calls.c.conversation_id == conversation_id).order_by(calls.c.step, calls.c.index)
    for row in connection.execute(query).mappings():
        by_step.setdefault(row["step"], []).append(_call(row))
    found = select(steps).where(steps.c.conversation_id == conversation_id).order_by(steps.c.number)
    return [
        Step(
            **{name: row[name] for name in _STEP_FIELDS},
            kind=StepKind(row["kind"]),
            usage=Usage(**row["usage"]),
            calls=tuple(by_step.get(row["number"], ())),
        )
        for row in connection.execute(found).mappings()
    ]


def _insert_step(connection: Connection, conversation_id: str, step: Step) -> None:
    row = {name: getattr(step, name) for name in _STEP_FIELDS}
    row |= {"conversation_id": conversation_id, "kind": step.kind.value, "usage": asdict(step.usage)}
    connection.execute(insert(steps).values(row))
    if step.calls:
        connection.execute(
            insert(calls), [{"conversation_id": conversation_id, **_call_row(call)} for call in step.calls]
        )


def _call_row(call: CallRecord) -> dict[str, Any]:
    row = {name: getattr(call, name) for name in _CALL_FIELDS}
    return row | {"status": call.status.value, "repaired": list(call.repaired)}


def _call(row: RowMapping) -> CallRecord:
    return CallRecord(
        **{name: row[name] for name in _CALL_FIELDS},
        status=CallStatus(row["status"]),
        repaired=tuple(row["repaired"]),
    )


def _conversation(row: RowMapping) -> Conversation:
    names = ("id", "title", "config", "person", "created_at", "updated_at", "parent_id", "parent_step")
    return Conversation(**{name: row[name] for name in names}, status=Status(row["status"]))
