"""Killed at any point, a conversation goes on and no effect is had twice or lost; one process drives it at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from inhouse.agent.config import AgentConfig
from inhouse.agent.conversations import Conversations
from inhouse.agent.records import Status, Step, StepKind
from inhouse.core.errors import ConversationBusy, ConversationNotFound, UsageError
from inhouse.store.database import Database

SUPPORT = Path(__file__).parents[1] / "support"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """The URL of an empty store on each kind of server."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    return request.getfixturevalue("fresh_postgres_url")


@pytest.fixture
def database(url):
    with closing(Database(url)) as opened:
        yield opened


def test_killed_at_each_point_and_at_random_it_resumes_without_repeating_an_effect(url, tmp_path):
    # Thousands: INHOUSE_CRASHES=1000 (about four deaths each).
    # Each process opens the store anew, which takes PostgreSQL long: by default not all points are tried there.
    everything = "INHOUSE_CRASHES" in os.environ or url.startswith("sqlite")
    scenarios = os.environ.get("INHOUSE_CRASHES", "8" if everything else "2")
    every = 1 if everything else 6
    done = subprocess.run(
        [sys.executable, SUPPORT / "killed_agent.py", tmp_path, scenarios, "7", url, str(every)],
        capture_output=True,
        text=True,
        timeout=float(os.environ.get("INHOUSE_CRASHES_S", "100")),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)

    assert result["faults"] == []
    assert result["points"] > 40
    assert result["deaths"] >= result["points"] // every + int(scenarios)


def test_two_drivers_at_once_are_refused(database):
    kept = Conversations(database)
    talk = kept.create(AgentConfig("m").to_dict(), title="t")
    journal = kept.drive(talk.id)

    with pytest.raises(ConversationBusy, match="being driven"):
        kept.drive(talk.id)
    with pytest.raises(ConversationBusy):
        kept.delete(talk.id)
    journal.release(Status.IDLE)
    kept.drive(talk.id).release(Status.IDLE)


async def test_a_driver_that_was_taken_over_can_write_nothing_any_more(database):
    kept = Conversations(database)
    talk = kept.create(AgentConfig("m").to_dict(), title="t")
    stale = kept.drive(talk.id)
    kept.drive(talk.id, force=True)

    with pytest.raises(ConversationBusy, match="taken over"):
        await stale.append(Step(0, StepKind.INPUT, "hello", NOON))
    assert kept.steps(talk.id) == []


def test_a_process_of_another_kind_cannot_take_a_driven_conversation(database, url):
    kept = Conversations(database)
    talk = kept.create(AgentConfig("m").to_dict(), title="t")
    kept.drive(talk.id)
    code = (
        "import sys\nfrom inhouse.store.database import Database\n"
        "from inhouse.agent.conversations import Conversations\n"
        "Conversations(Database(sys.argv[1])).drive(sys.argv[2])"
    )
    other = subprocess.run([sys.executable, "-c", code, url, talk.id], capture_output=True, text=True, check=False)

    assert "ConversationBusy" in other.stderr


async def test_a_branch_begins_with_the_steps_before_and_leaves_its_parent_alone(database):
    kept = Conversations(database)
    talk = kept.create(AgentConfig("m").to_dict(), title="t")
    journal = kept.drive(talk.id)
    for number in range(3):
        await journal.append(Step(number, StepKind.INPUT, f"line {number}", NOON))
    journal.release(Status.IDLE)

    branch = kept.branch(talk.id, 2)
    assert [step.text for step in kept.steps(branch.id)] == ["line 0", "line 1"]
    assert (branch.parent_id, branch.parent_step) == (talk.id, 2)
    kept.delete(branch.id)
    assert len(kept.steps(talk.id)) == 3
    with pytest.raises(UsageError):
        kept.branch(talk.id, 4)


def test_an_unknown_or_ambiguous_id_is_refused(database):
    kept = Conversations(database)
    with pytest.raises(ConversationNotFound):
        kept.get("last")
    first, second = (kept.create({}, title="t") for _ in range(2))
    assert kept.get("last").id == second.id
    assert kept.get(first.id[:10]).id == first.id
    with pytest.raises(UsageError, match="fits several"):
        kept.get(first.id[:5])
