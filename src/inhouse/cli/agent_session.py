"""What `inhouse agent`'s commands share: its session on an opened engine, the store, and options that several take."""

from __future__ import annotations

import getpass
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from inhouse.agent.config import AgentConfig
from inhouse.agent.conversations import Conversations
from inhouse.agent.records import Conversation, Step
from inhouse.agent.session import Session
from inhouse.agent.tools.registry import tool_names
from inhouse.agent.tools.runtime import ToolRuntime
from inhouse.agent.world import Price
from inhouse.cli.agent_tools import extra_tools, policy_of
from inhouse.cli.agent_view import answer_approval
from inhouse.cli.engine import open_for
from inhouse.core.errors import UsageError
from inhouse.core.settings import Settings, get_settings
from inhouse.engines.base import Event
from inhouse.store.database import Database

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DEFAULT_TOOLS = "calculator,clock"


@dataclass(frozen=True, slots=True)
class Beside:
    """What an agent is given beside its configuration."""

    folder: list[Path] | None
    mcp: Path | None
    docs: str | None
    policy: str
    yes: bool


@asynccontextmanager
async def open_session(
    kept: Conversation | None,
    engine: str | None,
    model: str | None,
    changes: Mapping[str, object],
    prices: Path | None,
    beside: Beside,
    *,
    on_step: Callable[[Step], None] = lambda step: None,
    on_event: Callable[[Event], None] | None = None,
) -> AsyncIterator[tuple[Session, AgentConfig]]:
    """The session on an opened engine, and the configuration to begin or go on with."""
    config = AgentConfig.from_dict(kept.config) if kept else None
    context = changes.get("context") or (config.context if config else AgentConfig("").context)
    kind, name = engine or (config.engine if config else None), model or (config.model if config else None)
    assert isinstance(context, int)
    async with (
        extra_tools(beside.mcp, beside.docs) as extra,
        open_for(kind, name, context=context, slots=1) as opened,
    ):
        config = replace(config or AgentConfig(opened.model), model=opened.model, engine=kind or opened.settings.engine)
        with open_store(opened.settings) as database:
            yield (
                Session(
                    database,
                    opened.engine,
                    opened.settings,
                    extra_tools=extra,
                    policy=policy_of(beside.policy, yes=beside.yes),
                    approve=answer_approval(always=False),
                    run=ToolRuntime(),
                    price=price_of(prices, opened.model),
                    allowed_folders=tuple(path.resolve() for path in beside.folder or ()),
                    on_step=on_step,
                    on_event=on_event,
                ),
                replace(config, context=context),
            )


def kept_conversation(wanted: str) -> Conversation:
    """By its id, the beginning of it, or "last"."""
    with open_store() as database:
        return Conversations(database).get(wanted)


def open_store(settings: Settings | None = None) -> closing[Database]:
    """The store, closed with the block."""
    return closing(Database((settings or get_settings()).database_url))


def tool_form_of(text: str | None) -> str | None:
    """The form of calls that an option names; UsageError where there is none such."""
    if text not in (None, "native", "text", "schema"):
        raise UsageError(f"There is no tool form {text!r}", do="Choose native, text or schema")
    return text


def names_of(text: str) -> tuple[str, ...]:
    """The tools that an option names."""
    if text == "all":
        return tuple(tool_names())
    return tuple(name.strip() for name in text.split(",") if name.strip())


def price_of(path: Path | None, model: str) -> Price | None:
    """What a model costs by a price table; None without one."""
    if path is None:
        return None
    from inhouse.gateway.prices import load_prices

    price = load_prices(path).get(model)
    if price is None:
        raise UsageError(f"{path} has no price for {model}", do="Add it, or leave --prices out")
    return price.cost


def this_person() -> str:
    """Whose conversations and facts these are."""
    return getpass.getuser()
