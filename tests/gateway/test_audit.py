"""The audit log keeps one chain whoever writes, and every way of tampering with it is found."""

import json
import stat
import subprocess
import sys

import pytest
from sqlalchemy import text

from inhouse.core.errors import StoreError, UsageError
from inhouse.gateway.audit import AuditEvent, open_audit_log, verify_export
from inhouse.gateway.audited_keys import AuditedKeys
from inhouse.gateway.identity import Budget, KeyLimits
from inhouse.gateway.key_files import load_key
from inhouse.gateway.key_store import KeyStore, Team
from inhouse.store.database import Database

on_both = pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def url(request, store_url) -> str:
    server = getattr(request, "param", "sqlite")
    return store_url if server == "sqlite" else request.getfixturevalue("fresh_postgres_url")


@pytest.fixture
def database(url):
    opened = Database(url)
    yield opened
    opened.close()


@pytest.fixture
def log(database, tmp_path):
    return open_audit_log(database, tmp_path / "data", {})


def fill(log, count=6):
    for number in range(count):
        log.append([AuditEvent("admin kim", "key.create", f"key-{number}", {"role": "user", "이름": "김민수"})])


def run(database, statement):
    with database.write() as connection:
        connection.execute(text(statement))


def problems(log):
    return [(problem.seq, problem.what) for problem in log.verify().problems]


@on_both
def test_an_untouched_log_is_intact_and_reads_back_in_order(log):
    fill(log)
    assert (
        log.append(
            [AuditEvent("guard", "guard.block", "key-1", {"kinds": ["card"]}), AuditEvent("guard", "guard.mask")]
        )
        == 8
    )
    check = log.verify()
    assert (check.intact, check.events) == (True, 8)
    assert [entry.seq for entry in log.entries()] == list(range(1, 9))
    assert [entry.seq for entry in log.entries(newest=2)] == [7, 8]
    assert [entry.seq for entry in log.entries(action="guard.block")] == [7]
    assert next(log.entries()).details == {"role": "user", "이름": "김민수"}
    assert next(log.entries()).at.utcoffset().total_seconds() == 0


def test_an_empty_log_is_intact(log):
    assert log.verify().intact
    assert log.append([]) == 0


@pytest.mark.parametrize(
    ("statement", "seq", "what"),
    [
        ("UPDATE audit_events SET actor = 'someone' WHERE seq = 3", 3, "content was changed"),
        ("UPDATE audit_events SET details = '{}' WHERE seq = 3", 3, "content was changed"),
        ("UPDATE audit_events SET at = '2020-01-01T00:00:00+00:00' WHERE seq = 3", 3, "content was changed"),
        ("DELETE FROM audit_events WHERE seq = 3", 4, "events 3 to 3 are missing"),
        ("DELETE FROM audit_events WHERE seq = 1", 2, "events 1 to 1 are missing"),
        ("DELETE FROM audit_events WHERE seq > 4", 6, "last event is not the one that was signed"),
        ("DELETE FROM audit_head", 0, "signed head is missing"),
        ("UPDATE audit_head SET seq = 5", 5, "signature is wrong"),
    ],
)
def test_a_change_a_deletion_and_a_cut_are_found(log, database, statement, seq, what):
    fill(log)
    run(database, statement)
    assert any(number == seq and what in said for number, said in problems(log))


def rewritten(database, keep, change=None):
    """As an attacker without the key would: recompute every hash after a change, and point the head there."""
    from inhouse.gateway.audit import chain_hash

    with database.write() as connection:
        rows = [dict(row) for row in connection.execute(text("SELECT * FROM audit_events ORDER BY seq")).mappings()][
            :keep
        ]
        if change:
            change(rows)
        previous = "0" * 64
        for number, row in enumerate(rows, 1):
            row["seq"], row["previous"] = number, previous
            previous = row["hash"] = chain_hash(row)
        connection.execute(text("DELETE FROM audit_events"))
        for row in rows:
            connection.execute(
                text(
                    "INSERT INTO audit_events VALUES (:seq, :at, :actor, :action, :subject, :details, :previous, :hash)"
                ),
                row,
            )
        connection.execute(text("UPDATE audit_head SET seq = :seq, hash = :hash"), {"seq": len(rows), "hash": previous})


def test_a_chain_rewritten_without_the_key_is_found(log, database):
    fill(log)
    rewritten(database, 6, lambda rows: rows[2].update(actor="someone"))
    assert any("signature is wrong" in said for _, said in problems(log))


def test_an_event_put_in_is_found(log, database):
    fill(log)
    rewritten(database, 6, lambda rows: rows.insert(3, dict(rows[2])))
    assert not log.verify().intact


def test_going_back_to_an_older_signed_state_is_found_by_the_machine_that_wrote(log, database):
    fill(log, 4)
    with database.read() as connection:
        old = dict(connection.execute(text("SELECT * FROM audit_head")).mappings().one())
    fill(log, 3)
    run(database, "DELETE FROM audit_events WHERE seq > 4")
    with database.write() as connection:
        connection.execute(text("UPDATE audit_head SET seq = :seq, hash = :hash, signature = :signature"), old)
    assert (7, "events at the end are missing") in problems(log)


def test_removing_everything_is_found_by_the_machine_that_wrote(log, database):
    fill(log)
    run(database, "DELETE FROM audit_events")
    run(database, "DELETE FROM audit_head")
    assert not log.verify().intact


def test_another_key_can_neither_write_nor_vouch(log, database, tmp_path):
    fill(log)
    other = open_audit_log(database, tmp_path / "elsewhere", {})
    with pytest.raises(StoreError, match="another key"):
        other.append([AuditEvent("x", "y")])
    assert not other.verify().intact


def test_no_key_is_made_or_changed_where_that_could_not_be_recorded(log, database, tmp_path):
    key, _ = AuditedKeys(database, log, "kim").create("alice")
    elsewhere = AuditedKeys(database, open_audit_log(database, tmp_path / "elsewhere", {}), "lee")
    for change in (
        lambda: elsewhere.create("bob"),
        lambda: elsewhere.rotate(key.id),
        lambda: elsewhere.revoke(key.id),
        lambda: elsewhere.set_allowances(key.id, KeyLimits(1), Budget()),
        lambda: elsewhere.set_team(Team("search")),
    ):
        with pytest.raises(StoreError, match="another key"):
            change()
    assert KeyStore(database).all() == [key]
    assert KeyStore(database).teams() == []


def test_machines_that_share_the_key_share_the_log(log, database, tmp_path):
    fill(log)
    key = (tmp_path / "data/audit.key").read_text().strip()
    other = open_audit_log(database, tmp_path / "elsewhere", {"INHOUSE_AUDIT_KEY": key})
    assert other.append([AuditEvent("x", "y")]) == 7
    assert log.verify().intact
    assert other.verify().intact


def test_an_export_can_be_verified_without_the_database(log):
    fill(log)
    lines = list(log.export())
    assert verify_export(lines).intact
    changed = json.loads(lines[2]) | {"actor": "someone"}
    assert [p.seq for p in verify_export([*lines[:2], json.dumps(changed), *lines[3:]]).problems] == [3]
    assert [p.seq for p in verify_export(lines[:2] + lines[3:]).problems] == [4]
    with pytest.raises(StoreError):
        verify_export(["{}"])


@on_both
def test_several_processes_write_one_chain(log, url, tmp_path):
    script = (
        "import sys; from pathlib import Path\n"
        "from inhouse.gateway.audit import AuditEvent, open_audit_log\n"
        "from inhouse.store.database import Database\n"
        "log = open_audit_log(Database(sys.argv[1]), Path(sys.argv[2]), {})\n"
        "for n in range(15): log.append([AuditEvent(sys.argv[3], 'test.write', str(n))] * 2)\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, url, str(tmp_path / "data"), f"writer {number}"])
        for number in range(3)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    check = log.verify()
    assert (check.intact, check.events) == (True, 90)


@on_both
def test_text_that_no_database_keeps_is_recorded_as_it_can_be(log):
    log.append([AuditEvent("nul\0", "lone \ud800 surrogate", "이모지 😀", {"deep": {"x": None}})])
    assert log.verify().intact


def test_the_key_is_for_its_owner_only(tmp_path):
    key = load_key(tmp_path, "audit", {})
    path = tmp_path / "audit.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_key(tmp_path, "audit", {}) == key
    path.chmod(0o644)
    with pytest.raises(UsageError, match="Others can read"):
        load_key(tmp_path, "audit", {})
    assert load_key(tmp_path / "none", "audit", {}, make=False) is None
    with pytest.raises(UsageError, match="holds no key"):
        load_key(tmp_path, "audit", {"INHOUSE_AUDIT_KEY": "short"})
