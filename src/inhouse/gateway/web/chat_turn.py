"""A conversation's page and its changes while a turn is answered: what was asked for, and each line that is sent.

Knows how a page is changed; what drives the conversation is talk.py's, how it came by HTTP the routes'.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
from fastapi import Request, Response
from pydantic import BaseModel, Field

from inhouse.agent.branches import alternatives, families, root_of
from inhouse.agent.conversations import title_of
from inhouse.agent.records import CallStatus, Conversation, Step, StepKind
from inhouse.core.errors import InhouseError, InvalidRequest
from inhouse.gateway.identity import Caller
from inhouse.gateway.model_routes import visible_models
from inhouse.gateway.usage import rows_of
from inhouse.gateway.web.chat_view import request_ids, show_last, shown
from inhouse.gateway.web.markdown import Blocks
from inhouse.gateway.web.talk import Parameters, Piece, Talks, person_of
from inhouse.gateway.web.visit import Visit
from inhouse.gateway.web.web import Web

_EVERY_S = 0.04  # how often a text under way is drawn anew: what an eye takes for flowing
_LISTED = 100
_TOKENS = 2**31 - 1


class Turn(BaseModel):
    """What a page asks for: a new turn, another way from a step on, a decision on a call, or to go on."""

    do: Literal["say", "edit", "retry", "decide", "go_on"]
    conversation: str = ""
    """Empty: one is to be begun."""
    text: str = Field(default="", max_length=1_000_000)
    step: int = Field(default=0, ge=0)
    index: int = Field(default=0, ge=0)
    allow: bool = False
    model: str = Field(default="", max_length=256)
    system: str = Field(default="", max_length=100_000)
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=_TOKENS)] | None = None

    @property
    def parameters(self) -> Parameters:
        """What was chosen of the model and its sampling."""
        return Parameters(self.model, self.system.strip(), self.temperature, self.top_p, self.max_tokens)


@dataclass(slots=True)
class _Page:
    """Whose page it is, and what its templates need beside the steps."""

    visit: Visit
    caller: Caller
    conversation: Conversation


class Chat:
    """The conversations of a gateway's pages, as these show and drive them."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.talks = Talks(web.gateway)
        self.kept = self.talks.conversations

    async def of(self, caller: Caller, conversation_id: str) -> Conversation:
        """The caller's own conversation."""
        return await asyncio.to_thread(self.talks.of, caller, conversation_id)

    def delete_family(self, found: Conversation) -> None:
        """Deletes all the branches; blocks."""
        mine = self.kept.listed(person=found.person)
        for one in families(mine)[root_of(found, {one.id: one for one in mine})]:
            self.kept.delete(one.id)

    async def order_of(self, collection: str, document_id: str, text: str) -> int | None:
        """Which of the document's chunks holds the text now."""
        documents = self.web.gateway.documents
        there = None if documents is None else documents.get(collection)
        if there is None:
            return None
        chunks = await asyncio.to_thread(there.searcher.store.chunks_of, document_id)
        return next((one.chunk.order for one in chunks if one.chunk.text == text), None)

    async def page(self, request: Request, visit: Visit, caller: Caller, conversation: Conversation | None) -> Response:
        """The chat's page, with a conversation or a new one."""
        models = [info.name for info in await visible_models(self.web.gateway, caller)]
        values: dict[str, Any] = {"conversation": conversation, "models": models, "steps": [], "waits": False}
        if conversation is not None:
            steps = await asyncio.to_thread(self.kept.steps, conversation.id)
            values["steps"] = await self._shown(_Page(visit, caller, conversation), steps)
            values["waits"] = _waits(steps)
        values["days"] = self.web.gateway.settings.keep_conversations_days
        at = "" if conversation is None else conversation.id
        return self.web.page(request, visit, "chat.html", **values, **await self.listed(caller, "", at))

    async def listed(self, caller: Caller, wanted: str, at: str) -> dict[str, Any]:
        """The caller's conversations for the list, the last used first; each family is one entry."""

        def read() -> dict[str, Any]:
            found = self.kept.listed(person=person_of(caller), containing=wanted)
            grouped = families(found)
            here = next((root for root, family in grouped.items() if any(one.id == at for one in family)), "")
            entries = [(family[0], root == here) for root, family in list(grouped.items())[:_LISTED]]
            return {"entries": entries, "more": len(grouped) - len(entries), "q": wanted, "at": at}

        return await asyncio.to_thread(read)

    async def lines(self, visit: Visit, caller: Caller, asked: Turn) -> AsyncIterator[bytes]:
        """The changes of the page while a turn is answered, a JSON document a line."""
        try:
            conversation, begun, text = await self._prepare(caller, asked)
            yield _line(conversation=conversation.id, title=conversation.title, begun=begun)
            page = _Page(visit, caller, conversation)
            decisions = {(asked.step, asked.index): asked.allow} if asked.do == "decide" else None
            async with aclosing(self._changes(page, text, decisions)) as changes:
                async for change in changes:
                    yield change
            steps = await asyncio.to_thread(self.kept.steps, conversation.id)
            yield _line(end=True, waits=_waits(steps))
        except InhouseError as error:
            yield _line(error=self.web.render(visit, "chat_error.html", error=error))

    async def _changes(
        self, page: _Page, text: str | None, decisions: dict[tuple[int, int], bool] | None
    ) -> AsyncGenerator[bytes, None]:
        drawing = _Drawing()
        async with aclosing(self.talks.tell(page.caller, page.conversation, text, decisions)) as told:
            async for one in told:
                if isinstance(one, Piece):
                    if one.number != drawing.number:
                        drawing = _Drawing(one.number)
                        draft = self.web.render(
                            page.visit, "chat_draft.html", number=one.number, conversation=page.conversation
                        )
                        yield _line(id=f"s{one.number}", into="steps", html=draft)
                    for change in drawing.draw(one.text):
                        yield change
                elif isinstance(one, InhouseError):
                    raise one
                else:
                    yield await self._step(page, one)

    async def _step(self, page: _Page, step: Step) -> bytes:
        """The change that shows a step as it is kept."""
        steps = await asyncio.to_thread(self.kept.steps, page.conversation.id)
        (last,) = await self._shown(page, [*steps[: step.number], step], only_last=True)
        html = self.web.render(page.visit, "chat_step.html", step=last, conversation=page.conversation)
        return _line(id=f"s{step.number}", into="steps", html=html)

    async def _shown(self, page: _Page, steps: list[Step], *, only_last: bool = False) -> list[Any]:
        """The steps as templates want them."""
        conversation, gateway = page.conversation, self.web.gateway

        def read() -> tuple[Any, Any]:
            mine = self.kept.listed(person=conversation.person)
            family = families(mine)[root_of(conversation, {one.id: one for one in mine})]
            lengths = self.kept.lengths(one.id for one in family) if len(family) > 1 else {}
            ways = alternatives(conversation, family, lengths) if lengths else {}
            return rows_of(gateway.database, request_ids(steps)), ways

        rows, ways = await asyncio.to_thread(read)
        priced = any(row.model in gateway.prices for row in rows.values())
        show = show_last if only_last else shown
        found: Any = show(conversation, steps, rows, ways, priced=priced, lang=page.visit.lang)
        return [found] if only_last else found

    async def _prepare(self, caller: Caller, asked: Turn) -> tuple[Conversation, int, str | None]:
        """The conversation to drive, from which step on it is new to the page, and what is said.

        Raises:
            InvalidRequest: there is nothing to say, or no such step.
        """
        text = asked.text if asked.text.strip() else None
        if asked.do in ("say", "edit") and text is None:
            raise InvalidRequest("There is nothing to say", do="Write something")
        if not asked.conversation:
            if asked.do != "say" or text is None:
                raise InvalidRequest("There is no conversation to go on with")
            config = await self.talks.config(caller, asked.parameters)
            made = await asyncio.to_thread(
                lambda: self.kept.create(config, title=_title(text), person=person_of(caller))
            )
            return made, 0, text
        found = await self.of(caller, asked.conversation)
        steps = await asyncio.to_thread(self.kept.steps, found.id)
        if asked.do == "say":
            return await self._same_or_other(caller, found, asked, len(steps)), len(steps), text
        if asked.do in ("edit", "retry"):
            at = _turn_begin(steps, asked.step)
            at += asked.do == "retry"
            config = await self.talks.config(caller, asked.parameters) if asked.model else dict(found.config)
            made = await asyncio.to_thread(self.kept.branch, found.id, at, config)
            if asked.do == "edit" and at == 0 and text is not None:
                await asyncio.to_thread(self.kept.rename, made.id, _title(text))
            return made, at, text if asked.do == "edit" else None
        if not steps:
            raise InvalidRequest("There is no conversation to go on with")
        return found, len(steps) - (asked.do == "decide"), None

    async def _same_or_other(self, caller: Caller, found: Conversation, asked: Turn, length: int) -> Conversation:
        """The conversation, or where a model or parameters were chosen that are not its own, a branch at its end."""
        if not asked.model:
            return found
        config = await self.talks.config(caller, asked.parameters)
        if config | {"seed": 0} == {**found.config, "seed": 0}:
            return found
        return await asyncio.to_thread(self.kept.branch, found.id, length, config)


class _Drawing:
    """The text of one step as it comes, drawn not more often than an eye needs."""

    def __init__(self, number: int = -1) -> None:
        self.number = number
        self._blocks = Blocks()
        self._held = ""
        self._drawn = 0.0

    def draw(self, text: str) -> list[bytes]:
        """The changes that show the text so far."""
        self._held += text
        if (now := time.perf_counter()) - self._drawn < _EVERY_S:
            return []
        held, self._held, self._drawn = self._held, "", now
        return [
            _line(
                id=f"s{self.number}b{at}",
                into=f"s{self.number}text",
                html=f'<div id="s{self.number}b{at}">{html}</div>',
            )
            for at, html in self._blocks.feed(held)
        ]


def _turn_begin(steps: list[Step], number: int) -> int:
    """Where the turn of step `number` begins: what the person said."""
    if number >= len(steps):
        raise InvalidRequest(f"There is no step {number}", do="Load the page again")
    return max((step.number for step in steps[: number + 1] if step.kind is StepKind.INPUT), default=0)


def _title(text: str) -> str:
    """A title from what is said first, without a heading's marks before it."""
    return title_of(text.lstrip("#> \n\t"))


def _waits(steps: list[Step]) -> bool:
    """Whether a call waits for a person."""
    return bool(steps) and any(call.status is CallStatus.WAITING for call in steps[-1].calls)


def _line(**change: Any) -> bytes:
    # Models write halves of characters too, which no page can hold.
    whole = {name: _whole(value) if isinstance(value, str) else value for name, value in change.items()}
    return orjson.dumps(whole) + b"\n"


def _whole(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
