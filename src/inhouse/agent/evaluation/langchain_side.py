"""LangChain's agent as the other side of a comparison: its `create_agent` on the same engine, with the same tools.

It is given what our engine reads as calls in a model's text too: with the server's own reading alone it would see no
call of the small models at all. Needs inhouse[langchain].
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphRecursionError

from inhouse.agent.config import AgentConfig
from inhouse.agent.evaluation.ast_check import Call
from inhouse.agent.evaluation.attempt import Attempt, without_running
from inhouse.agent.evaluation.dialogue import Stopped
from inhouse.agent.evaluation.metered import Metered
from inhouse.agent.evaluation.tasks import Task
from inhouse.agent.langchain import EngineChatModel, to_langchain
from inhouse.agent.tools.base import Tool, ToolContext
from inhouse.agent.world import Price
from inhouse.core.errors import EngineError
from inhouse.engines.base import Engine, Message

_THREAD = {"configurable": {"thread_id": "evaluation"}}


class LangChainSide:
    """LangChain's agent with its conversation in memory. See `Side`."""

    def __init__(self, engine: Metered, config: AgentConfig) -> None:
        self._engine = engine
        self._config = config
        self._saver = InMemorySaver()
        self._agent: Any = None
        self._offered: tuple[str, tuple[str, ...]] | None = None

    def offer(self, system: str, tools: Mapping[str, Tool]) -> None:
        """See `Side.offer`. The graph is compiled here, outside what is timed."""
        if self._offered == (system, tuple(tools)):
            return
        self._offered = (system, tuple(tools))
        told = "\n\n".join(filter(None, (self._config.system, system)))
        self._agent = agent_of(self._engine, replace(self._config, system=told), tools, self._saver)

    async def answer(self, text: str) -> str:
        """See `Side.answer`."""
        # A step of theirs is one node of the graph: the model and the tools are two.
        limits: Any = {"recursion_limit": 2 * self._config.limits.steps, **_THREAD}
        try:
            done = await self._agent.ainvoke({"messages": [HumanMessage(text)]}, limits)
        except GraphRecursionError:
            raise Stopped("stopped") from None
        except EngineError as error:
            raise Stopped(f"engine: {error.kind}") from None
        return str(done["messages"][-1].content)


def agent_of(
    engine: Metered, config: AgentConfig, tools: Mapping[str, Tool], saver: InMemorySaver, **options: Any
) -> Any:
    """LangChain's agent as `config` describes ours. Engine errors go through as they are."""
    model = EngineChatModel(
        engine=engine, model=config.model, max_tokens=config.max_tokens, temperature=config.temperature,
        seed=config.seed,
    )  # fmt: skip

    def context() -> ToolContext:
        return ToolContext("evaluation", 0, "", lambda: datetime.now(UTC))

    theirs = [to_langchain(tool, context) for tool in tools.values()]
    return create_agent(model, theirs, system_prompt=config.system, checkpointer=saver, **options)


async def try_langchain(engine: Engine, config: AgentConfig, task: Task, trial: int, price: Price | None) -> Attempt:
    """One try at a task of one answer: up to the first calls of tools on offer, none of which is made."""
    metered = Metered(engine, price)
    tools = without_running(task)
    agent = agent_of(metered, config, tools, InMemorySaver(), interrupt_before=["tools"])
    limits: Any = {"recursion_limit": 2 * config.limits.steps, **_THREAD}
    given: Any = {"messages": _theirs(task.messages)}
    text, calls, fault = "", list[Call](), ""
    start = time.perf_counter()
    try:
        for _ in range(config.limits.repairs + 1):
            done = await agent.ainvoke(given, limits)
            last = done["messages"][-1]
            text, calls = str(last.content), [(one["name"], one["args"]) for one in last.tool_calls]
            if not calls or any(name in tools for name, _ in calls):
                break
            given = None  # its tools' node tells the model that there are no such tools
    except EngineError as error:
        fault, text = f"engine: {error.kind}", str(error)
    end = time.perf_counter()
    return Attempt(
        task, "langchain", trial, fault or task.check(calls), tuple(calls), text, metered.usage, metered.requests,
        start, end, framework_s=end - start - metered.seconds,
    )  # fmt: skip


def _theirs(messages: Sequence[Message]) -> list[AnyMessage]:
    found: list[AnyMessage] = []
    for message in messages:
        if message.role == "assistant":
            calls = [
                {"name": one.name, "args": json.loads(one.arguments or "{}"), "id": one.id}
                for one in message.tool_calls
            ]
            found.append(AIMessage(content=message.content, tool_calls=calls))
        elif message.role == "tool":
            found.append(ToolMessage(content=message.content, tool_call_id=message.tool_call_id or ""))
        else:
            found.append(HumanMessage(message.content))
    return found
