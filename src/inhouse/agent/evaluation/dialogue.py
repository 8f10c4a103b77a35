"""Tasks of several turns: a person who answers the agent's answers, a world its tools work on, a verdict at the end.

What the tasks are, their modules know (bfcl_turns, tau2); which agent is tried, the sides know (sides, langchain_side).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from inhouse.agent.config import AgentConfig
from inhouse.agent.evaluation.ast_check import Call
from inhouse.agent.tools.base import Tool
from inhouse.engines.base import Engine


class Course(Protocol):
    """One try at a task, its world with it."""

    @property
    def system(self) -> str:
        """What the agent is told beside its own prompt; empty where nothing is."""
        ...

    @property
    def tools(self) -> Mapping[str, Tool]:
        """What is on offer in the coming turn."""
        ...

    @property
    def seconds(self) -> float:
        """Seconds that the tools themselves took so far."""
        ...

    @property
    def calls(self) -> list[Call]:
        """The calls made so far."""
        ...

    async def say(self, answer: str) -> str | None:
        """What the person says to the agent's last answer (empty at first); None: the conversation is over."""
        ...

    async def fault(self) -> str:
        """What is wrong with how it ended, in a word or two; empty where nothing is."""
        ...


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A task of several turns. `begin` opens it anew for each try; the engine and model given may play the person."""

    id: str
    category: str
    question: str
    begin: Callable[[Engine, AgentConfig], Course]


class Side(Protocol):
    """An agent in one conversation."""

    def offer(self, system: str, tools: Mapping[str, Tool]) -> None:
        """Makes it ready for a turn with these tools."""
        ...

    async def answer(self, text: str) -> str:
        """One turn. Raises `Stopped` where it ends without an answer."""
        ...


class Stopped(Exception):
    """A side's turn ended without an answer; the message says why, in a word or two."""


@dataclass(slots=True)
class Held:
    """How a conversation went. `framework_s`: seconds in turns outside the engine and the tools."""

    fault: str = ""
    text: str = ""
    turns: int = 0
    framework_s: float = 0.0
    calls: list[Call] = field(default_factory=list)


async def hold(course: Course, side: Side, engine_seconds: Callable[[], float], most_turns: int) -> Held:
    """The whole conversation of a side with the task's person, and the verdict.

    `engine_seconds` tells how long the side's engine has been waited for so far. A turn without an answer ends the
    conversation and fails the task, as does one that is not over after `most_turns`.
    """
    held = Held()
    while (said := await course.say(held.text)) is not None:
        if held.turns == most_turns:
            held.fault = "too many turns"
            break
        side.offer(course.system, course.tools)
        start, engine_s, tools_s = time.perf_counter(), engine_seconds(), course.seconds
        try:
            held.text = await side.answer(said)
        except Stopped as stopped:
            held.fault = str(stopped)
        elsewhere_s = engine_seconds() - engine_s + course.seconds - tools_s
        held.framework_s += time.perf_counter() - start - elsewhere_s
        held.turns += 1
        if held.fault:
            break
    held.calls = list(course.calls)
    held.fault = held.fault or await course.fault()
    return held
