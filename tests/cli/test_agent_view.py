"""What the agent's answer looks like while it comes."""

from __future__ import annotations

from datetime import UTC, datetime

from inhouse.agent.loop import Turn
from inhouse.agent.records import Status, Step, StepKind
from inhouse.cli.agent_view import Speaker, print_turn
from inhouse.engines.base import TextEvent

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def answer(text: str) -> Step:
    return Step(1, StepKind.MODEL, text, NOON)


def end(speaker: Speaker, text: str) -> None:
    print_turn("id", Turn(Status.IDLE, text, (answer(text),)), (), said=speaker.said)


def test_an_answer_is_said_as_it_comes_and_not_again_at_its_end(capsys):
    speaker = Speaker()
    speaker.event(TextEvent(0.0, " Hello"))
    assert capsys.readouterr().out == "Hello"
    speaker.event(TextEvent(0.1, " Kim."))
    speaker.step(answer("Hello Kim."))
    end(speaker, "Hello Kim.")
    assert capsys.readouterr().out == " Kim.\n"


def test_text_that_may_be_a_call_is_not_said_before_it_is_read(capsys):
    speaker = Speaker()
    speaker.form = "schema"
    speaker.event(TextEvent(0.0, '{"answer": "Hello."}'))
    speaker.step(answer("Hello."))
    end(speaker, "Hello.")
    assert capsys.readouterr().out == "Hello.\n"


def test_an_answer_that_the_loop_reads_otherwise_is_said_as_it_reads_it(capsys):
    speaker = Speaker()
    speaker.event(TextEvent(0.0, "Let me see."))
    speaker.step(answer(""))
    speaker.event(TextEvent(0.0, "3"))
    speaker.step(answer("3."))
    end(speaker, "3.")
    assert capsys.readouterr().out == "Let me see.\n3\n3.\n"


def test_nothing_is_said_where_a_program_reads(capsys):
    speaker = Speaker(silent=True)
    speaker.event(TextEvent(0.0, "Hello"))
    speaker.step(answer("Hello"))
    assert capsys.readouterr().out == ""
