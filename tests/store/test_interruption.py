"""A run whose process dies is seen, kept and gone on with; one that is alive is left alone."""

import os
import signal
import subprocess
import sys
import time

import pytest
from sqlalchemy import update

from inhouse.core.errors import StoreError
from inhouse.core.records import RunStatus
from inhouse.store import identity, tables
from inhouse.store.repository import Store

WORKER = """
import sys, time
from inhouse.core.environment import read_environment
from inhouse.core.records import Sample
from inhouse.store.repository import Store
store = Store(sys.argv[1])
run = store.create_run("bench", {"stages": ["a", "b"]}, seed=5, environment=read_environment())
store.add_samples(run.id, [Sample(i, 0.0, 0.0, 1.0, tags={"stage": "a"}) for i in range(20)])
store.set_progress(run.id, {"done_stages": ["a"]})
print(run.id, flush=True)
time.sleep(60)
"""


@pytest.fixture
def worker(database_url):
    """A process that is half-way through a run, and the run's id."""
    process = subprocess.Popen([sys.executable, "-c", WORKER, database_url], stdout=subprocess.PIPE, text=True)
    yield process, process.stdout.readline().strip()
    process.kill()
    process.communicate()


@pytest.mark.parametrize("reaped", [True, False], ids=["reaped", "zombie"])
def test_a_run_killed_half_way_is_interrupted_and_can_go_on(database_url, worker, reaped):
    process, run_id = worker
    process.send_signal(signal.SIGKILL)
    if reaped:
        process.wait()
    else:
        time.sleep(0.3)  # dead, but its parent has not asked
    with Store(database_url) as store:
        found = store.get_run(run_id)
        assert found.status is RunStatus.INTERRUPTED
        assert "process ended" in found.error
        assert len(store.samples(run_id)) == 20
        assert store.progress(run_id) == {"done_stages": ["a"]}

        claimed = store.claim_run(run_id)
        assert claimed.status is RunStatus.RUNNING
        assert (claimed.error, claimed.seed, claimed.config) == (None, 5, {"stages": ["a", "b"]})
        assert store.get_run(run_id) == claimed
        assert store.mark_interrupted() == 0, "this process works on it now"
        assert store.finish_run(run_id, RunStatus.DONE).status is RunStatus.DONE


def test_a_run_whose_process_lives_is_neither_interrupted_claimed_nor_removed(database_url, worker):
    process, run_id = worker
    with Store(database_url) as store:
        assert store.get_run(run_id).status is RunStatus.RUNNING
        for act in (store.claim_run, store.delete_run):
            with pytest.raises(StoreError) as refused:
                act(run_id)
            assert f"process {process.pid}" in refused.value.why


def test_a_death_is_noticed_while_the_store_stays_open(database_url, worker):
    process, run_id = worker
    with Store(database_url) as store:
        process.kill()
        process.wait()
        assert store.get_run(run_id).status is RunStatus.RUNNING
        # Claiming needs no second opening: the owner is looked up at that moment.
        assert store.claim_run(run_id).status is RunStatus.RUNNING


def test_a_reused_process_id_is_not_taken_for_the_owner(store, make_run):
    run_id = make_run()
    with store._database.write() as connection:
        connection.execute(update(tables.runs).values(owner_pid=os.getpid(), owner_started="another-boot/1"))
    assert store.mark_interrupted() == 1
    assert store.get_run(run_id).status is RunStatus.INTERRUPTED


def test_a_run_of_another_machine_is_left_to_it(store, make_run):
    run_id = make_run()
    with store._database.write() as connection:
        connection.execute(update(tables.runs).values(owner_host="elsewhere", owner_pid=1, owner_started="x"))
    assert store.mark_interrupted() == 0
    with pytest.raises(StoreError, match="cannot go on") as refused:
        store.claim_run(run_id)
    assert "elsewhere" in refused.value.why
    with pytest.raises(StoreError, match="cannot be removed"):
        store.delete_run(run_id)
    store.delete_run(run_id, force=True)
    assert store.list_runs() == []


def test_failed_and_interrupted_runs_can_go_on_and_done_ones_cannot(store, make_run):
    failed, stopped, done = make_run(), make_run(), make_run()
    store.finish_run(failed, RunStatus.FAILED, error="no engine")
    store.finish_run(stopped, RunStatus.INTERRUPTED)
    store.finish_run(done, RunStatus.DONE)
    for run_id in (failed, stopped):
        claimed = store.claim_run(run_id)
        assert (claimed.status, claimed.error, claimed.ended_at) == (RunStatus.RUNNING, None, None)
    with pytest.raises(StoreError, match="cannot go on") as refused:
        store.claim_run(done)
    assert "done" in refused.value.why


def test_a_process_is_known_by_its_start():
    mine = identity.this_process()
    assert mine.is_here
    assert mine.is_alive
    assert identity.process_started(os.getppid()) != mine.started
    assert identity.process_started(2**22 + 1) is None
