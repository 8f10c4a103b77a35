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
from inhouse.agent.config import AgentConfig
from inhouse.agent.context import View, build_view, pinned_text
from inhouse.agent.journal import Journal
from inhouse.agent.policy import AskForEffects
from inhouse.agent.records import Approver, CallRecord, CallStatus, Outcome, Policy, Status, Step, StepKind
from inhouse.agent.requests import ask_for_answer, ask_for_summary, declared
from inhouse.agent.tools.base import Tool, ToolContext
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


async def nobody(tool: Tool, call: CallRecord) -> bool | None:
    """An approver where nobody is there to ask (see `records.Approver`)."""
    return None


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
        self._policy = policy or AskForEffects()
        self._approve = approve
        self._person = person
        self._facts = facts
        self._allowed_folders = allowed_folders
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
                if not await self._run_calls(journal, last):
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
        pinned = await self._world.count(pinned_text(self._config, facts, declared(self._tools.values())))
        specs = [asdict(tool.spec) for tool in self._tools.values()]  # a replay needs no tool itself
        data = {"facts": facts, "pinned_tokens": pinned, "tools": specs}
        tokens = await self._world.count(text)
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

    async def _run_calls(self, journal: Journal, step: Step) -> bool:
        """Ends the step's calls: those without effect all at once, then the others in order. False: one waits."""
        number = step.number
        open_calls = [call for call in step.calls if not call.status.ended]
        free = [call for call in open_calls if self._effect_free(call)]
        await asyncio.gather(*(self._run_call(journal, call) for call in free))
        waiting = False
        for call in open_calls:
            if call not in free:
                waiting = not await self._run_call(journal, call) or waiting
        self._on_step(journal.steps[number])
        return not waiting

    def _effect_free(self, call: CallRecord) -> bool:
        tool = self._tools.get(call.name)
        return tool is None or tool.effect == "none"

    async def _run_call(self, journal: Journal, call: CallRecord) -> bool:
        """Ends one call and keeps how; False where it must wait for a person."""
        tool = self._tools.get(call.name)
        if tool is None:  # gone since it was planned
            await self._end_call(
                journal, call, _not_run(CallStatus.FAILED, "no such tool any more", "Error: no such tool.")
            )
            return True
        if call.status in (CallStatus.PLANNED, CallStatus.WAITING):
            ruled = await self._rule(journal, tool, call)
            if ruled is None:
                return False
            call = ruled
            if call.status.ended:
                return True
        if tool.effect == "effect":
            if call.status is CallStatus.STARTED and not tool.keyed:
                unknown = "Unknown whether this took effect: it was cut off. It is not repeated."
                await self._end_call(journal, call, _not_run(CallStatus.UNKNOWN, "cut off", unknown))
                return True
            if call.status is not CallStatus.STARTED:
                call = replace(call, status=CallStatus.STARTED)
                await journal.set_call(call)
        ended = await self._world.call(tool, call, self._context(journal, call))
        call = replace(call, at=ended.at, duration_s=ended.duration_s)
        await self._end_call(journal, call, ended.outcome)
        return True

    async def _rule(self, journal: Journal, tool: Tool, call: CallRecord) -> CallRecord | None:
        """The call allowed (as it is, or approved) or refused and kept so; None where it waits."""
        decision = self._policy.decide(tool, call.arguments, tainted_texts(journal.steps), told_texts(journal.steps))
        if decision.verdict == "allow":
            return call
        if decision.verdict == "ask":
            asked = replace(call, status=CallStatus.WAITING, reason=decision.reason)
            if call.status is not CallStatus.WAITING:
                await journal.set_call(asked)
            said = await self._approve(tool, asked)
            if said is None:
                return None
            if said:
                approved = replace(asked, status=CallStatus.APPROVED)
                await journal.set_call(approved)
                return approved
            refused = _not_run(
                CallStatus.REFUSED, "a person refused it", "The user refused this call. Do not repeat it."
            )
        else:
            refused = _not_run(CallStatus.REFUSED, decision.reason, f"Refused: {decision.reason}. Do not repeat it.")
        return await self._end_call(journal, call, refused)

    async def _end_call(self, journal: Journal, call: CallRecord, outcome: Outcome) -> CallRecord:
        ended = replace(
            call,
            status=outcome.status,
            content=outcome.content,
            data=outcome.data,
            tainted=outcome.tainted,
            source=outcome.source,
            attempts=outcome.attempts,
            reason=outcome.reason or call.reason,
            tokens=await self._world.count(outcome.content),
        )
        await journal.set_call(ended, outcome.result.commit if outcome.result is not None else None)
        return ended

    def _context(self, journal: Journal, call: CallRecord) -> ToolContext:
        contents = {one.handle: one.content for step in journal.steps for one in step.calls if one.status.ended}
        return ToolContext(
            conversation=journal.id,
            step=call.step,
            idempotency_key=f"{journal.id}-{call.step}-{call.index}",
            clock=self._world.now,
            person=self._person,
            allowed_folders=self._allowed_folders,
            read_result=contents.get,
        )

    async def _keep(self, journal: Journal, step: Step) -> None:
        await journal.append(step)
        self._on_step(step)

    def _end(self, journal: Journal, begun: int, status: Status) -> Turn:
        return Turn(status, journal.steps[-1].text, tuple(journal.steps[begun:]))


def written_text(text: str, calls: Sequence[CallRecord]) -> str:
    """All that the model wrote in a step, to be counted."""
    return text + "".join(call.name + call.written for call in calls)


def tainted_texts(steps: Sequence[Step]) -> list[str]:
    """What outsiders could have written, of all that the model has read."""
    return [call.content for step in steps for call in step.calls if call.tainted]


def told_texts(steps: Sequence[Step]) -> list[str]:
    """What the person wrote."""
    return [step.text for step in steps if step.kind is StepKind.INPUT]


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


def _not_run(status: CallStatus, reason: str, content: str) -> Outcome:
    return Outcome(status, content, reason=reason)
