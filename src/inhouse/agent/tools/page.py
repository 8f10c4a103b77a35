"""The page-reading tool: a public web page as text. What it says is never trusted."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from inhouse.agent.tools.base import Tool, ToolContext, ToolResult
from inhouse.agent.tools.fetch import Fetched, Fetcher
from inhouse.agent.tools.html_text import html_text
from inhouse.agent.tools.recorded import Recordings
from inhouse.agent.tools.settings import recordings, tool_settings
from inhouse.core.settings import Settings

PARAMETERS = {
    "type": "object",
    "properties": {"url": {"type": "string", "description": "The whole address, with https://."}},
    "required": ["url"],
    "additionalProperties": False,
}
_KINDS = ("text/", "application/xhtml", "application/json", "application/xml")


def make(settings: Settings) -> Tool:
    """The tool, as the settings of tools say."""
    own = tool_settings()
    kept = Recordings(recordings(settings), "page", fresh_s=0.0, offline=own.offline)
    return make_reader(Fetcher(), kept, own.page_bytes)


def make_reader(fetcher: Fetcher, kept: Recordings, most_bytes: int) -> Tool:
    """The tool over that fetcher."""
    run = partial(_read, fetcher, kept, most_bytes)
    return Tool("read_page", "Reads a public web page.", PARAMETERS, run, trusted=False, timeout_s=30.0)


async def _read(
    fetcher: Fetcher, kept: Recordings, most_bytes: int, arguments: Mapping[str, Any], context: ToolContext
) -> ToolResult:
    url = arguments["url"].strip()
    url = url if "://" in url else f"https://{url}"

    async def live() -> dict[str, Any]:
        return page_data(await fetcher.get(url, most_bytes=most_bytes, kinds=_KINDS))

    answer = await kept.answer({"url": url}, context.clock(), live)
    page = answer.data
    head = f"{page['title']}\n{page['url']}{answer.note}\n\n" if page["title"] else f"{page['url']}{answer.note}\n\n"
    cut = "\n[the page goes on]" if page["cut"] else ""
    return ToolResult(head + page["text"] + cut, None, True, f"{page['url']}{answer.note}")


def page_data(fetched: Fetched) -> dict[str, Any]:
    """A fetched page as JSON."""
    try:
        text = fetched.body.decode(fetched.charset or _charset(fetched.body), "replace")
    except LookupError:  # no such charset
        text = fetched.body.decode("utf-8", "replace")
    title = ""
    if "html" in fetched.kind:
        title, text = html_text(text)
    return {"url": fetched.url, "title": title, "text": text, "cut": fetched.cut}


def _charset(body: bytes) -> str:
    """As the page itself says, where the server did not: Korean pages are often EUC-KR (CP949)."""
    head = body[:2048].lower()
    return "cp949" if b"euc-kr" in head or b"ks_c_5601" in head or b"cp949" in head else "utf-8"
