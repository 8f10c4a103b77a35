"""What the agent's framework costs a step, ours against LangChain's, with an engine that answers at once.

A conversation of 20 turns, each a tool call and an answer: 40 requests to the model. Both sides keep the conversation
in memory (ours: its journal with every request and event; LangChain: create_agent with an InMemorySaver) and run the
same calculator on the same engine of recorded events. Rounds alternate; the figure is the median of the ratios. Ours
with its store on disk (SQLite, every step durable before the next) is measured beside it.

    python benchmarks/agent_overhead.py [--full]

The last line is JSON; over the bar (0.5) the exit status is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver

from inhouse.agent.config import AgentConfig
from inhouse.agent.conversations import Conversations
from inhouse.agent.journal import Journal, MemoryJournal
from inhouse.agent.langchain import EngineChatModel, to_langchain
from inhouse.agent.loop import Agent
from inhouse.agent.tools.base import ToolContext
from inhouse.agent.tools.registry import tools
from inhouse.agent.tools.runtime import ToolRuntime
from inhouse.agent.world import LiveWorld
from inhouse.core.settings import Settings
from inhouse.engines.base import (
    Capabilities,
    ChatRequest,
    DoneEvent,
    Event,
    TextEvent,
    ToolCall,
    ToolCallEvent,
    UsageEvent,
)
from inhouse.store.database import Database

BAR = 0.5
TURNS = 20
STEPS = 2 * TURNS


class Recorded:
    """Answers a user's message with a call and a tool's with a text, at once. See `Engine`."""

    name = "recorded"
    capabilities = Capabilities(tools=True)
    asked = 0

    async def chat(self, request: ChatRequest) -> AsyncIterator[Event]:
        """See `Engine.chat`."""
        self.asked += 1
        if request.messages[-1].role == "user":
            arguments = json.dumps({"expression": f"{self.asked} * 12.5 + 3"})
            yield ToolCallEvent(0.0, ToolCall(f"call_{self.asked}", "calculator", arguments))
        else:
            yield TextEvent(0.0, f"It comes to {request.messages[-1].content}, as the calculator says.")
        yield UsageEvent(0.0, 200, 20)
        yield DoneEvent(0.0, "stop")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="five times as many rounds")
    options = parser.parse_args()
    return asyncio.run(compare(15 if options.full else 3))


async def compare(rounds: int) -> int:
    """Alternates the sides; the exit status."""
    await ours(MemoryJournal("warm"))
    await langchain()
    mine, theirs, stored = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'agent.db'}")
        kept = Conversations(database)
        for number in range(rounds):
            if number % 2:
                theirs.append(await langchain())
                mine.append(await ours(MemoryJournal("talk")))
            else:
                mine.append(await ours(MemoryJournal("talk")))
                theirs.append(await langchain())
            talk = kept.create(AgentConfig("recorded").to_dict(), title="overhead")
            stored.append(await ours(kept.drive(talk.id)))
        database.close()
    ratio = statistics.median(a / b for a, b in zip(mine, theirs, strict=True))
    figures = {
        "ours_ms_a_step": 1e3 * statistics.median(mine) / STEPS,
        "langchain_ms_a_step": 1e3 * statistics.median(theirs) / STEPS,
        "ours_with_store_ms_a_step": 1e3 * statistics.median(stored) / STEPS,
        "ratio": ratio,
        "bar": BAR,
        "rounds": rounds,
    }
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))
    return int(ratio > BAR)


async def ours(journal: Journal) -> float:
    """Seconds for the conversation in our agent."""
    config = AgentConfig("recorded", context=32_768)
    engine = Recorded()
    agent = Agent(
        config,
        tools(["calculator"], Settings()),
        LiveWorld(engine, "recorded", run=ToolRuntime()),  # type: ignore[arg-type]
    )
    start = time.perf_counter()
    for turn in range(TURNS):
        done = await agent.run(journal, f"Question {turn}: what is the price?")
        assert done.text.startswith("It comes to")
    seconds = time.perf_counter() - start
    assert engine.asked == STEPS
    return seconds


async def langchain() -> float:
    """Seconds for the same conversation in LangChain's agent."""
    engine = Recorded()
    calculator = to_langchain(
        tools(["calculator"], Settings())["calculator"], lambda: ToolContext("talk", 0, "", lambda: datetime.now(UTC))
    )
    model = EngineChatModel(engine=engine, model="recorded")
    agent = create_agent(
        model, [calculator], system_prompt=AgentConfig("recorded").system, checkpointer=InMemorySaver()
    )
    start = time.perf_counter()
    for turn in range(TURNS):
        asked: Any = {"messages": [("user", f"Question {turn}: what is the price?")]}
        done = await agent.ainvoke(asked, {"configurable": {"thread_id": "talk"}})
        assert done["messages"][-1].content.startswith("It comes to")
    seconds = time.perf_counter() - start
    assert engine.asked == STEPS
    return seconds


if __name__ == "__main__":
    sys.exit(main())
