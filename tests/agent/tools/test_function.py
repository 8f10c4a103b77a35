"""A Python function becomes a tool by a decorator."""

from __future__ import annotations

from typing import Literal

import pytest
from tool_calls_made import make_call

from inhouse.agent.tools.base import ToolContext
from inhouse.agent.tools.documents import Passage, make_search
from inhouse.agent.tools.function import tool
from inhouse.core.errors import ToolError, UsageError


@tool(effect="effect", keyed=True)
async def book(room: str, context: ToolContext, hours: int = 1, kind: Literal["talk", "call"] = "talk") -> dict:
    """Books a meeting room.

    Args:
        room: Its number.
        hours: How long.
    """
    return {"room": room, "hours": hours, "by": context.person}


@tool
def shout(words: list[str]) -> str:
    """Shouts."""
    return " ".join(words).upper()


async def test_its_schema_comes_from_the_signature_and_the_docstring():
    assert (book.name, book.description, book.effect) == ("book", "Books a meeting room.", "effect")
    properties = book.parameters["properties"]
    assert properties["room"] == {"type": "string", "description": "Its number."}
    assert properties["hours"] == {"type": "integer", "default": 1, "description": "How long."}
    assert properties["kind"]["enum"] == ["talk", "call"]
    assert (book.parameters["required"], book.parameters["additionalProperties"]) == (["room"], False)


async def test_it_runs_with_its_context_or_in_a_thread():
    result = await make_call(book, room="301", hours=2)
    assert result.data == {"room": "301", "hours": 2, "by": "kim"}
    assert result.content == '{"room":"301","hours":2,"by":"kim"}'
    assert (await make_call(shout, words=["a", "b"])).content == "A B"
    with pytest.raises(ToolError, match="hours"):
        await make_call(book, room="301", hours="long")


def test_a_function_whose_parameters_have_no_names_is_refused():
    with pytest.raises(UsageError, match="cannot be a tool"):
        tool(lambda *args: None)


async def test_documents_come_from_the_search_that_is_passed_in():
    async def search(question: str, count: int) -> list[Passage]:
        return [Passage(f"about {question}", "leave.pdf", "p. 3")] * count

    result = await make_call(make_search(search), query="leave", count=2)
    assert result.content == "[1] leave.pdf, p. 3\nabout leave\n\n[2] leave.pdf, p. 3\nabout leave"
    assert result.tainted
