"""The chat's routes: a conversation's page, its turns, the list of all, export and deletion; each key sees its own.

Knows addresses; what a page holds and how it changes is chat_turn.py's.
"""

from __future__ import annotations

import asyncio
from typing import Literal

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from inhouse.agent.conversations import title_of
from inhouse.agent.trace import trace_data
from inhouse.core.errors import InvalidRequest
from inhouse.gateway.documents import PREFIX
from inhouse.gateway.web.chat_turn import Chat, Turn
from inhouse.gateway.web.chat_view import as_markdown, citations_of
from inhouse.gateway.web.visit import form_of
from inhouse.gateway.web.web import Web, page_router

CHAT = "/ui/chat"


def chat_routes(web: Web) -> APIRouter:
    """/ui/chat and what lies under it."""
    router = page_router()
    chat = Chat(web)
    web.nav.append(("nav.chat", CHAT, False))

    @router.get("/chat")
    async def begin(request: Request) -> Response:
        visit, caller = await web.signed_in(request)
        return await chat.page(request, visit, caller, None)

    @router.get("/chat/list")
    async def listed(request: Request, q: str = "", at: str = "") -> Response:
        visit, caller = await web.signed_in(request)
        return web.page(request, visit, "chat_list.html", **await chat.listed(caller, q.strip(), at))

    @router.post("/chat/turn")
    async def turn(request: Request, asked: Turn) -> Response:
        visit, caller = await web.signed_in(request)
        return StreamingResponse(
            chat.lines(visit, caller, asked),
            media_type="application/x-ndjson",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    @router.get("/chat/{conversation_id}")
    async def open_(request: Request, conversation_id: str) -> Response:
        visit, caller = await web.signed_in(request)
        return await chat.page(request, visit, caller, await chat.of(caller, conversation_id))

    @router.get("/chat/{conversation_id}/export")
    async def export(request: Request, conversation_id: str, form: Literal["json", "md"] = "json") -> Response:
        _, caller = await web.signed_in(request)
        found = await chat.of(caller, conversation_id)
        steps = await asyncio.to_thread(chat.kept.steps, found.id)
        headers = {"Content-Disposition": f'attachment; filename="{found.id}.{form}"'}
        if form == "md":
            return Response(as_markdown(found, steps).encode("utf-8", "replace"), 200, headers, "text/markdown")
        data = orjson.dumps(trace_data(found, steps), option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)
        return Response(data, 200, headers, "application/json")

    @router.post("/chat/{conversation_id}/rename")
    async def rename(request: Request, conversation_id: str) -> Response:
        _, caller = await web.signed_in(request)
        found = await chat.of(caller, conversation_id)
        title = title_of((await form_of(request)).get("title", ""))
        if title:
            await asyncio.to_thread(chat.kept.rename, found.id, title)
        return RedirectResponse(f"{CHAT}/{found.id}", 303)

    @router.post("/chat/{conversation_id}/delete")
    async def delete(request: Request, conversation_id: str) -> Response:
        """Deletes a conversation with all its branches."""
        _, caller = await web.signed_in(request)
        found = await chat.of(caller, conversation_id)
        await asyncio.to_thread(chat.delete_family, found)
        return RedirectResponse(CHAT, 303)

    @router.get("/chat/{conversation_id}/source/{number}/{source}")
    async def source(request: Request, conversation_id: str, number: int, source: int) -> Response:
        """Leads to the passage that an answer names as a source."""
        _, caller = await web.signed_in(request)
        found = await chat.of(caller, conversation_id)
        steps = await asyncio.to_thread(chat.kept.steps, found.id)
        cited = citations_of(steps[number]) if number < len(steps) else []
        one = next((one for one in cited if one.number == source), None)
        if one is None:
            raise InvalidRequest("There is no such source")
        collection = str(found.config.get("model", "")).removeprefix(PREFIX)
        where = f"/ui/documents/{collection}/{one.document_id}"
        order = await chat.order_of(collection, one.document_id, one.text)
        return RedirectResponse(where if order is None else f"{where}?passage={order}#passage", 303)

    return router
