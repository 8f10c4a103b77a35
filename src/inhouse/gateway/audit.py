"""The audit log: what admins did and what the guard decided, each event chained to the one before by its hash.

The newest event is signed with a key outside the database, and this machine remembers the newest that it wrote:
so a change, a deletion, an insertion and a cut-off end are all found. Never holds prompts or answers.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select, update

from inhouse.core.errors import StoreError
from inhouse.gateway.key_files import load_key
from inhouse.store.audit_tables import audit_events, audit_head
from inhouse.store.database import Database

_FIRST = "0" * 64
_PAGE = 2000


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Something to be recorded: who did what to what. `details` holds plain values, never texts of users."""

    actor: str
    action: str
    subject: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An event as it is kept: number `seq` of the chain, at a time (UTC)."""

    seq: int
    at: datetime
    actor: str
    action: str
    subject: str
    details: Mapping[str, Any]
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class AuditProblem:
    """Where the chain is broken, and how."""

    seq: int
    what: str


@dataclass(frozen=True, slots=True)
class AuditCheck:
    """What a verification found: how many events, and every problem; intact where there is none."""

    events: int
    problems: tuple[AuditProblem, ...]

    @property
    def intact(self) -> bool:
        """Whether nothing was changed, removed, added or cut off."""
        return not self.problems


class AuditLog:
    """The log in a database. Safe for several threads and processes: a lock in the database keeps one chain.

    `key` signs the head; machines that share a database must share it. `witness` is the file in which this
    machine notes the newest event it wrote. `clock` gives the time (UTC).
    """

    def __init__(
        self,
        database: Database,
        key: bytes,
        witness: Path,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database, self._key, self._witness, self._clock = database, key, witness, clock
        self._key_id = hashlib.sha256(b"audit key id" + key).hexdigest()[:16]

    def append(self, events: Sequence[AuditEvent]) -> int:
        """Records the events in one transaction; the number of the last one."""
        if not events:
            return 0
        with self._database.write() as connection:
            seq, previous = self._locked_head(connection)
            rows = []
            for event in events:
                seq += 1
                row = {
                    "seq": seq,
                    "at": self._clock().astimezone(UTC).isoformat(timespec="microseconds"),
                    "actor": _kept(event.actor),
                    "action": _kept(event.action),
                    "subject": _kept(event.subject),
                    "details": json.dumps(
                        event.details, ensure_ascii=True, sort_keys=True, separators=(",", ":"), default=str
                    ),
                    "previous": previous,
                }
                previous = row["hash"] = chain_hash(row)
                rows.append(row)
            connection.execute(insert(audit_events), rows)
            connection.execute(
                update(audit_head)
                .where(audit_head.c.id == 1)
                .values(seq=seq, hash=previous, key_id=self._key_id, signature=self._sign(seq, previous))
            )
        self._note(seq, previous)
        return seq

    def check(self) -> None:
        """StoreError where no event could be recorded now: whoever changes something that must be asks before."""
        with self._database.write() as connection:
            self._locked_head(connection)

    def entries(
        self, *, after: int = 0, before: int | None = None, action: str | None = None, newest: int | None = None
    ) -> Iterator[AuditEntry]:
        """The events in order, of those after `after` and before `before`; only the `newest` so many, where given."""
        for row in self._rows(after=after, before=before, action=action, newest=newest):
            yield AuditEntry(**{**row, "at": datetime.fromisoformat(row["at"]), "details": json.loads(row["details"])})

    def export(self) -> Iterator[str]:
        """Every event as one line of JSON, with its hashes: can be verified without the database."""
        for row in self._rows():
            yield json.dumps(dict(row), ensure_ascii=False)

    def verify(self) -> AuditCheck:
        """Reads the whole log and checks every link, the signed head, and what this machine remembers."""
        seen: dict[int, str] = {}
        witness = self._read_witness()
        with self._database.read() as connection:
            head = connection.execute(select(audit_head)).mappings().first()
            count, problems, last = _follow(_page_through(connection), seen, witness[0] if witness else -1)
        problems += self._check_head(head, count, last)
        if witness and seen.get(witness[0]) != witness[1]:
            cut = last[0] < witness[0]
            problems.append(
                AuditProblem(
                    witness[0],
                    "events at the end are missing" if cut else "the event is not the one that this machine wrote",
                )
            )
        return AuditCheck(count, tuple(problems))

    # --- the head ---------------------------------------------------------------------------------------

    def _locked_head(self, connection: Connection) -> tuple[int, str]:
        """The newest event's number and hash; nobody else appends until this transaction ends."""
        head = connection.execute(select(audit_head).with_for_update()).mappings().first()
        if head is None:
            # The first event ever: two processes may both try; the loser waits for the row, then reads it.
            connection.execute(
                _insert_once(
                    connection,
                    {"id": 1, "seq": 0, "hash": _FIRST, "key_id": self._key_id, "signature": self._sign(0, _FIRST)},
                )
            )
            head = connection.execute(select(audit_head).with_for_update()).mappings().one()
        if head["key_id"] != self._key_id:
            raise StoreError(
                "The audit log was signed with another key",
                why="machines that share a database must share INHOUSE_AUDIT_KEY",
                do="Set it to the key of the machine that began the log (audit.key in its data folder)",
            )
        return head["seq"], head["hash"]

    def _check_head(self, head: RowMapping | None, count: int, last: tuple[int, str]) -> list[AuditProblem]:
        if head is None:
            return [AuditProblem(0, "the signed head is missing")] if count or self._read_witness() else []
        if not hmac.compare_digest(head["signature"], self._sign(head["seq"], head["hash"])):
            return [AuditProblem(head["seq"], "the head's signature is wrong")]
        if last != (head["seq"], head["hash"]):
            return [AuditProblem(head["seq"], "the last event is not the one that was signed")]
        return []

    def _sign(self, seq: int, digest: str) -> str:
        return hmac.new(self._key, f"{seq}:{digest}".encode(), hashlib.sha256).hexdigest()

    # --- this machine's memory --------------------------------------------------------------------------

    def _note(self, seq: int, digest: str) -> None:
        known = self._read_witness()
        if known and known[0] >= seq:
            return
        part = self._witness.with_name(f".{self._witness.name}.{os.getpid()}.part")
        try:
            self._witness.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(f"{seq} {digest} {self._sign(seq, digest)}\n")
            part.replace(self._witness)
        except OSError:
            part.unlink(missing_ok=True)  # a reminder, not the log itself

    def _read_witness(self) -> tuple[int, str] | None:
        try:
            seq, digest, signature = self._witness.read_text().split()
        except (OSError, ValueError):
            return None
        genuine = hmac.compare_digest(signature, self._sign(int(seq), digest)) if seq.isdigit() else False
        return (int(seq), digest) if genuine else None

    def actions(self) -> list[str]:
        """What was done that events are kept of, in alphabetical order."""
        with self._database.read() as connection:
            return sorted(connection.execute(select(audit_events.c.action).distinct()).scalars())

    def _rows(
        self, *, after: int = 0, before: int | None = None, action: str | None = None, newest: int | None = None
    ) -> Iterator[RowMapping]:
        query = select(audit_events).where(audit_events.c.seq > after)
        if before is not None:
            query = query.where(audit_events.c.seq < before)
        if action is not None:
            query = query.where(audit_events.c.action == action)
        with self._database.read() as connection:
            if newest is not None:
                found = connection.execute(query.order_by(audit_events.c.seq.desc()).limit(newest)).mappings().all()
                yield from reversed(found)
                return
            yield from connection.execute(
                query.order_by(audit_events.c.seq).execution_options(yield_per=_PAGE)
            ).mappings()


def local_actor() -> str:
    """Who acts on this machine's command line."""
    return f"{os.environ.get('USER') or f'uid {os.getuid()}'} (command line)"


def open_audit_log(
    database: Database, folder: Path, environment: Mapping[str, str], *, make: bool = True
) -> AuditLog | None:
    """The log with its key (audit.key in the folder, or INHOUSE_AUDIT_KEY), which is made if it is missing.

    None where it is missing and `make` is False.
    """
    key = load_key(folder, "audit", environment, make=make)
    return None if key is None else AuditLog(database, key, folder / "audit.head")


def chain_hash(row: Mapping[str, Any] | RowMapping) -> str:
    """The hash of an event: over the hash before it and its own fields, lengths included, as they are kept."""
    parts = [row["previous"], str(row["seq"]), row["at"], row["actor"], row["action"], row["subject"], row["details"]]
    encoded = b"".join(len(part).to_bytes(8, "big") + part for part in (str(part).encode() for part in parts))
    return hashlib.sha256(encoded).hexdigest()


def verify_export(lines: Iterable[str]) -> AuditCheck:
    """Checks the links of an exported log. What was cut off its end cannot be seen without the database.

    Raises:
        StoreError: a line is no event.
    """
    try:
        rows = [json.loads(line) for line in lines if line.strip()]
        count, problems, _ = _follow(rows, {}, -1)
    except (ValueError, KeyError, TypeError):
        raise StoreError("The file is no exported audit log", do="Write one with `inhouse audit export`") from None
    return AuditCheck(count, tuple(problems))


def _follow(
    rows: Iterable[Mapping[str, Any] | RowMapping], seen: dict[int, str], remembered: int
) -> tuple[int, list[AuditProblem], tuple[int, str]]:
    """Walks the chain; notes in `seen` the hash of the remembered event."""
    problems: list[AuditProblem] = []
    count, seq, previous = 0, 0, _FIRST
    for row in rows:
        count += 1
        if row["seq"] != seq + 1:
            what = (
                f"events {seq + 1} to {row['seq'] - 1} are missing"
                if row["seq"] > seq + 1
                else "the number is out of order"
            )
            problems.append(AuditProblem(row["seq"], what))
        elif row["previous"] != previous:
            problems.append(AuditProblem(row["seq"], "it does not follow the event before it"))
        if chain_hash(row) != row["hash"]:
            problems.append(AuditProblem(row["seq"], "its content was changed"))
        seq, previous = row["seq"], row["hash"]
        if seq == remembered:
            seen[seq] = previous
    return count, problems, (seq, previous)


def _page_through(connection: Connection) -> Iterator[RowMapping]:
    query = select(audit_events).order_by(audit_events.c.seq).execution_options(yield_per=_PAGE)
    yield from connection.execute(query).mappings()


def _insert_once(connection: Connection, values: Mapping[str, Any]) -> Any:
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as insert_postgres

        return insert_postgres(audit_head).values(values).on_conflict_do_nothing()
    return insert(audit_head).values(values)


def _kept(text: str) -> str:
    """As every database keeps it: no NUL, no lone surrogate."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
