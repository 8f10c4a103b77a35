"""Agents behind the gateway: each a model agent/<name> that works with its tools, and keeps a conversation if asked to.

Stands before the router as the documents do: each request of an agent goes to its model's queue, under the caller's
own key. A conversation belongs to the key that began it. Knows no API.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from inhouse.core.errors import ConversationNotFound, InvalidRequest, UnsupportedFeature
from inhouse.engines.base import ChatRequest, Embeddings, Event, Health, LoadedModel, ModelInfo
from inhouse.gateway.base import Route, Upstream
from inhouse.gateway.failover import Router
from inhouse.gateway.identity import Caller
from inhouse.gateway.routed_model import RoutedModel

if TYPE_CHECKING:
    from inhouse.agent.config import AgentConfig
    from inhouse.agent.conversations import Conversations
    from inhouse.agent.records import Conversation
    from inhouse.gateway.offers import ServedAgent

NEW = "new"
"""In place of a conversation's id: one is to be begun."""


class AgentsUpstream:
    """Agents before what else there is on offer. See `base.Upstream`; owns the latter. `router` has their models."""

    def __init__(
        self, others: Upstream, router: Router, agents: Mapping[str, ServedAgent], conversations: Conversations
    ) -> None:
        from inhouse.agent.tools.runtime import ToolRuntime

        self._others = others
        self._router = router
        self._agents = agents
        self._conversations = conversations
        self._run = ToolRuntime()  # one for all: a tool that rests, rests for each

    def chat(
        self,
        request: ChatRequest,
        caller: Caller,
        route: Route,
        *,
        deadline_s: float | None = None,
        prefix: bytes | None = None,
    ) -> AsyncIterator[Event]:
        """See `Upstream.chat`. The conversation that `route` names is gone on with; the id of a new one stands there.

        Raises:
            ConversationNotFound: this key has no such conversation with this agent.
            ConversationBusy: a turn of it is still under way.
        """
        agent = self._agents.get(request.model)
        if agent is None:
            return self._others.chat(request, caller, route, deadline_s=deadline_s, prefix=prefix)
        # Counted and priced as the model that does the work, and so not cached: what tools say changes.
        route.model = agent.config.model
        model = RoutedModel(self._router, agent.config.model, caller, route, deadline_s)
        answer = self._goes_on if route.conversation else self._answers
        return answer(agent, model, request, caller, route)

    async def _answers(
        self, agent: ServedAgent, model: RoutedModel, request: ChatRequest, caller: Caller, route: Route
    ) -> AsyncGenerator[Event, None]:
        """From what the request tells of the conversation."""
        from inhouse.agent.engine import AgentEngine

        engine = AgentEngine(model, agent.config, agent.tools, run=self._run)
        async with aclosing(engine.chat(request)) as events:
            async for event in events:
                yield event

    async def _goes_on(
        self, agent: ServedAgent, model: RoutedModel, request: ChatRequest, caller: Caller, route: Route
    ) -> AsyncGenerator[Event, None]:
        """With the kept conversation."""
        from inhouse.agent.config import AgentConfig
        from inhouse.agent.engine import AgentEngine
        from inhouse.agent.records import Status

        kept = await asyncio.to_thread(self._conversation, agent.config, request, caller, route.conversation)
        route.conversation = kept.id
        journal = await asyncio.to_thread(self._conversations.drive, kept.id)
        status = Status.STOPPED
        try:
            engine = AgentEngine(model, AgentConfig.from_dict(kept.config), agent.tools, journal=journal, run=self._run)
            async with aclosing(engine.chat(request)) as events:
                async for event in events:
                    yield event
            status = Status.IDLE
        finally:
            await asyncio.to_thread(journal.release, status)

    def _conversation(self, config: AgentConfig, request: ChatRequest, caller: Caller, wanted: str) -> Conversation:
        from inhouse.agent.config import AgentConfig
        from inhouse.agent.conversations import title_of
        from inhouse.agent.engine import agent_for, question_of

        if wanted == NEW:
            said = question_of(request)
            begun = agent_for(config, request).to_dict()
            return self._conversations.create(begun, title=title_of(said), person=caller.key_id)
        kept = self._conversations.get(wanted)
        if kept.id != wanted or kept.person != caller.key_id:
            raise ConversationNotFound(f"No conversation goes by {wanted!r}", do="Begin one: X-Conversation-Id: new")
        before = AgentConfig.from_dict(kept.config)
        # Its model and tools are part of a conversation; what an admin takes from an agent must be gone from it.
        if replace(before, system="") != replace(
            config, system="", max_tokens=before.max_tokens, temperature=before.temperature, seed=before.seed
        ):
            raise InvalidRequest(
                "The agent is another than when this conversation began", do="Begin a new one: X-Conversation-Id: new"
            )
        return kept

    async def embed(
        self, model: str, texts: Sequence[str], caller: Caller, route: Route, *, deadline_s: float | None = None
    ) -> Embeddings:
        """See `Upstream.embed`."""
        if model in self._agents:
            raise UnsupportedFeature("An agent has no embeddings", do="Name a model with embeddings")
        return await self._others.embed(model, texts, caller, route, deadline_s=deadline_s)

    def serves(self, model: str) -> bool:
        """See `Upstream.serves`."""
        return model in self._agents or self._others.serves(model)

    async def models(self) -> tuple[ModelInfo, ...]:
        """See `Upstream.models`: the others, then the agents."""
        ours = (ModelInfo(name, context=agent.config.context) for name, agent in self._agents.items())
        return (*await self._others.models(), *ours)

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """See `Upstream.loaded`."""
        return await self._others.loaded()

    async def health(self) -> Health:
        """See `Upstream.health`."""
        return await self._others.health()

    async def start(self) -> None:
        """See `Upstream.start`."""
        await self._others.start()

    async def close(self) -> None:
        """See `Upstream.close`."""
        await self._others.close()
