"""The web-search tool over SearXNG, Brave or DuckDuckGo. What pages say of themselves is never trusted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from inhouse.agent.tools.base import Tool, ToolContext, ToolResult
from inhouse.agent.tools.fetch import Fetcher, get_json
from inhouse.agent.tools.recorded import Recordings
from inhouse.agent.tools.settings import ToolSettings, recordings, tool_settings
from inhouse.core.errors import ToolError, UsageError
from inhouse.core.settings import Settings

PARAMETERS = {
    "type": "object",
    "properties": {
        "query": {"type": "string", "minLength": 1, "maxLength": 300},
        "count": {"type": "integer", "minimum": 1, "maximum": 10, "description": "Results; default 5."},
    },
    "required": ["query"],
    "additionalProperties": False,
}
_MOST_BYTES = 2_000_000
Hits = list[dict[str, str]]
"""Of each result: title, url, text."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A search service by name, and how it is asked."""

    name: str
    ask: Callable[[str], Awaitable[Hits]]


def make(settings: Settings) -> Tool:
    """The tool, with the provider that the settings name."""
    own = tool_settings()
    kept = Recordings(recordings(settings), "web_search", fresh_s=own.search_fresh_s, offline=own.offline)
    return make_search(provider(own), kept)


def make_search(by: Provider, kept: Recordings) -> Tool:
    """The tool over that provider."""
    return Tool(
        "web_search", "Searches the web.", PARAMETERS, partial(_search, by, kept), trusted=False, timeout_s=25.0
    )


def provider(own: ToolSettings) -> Provider:
    """The search service of the settings. UsageError where it is not set up."""
    name = own.search or (
        "searxng" if own.searxng_url else "brave" if own.brave_key.get_secret_value() else "duckduckgo"
    )
    if name == "searxng":
        if not own.searxng_url:
            raise UsageError("SearXNG has no address", do="Set INHOUSE_TOOL_SEARXNG_URL")
        # The company's own server, named by its administrator: it may well be on an inner address.
        return Provider(name, partial(searxng, Fetcher(allowed=lambda address: True, ports=None), own.searxng_url))
    if name == "brave":
        if not (key := own.brave_key.get_secret_value()):
            raise UsageError("Brave needs a key", do="Set INHOUSE_TOOL_BRAVE_KEY")
        return Provider(name, partial(brave, Fetcher(), key))
    if name == "duckduckgo":
        return Provider(name, partial(duckduckgo, Fetcher()))
    raise UsageError(f"There is no search by {name!r}", do="Choose searxng, brave or duckduckgo")


async def searxng(fetcher: Fetcher, base: str, query: str) -> Hits:
    """Asks a SearXNG server (its JSON format must be switched on)."""
    url = f"{base.rstrip('/')}/search?{urlencode({'q': query, 'format': 'json'})}"
    found = await get_json(fetcher, url)
    return [_hit(one.get("title"), one.get("url"), one.get("content")) for one in found.get("results", [])]


async def brave(fetcher: Fetcher, key: str, query: str, base: str = "https://api.search.brave.com") -> Hits:
    """Asks Brave's search API."""
    url = f"{base}/res/v1/web/search?{urlencode({'q': query, 'count': 10})}"
    found = await get_json(fetcher, url, {"X-Subscription-Token": key})
    results = (found.get("web") or {}).get("results", [])
    return [_hit(one.get("title"), one.get("url"), one.get("description")) for one in results]


async def duckduckgo(fetcher: Fetcher, query: str, base: str = "https://html.duckduckgo.com") -> Hits:
    """Reads DuckDuckGo's page for browsers without scripts."""
    page = await fetcher.get(f"{base}/html/?{urlencode({'q': query})}", most_bytes=_MOST_BYTES, kinds=("text/html",))
    reader = _Results()
    reader.feed(page.body.decode(page.charset or "utf-8", "replace"))
    if not reader.hits and b"anomaly" in page.body:
        raise ToolError("DuckDuckGo wants to see a person first", do="Set up SearXNG or a Brave key", retryable=True)
    return reader.hits


async def _search(by: Provider, kept: Recordings, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
    query = " ".join(arguments["query"].split())
    answer = await kept.answer({"query": query, "by": by.name}, context.clock(), partial(by.ask, query))
    hits = answer.data[: arguments.get("count", 5)]
    lines = [f"{n}. {one['title']}\n   {one['url']}\n   {one['text']}" for n, one in enumerate(hits, 1)]
    text = "\n".join(lines) or "Nothing was found."
    return ToolResult(text + (f"\n{answer.note.strip()}" if answer.note else ""), hits, True, by.name + answer.note)


def _hit(title: Any, url: Any, text: Any) -> dict[str, str]:
    return {"title": str(title or ""), "url": str(url or ""), "text": " ".join(str(text or "").split())[:400]}


class _Results(HTMLParser):
    """DuckDuckGo's results: links of class result__a, each followed by its result__snippet."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.hits: Hits = []
        self._into = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        classes = (given.get("class") or "").split()
        if tag == "a" and "result__a" in classes:
            address = given.get("href") or ""
            address = parse_qs(urlsplit(address).query).get("uddg", [address])[0]  # the link goes by their counter
            self.hits.append(_hit("", address, ""))
            self._into = "title"
        elif "result__snippet" in classes and self.hits:
            self._into = "text"

    def handle_endtag(self, tag: str) -> None:
        if tag in ("a", "td", "div"):
            self._into = ""

    def handle_data(self, data: str) -> None:
        if self._into:
            self.hits[-1][self._into] += data
