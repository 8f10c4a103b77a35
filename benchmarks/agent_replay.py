"""Whether recorded runs of the agent come about again to the byte, without model, tool, network or clock.

A real small model (smollm2:135m) at temperature 0.8 drives conversations of two turns (15; with --full 100) into a
store on disk, with tools that answer, fail and return more than the context takes, in all three forms of calls, and an
engine that fails now and then. Each is read back and replayed. The other side are the same recordings with one letter
of one answer changed: each of those must be told from the original, or "equal" would say nothing.

    python benchmarks/agent_replay.py [--full]

The last line is JSON; unless all are equal, and all changed ones found, the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from inhouse.agent.config import AgentConfig, Limits
from inhouse.agent.conversations import Conversations
from inhouse.agent.loop import Agent
from inhouse.agent.records import Conversation, Status, Step, StepKind
from inhouse.agent.replay import journal_bytes, replay
from inhouse.agent.tools.base import Tool, ToolContext, ToolResult
from inhouse.agent.tools.registry import tools
from inhouse.agent.tools.runtime import ToolRuntime
from inhouse.agent.world import LiveWorld
from inhouse.core.errors import EngineFailed, ReplayDiverged, ToolError
from inhouse.core.event_loop import run
from inhouse.core.settings import Settings
from inhouse.engines.base import ChatRequest, Engine, Event
from inhouse.models.opened import open_for
from inhouse.store.database import Database

QUESTIONS = (
    ("What is 12 * 31?", "And half of that?"),
    ("What time is it in Seoul?", "Which weekday?"),
    ("Look up the page on holidays.", "What does it say?"),
    ("Ask the archive for the plan.", "Try it once more."),
    ("오늘은 무슨 요일이야?", "고마워."),
)
FORMS: tuple[Literal["native", "text", "schema"], ...] = ("native", "text", "schema")
FAULT_EVERY = 11


class Faulty:
    """The engine, every so often down before its first word. Everything else is the engine's own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """See `Engine.chat`."""
        self._asked += 1
        if self._asked % FAULT_EVERY == 0:
            raise EngineFailed("The engine failed", why="as it does here every so often")
        async for event in self._engine.chat(request):
            yield event


class Impatient(LiveWorld):
    """The live world without its pauses before a request is made again."""

    async def pause(self, seconds: float) -> None:
        """Not at all."""


async def _page(arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
    return ToolResult("The office is closed on 1 March. " * 150, source="wiki", tainted=True)


async def _archive(arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
    raise ToolError("the archive is closed")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="a hundred runs")
    options = parser.parse_args()
    return run(compare(100 if options.full else len(QUESTIONS) * len(FORMS)))


async def compare(runs: int) -> int:
    """Records, then replays; the exit status."""
    nothing = {"type": "object", "properties": {}}
    found = tools(["calculator", "clock", "read_more"], Settings()) | {
        "page": Tool("page", "Looks up a page.", nothing, _page, trusted=False),
        "archive": Tool("archive", "Asks the archive.", nothing, _archive, retries=0),
    }
    names = tuple(name for name in found if name != "read_more")
    kinds: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'agent.db'}")
        kept = Conversations(database)
        start = time.perf_counter()
        async with open_for("embedded", "smollm2:135m", context=2048, slots=1) as opened:
            engine = Faulty(opened.engine)
            for number in range(runs):
                config = AgentConfig(
                    opened.model, tools=names, tool_form=FORMS[number % 3], context=1024, max_tokens=24,
                    temperature=0.8, seed=number, limits=Limits(steps=4),
                )  # fmt: skip
                world = Impatient(engine, config.model, run=ToolRuntime())
                talk = kept.create(config.to_dict(), title=f"run {number}")
                journal = kept.drive(talk.id)
                for text in QUESTIONS[number % len(QUESTIONS)]:
                    await Agent(config, found, world).run(journal, text)
                journal.release(Status.IDLE)
        live_s = time.perf_counter() - start
        equal = told = 0
        start = time.perf_counter()
        recorded = [(talk, kept.steps(talk.id)) for talk in kept.listed()]
        for talk, steps in recorded:
            kinds.update(_kinds(steps))
            equal += journal_bytes(await replay(talk, steps)) == journal_bytes(steps)
        replay_s = time.perf_counter() - start
        for talk, steps in recorded:
            told += await _told_apart(talk, steps)
        database.close()
    print("steps:", json.dumps(dict(kinds.most_common())))
    print(json.dumps({"runs": runs, "equal_to_the_byte": equal, "changed_ones_found": told,
                      "live_s": round(live_s, 1), "replay_s": round(replay_s, 2)}))  # fmt: skip
    return int(not equal == told == runs)


def _kinds(steps: Sequence[Step]) -> Counter[str]:
    """What happened in a run, so that one can see that the recordings hold more than answers."""
    return Counter(
        [step.kind.value + (" failed" if step.error else "") for step in steps]
        + [f"call {call.status.value}" for step in steps for call in step.calls]
    )


async def _told_apart(talk: Conversation, steps: Sequence[Step]) -> bool:
    """Whether a replay of the recording with another letter in an answer is not taken for the recorded run."""
    for step in steps:
        if step.kind is not StepKind.MODEL:
            continue
        events = [dict(event) for event in step.data["events"]]
        spoiled = next((event for event in events if event.get("text")), None)
        if spoiled is None:
            continue
        spoiled["text"] = ("y" if spoiled["text"][0] == "x" else "x") + spoiled["text"][1:]
        changed = list(steps)
        changed[step.number] = replace(step, data={**step.data, "events": events})
        try:
            return journal_bytes(await replay(talk, changed)) != journal_bytes(changed)
        except ReplayDiverged:
            return True
    return False


if __name__ == "__main__":
    sys.exit(main())
