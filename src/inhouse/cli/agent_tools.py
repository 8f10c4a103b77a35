"""What the agent's commands give it beside named tools: MCP servers, document search, and the policy over effects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer

from inhouse.agent.policy import EffectPolicy, parse_rules
from inhouse.agent.tools.base import Tool

Mcp = Annotated[Path | None, typer.Option(help="A file that names MCP servers; their tools are offered too.")]
Docs = Annotated[str | None, typer.Option(help="A collection of documents that the agent may search.")]
Rules = Annotated[
    str,
    typer.Option(
        "--policy",
        help="Rules by tool, as ticket=allow,write_file=refuse; a rule is allow, ask, refuse, or tainted "
        "(ask only where untrusted text may have had a hand in it).",
    ),
]


def policy_of(rules: str, *, yes: bool) -> EffectPolicy:
    """The policy: calls with an effect are asked about; with `yes`, only those that untrusted text may be behind."""
    return EffectPolicy("tainted" if yes else "ask", parse_rules(rules))


@asynccontextmanager
async def extra_tools(mcp: Path | None, docs: str | None) -> AsyncIterator[list[Tool]]:
    """The tools of the MCP servers that the file names, and the search of a collection, while this is open."""
    tools: list[Tool] = []
    async with AsyncExitStack() as stack:
        if mcp is not None:
            from inhouse.agent.tools.mcp import mcp_tools, read_servers

            tools += await stack.enter_async_context(mcp_tools(read_servers(mcp)))
        if docs is not None:
            tools.append(await _document_search(stack, docs))
        yield tools


async def _document_search(stack: AsyncExitStack, collection: str) -> Tool:
    from inhouse.agent.tools.documents import Passage, make_search
    from inhouse.cli.docs_open import opened
    from inhouse.docs.search import Searcher

    store, embedder = stack.enter_context(opened(collection, "", ""))
    searcher = Searcher(store, embedder)

    async def search(question: str, count: int) -> list[Passage]:
        hits = await asyncio.to_thread(searcher.search, question, count)
        return [Passage(hit.chunk.chunk.text, hit.chunk.title or hit.chunk.path, hit.chunk.path) for hit in hits]

    return make_search(search, f"the documents of {collection}")
