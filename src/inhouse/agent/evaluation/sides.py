"""The sides that are tried at tasks of several turns: our agent and, for comparison, LangChain's. One Attempt a try."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from inhouse.agent.config import AgentConfig
from inhouse.agent.evaluation.attempt import Attempt, Way
from inhouse.agent.evaluation.dialogue import Dialogue, Side, Stopped, hold
from inhouse.agent.evaluation.metered import Metered
from inhouse.agent.journal import MemoryJournal
from inhouse.agent.loop import Agent
from inhouse.agent.policy import AllowAll
from inhouse.agent.records import Status, Step, StepKind
from inhouse.agent.tools.base import Tool
from inhouse.agent.tools.registry import tools as find_tools
from inhouse.agent.world import LiveWorld, Price
from inhouse.core.errors import UsageError
from inhouse.core.settings import Settings
from inhouse.engines.base import Engine

MOST_TURNS = 30


class OurSide:
    """Our agent with its journal in memory. See `Side`; nobody is asked about effects: they are the world's own."""

    def __init__(self, engine: Metered, config: AgentConfig) -> None:
        self._config = config
        self._world = LiveWorld(engine, config.model)
        self._journal = MemoryJournal("evaluation")
        self._agent: Agent | None = None

    @property
    def steps(self) -> list[Step]:
        """All steps so far."""
        return self._journal.steps

    def offer(self, system: str, tools: Mapping[str, Tool]) -> None:
        """See `Side.offer`."""
        told = "\n\n".join(filter(None, (self._config.system, system)))
        config = replace(self._config, system=told, tools=tuple(tools))
        more = find_tools(["read_more"], Settings()) if tools else {}
        self._agent = Agent(config, {**tools, **more}, self._world, policy=AllowAll())

    async def answer(self, text: str) -> str:
        """See `Side.answer`."""
        if self._agent is None:
            raise RuntimeError("nothing was offered")
        turn = await self._agent.run(self._journal, text)
        if turn.status is not Status.IDLE:
            failed = next((step for step in reversed(turn.steps) if step.kind is StepKind.MODEL), None)
            kind = str(failed.data.get("error_kind", "failed")) if failed is not None and failed.error else ""
            raise Stopped(f"engine: {kind}" if kind else "stopped")
        return turn.text


async def try_dialogue(
    engine: Engine, config: AgentConfig, task: Dialogue, ways: Sequence[Way], trial: int = 0, price: Price | None = None
) -> list[Attempt]:
    """Tries the task once by each way; trials differ in their seed. UsageError for a way that holds no dialogue."""
    return [await _held(engine, replace(config, seed=config.seed + trial), task, way, trial, price) for way in ways]


async def _held(
    engine: Engine, config: AgentConfig, task: Dialogue, way: Way, trial: int, price: Price | None
) -> Attempt:
    metered = Metered(engine, price)
    side: Side
    if way == "agent":
        side = OurSide(metered, config)
    elif way == "langchain":
        from inhouse.agent.evaluation.langchain_side import LangChainSide

        side = LangChainSide(metered, config)
    else:
        raise UsageError("Plain tool calling holds no conversation", do="Leave --plain out for tasks of several turns")
    start = time.perf_counter()
    held = await hold(task.begin(engine, config), side, lambda: metered.seconds, MOST_TURNS)
    end = time.perf_counter()
    steps = side.steps if isinstance(side, OurSide) else []
    calls = [call for step in steps for call in step.calls]
    saved = [f"form {call.form}" for call in calls if call.form != "native"]
    saved += [f"mended {one}" for call in calls for one in call.repaired]
    problems = tuple(str(step.data["problem"]) for step in steps if step.data.get("problem"))
    return Attempt(
        task, way, trial, held.fault, tuple(held.calls), held.text, metered.usage, metered.requests, start, end,
        tuple(dict.fromkeys(saved)), problems, held.framework_s,
    )  # fmt: skip
