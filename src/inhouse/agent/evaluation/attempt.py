"""One try at a task: by the engine's plain tool calling, or by the agent with its reading, mending and repairs.

Stops at the first calls that can be made: none is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from inhouse.agent.budget import total_usage
from inhouse.agent.config import AgentConfig
from inhouse.agent.context import pinned_text
from inhouse.agent.evaluation.ast_check import Call
from inhouse.agent.evaluation.metered import Metered
from inhouse.agent.evaluation.tasks import Task
from inhouse.agent.journal import MemoryJournal
from inhouse.agent.loop import Agent
from inhouse.agent.policy import AllowAll
from inhouse.agent.records import CallRecord, CallStatus, Step, StepKind, Usage
from inhouse.agent.requests import declared
from inhouse.agent.tools.base import Tool, ToolContext, ToolResult
from inhouse.agent.world import Answer, CallEnd, LiveWorld, Price
from inhouse.engines.base import ChatRequest, Engine, Message, TextEvent, ToolCallEvent

Way = Literal["plain", "engine", "agent", "langchain"]
"""plain: what the server itself recognises as a call; engine: also what our engines read strictly in its text;
langchain: LangChain's agent on the same engine.
"""


class Asked(Protocol):
    """What was tried: a Task or a Dialogue."""

    @property
    def id(self) -> str:
        """The task's own name."""
        ...

    @property
    def category(self) -> str:
        """Its part of the suite."""
        ...

    @property
    def question(self) -> str:
        """What is asked (of a dialogue: first)."""
        ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of a try. `saved` names what plain tool calling would have lost: forms, mends, repairs.

    `start` and `end` are on time.perf_counter(); `framework_s` are those of them outside the engine and the tools.
    """

    task: Asked
    way: Way
    trial: int
    fault: str
    calls: tuple[Call, ...]
    text: str
    usage: Usage
    requests: int
    start: float
    end: float
    saved: tuple[str, ...] = ()
    problems: tuple[str, ...] = field(default=())
    framework_s: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether the task's check found no fault."""
        return not self.fault


async def attempts(
    engine: Engine, config: AgentConfig, task: Task, ways: Sequence[Way], trial: int = 0, price: Price | None = None
) -> list[Attempt]:
    """Tries the task once each way; trials differ in their seed. Plain and engine read one and the same answer."""
    config = replace(config, seed=config.seed + trial)
    answer: Answer | None = None
    found: list[Attempt] = []
    for way in ways:
        if way == "agent":
            found.append(await _by_agent(engine, config, task, trial, price))
            continue
        if way == "langchain":
            from inhouse.agent.evaluation.langchain_side import try_langchain

            found.append(await try_langchain(engine, config, task, trial, price))
            continue
        start = time.perf_counter()
        answer = answer or await LiveWorld(engine, config.model, price=price).ask(_request(config, task))
        done = _plainly(answer, task, way, trial)
        found.append(replace(done, start=start, end=start + answer.duration_s))
    return found


async def attempt(
    engine: Engine, config: AgentConfig, task: Task, way: Way, trial: int = 0, price: Price | None = None
) -> Attempt:
    """One of `attempts`."""
    return (await attempts(engine, config, task, (way,), trial, price))[0]


def _request(config: AgentConfig, task: Task) -> ChatRequest:
    return ChatRequest(
        config.model, (Message("system", config.system), *task.messages), max_tokens=config.max_tokens,
        temperature=config.temperature, seed=config.seed, tools=task.tools,
    )  # fmt: skip


def _plainly(answer: Answer, task: Task, way: Way, trial: int) -> Attempt:
    """The answer's calls as they are."""
    if answer.error is not None:
        return Attempt(task, way, trial, f"engine: {answer.error.kind}", (), str(answer.error), Usage(), 1, 0.0, 0.0)
    calls: list[Call] = []
    problems: list[str] = []
    text = ""
    for event in answer.events:
        if isinstance(event, TextEvent):
            text += event.text
        elif isinstance(event, ToolCallEvent):
            if way == "plain" and event.form != "native":
                text += event.call.arguments  # our own reading of a text, which plain tool calling does not have
                continue
            arguments = _object(event.call.arguments)
            if arguments is None:
                problems.append("invalid arguments")
            calls.append((event.call.name, arguments or {}))
    return Attempt(
        task, way, trial, task.check(calls), tuple(calls), text, answer.usage, 1, 0.0, 0.0, problems=tuple(problems)
    )


async def _by_agent(engine: Engine, config: AgentConfig, task: Task, trial: int, price: Price | None) -> Attempt:
    tools = without_running(task)
    metered = Metered(engine)
    world = _Stopping(metered, config.model, price=price)
    journal = MemoryJournal("evaluation", await _before(config, world, task, tools))
    begun = len(journal.steps)
    start = time.perf_counter()
    with suppress(_Called):
        await Agent(config, tools, world, policy=AllowAll()).run(journal, task.question)
    end = time.perf_counter()
    steps = journal.steps[begun:]
    asked = [step for step in steps if step.kind is StepKind.MODEL]
    last: Sequence[CallRecord] = asked[-1].calls if asked else ()
    calls = tuple((call.name, call.arguments) for call in last)
    failed = bool(asked and asked[-1].error)
    fault = f"engine: {asked[-1].data.get('error_kind', 'failed')}" if failed else task.check(calls)
    saved = [f"form {call.form}" for call in last if call.form != "native"]
    saved += [f"mended {one}" for call in last for one in call.repaired]
    problems = tuple(str(step.data["problem"]) for step in asked if step.data.get("problem"))
    if problems and last and all(call.status is not CallStatus.INVALID for call in last):
        saved.append("repair")
    return Attempt(
        task, "agent", trial, fault, calls, asked[-1].text if asked else "", total_usage(steps), len(asked), start, end,
        tuple(dict.fromkeys(saved)), problems, end - start - metered.seconds,
    )  # fmt: skip


def without_running(task: Task) -> dict[str, Tool]:
    """The task's tools, for calls that are judged and not made."""
    return {spec.name: Tool(spec.name, spec.description, spec.parameters, _unused) for spec in task.tools}


class _Called(Exception):  # no error: the end of a try
    """A call that can be made has come."""


class _Stopping(LiveWorld):
    async def call(self, tool: Tool, call: CallRecord, context: ToolContext) -> CallEnd:
        raise _Called


async def _before(config: AgentConfig, world: LiveWorld, task: Task, tools: dict[str, Tool]) -> list[Step]:
    """What the task says was said before, as steps."""
    steps: list[Step] = []
    pinned = await world.count(pinned_text(config, (), declared(tools.values())))
    for message in task.messages[:-1]:
        number, now = len(steps), world.now()
        tokens = await world.count(message.content)
        if message.role == "user":
            data: dict[str, Any] = {"facts": [], "pinned_tokens": pinned, "tools": []}
            steps.append(Step(number, StepKind.INPUT, message.content, now, tokens=tokens, data=data))
        elif message.role == "assistant":
            calls = tuple(
                CallRecord(
                    number, place, one.name, one.arguments, _object(one.arguments) or {}, "native", CallStatus.DONE
                )
                for place, one in enumerate(message.tool_calls)
            )
            steps.append(Step(number, StepKind.MODEL, message.content, now, tokens=tokens, calls=calls))
        elif message.role == "tool" and steps and steps[-1].calls:
            calls = (replace(steps[-1].calls[0], content=message.content, tokens=tokens), *steps[-1].calls[1:])
            steps[-1] = replace(steps[-1], calls=calls)
    return steps


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text or "{}")
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


async def _unused(arguments: object, context: ToolContext) -> ToolResult:
    raise AssertionError("an evaluation's call is judged, not made")
