"""An agent put together with its conversation in the store: begun or gone on with, driven, and given back.

Knows no command line; what a person sees or says comes in as callables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from inhouse.agent.budget import Estimate, estimate_turn
from inhouse.agent.calls import nobody
from inhouse.agent.config import AgentConfig
from inhouse.agent.context import pinned_text
from inhouse.agent.conversations import Conversations
from inhouse.agent.facts import MOST, Facts
from inhouse.agent.loop import Agent, Turn
from inhouse.agent.records import Approver, Conversation, Policy, Runner, Status, Step, Usage
from inhouse.agent.requests import declared
from inhouse.agent.tools.base import Tool
from inhouse.agent.tools.registry import tools as find_tools
from inhouse.agent.world import LiveWorld, Price
from inhouse.core.settings import Settings
from inhouse.engines.base import Engine, Event
from inhouse.store.database import Database


class Session:
    """Conversations of one engine. Each `say` drives its conversation from claim to release.

    `on_step` is told of each step as it is kept, `on_event` of what the model answers as it comes.
    """

    def __init__(
        self,
        database: Database,
        engine: Engine,
        settings: Settings,
        *,
        extra_tools: Iterable[Tool] = (),
        policy: Policy | None = None,
        approve: Approver = nobody,
        run: Runner | None = None,
        price: Price | None = None,
        allowed_folders: tuple[Path, ...] = (),
        on_step: Callable[[Step], None] = lambda step: None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self.conversations = Conversations(database)
        self.facts = Facts(database)
        self._engine = engine
        self._settings = settings
        self._extra = {tool.name: tool for tool in extra_tools}
        self._policy = policy
        self._approve = approve
        self._run = run
        self._price = price
        self._allowed_folders = allowed_folders
        self._on_step = on_step
        self._on_event = on_event
        self._counted: dict[str, dict[str, int]] = {}

    @property
    def extra_names(self) -> tuple[str, ...]:
        """The names of the tools that were given beside the registry's."""
        return tuple(self._extra)

    def begin(self, config: AgentConfig, title: str, *, person: str = "") -> Conversation:
        """A new conversation. UsageError where one of its tools is not to be had."""
        self._tools(config)
        return self.conversations.create(config.to_dict(), title=title, person=person)

    async def say(self, conversation: Conversation, text: str | None, *, force: bool = False) -> Turn:
        """One turn of the conversation; without a text it goes on where it stands."""
        config = AgentConfig.from_dict(conversation.config)
        person = conversation.person
        agent = Agent(
            config,
            self._tools(config),
            LiveWorld(
                self._engine,
                config.model,
                run=self._run,
                price=self._price,
                on_event=self._on_event,
                counted=self._counted.setdefault(config.model, {}),
            ),
            policy=self._policy,
            approve=self._approve,
            person=person,
            facts=lambda: [fact.text for fact in self.facts.of(person, limit=MOST)],
            allowed_folders=self._allowed_folders,
            on_step=self._on_step,
        )
        journal = self.conversations.drive(conversation.id, force=force)
        status = Status.STOPPED
        try:
            turn = await agent.run(journal, text)
            status = turn.status
            return turn
        finally:
            journal.release(status)

    async def estimate(
        self, config: AgentConfig, text: str, requests: int, *, person: str = "", kept: Conversation | None = None
    ) -> Estimate:
        """The tokens of a turn of so many requests that begins with the text, at the end of a kept conversation."""
        world = LiveWorld(self._engine, config.model)
        facts = [fact.text for fact in self.facts.of(person, limit=MOST)]
        pinned = await world.count(pinned_text(config, facts, declared(self._tools(config).values())))
        before = self.conversations.steps(kept.id) if kept else []
        said = sum(step.tokens + sum(call.tokens for call in step.calls) for step in before)
        return estimate_turn(config, pinned, said + await world.count(text), requests=requests)

    def priced(self, estimate: Estimate) -> Usage | None:
        """The estimate with its money; None without a price."""
        if self._price is None:
            return None
        tokens = (estimate.prompt_tokens, estimate.completion_tokens, 0)
        return Usage(*tokens, *self._price(*tokens))

    def _tools(self, config: AgentConfig) -> Mapping[str, Tool]:
        named = [name for name in config.tools if name not in self._extra]
        found = find_tools(named, self._settings) | {
            name: self._extra[name] for name in config.tools if name in self._extra
        }
        return found | (find_tools(["read_more"], self._settings) if found and "read_more" not in found else {})
