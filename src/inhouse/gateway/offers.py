"""The models on offer, from the settings: each with its replicas' engines, opened. Knows nothing of requests."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pydantic import SecretStr

from inhouse.core.errors import UsageError
from inhouse.core.settings import Settings
from inhouse.engines.base import Engine
from inhouse.engines.embedded import EmbeddedEngine
from inhouse.engines.launch import LaunchSpec
from inhouse.engines.open import open_engine
from inhouse.gateway.lent_engine import LentEngine
from inhouse.gateway.pool import Offer
from inhouse.gateway.replica import Replica
from inhouse.gateway.settings import GatewaySettings, ModelSettings, ReplicaSettings
from inhouse.models.choice import default_model
from inhouse.models.launch import launch_spec

if TYPE_CHECKING:
    from inhouse.agent.config import AgentConfig
    from inhouse.agent.tools.base import Tool

# Requests that a server answers at once, where nobody says: Ollama's own default, and what vLLM takes with ease.
_SLOTS = {"ollama": 4, "openai": 64}


_OWN_WAITING = 64  # as pool.Offer has it

Lender = Callable[[str], LentEngine]
"""Gives a worker process its engine for an embedded replica, by `replica_name`."""


def replica_name(model: str, index: int) -> str:
    """What parent and workers call an embedded replica between them: the model's name and the place in its list."""
    return f"{model}#{index}"


def with_own_model(settings: Settings, gateway_settings: GatewaySettings) -> GatewaySettings:
    """The settings with the embedded model that would be served without any written out among the models."""
    if gateway_settings.models or settings.engine != "embedded":
        return gateway_settings
    own = ModelSettings(
        name=settings.model or default_model(settings),
        replicas=[ReplicaSettings(engine="embedded")],
        max_waiting=_OWN_WAITING,
    )
    return gateway_settings.model_copy(update={"models": [own]})


def embedded_specs(settings: Settings, gateway_settings: GatewaySettings) -> dict[str, LaunchSpec]:
    """How each embedded replica among the models is launched, by `replica_name`."""
    return {
        replica_name(model.name, index): _spec(settings, model.name, replica)
        for model in gateway_settings.models
        for index, replica in enumerate(model.replicas)
        if replica.engine == "embedded"
    }


async def open_offers(
    settings: Settings, gateway_settings: GatewaySettings, lender: Lender | None = None
) -> dict[str, Offer]:
    """What the gateway serves, by the name that callers use: as configured, else the program's own engine and model.

    Embedded replicas come from `lender` where there is one; else they are this process's own.

    Raises:
        UsageError: there is nothing to serve, or what is named cannot be opened.
        ModelError, EngineError: the model is not here, the server does not answer.
    """
    engines = _Engines(settings, lender)
    try:
        return _configured(gateway_settings.models, engines) or await _own(settings, engines)
    except BaseException:
        await engines.close()
        raise


def _configured(models: list[ModelSettings], engines: _Engines) -> dict[str, Offer]:
    offers: dict[str, Offer] = {}
    for model in models:
        if model.name in offers:
            raise UsageError(f"The model {model.name} is configured twice", do="Give it all its replicas in one place")
        replicas = _told_apart([engines.replica(model.name, i, replica) for i, replica in enumerate(model.replicas)])
        offers[model.name] = Offer(replicas, model.fallback or None, model.max_waiting)
    unknown = {offer.fallback for offer in offers.values() if offer.fallback} - offers.keys()
    if unknown:
        raise UsageError(f"The fallback {', '.join(sorted(unknown))} is no model of this gateway")
    return offers


async def _own(settings: Settings, engines: _Engines) -> dict[str, Offer]:
    """The model of the program's own settings, else what its engine offers: those are loaded as they are asked for."""
    if settings.engine == "embedded":
        name = settings.model or default_model(settings)
        return {name: Offer((engines.replica(name, 0, ReplicaSettings(engine="embedded")),))}
    engine = engines.own()
    names = [settings.model] if settings.model else [info.name for info in await engine.models()]
    if not names:
        raise UsageError(f"The {settings.engine} engine offers no model", do="Pull one first, then start the gateway")
    slots = _SLOTS.get(engine.name, _SLOTS["openai"])
    return {name: Offer((Replica(engine.name, engine, name, slots),), preload=bool(settings.model)) for name in names}


@dataclass(frozen=True, slots=True)
class ServedAgent:
    """An agent on offer: what it is, its model by its name here, and its tools."""

    config: AgentConfig
    tools: Mapping[str, Tool]


def served_agents(
    settings: Settings, gateway_settings: GatewaySettings, models: Sequence[str]
) -> dict[str, ServedAgent]:
    """The agents of the settings by the names that callers ask them by, thinking with one of `models`.

    Raises:
        UsageError: its model is not among them, or one of its tools is not to be had.
    """
    if not gateway_settings.agents:
        return {}
    from inhouse.agent.config import SYSTEM, AgentConfig
    from inhouse.agent.tools.registry import tools

    found: dict[str, ServedAgent] = {}
    for agent in gateway_settings.agents:
        model = agent.model or models[0]
        if model not in models:
            raise UsageError(f"The agent {agent.name} thinks with {model!r}, which is no model of this gateway")
        names = [*agent.tools, "read_more"] if agent.tools else []
        config = AgentConfig(model, system=agent.system or SYSTEM, tools=tuple(agent.tools), context=agent.context)
        found[f"agent/{agent.name}"] = ServedAgent(config, tools(dict.fromkeys(names), settings))
    return found


class _Engines:
    """The engines of all replicas: one for each server; an embedded one is a replica's own, with its own process."""

    def __init__(self, settings: Settings, lender: Lender | None) -> None:
        self._settings = settings
        self._lender = lender
        self._servers: dict[tuple[str, str, str], Engine] = {}
        self._embedded: list[EmbeddedEngine] = []

    def own(self) -> Engine:
        """The engine of the program's own settings."""
        engine = open_engine(self._settings.engine, self._settings, lambda name: launch_spec(self._settings, name))
        return self._servers.setdefault((self._settings.engine, "", ""), engine)

    def get(self, replica: ReplicaSettings) -> Engine:
        """The engine of the replica's server, opened if it is the first of that."""
        key = (replica.engine, replica.url, replica.key_env)
        if key not in self._servers:
            changed: dict[str, object] = {}
            if replica.url:
                changed["ollama_url" if replica.engine == "ollama" else "base_url"] = replica.url
                changed["api_key"] = SecretStr("")
            if replica.key_env:
                if replica.key_env not in os.environ:
                    raise UsageError(f"The environment has no {replica.key_env}, where a replica's API key should be")
                changed["api_key"] = SecretStr(os.environ[replica.key_env])
            settings = self._settings.model_copy(update=changed)
            self._servers[key] = open_engine(replica.engine, settings, lambda name: launch_spec(settings, name))
        return self._servers[key]

    def replica(self, name: str, index: int, replica: ReplicaSettings) -> Replica:
        """The replica for the router, which is the one at `index` of its model's."""
        model = replica.model or name
        if replica.engine == "embedded" and self._lender is not None:
            lent = self._lender(replica_name(name, index))
            return Replica("embedded", lent, model, lent.standing.slots)
        if replica.engine == "embedded":
            spec = _spec(self._settings, name, replica)
            self._embedded.append(EmbeddedEngine(lambda _: spec, stall_s=self._settings.stall_s))
            return Replica("embedded", self._embedded[-1], model, spec.slots)
        where = replica.url or (self._settings.base_url if replica.engine == "openai" else "")
        slots = replica.slots or _SLOTS.get(replica.engine, _SLOTS["openai"])
        return Replica(f"{replica.engine} {where}".strip(), self.get(replica), model, slots)

    async def close(self) -> None:
        """Closes them all."""
        await asyncio.gather(*(engine.close() for engine in [*self._servers.values(), *self._embedded]))


def _spec(settings: Settings, name: str, replica: ReplicaSettings) -> LaunchSpec:
    return launch_spec(settings, replica.model or name, slots=replica.slots or None)


def _told_apart(replicas: list[Replica]) -> tuple[Replica, ...]:
    """With a number after each name that several have."""
    times = Counter(replica.name for replica in replicas)
    seen: Counter[str] = Counter()
    named = []
    for one in replicas:
        seen[one.name] += 1
        named.append(one if times[one.name] == 1 else replace(one, name=f"{one.name} {seen[one.name]}"))
    return tuple(named)
