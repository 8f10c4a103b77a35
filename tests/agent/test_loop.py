"""The loop calls tools, mends and repairs calls, keeps its limits, and says what went wrong."""

from __future__ import annotations

import json

import pytest
from scripted_model import TOOLS, ScriptedModel, Talk, call

from inhouse.agent.config import AgentConfig, Limits
from inhouse.agent.policy import AskForEffects
from inhouse.agent.records import CallStatus, Status, StepKind
from inhouse.agent.replay import difference, journal_bytes, replay, rerun_runner
from inhouse.agent.trace import trace_page, tree_lines, ways
from inhouse.agent.world import run_once
from inhouse.core.errors import ContextExceeded, EngineRefused, EngineUnavailable, ReplayDiverged, UsageError

ADD = call("add", '{"a": 1, "b": 2}')


def calls_of(talk: Talk) -> list:
    return [one for step in talk.journal.steps for one in step.calls]


async def test_a_tool_is_called_and_its_result_reaches_the_model():
    talk = Talk(ScriptedModel(ADD, lambda request: f"It is {request.messages[-1].content}."))
    turn = await talk.say("1 + 2?")

    assert (turn.status, turn.text) == (Status.IDLE, "It is 3.")
    assert [step.kind for step in turn.steps] == [StepKind.INPUT, StepKind.MODEL, StepKind.MODEL]
    assert sum(step.usage.micro_krw for step in turn.steps) == 220_000


async def test_parallel_calls_all_end_before_the_model_is_asked_again():
    talk = Talk(ScriptedModel([ADD, call("fetch"), call("add", '{"a": 5, "b": 5}')], "Done."))
    await talk.say("go")

    assert [one.status for one in calls_of(talk)] == [CallStatus.DONE] * 3
    assert [m.role for m in talk.model.requests[1].messages[-4:]] == ["assistant", "tool", "tool", "tool"]


@pytest.mark.parametrize(
    ("written", "form", "mended"),
    [
        ('{"name": "add", "arguments": {"a": 1, "b": 2}}', "json", ()),
        ("```json\n{'name': 'add', 'arguments': {'a': 1, 'b': '2'}}\n```", "fence", ("quotes", "type")),
        ("add(a=1, b=2)", "python", ()),
        ('I will call {"name": "add", "arguments": {"a": 1, "b": 2}', "prose", ("cut off",)),
    ],
)
async def test_calls_written_as_text_are_run_and_counted_by_form(written, form, mended):
    talk = Talk(ScriptedModel(written, "3"))
    turn = await talk.say("1 + 2?")

    assert turn.text == "3"
    assert [(one.form, one.repaired, one.content) for one in calls_of(talk)] == [(form, mended, "3")]
    assert ways(talk.journal.steps)["form"] == {form: 1}


async def test_wrong_arguments_are_repaired_with_the_fault_and_held_to_the_tool():
    talk = Talk(ScriptedModel(call("add", '{"a": 1}'), ADD, "3"))
    turn = await talk.say("1 + 2?")
    repair = talk.model.requests[1]

    assert turn.text == "3"
    assert "'b' is a required property" in repair.messages[-1].content
    assert (repair.tool_choice, [tool.name for tool in repair.tools]) == ("required", ["add"])
    assert ways(talk.journal.steps)["problem"] == {"invalid arguments": 1}


async def test_an_unknown_tool_is_answered_with_the_tools_there_are():
    talk = Talk(ScriptedModel(call("ad", "{}"), "sorry, 3"))
    await talk.say("1 + 2?")

    assert "Did you mean add?" in talk.model.requests[1].messages[-1].content
    assert calls_of(talk)[0].status is CallStatus.INVALID


@pytest.mark.parametrize(
    ("says", "problem", "reason"),
    [
        (("", "", ""), "empty", "3 answers in a row could not be used (empty)"),
        (("<tool_call>nonsense",) * 3, "unreadable call", "could not be used (unreadable call)"),
        ((call("none"),) * 3, "unknown tool", "could not be used (unknown tool)"),
    ],
)
async def test_answers_that_cannot_be_used_stop_the_turn_after_the_repairs(says, problem, reason):
    talk = Talk(ScriptedModel(*says))
    turn = await talk.say("hi")

    assert turn.status is Status.STOPPED
    assert reason in turn.text
    assert ways(talk.journal.steps)["problem"] == {problem: 3}


async def test_an_empty_answer_is_asked_again():
    talk = Talk(ScriptedModel("", "Hello."))

    assert (await talk.say("hi")).text == "Hello."
    assert "empty" in talk.model.requests[1].messages[-1].content


async def test_a_refusal_is_an_answer_and_marked_in_the_trace():
    talk = Talk(ScriptedModel("I'm sorry, I cannot help with that."))
    turn = await talk.say("hi")

    assert turn.status is Status.IDLE
    assert "(refusal)" in tree_lines(talk.journal.steps)[1]


async def test_an_engine_that_is_down_is_asked_again_then_the_turn_stops_and_can_go_on():
    down = EngineUnavailable("down")
    talk = Talk(ScriptedModel(down, "Hello."))
    assert (await talk.say("hi")).text == "Hello."
    assert talk.world.pauses == 1

    talk = Talk(ScriptedModel(down, down, down, "Back."))
    turn = await talk.say("hi")
    assert (turn.status, turn.text) == (Status.STOPPED, "the engine failed: down")
    assert (await talk.say(None)).text == "Back."


async def test_an_engine_that_refuses_is_not_asked_again():
    talk = Talk(ScriptedModel(EngineRefused("no")))

    assert (await talk.say("hi")).status is Status.STOPPED


async def test_a_context_that_was_too_long_is_made_shorter():
    talk = Talk(ScriptedModel(call("fetch"), ContextExceeded("long"), "Read."), AgentConfig("scripted", context=2000))
    turn = await talk.say("read it")

    assert turn.text == "Read."
    first, second = (len(request.messages[-1].content) for request in talk.model.requests[1:])
    assert second < first


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(steps=2, same_call=99), "the limit of 2 steps"),
        (Limits(tokens=200, same_call=99), "the limit of 200 tokens"),
        (Limits(krw=0.2, same_call=99), "the limit of 0.2 won"),
        (Limits(same_call=3), "a loop: add"),
    ],
)
async def test_each_limit_stops_the_turn(limits, reason):
    talk = Talk(ScriptedModel(*[ADD] * 9), AgentConfig("scripted", limits=limits))
    turn = await talk.say("go")

    assert turn.status is Status.STOPPED
    assert reason in turn.text
    assert len(talk.model.requests) <= 3


async def test_a_repeated_call_makes_the_model_answer_without_tools():
    talk = Talk(ScriptedModel(ADD, ADD, "3"))

    assert (await talk.say("1 + 2?")).text == "3"
    assert talk.model.requests[2].tools == ()
    assert "made this call already" in talk.model.requests[2].messages[-1].content


@pytest.mark.parametrize(("tool", "says"), [("fail", "the server is down"), ("hang", "took longer than 0.05 s")])
async def test_a_tool_that_fails_or_hangs_is_told_to_the_model(tool, says):
    talk = Talk(ScriptedModel(call(tool), "It failed."))

    assert (await talk.say("go")).text == "It failed."
    assert says in talk.model.requests[1].messages[-1].content
    assert calls_of(talk)[0].status is CallStatus.FAILED


async def test_an_effect_waits_for_a_person_and_goes_on_once_approved():
    talk = Talk(ScriptedModel([ADD, call("pay")], "Paid."), options={"policy": AskForEffects()})
    turn = await talk.say("pay")
    assert turn.status is Status.WAITING
    assert [one.status for one in calls_of(talk)] == [CallStatus.DONE, CallStatus.WAITING]
    with pytest.raises(UsageError, match="has not ended"):
        await talk.say("and now?")

    async def yes(tool, call):
        return True

    talk.options["approve"] = yes
    assert (await talk.say(None)).text == "Paid."
    assert calls_of(talk)[1].content == "paid talk-1-1"


async def test_a_refused_effect_is_not_had_and_the_model_is_told():
    async def no(tool, call):
        return False

    talk = Talk(ScriptedModel(call("pay"), "Not paid."), options={"policy": AskForEffects(), "approve": no})

    assert (await talk.say("pay")).text == "Not paid."
    assert "refused" in talk.model.requests[1].messages[-1].content
    assert calls_of(talk)[0].attempts == 0


async def test_a_large_result_is_cut_with_a_handle_to_read_on():
    from inhouse.agent.tools.registry import tools
    from inhouse.core.settings import Settings

    more = tools(["read_more"], Settings())
    talk = Talk(
        ScriptedModel(call("fetch"), call("read_more", '{"handle": "call_1_0", "start": 1500}'), "Read."),
        AgentConfig("scripted", context=3000),
        {**TOOLS, **more},
    )
    await talk.say("read it")

    assert "read_more" not in [tool.name for tool in talk.model.requests[0].tools]
    assert "read_more" in [tool.name for tool in talk.model.requests[1].tools]
    assert 'read_more(handle="call_1_0"' in talk.model.requests[1].messages[-1].content
    assert calls_of(talk)[1].content.startswith(calls_of(talk)[0].content[1500:1600])
    assert calls_of(talk)[1].tainted


@pytest.mark.parametrize("form", ["text", "schema"])
async def test_calls_can_be_asked_for_as_text_or_held_to_a_schema(form):
    answer = '{"answer": "It is 3."}' if form == "schema" else "It is 3."
    talk = Talk(
        ScriptedModel('{"name": "add", "arguments": {"a": 1, "b": 2}}', answer), AgentConfig("scripted", tool_form=form)
    )
    turn = await talk.say("1 + 2?")
    request = talk.model.requests[0]

    assert turn.text == "It is 3."
    assert request.tools == ()
    assert '"add"' in request.messages[0].content
    assert (request.json_schema is not None) == (form == "schema")


async def _varied_talk() -> Talk:
    """One conversation with most of what can happen in it."""
    talk = Talk(
        ScriptedModel(
            "add(1, '2')", call("add", '{"a": 1}'), ADD, "3", EngineUnavailable("down"), "",
            [call("fetch"), call("fail"), call("pay")], "Done.", *[ADD] * 3, "Went on.",
        ),
        AgentConfig("scripted", context=2500, limits=Limits(same_call=3)),
    )  # fmt: skip
    for text in ("1 + 2?", "Read, please.", "Loop.", None):
        await talk.say(text)
    return talk


async def test_a_replay_is_equal_to_the_byte_without_model_or_tools():
    talk = await _varied_talk()
    again = await replay(talk.conversation, talk.journal.steps)

    assert journal_bytes(again) == journal_bytes(talk.journal.steps)


async def test_a_replay_of_a_changed_agent_says_where_it_differs():
    talk = await _varied_talk()
    talk.config = talk.config.with_(temperature=0.5)

    with pytest.raises(ReplayDiverged, match="Step 1 asks the model something else") as caught:
        await replay(talk.conversation, talk.journal.steps)
    assert "temperature" in caught.value.why


async def test_a_rerun_uses_recorded_results_and_makes_no_new_effect():
    talk = Talk(ScriptedModel(ADD, call("pay"), "Paid."))
    await talk.say("pay 3")
    rerun = rerun_runner(talk.journal.steps, run_once)
    context = None

    assert (await rerun(TOOLS["add"], {"a": 1, "b": 2}, context)).content == "3"
    assert (await rerun(TOOLS["pay"], {}, context)).content == "paid talk-2-0"
    assert (await rerun(TOOLS["pay"], {"won": 9}, context)).status is CallStatus.REFUSED
    assert (await rerun(TOOLS["add"], {"a": 2, "b": 2}, context)).content == "4"


async def test_the_difference_of_two_courses_names_the_steps():
    first, second = Talk(ScriptedModel(ADD, "3")), Talk(ScriptedModel("3"))
    await first.say("1 + 2?")
    await second.say("1 + 2?")
    lines = difference(first.journal.steps, second.journal.steps)

    assert any(line.startswith("-") and "add(" in line for line in lines)
    assert difference(first.journal.steps, first.journal.steps) == []


async def test_the_page_shows_every_step_and_runs_nothing_of_what_it_shows():
    talk = Talk(ScriptedModel("<script>alert(1)</script>"))
    await talk.say("<b>hi</b>")
    page = trace_page(talk.conversation, talk.journal.steps)

    assert "<script>" not in page
    assert "&lt;script&gt;" in page


async def test_spans_have_the_genai_names_and_the_steps_times():
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from inhouse.agent.trace import export_spans

    talk = Talk(ScriptedModel(ADD, "3"))
    await talk.say("1 + 2?")
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    export_spans(talk.conversation, talk.journal.steps, provider.get_tracer("t"))
    spans = {span.name: span for span in kept.get_finished_spans()}

    assert set(spans) == {"invoke_agent inhouse", "chat scripted", "execute_tool add"}
    assert spans["execute_tool add"].parent.span_id == spans["invoke_agent inhouse"].context.span_id
    assert spans["chat scripted"].attributes["gen_ai.usage.input_tokens"] == 100


def test_a_configuration_survives_being_kept():
    config = AgentConfig("m", tools=("a", "b"), limits=Limits(steps=3, krw=1.5))

    assert AgentConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
