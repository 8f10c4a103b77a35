"""The pages of agents' traces: which conversations there are, and each step with what was sent, called and returned.

A conversation that began with a key is that key's alone, as in the chat; those made on the command line are for admins.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import select

from inhouse.agent.budget import total_usage
from inhouse.agent.conversations import Conversations
from inhouse.agent.records import Conversation
from inhouse.agent.trace import ways
from inhouse.core.errors import ConversationNotFound
from inhouse.gateway.identity import Caller
from inhouse.gateway.web import run_view
from inhouse.gateway.web.run_pages import RUNS, reader, run_tabs
from inhouse.gateway.web.web import Web, page_router
from inhouse.store.database import Database
from inhouse.store.gateway_tables import api_keys

TRACES = f"{RUNS}/traces"
_LISTED = 100


def trace_pages(web: Web) -> APIRouter:
    """/ui/runs/traces and what lies under it."""
    router = page_router()
    database = web.gateway.database
    kept = Conversations(database)

    def of(caller: Caller, conversation_id: str) -> Conversation:
        found = kept.get(conversation_id)
        if found.id != conversation_id or not _may_see(caller, found.person, _keys(database)):
            raise ConversationNotFound(f"No conversation goes by {conversation_id!r}", do="Choose one of the list")
        return found

    @router.get("/runs/traces")
    async def listed(request: Request, q: str = "") -> Response:
        visit, caller = await reader(web, request)

        def read() -> dict[str, Any]:
            keys = _keys(database)
            mine = [one for one in kept.listed(containing=q.strip()) if _may_see(caller, one.person, keys)]
            return {
                "traces": mine[:_LISTED], "more": len(mine) - _LISTED,
                "lengths": kept.lengths(one.id for one in mine[:_LISTED]),
            }  # fmt: skip

        return web.page(request, visit, "traces.html", **await asyncio.to_thread(read), q=q, tabs=run_tabs(TRACES))

    @router.get("/runs/traces/{conversation_id}")
    async def shown(request: Request, conversation_id: str) -> Response:
        visit, caller = await reader(web, request)

        def read() -> dict[str, Any]:
            found = of(caller, conversation_id)
            steps = kept.steps(found.id)
            return {"conversation": found, "steps": steps, "usage": total_usage(steps), "ways": ways(steps)}

        values = await asyncio.to_thread(read)
        return web.page(request, visit, "trace.html", **values, view=run_view, tabs=run_tabs(TRACES))

    @router.get("/runs/traces/{conversation_id}/{number}")
    async def sent(request: Request, conversation_id: str, number: int) -> Response:
        """What a step sent to its model and what came back, event by event."""
        visit, caller = await reader(web, request)

        def read() -> str:
            steps = kept.steps(of(caller, conversation_id).id)
            if not 0 <= number < len(steps):
                raise ConversationNotFound(f"There is no step {number}")
            data = steps[number].data
            return run_view.as_json({name: data[name] for name in ("request", "events") if name in data})

        return web.page(request, visit, "trace_sent.html", text=await asyncio.to_thread(read))

    return router


def _keys(database: Database) -> frozenset[str]:
    """The ids of all keys that there are or were."""
    with database.read() as connection:
        return frozenset(connection.execute(select(api_keys.c.id)).scalars())


def _may_see(caller: Caller, person: str, keys: frozenset[str]) -> bool:
    """Whether it is the caller's own; or, for an admin, nobody's key's: one of the command line."""
    owner = person.removeprefix("key:")
    if owner == caller.key_id:
        return True
    return caller.role == "admin" and not person.startswith("key:") and owner not in keys
