"""Runs a conversation again: from its own recording to the byte, or from a step on with something changed.

The first needs no model, tool, network or clock. The second takes tools' recorded results where the same call is
made again, and makes no effect that was not made before.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import orjson

from inhouse.agent.config import AgentConfig
from inhouse.agent.context import pinned_text
from inhouse.agent.journal import MemoryJournal
from inhouse.agent.loop import Agent, written_text
from inhouse.agent.policy import AllowAll
from inhouse.agent.records import CallRecord, CallStatus, Conversation, Outcome, Runner, Step, StepKind
from inhouse.agent.requests import declared
from inhouse.agent.tools.base import Tool, ToolContext, ToolResult
from inhouse.agent.trace import tree_lines
from inhouse.agent.world import Answer, CallEnd
from inhouse.core.errors import ReplayDiverged, UsageError
from inhouse.engines.base import ChatRequest
from inhouse.engines.recorded import read_error, read_event


def journal_bytes(steps: Sequence[Step]) -> bytes:
    """All that is kept of the steps, in one canonical form."""
    return orjson.dumps([asdict(step) for step in steps], option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)


async def replay(conversation: Conversation, recorded: Sequence[Step]) -> list[Step]:
    """The steps that the same inputs and answers lead to now.

    Raises:
        ReplayDiverged: the agent asks for something that was not recorded.
        UsageError: the conversation has a call that has not ended.
    """
    if any(not call.status.ended for step in recorded for call in step.calls):
        raise UsageError(
            f"Conversation {conversation.id} has not ended", do=f"inhouse agent run --resume {conversation.id[:10]}"
        )
    config = AgentConfig.from_dict(conversation.config)
    journal = MemoryJournal(conversation.id)
    while (done := len(journal.steps)) < len(recorded):
        following = recorded[done]
        begin = next(step for step in reversed(recorded[: done + 1]) if step.kind is StepKind.INPUT)
        tools = {spec["name"]: _stub(spec) for spec in begin.data["tools"]}
        facts = list(begin.data["facts"])
        world = RecordedWorld(config, recorded, done, tools)
        agent = Agent(config, tools, world, policy=AllowAll(), person=conversation.person, facts=_always(facts))
        await agent.run(journal, following.text if following.kind is StepKind.INPUT else None)
        if len(journal.steps) == done:
            raise ReplayDiverged(f"Step {done} does not come about again")
    return journal.steps


class RecordedWorld:
    """A world (see `world.World`) that answers from recorded steps, from number `begin` on."""

    def __init__(self, config: AgentConfig, recorded: Sequence[Step], begin: int, tools: Mapping[str, Tool]) -> None:
        self._asked = [step for step in recorded[begin:] if step.kind in (StepKind.MODEL, StepKind.SUMMARY)]
        self._times = [step.at for step in recorded[begin:] if step.kind in (StepKind.INPUT, StepKind.STOP)]
        self._calls = {(call.step, call.index): call for step in recorded for call in step.calls}
        self._counts: dict[str, int] = {"": 0}
        for step in recorded:
            self._counts[written_text(step.text, step.calls)] = step.tokens
            self._counts |= {call.content: call.tokens for call in step.calls}
            if step.kind is StepKind.INPUT:
                pinned = pinned_text(config, step.data["facts"], declared(tools.values()))
                self._counts[pinned] = step.data["pinned_tokens"]

    def now(self) -> datetime:
        """When the next input or stop was recorded."""
        if not self._times:
            raise ReplayDiverged("The replay goes on where the recording ends")
        return self._times.pop(0)

    async def ask(self, request: ChatRequest) -> Answer:
        """The recorded answer to the very same request."""
        if not self._asked:
            raise ReplayDiverged("The replay asks the model once more than was recorded")
        step = self._asked.pop(0)
        if (asked := json.loads(json.dumps(asdict(request)))) != step.data["request"]:
            parts = sorted(name for name in asked if asked[name] != step.data["request"].get(name))
            raise ReplayDiverged(f"Step {step.number} asks the model something else", why=f"{', '.join(parts)} differ")
        events = tuple(read_event(data, data["at"]) for data in step.data["events"])
        error = read_error(step.data["error"]) if "error" in step.data else None
        return Answer(events, step.at, step.duration_s, step.usage, error, step.data.get("about", {}))

    async def summarise(self, request: ChatRequest) -> Answer:
        """As `ask`."""
        return await self.ask(request)

    async def call(self, tool: Tool, call: CallRecord, context: ToolContext) -> CallEnd:
        """How the call ended when it was recorded."""
        kept = self._calls.get((call.step, call.index))
        if kept is None or (kept.name, dict(kept.arguments)) != (call.name, dict(call.arguments)):
            raise ReplayDiverged(f"Step {call.step} calls {call.name} as was not recorded")
        return CallEnd(recorded_outcome(kept), kept.at, kept.duration_s)

    async def count(self, text: str) -> int:
        """As was counted."""
        if text not in self._counts:
            raise ReplayDiverged("The replay counts a text that was not recorded", why=text[:80])
        return self._counts[text]

    async def pause(self, seconds: float) -> None:
        """Not at all."""


def recorded_outcome(call: CallRecord) -> Outcome:
    """How a kept call ended."""
    return Outcome(call.status, call.content, call.data, call.tainted, call.source, call.attempts, call.reason)


def rerun_runner(recorded: Sequence[Step], run: Runner) -> Runner:
    """A runner that takes a recorded result for the same call, and makes no new effect."""
    kept = {_key(call.name, call.arguments): call for step in recorded for call in step.calls if call.attempts}

    async def rerun(tool: Tool, arguments: Mapping[str, Any], context: ToolContext) -> Outcome:
        if call := kept.get(_key(tool.name, arguments)):
            return recorded_outcome(call)
        if tool.effect == "effect":
            return Outcome(CallStatus.REFUSED, "Not run: this is a replay.", reason="a replay makes no new effect")
        return await run(tool, arguments, context)

    return rerun


def difference(before: Sequence[Step], after: Sequence[Step]) -> list[str]:
    """How two courses of a conversation differ, as lines of a unified diff; times and costs do not count."""
    old, new = (tree_lines(steps, figures=False) for steps in (before, after))
    return list(difflib.unified_diff(old, new, "recorded", "replayed", lineterm="", n=1))


def _key(name: str, arguments: Mapping[str, Any]) -> str:
    return name + json.dumps(dict(arguments), sort_keys=True)


def _always(facts: list[str]) -> Callable[[], list[str]]:
    return lambda: facts


def _stub(spec: Mapping[str, Any]) -> Tool:
    async def run(arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        raise AssertionError("a replay runs no tool")

    return Tool(spec["name"], spec["description"], spec["parameters"], run)
