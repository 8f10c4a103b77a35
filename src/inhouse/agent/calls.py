"""Ends the tool calls of a step: ruled by the policy, asked about, made once, and kept before what follows.

Knows no model: what calls there are, a step says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from inhouse.agent.journal import Journal
from inhouse.agent.records import Approver, CallRecord, CallStatus, Outcome, Policy, Step, StepKind
from inhouse.agent.tools.base import Tool, ToolContext
from inhouse.agent.world import World


async def nobody(tool: Tool, call: CallRecord) -> bool | None:
    """An approver where nobody is there to ask (see `records.Approver`)."""
    return None


class Calls:
    """Makes calls with these tools, by this policy, for this person."""

    def __init__(
        self,
        tools: Mapping[str, Tool],
        world: World,
        policy: Policy,
        approve: Approver,
        person: str,
        allowed_folders: tuple[Path, ...],
    ) -> None:
        self._tools = tools
        self._world = world
        self._policy = policy
        self._approve = approve
        self._person = person
        self._allowed_folders = allowed_folders

    async def run(self, journal: Journal, step: Step) -> bool:
        """Ends the step's calls: those without effect all at once, then the others in order. False: one waits."""
        open_calls = [call for call in step.calls if not call.status.ended]
        free = [call for call in open_calls if self._effect_free(call)]
        await asyncio.gather(*(self._run_call(journal, call) for call in free))
        waiting = False
        for call in open_calls:
            if call not in free:
                waiting = not await self._run_call(journal, call) or waiting
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


def tainted_texts(steps: Sequence[Step]) -> list[str]:
    """What outsiders could have written, of all that the model has read."""
    return [call.content for step in steps for call in step.calls if call.tainted]


def told_texts(steps: Sequence[Step]) -> list[str]:
    """What the person wrote."""
    return [step.text for step in steps if step.kind is StepKind.INPUT]


def _not_run(status: CallStatus, reason: str, content: str) -> Outcome:
    return Outcome(status, content, reason=reason)
