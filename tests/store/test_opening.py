"""Opening a store: fast, migrated, safe with other processes, and clear about what is wrong."""

import socket
import sqlite3
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from inhouse.core.errors import StoreError, UsageError
from inhouse.core.records import RunStatus
from inhouse.store import migrations
from inhouse.store.repository import Store
from inhouse.store.tables import metadata


def python(script: str, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def sql(url: str, statement: str) -> None:
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            connection.execute(statement)
        connection.close()
    else:
        with psycopg.connect(url) as connection:
            connection.execute(statement)


def test_the_migrations_make_just_the_tables_that_the_code_uses(database_url):
    Store(database_url).close()
    engine = create_engine(database_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == migrations.HEAD
    engine.dispose()
    assert ScriptDirectory(str(Path(migrations.__file__).parent)).get_heads() == [migrations.HEAD]


def test_the_first_migration_can_be_undone(database_url):
    from alembic import command

    from inhouse.store.migrations.upgrade import alembic_config

    Store(database_url).close()
    engine = create_engine(database_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        command.downgrade(alembic_config(connection), "base")
    engine.dispose()
    Store(database_url).close()


def test_an_up_to_date_file_opens_within_60_ms_and_without_alembic(tmp_path):
    url = f"sqlite:///{tmp_path / 'inhouse.db'}"
    Store(url).close()
    script = """
import sys, time
from inhouse.store.repository import Store
for _ in range(7):
    began = time.perf_counter()
    Store(sys.argv[1]).close()
    print(time.perf_counter() - began)
assert "alembic" not in sys.modules
"""
    out, err = python(script, url).communicate(timeout=60)
    assert not err
    assert statistics.median(map(float, out.split())) < 0.060


def test_sqlite_is_set_for_durability_and_for_many_processes(tmp_path):
    with Store(f"sqlite:///{tmp_path / 'inhouse.db'}") as store, store._database.read() as connection:
        read = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        }
    assert read == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2, "busy_timeout": 30_000}


def test_the_folder_is_made(tmp_path):
    path = tmp_path / "new" / "folder" / "inhouse.db"
    Store(f"sqlite:///{path}").close()
    assert path.exists()


def start_together(script: str, *args: str, processes: int) -> list[str]:
    """Runs the script's `act()` in that many processes at the same moment; what each printed. All must succeed."""
    program = f"import sys\n{script}\nprint('ready', flush=True)\nsys.stdin.readline()\nact()\n"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(processes)
    ]
    for process in started:
        assert process.stdout.readline() == "ready\n"
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    ended = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0] * processes, [err for _, err in ended]
    return [out for out, _ in ended]


def test_many_processes_may_open_a_new_store_at_once(database_url):
    script = """
from inhouse.store.repository import Store
import inhouse.store.migrations.upgrade
def act():
    Store(sys.argv[1]).close()
"""
    start_together(script, database_url, processes=3)
    with Store(database_url) as store:
        assert store.list_runs() == []


def test_two_processes_may_write_at_once(database_url):
    script = """
from inhouse.core.environment import read_environment
from inhouse.core.records import RunStatus, Sample
from inhouse.store.repository import Store
store = Store(sys.argv[1])
def act():
    for n in range(15):
        run = store.create_run("bench", {}, seed=n, environment=read_environment())
        store.add_samples(run.id, [Sample(i, 0.0, 0.0, 1.0, token_times_s=(0.5,) * 50) for i in range(50)])
        store.set_progress(run.id, {"n": len(store.samples(run.id))})
        store.finish_run(run.id, RunStatus.DONE)
"""
    start_together(script, database_url, processes=2)
    with Store(database_url) as store:
        runs = store.list_runs()
        assert len(runs) == len({run.id for run in runs}) == 30
        assert all(run.status is RunStatus.DONE for run in runs)
        assert all(store.progress(run.id) == {"n": 50} for run in runs)


@pytest.mark.parametrize("in_memory", [True, False])
def test_threads_may_share_a_store(tmp_path, environment, ok_sample, in_memory):
    with Store("sqlite://" if in_memory else f"sqlite:///{tmp_path / 'inhouse.db'}") as store:
        run = store.create_run("bench", {}, seed=0, environment=environment)

        def add_and_count(_: int) -> int:
            store.add_samples(run.id, [ok_sample] * 10)
            return len(store.samples(run.id))

        with ThreadPoolExecutor(8) as threads:
            counts = list(threads.map(add_and_count, range(24)))
        assert all(count % 10 == 0 for count in counts), "a batch is seen whole"
        assert len(store.samples(run.id)) == 240


def test_of_processes_that_claim_a_run_at_once_one_gets_it(database_url, environment):
    with Store(database_url) as store:
        run = store.create_run("bench", {}, seed=0, environment=environment)
        store.finish_run(run.id, RunStatus.INTERRUPTED)
    script = """
import time
from inhouse.core.errors import StoreError
from inhouse.store.repository import Store
store = Store(sys.argv[1])
def act():
    try:
        store.claim_run(sys.argv[2])
        print("got it")
        time.sleep(1)  # alive while the others ask
    except StoreError:
        print("refused")
"""
    said = start_together(script, database_url, run.id, processes=3)
    assert sorted(said) == ["got it\n", "refused\n", "refused\n"]


def test_a_newer_schema_is_refused_and_left_alone(database_url):
    Store(database_url).close()
    sql(database_url, "UPDATE alembic_version SET version_num = '9999'")
    for _ in range(2):
        with pytest.raises(StoreError, match="newer version of inhouse") as refused:
            Store(database_url)
    assert "9999" in refused.value.why
    assert "Update inhouse" in refused.value.do


def test_a_database_of_another_program_is_refused_and_left_alone(database_url):
    sql(database_url, "CREATE TABLE runs (theirs INTEGER)")
    with pytest.raises(StoreError, match="not a store of inhouse"):
        Store(database_url)
    sql(database_url, "INSERT INTO runs (theirs) VALUES (1)")


@pytest.mark.parametrize("content", [b"This is no database, but it is long enough to look like a file.\n" * 40])
def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "inhouse.db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged") as refused:
        Store(f"sqlite:///{path}")
    assert str(path) in refused.value.what
    assert path.read_bytes() == content


def test_a_database_with_broken_pages_is_a_clear_error(tmp_path, environment, ok_sample):
    path = tmp_path / "inhouse.db"
    with Store(f"sqlite:///{path}") as store:
        run = store.create_run("bench", {}, seed=0, environment=environment)
        store.add_samples(run.id, [ok_sample] * 500)
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"), Store(f"sqlite:///{path}") as store:
        store.samples(run.id)


def test_a_folder_that_may_not_be_written_is_a_clear_error(tmp_path):
    # The user is dropped first, since root may write everywhere.
    tmp_path.chmod(0o755)
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o555)
    script = """
import os, sys
from inhouse.core.errors import StoreError
from inhouse.store.repository import Store
import inhouse.store.migrations.upgrade
if os.geteuid() == 0:
    for parent in list(__import__("pathlib").Path(sys.argv[1]).parents)[1:4]:
        os.chmod(parent, os.stat(parent).st_mode | 0o011)
    os.setegid(65534)
    os.seteuid(65534)
for path in (sys.argv[1], os.path.dirname(sys.argv[1]) + "/deeper/inhouse.db"):
    try:
        Store("sqlite:///" + path)
    except StoreError as error:
        print(error)
"""
    out, err = python(script, str(folder / "inhouse.db")).communicate(timeout=60)
    assert not err
    first, second = out.splitlines()
    for line in (first, second):
        assert "cannot be written" in line
        assert "INHOUSE_DATA_DIR" in line


def test_a_folder_that_is_a_file_is_a_clear_error(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        Store(f"sqlite:///{tmp_path / 'taken' / 'inhouse.db'}")


def test_a_store_locked_by_another_process_is_waited_for(tmp_path, environment):
    path = tmp_path / "inhouse.db"
    Store(f"sqlite:///{path}").close()
    script = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
time.sleep(0.7)
connection.execute("COMMIT")
"""
    process = python(script, str(path))
    assert process.stdout.readline() == "locked\n"
    with Store(f"sqlite:///{path}") as store:
        store.create_run("bench", {}, seed=0, environment=environment)
    process.communicate(timeout=10)


def test_a_postgresql_that_cannot_be_reached_is_a_clear_error_without_the_password():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(StoreError) as refused:
            Store(f"postgres://user:pa55word@127.0.0.1:{port}/inhouse")
    assert f"127.0.0.1:{port}" in refused.value.what
    assert "refused" in refused.value.why
    assert "INHOUSE_STORE_URL" in refused.value.do
    assert "pa55word" not in str(refused.value) + repr(refused.value.__context__)


def test_a_wrong_password_and_a_missing_database_are_clear_errors(postgres_url):
    wrong = postgres_url.replace("throwaway-secret", "pa55word")
    with pytest.raises(StoreError, match="password authentication failed") as refused:
        Store(wrong)
    assert "pa55word" not in str(refused.value)
    with pytest.raises(StoreError, match="does not exist"):
        Store(postgres_url.replace("/postgres", "/nowhere"))


def test_a_restarted_connection_is_noticed(fresh_postgres_url, environment):
    with Store(fresh_postgres_url) as store:
        run = store.create_run("bench", {}, seed=0, environment=environment)
        sql(
            fresh_postgres_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name='inhouse'",
        )
        assert store.get_run(run.id) == run


@pytest.mark.parametrize(
    "url", ["", "inhouse.db", "/tmp/inhouse.db", "mysql://user:pa55word@host/db", "sqlite+aiosqlite://"]
)
def test_a_url_that_cannot_be_used_is_a_clear_error(url):
    with pytest.raises(UsageError) as refused:
        Store(url)
    assert "sqlite:///" in refused.value.do
    assert "pa55word" not in str(refused.value)


def test_importing_the_store_does_not_import_alembic_or_psycopg():
    script = "import sys, inhouse.store.repository; print([m for m in ('alembic', 'psycopg') if m in sys.modules])"
    out, _ = python(script).communicate(timeout=60)
    assert out == "[]\n"
