"""Asks the public internet only: no private, loopback, link-local or metadata address, by whatever way.

Each host is looked up once for a connection, every address is checked, and the connection is made to the checked
address: a name that resolves otherwise a moment later (DNS rebinding) changes nothing. Redirects go the same way.
Knows no page and no API.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
import orjson
from aiohttp.abc import AbstractResolver, ResolveResult

from inhouse.core.errors import ToolError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
PORTS = frozenset({80, 443, 8080, 8443})
_REDIRECTS = 5
_JSON_BYTES = 2_000_000
_AGENT = "inhouse-agent/1 (+reads pages for its user)"
# What carries an IPv4 address inside: NAT64 (RFC 6052, 8215), 6to4 and Teredo are refused whole.
_TRANSLATED = [ipaddress.ip_network(net) for net in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")]


def is_public(address: Address) -> bool:
    """Whether the address is one of the open internet's."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if any(address in network for network in _TRANSLATED) or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host, as text."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer: `url` is where it came from after redirects, `cut` whether more would have followed."""

    url: str
    status: int
    kind: str
    """Its media type, without parameters."""
    charset: str | None
    body: bytes
    cut: bool


class Fetcher:
    """Fetches by GET. `allowed` says of each address whether it may be connected to; `ports` None allows any.

    It uses no proxy: a proxy would look names up itself, out of sight of the check.
    """

    def __init__(
        self,
        *,
        allowed: Callable[[Address], bool] = is_public,
        ports: frozenset[int] | None = PORTS,
        lookup: Lookup | None = None,
        timeout_s: float = 15.0,
    ) -> None:
        self._allowed = allowed
        self._ports = ports
        self._lookup = lookup or _look_up
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=8.0)

    async def get(
        self,
        url: str,
        *,
        most_bytes: int,
        kinds: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        whole: bool = False,
    ) -> Fetched:
        """The answer to a GET, after at most five redirects.

        `kinds` are the media types wanted (beginnings of them); with `whole`, a body over `most_bytes` is an error,
        else it is cut. `headers` go to the first host only.

        Raises:
            ToolError: a forbidden address, another scheme or type, an error status, too large, or no answer.
        """
        sent = {"User-Agent": _AGENT, "Accept-Encoding": "identity", **(headers or {})}
        async with self._session(url) as session:
            for _ in range(_REDIRECTS + 1):
                self._check_url(url)
                async with session.get(url, headers=sent, allow_redirects=False) as response:
                    if response.status in (301, 302, 303, 307, 308) and "Location" in response.headers:
                        before, url = url, urljoin(url, response.headers["Location"])
                        if urlsplit(before).netloc != urlsplit(url).netloc:
                            sent = {"User-Agent": _AGENT, "Accept-Encoding": "identity"}
                        continue
                    return await _read(response, url, most_bytes, kinds, whole)
        raise ToolError(f"{_host(url)} redirects without end")

    async def post_json(self, url: str, data: bytes) -> None:
        """POSTs JSON, and follows no redirect. ToolError where that is forbidden or not answered with a success."""
        sent = {"User-Agent": _AGENT, "Content-Type": "application/json"}
        async with self._session(url) as session:
            self._check_url(url)
            async with session.post(url, data=data, headers=sent, allow_redirects=False) as response:
                if not 200 <= response.status < 300:
                    raise ToolError(f"{_host(url)} answered {response.status} {response.reason or ''}".rstrip())

    @asynccontextmanager
    async def _session(self, url: str) -> AsyncIterator[aiohttp.ClientSession]:
        """Connects to checked addresses only; what goes wrong with the URL is a ToolError."""
        connector = aiohttp.TCPConnector(resolver=_Checked(self._lookup, self._check), use_dns_cache=False)
        try:
            async with aiohttp.ClientSession(
                connector=connector, timeout=self._timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
            ) as session:
                yield session
        except (TimeoutError, aiohttp.ServerTimeoutError):
            raise ToolError(f"{_host(url)} did not answer in time", retryable=True) from None
        except (aiohttp.InvalidURL, ValueError):
            raise ToolError(
                f"{url[:200]!r} is no address that can be read", do="Give a whole https:// address"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise ToolError(
                f"{_host(url)} cannot be read", why=str(error) or type(error).__name__, retryable=True
            ) from None

    def _check_url(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ToolError(f"{url[:200]!r} is no web address", do="Give a whole https:// address")
        if parts.username or parts.password:
            raise ToolError("An address with a user name in it is not read")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if self._ports is not None and port not in self._ports:
            raise ToolError(f"Port {port} is not read", do=f"Only {', '.join(map(str, sorted(self._ports)))}")
        try:
            literal = ipaddress.ip_address(parts.hostname.split("%")[0])
        except ValueError:
            return  # a name: checked when it is looked up
        self._check(parts.hostname, literal)  # aiohttp does not look an address up

    def _check(self, host: str, address: Address) -> None:
        if not self._allowed(address):
            raise ToolError(f"{host} is not on the public internet", why="inner addresses are never read")


async def get_json(fetcher: Fetcher, url: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The JSON object that answers a GET. ToolError where none does."""
    sent = {"Accept": "application/json", **(headers or {})}
    got = await fetcher.get(url, most_bytes=_JSON_BYTES, kinds=("application/json",), headers=sent, whole=True)
    try:
        found = orjson.loads(got.body)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise ToolError(f"{_host(url)} sent no JSON object", retryable=True)
    return found


class _Checked(AbstractResolver):
    """Gives aiohttp only addresses that were checked; one that is forbidden refuses the host whole."""

    def __init__(self, lookup: Lookup, check: Callable[[str, Address], None]) -> None:
        self._lookup = lookup
        self._check = check

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = []
        for text in await self._lookup(host, port):
            address = ipaddress.ip_address(text)
            self._check(host, address)
            kind = socket.AF_INET6 if address.version == 6 else socket.AF_INET
            found.append(
                ResolveResult(hostname=host, host=text, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            )
        if not found:
            raise OSError(f"{host} has no address")
        return found

    async def close(self) -> None:
        """Nothing is held."""


async def _look_up(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]).split("%")[0] for entry in found))


async def _read(
    response: aiohttp.ClientResponse, url: str, most_bytes: int, kinds: Sequence[str], whole: bool
) -> Fetched:
    kind = response.content_type.lower()
    if response.status >= 400:
        raise ToolError(
            f"{_host(url)} answered {response.status} {response.reason or ''}".rstrip(),
            retryable=response.status in (408, 429, 500, 502, 503, 504),
        )
    if kinds and not kind.startswith(tuple(kinds)):
        raise ToolError(f"{url[:200]} is {kind}", why=f"only {', '.join(kinds)} can be read")
    body = bytearray()
    async for piece in response.content.iter_chunked(64 * 1024):
        body += piece
        if len(body) > most_bytes:
            if whole:
                raise ToolError(f"{_host(url)} sent more than {most_bytes:,} bytes")
            return Fetched(url, response.status, kind, response.charset, bytes(body[:most_bytes]), True)
    return Fetched(url, response.status, kind, response.charset, bytes(body), False)


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2] or url[:100]
