"""Branched conversations: which belong together, where their ways part, and the search among them."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime

import pytest

from inhouse.agent.branches import alternatives, families
from inhouse.agent.conversations import Conversations, title_of
from inhouse.agent.records import Status, Step, StepKind
from inhouse.store.database import Database

AT = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture
def kept(tmp_path):
    with closing(Database(f"sqlite:///{tmp_path}/c.db")) as database:
        yield Conversations(database)


async def say(kept, conversation, *texts):
    """Steps as a turn leaves them: what was said and what was answered, by turns."""
    journal = kept.drive(conversation.id)
    for text in texts:
        number = len(journal.steps)
        kind = StepKind.MODEL if number % 2 else StepKind.INPUT
        await journal.append(Step(number, kind, text, AT, data={}))
    journal.release(Status.IDLE)


def ways(kept, conversation, person="me"):
    found = kept.listed(person=person)
    lengths = kept.lengths(one.id for one in found)
    return alternatives(kept.get(conversation.id), found, lengths)


async def test_ways_part_where_a_question_was_edited_and_where_an_answer_was_asked_for_again(kept):
    first = kept.create({}, title="t", person="me")
    await say(kept, first, "q1", "a1", "q2", "a2")
    edited = kept.branch(first.id, 2)
    await say(kept, edited, "q2 edited", "a2 edited")
    again = kept.branch(edited.id, 3)
    await say(kept, again, "a2 again")
    assert ways(kept, first) == {2: [first.id, again.id]}, "the last used stands for the edited way"
    assert ways(kept, edited) == {2: [first.id, edited.id], 3: [edited.id, again.id]}
    assert ways(kept, again) == {2: [first.id, again.id], 3: [edited.id, again.id]}


async def test_a_branch_that_only_goes_on_is_no_other_way(kept):
    first = kept.create({}, title="t", person="me")
    await say(kept, first, "q1", "a1")
    on = kept.branch(first.id, 2)
    await say(kept, on, "q2", "a2")
    assert ways(kept, first) == {}
    assert ways(kept, on) == {}


async def test_the_first_question_can_be_edited(kept):
    first = kept.create({}, title="t", person="me")
    await say(kept, first, "q1", "a1")
    edited = kept.branch(first.id, 0)
    await say(kept, edited, "other", "answer")
    assert ways(kept, edited) == {0: [first.id, edited.id]}


async def test_a_family_is_one_entry_and_the_last_used_stands_first(kept):
    first = kept.create({}, title="t", person="me")
    await say(kept, first, "q1", "a1")
    branch = kept.branch(first.id, 0)
    other = kept.create({}, title="o", person="me")
    await say(kept, branch, "q", "a")
    await say(kept, first, "q2", "a2")
    found = families(kept.listed(person="me"))
    assert [[one.id for one in family] for family in found.values()] == [[first.id, branch.id], [other.id]]
    kept.delete(first.id)
    assert list(families(kept.listed(person="me"))) == [first.id, other.id], "without its parent it is the same family"


async def test_conversations_are_found_by_title_and_by_what_was_said_and_only_the_persons_own(kept):
    mine = kept.create({}, title="Holiday 100%", person="me")
    await say(kept, mine, "연차는 며칠인가요?", "25 days")
    theirs = kept.create({}, title="Holiday", person="them")
    await say(kept, theirs, "연차", "25 days")

    def found(text):
        return [one.id for one in kept.listed(person="me", containing=text)]

    assert found("hOLIDAY") == found("연차는") == found("25 DAYS") == found("100%") == [mine.id]
    assert found("5_days") == found("nothing") == []
    kept.rename(mine.id, "Leave")
    assert kept.get(mine.id).title == "Leave"
    assert found("holiday") == []


def test_a_title_is_the_first_line_cut():
    assert title_of("  What?\nmore") == "What?"
    assert title_of("x" * 80) == "x" * 59 + "…"
    assert title_of("\n") == ""
