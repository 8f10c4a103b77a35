"""The pages of agents' traces: which conversations there are, and each step with what was sent, called and returned.

A conversation that began with a key is that key's alone, as in the chat; those made on the command line are for admins.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from inhouse.agent.budget import total_usage
from inhouse.agent.conversations import Conversations
from inhouse.agent.records import Conversation
from inhouse.agent.trace import ways
from inhouse.core.errors import ConversationNotFound
from inhouse.gateway.identity import Caller
from inhouse.gateway.persons import seen_by
from inhouse.gateway.web import run_view
from inhouse.gateway.web.run_pages import RUNS, reader, run_tabs
from inhouse.gateway.web.web import Web, page_router

TRACES = f"{RUNS}/traces"
_LISTED = 100


def trace_pages(web: Web) -> APIRouter:
    """/ui/runs/traces and what lies under it."""
    router = page_router()
    kept = Conversations(web.gateway.database)

    def of(caller: Caller, conversation_id: str) -> Conversation:
        found = kept.get(conversation_id, whose=seen_by(caller))
        if found.id != conversation_id:
            raise ConversationNotFound(f"No conversation goes by {conversation_id!r}", do="Choose one of the list")
        return found

    @router.get("/runs/traces")
    async def listed(request: Request, q: str = "") -> Response:
        visit, caller = await reader(web, request)

        def read() -> dict[str, Any]:
            mine = kept.listed(whose=seen_by(caller), containing=q.strip(), limit=_LISTED + 1)
            shown = mine[:_LISTED]
            return {"traces": shown, "more": len(mine) > _LISTED, "lengths": kept.lengths(one.id for one in shown)}

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
