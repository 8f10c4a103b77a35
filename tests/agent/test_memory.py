"""What was told long ago is still answered within the context's budget; facts can be seen and removed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from scripted_model import FastWorld, ScriptedModel, Talk

from inhouse.agent.config import AgentConfig
from inhouse.agent.conversations import Conversations
from inhouse.agent.facts import Facts
from inhouse.agent.recall import recall
from inhouse.agent.records import StepKind
from inhouse.agent.session import Session
from inhouse.core.errors import UsageError
from inhouse.core.settings import Settings
from inhouse.engines.base import ChatRequest
from inhouse.store.database import Database

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FACTS = [
    ("My cat's name is Nabi.", "What is my cat called?", "Nabi"),
    ("우리 회사 서버실은 판교 3층에 있어.", "서버실이 어디에 있다고 했지?", "판교 3층"),
    ("The deposit for order 7719 was 350,000 won.", "How much was the deposit of order 7719?", "350,000"),
    ("My sister Minji lives in Busan.", "Where does Minji live?", "Busan"),
    ("프로젝트 마감은 11월 14일이야.", "프로젝트 마감이 언제였지?", "11월 14일"),
]  # fmt: skip
CHATTER = "Tell me about topic number {n}: how paper boats, kettles and old bicycles came about, in some detail please."


def forgetful(request: ChatRequest) -> str:
    """A model that answers at length, and whose summaries keep nothing: the memory's worst case."""
    return "Notes." if request.messages[0].content.startswith("Shorten") else "It is a long story about it. " * 8


def shown(request: ChatRequest) -> str:
    return "\n".join(message.content for message in request.messages)


@pytest.mark.parametrize(("memory", "least", "most"), [("summary", 5, 5), ("truncate", 0, 0)])
async def test_a_fact_told_50_turns_ago_reaches_the_model_where_truncation_has_lost_it(memory, least, most):
    found = 0
    for told, question, answer in FACTS:
        config = AgentConfig("scripted", context=2048, max_tokens=256, memory=memory)
        talk = Talk(ScriptedModel(*[forgetful] * 200), config, {})
        for text in (told, *(CHATTER.format(n=n) for n in range(50)), question):
            await talk.say(text)
        found += answer in shown(talk.model.requests[-1])
        assert all(step.data.get("planned", 0) <= 2048 - 256 for step in talk.journal.steps)
    assert least <= found <= most


async def test_older_turns_are_summarised_and_the_summary_is_shown():
    def model(request: ChatRequest) -> str:
        if request.messages[0].content.startswith("Shorten"):
            assert "first line" in shown(request)
            return "The user began with a first line."
        return "word " * 100

    talk = Talk(ScriptedModel(*[model] * 30), AgentConfig("scripted", context=1024, max_tokens=256), {})
    for text in ("first line", *["more of it"] * 8):
        await talk.say(text)

    summaries = [step for step in talk.journal.steps if step.kind is StepKind.SUMMARY]
    assert summaries
    assert "Notes on the conversation so far:\nThe user began" in talk.model.requests[-1].messages[0].content
    assert len(summaries) < 5  # not one every turn


async def test_a_summary_is_said_to_nobody():
    def model(request: ChatRequest) -> str:
        return "a note" if request.messages[0].content.startswith("Shorten") else "word " * 100

    heard: list[str] = []
    talk = Talk(ScriptedModel(*[model] * 30), AgentConfig("scripted", context=1024, max_tokens=256), {})
    talk.world = FastWorld(
        talk.model,  # type: ignore[arg-type]
        "scripted",
        on_event=lambda event: heard.append(getattr(event, "text", "")),
    )
    for text in ("first line", *["more of it"] * 8):
        await talk.say(text)

    assert any(step.kind is StepKind.SUMMARY for step in talk.journal.steps)
    assert heard.count("word " * 100) == 9
    assert "a note" not in heard


def test_recall_finds_the_turn_that_touches_the_question_and_nothing_where_none_does():
    turns = ["I like tea.", "My cat is Nabi.", "서버실은 판교에 있어"]

    assert recall("What is my cat called?", turns) == [1]
    assert recall("서버실 위치는?", turns) == [2]
    assert recall("Tell me a joke about lawyers", turns) == []


@pytest.fixture
def database():
    kept = Database("sqlite://")
    yield kept
    kept.close()


def test_facts_can_be_seen_and_removed_by_their_person_only(database):
    facts = Facts(database, clock=lambda: NOON)
    for text in ("likes tea", "lives in Busan", "likes tea"):
        facts.add("kim", text)
    facts.add("lee", "likes coffee")

    assert [fact.text for fact in facts.of("kim")] == ["likes tea", "lives in Busan"]
    with pytest.raises(UsageError):
        facts.remove("lee", facts.of("kim")[0].id)
    facts.remove("kim", facts.of("kim")[0].id)
    assert [fact.text for fact in facts.of("kim")] == ["lives in Busan"]
    assert facts.forget("kim") == 1
    assert [fact.text for fact in facts.of("lee")] == ["likes coffee"]


async def test_what_is_remembered_is_known_in_the_next_conversation(database):
    from scripted_model import call

    async def yes(tool, asked):
        return True

    model = ScriptedModel(call("remember", '{"fact": "is called Minji"}'), "I will.", "You are Minji.")
    session = Session(database, model, Settings(), approve=yes)  # type: ignore[arg-type]
    config = AgentConfig("scripted", tools=("remember",))
    await session.say(session.begin(config, "one", person="kim"), "I am Minji.")
    other = session.begin(config, "two", person="kim")
    turn = await session.say(other, "Who am I?")

    assert turn.text == "You are Minji."
    assert "- is called Minji" in model.requests[2].messages[0].content
    assert Conversations(database).get(other.id).status.value == "idle"
