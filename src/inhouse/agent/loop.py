"""The agent's loop: from a conversation's steps to the next one, each kept before the one after it is begun.

It is our own, not pydantic-ai's: there the state between a model's answer and its tools' results lives in a running
graph, with message ids and times that it makes itself. Here what comes next follows from the kept steps alone, which
is what resuming after a kill at any point, branching, and replaying to the byte rest on (pydantic_model.py lets
pydantic-ai's agents run on our engines). Knows no store, no engine and no clock: see Journal and World.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from inhouse.agent.answers import REPAIRABLE, Meaning, read_answer
from inhouse.agent.budget import spent_reason, turn_of
from inhouse.agent.calls import Calls, nobody
from inhouse.agent.config import AgentConfig
from inhouse.agent.context import View, build_view, pinned_text
from inhouse.agent.journal import Journal
from inhouse.agent.policy import AskForEffects
from inhouse.agent.records import Approver, CallRecord, Policy, Status, Step, StepKind
from inhouse.agent.requests import ask_for_answer, ask_for_summary, declared
from inhouse.agent.tools.base import Tool
from inhouse.agent.tools.notes import READ_MORE
from inhouse.agent.world import Answer, World
from inhouse.core.errors import (
    ContextExceeded,
    EngineCrashed,
    EngineFailed,
    EngineOverloaded,
    EngineStalled,
    EngineUnavailable,
    UsageError,
)
from inhouse.engines.recorded import error_data, event_data

_RETRYABLE = (EngineUnavailable, EngineCrashed, EngineStalled, EngineOverloaded, EngineFailed)


@dataclass(frozen=True, slots=True)
class Turn:
    """How a turn ended: with an answer (IDLE), waiting for approval, or stopped and why."""

    status: Status
    text: str
    steps: tuple[Step, ...]


class Agent:
    """An agent ready to go on with a journal. `on_step` is told of each step as it is kept or its calls end."""

    def __init__(
        self,
        config: AgentConfig,
        tools: Mapping[str, Tool],
        world: World,
        *,
        policy: Policy | None = None,
        approve: Approver = nobody,
        person: str = "",
        facts: Callable[[], Sequence[str]] = tuple,
        allowed_folders: tuple[Path, ...] = (),
        on_step: Callable[[Step], None] = lambda step: None,
    ) -> None:
        self._config = config
        self._tools = tools
        self._world = world
        self._calls = Calls(tools, world, policy or AskForEffects(), approve, person, allowed_folders)
        self._facts = facts
        self._on_step = on_step

    async def run(self, journal: Journal, text: str | None = None) -> Turn:
        """Takes the person's `text` (None: goes on where the journal stands) up to an answer, a wait or a stop.

        Raises:
            UsageError: there is nothing to go on with, or a text comes while a call waits for approval.
        """
        begun = len(journal.steps)
        if text is not None:
            await self._take(journal, text)
        elif not journal.steps:
            raise UsageError("The conversation is empty", do="Say something first")
        while True:
            last = journal.steps[-1]
            if any(not call.status.ended for call in last.calls):
                over = await self._calls.run(journal, last)
                self._on_step(journal.steps[last.number])
                if not over:
                    return self._end(journal, begun, Status.WAITING)
            elif _answered(last):
                return self._end(journal, begun, Status.IDLE)
            elif reason := spent_reason(self._config.limits, journal.steps):
                await self._keep(journal, Step(len(journal.steps), StepKind.STOP, reason, self._world.now()))
                return self._end(journal, begun, Status.STOPPED)
            else:
                await self._ask(journal)

    async def _take(self, journal: Journal, text: str) -> None:
        if journal.steps and any(not call.status.ended for call in journal.steps[-1].calls):
            raise UsageError(
                "A tool call of this conversation has not ended", do="Go on with it first: approve or refuse the call"
            )
        facts = list(self._facts())
        pinned, tokens = await asyncio.gather(
            self._world.count(pinned_text(self._config, facts, declared(self._tools.values()))),
            self._world.count(text),
        )
        specs = [asdict(tool.spec) for tool in self._tools.values()]  # a replay needs no tool itself
        data = {"facts": facts, "pinned_tokens": pinned, "tools": specs}
        await self._keep(
            journal, Step(len(journal.steps), StepKind.INPUT, text, self._world.now(), tokens=tokens, data=data)
        )

    async def _ask(self, journal: Journal) -> None:
        """One request to the model: for the answer, or for a summary where the context is full."""
        turn = turn_of(journal.steps)
        failures = _failures_in_a_row(turn)
        too_long = sum(failure == ContextExceeded.kind for failure in failures)
        if failures and failures[-1] != ContextExceeded.kind:
            await self._world.pause(min(8.0, 0.25 * 2 ** len(failures)))
        view = build_view(self._config, journal.steps, scale=0.7**too_long)
        number = len(journal.steps)
        if view.until is not None:
            request = ask_for_summary(self._config, view.messages)
            answer = await self._world.summarise(request)
            await self._keep(journal, await self._summary(number, view, answer, journal.steps, request))
            return
        offered = [tool for tool in self._tools.values() if view.cut or tool.name != READ_MORE]
        request = ask_for_answer(self._config, offered, view.messages, turn)
        answer = await self._world.ask(request)
        meaning = read_answer(answer.events, number, {tool.name: tool for tool in offered})
        data = _kept(request, answer) | {"problem": "" if answer.error else meaning.problem, "planned": view.tokens}
        calls = () if answer.error else await self._counted(meaning)
        await self._keep(
            journal,
            Step(
                number, StepKind.MODEL, meaning.text, answer.at, answer.duration_s,
                tokens=await self._world.count(written_text(meaning.text, calls)),
                usage=answer.usage,
                error="" if answer.error is None else str(answer.error),
                data=data,
                calls=calls,
            ),
        )  # fmt: skip

    async def _summary(self, number: int, view: View, answer: Answer, steps: Sequence[Step], request: Any) -> Step:
        """The summary's step; without an answer the notes so far stay, and the rest is left out."""
        meaning = read_answer(answer.events, number, {})
        text = meaning.text
        if answer.error is not None or not text:
            text = next((one.text for one in reversed(steps) if one.kind is StepKind.SUMMARY), "")
        return Step(
            number, StepKind.SUMMARY, text, answer.at, answer.duration_s,
            tokens=await self._world.count(text),
            usage=answer.usage,
            error="" if answer.error is None else str(answer.error),
            data=_kept(request, answer) | {"until": view.until},
        )  # fmt: skip

    async def _counted(self, meaning: Meaning) -> tuple[CallRecord, ...]:
        """The calls, with the tokens of what an invalid one is answered."""
        return tuple([replace(call, tokens=await self._world.count(call.content)) for call in meaning.calls])

    async def _keep(self, journal: Journal, step: Step) -> None:
        await journal.append(step)
        self._on_step(step)

    def _end(self, journal: Journal, begun: int, status: Status) -> Turn:
        return Turn(status, journal.steps[-1].text, tuple(journal.steps[begun:]))


def written_text(text: str, calls: Sequence[CallRecord]) -> str:
    """All that the model wrote in a step, to be counted."""
    return text + "".join(call.name + call.written for call in calls)


def _answered(step: Step) -> bool:
    problem = step.data.get("problem", "")
    return step.kind is StepKind.MODEL and not step.calls and not step.error and problem not in REPAIRABLE


def _failures_in_a_row(turn: Sequence[Step]) -> list[str]:
    failures: list[str] = []
    for step in reversed(turn):
        if not step.error or step.kind is not StepKind.MODEL:
            break
        failures.insert(0, str(step.data.get("error_kind", "")))
    return failures


def _kept(request: Any, answer: Answer) -> dict[str, Any]:
    """A request and its answer as JSON, enough to replay them."""
    error = answer.error
    kept = {
        "request": json.loads(json.dumps(asdict(request))),
        "events": [event_data(event, 0.0) for event in answer.events],
    }
    if answer.about:
        kept["about"] = dict(answer.about)
    if error is not None:
        kept |= {"error": error_data(error), "error_kind": error.kind, "retryable": isinstance(error, _RETRYABLE)}
    return kept
