"""Moves bytes: HTTP with resume, retries and short connection time-outs. Knows no model and no source."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import aiohttp
import orjson
from yarl import URL

from inhouse.core.errors import ChecksumMismatch, NotEnoughSpace, SourceUnavailable

CHUNK = 1 << 20
_RETRIES = 5
_METADATA_LIMIT = 64 << 20


class ConnectionBroken(SourceUnavailable):
    """A failure that may pass: no connection, a broken one, or a server's own error. Worth another try."""


class Http:
    """The HTTP session of one pull; an async context manager.

    Proxies come from the environment (HTTPS_PROXY, NO_PROXY, .netrc), certificates from the system's store,
    SSL_CERT_FILE, REQUESTS_CA_BUNDLE and whatever `trust` adds.
    """

    def __init__(self, *, connect_s: float = 5.0, answer_s: float = 6.0, stall_s: float = 60.0) -> None:
        self.connect_s = connect_s
        self.answer_s = answer_s
        self.stall_s = stall_s
        self._ssl = ssl.create_default_context()
        self.trust(os.environ.get("REQUESTS_CA_BUNDLE"))
        self._session: aiohttp.ClientSession | None = None

    def trust(self, bundle: str | None) -> None:
        """Adds a file or folder of certificates to those trusted; one that does not exist is passed over."""
        if bundle and Path(bundle).exists():
            if Path(bundle).is_dir():
                self._ssl.load_verify_locations(capath=bundle)
            else:
                self._ssl.load_verify_locations(cafile=bundle)

    async def __aenter__(self) -> Http:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self.connect_s, sock_read=self.stall_s)
        self._session = aiohttp.ClientSession(
            trust_env=True, timeout=timeout, connector=aiohttp.TCPConnector(ssl=self._ssl, limit=16)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    @contextlib.asynccontextmanager
    async def open(
        self, method: str, url: str, *, expect: int = 400, answer_s: float | None = None, **request: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Sends a request and yields the answer, whose headers must come within `answer_s` (the session's if None).

        Raises:
            SourceUnavailable: No connection, no answer in time, or a status of `expect` or over.
        """
        assert self._session is not None, "used outside of `async with`"
        try:
            async with asyncio.timeout(answer_s or self.answer_s):
                response = await self._session.request(method, url, **request)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise unreachable(url, error) from None
        async with response:
            if response.status >= expect:
                kind = ConnectionBroken if response.status >= 500 else SourceUnavailable
                answer = f"{URL(url).host} answered {response.status} {response.reason}"
                raise kind(answer, why=_without_login(url))
            try:
                yield response
            except (TimeoutError, aiohttp.ClientError, OSError) as error:
                raise unreachable(url, error) from None

    async def json(self, response: aiohttp.ClientResponse) -> Any:
        """The answer as JSON; refuses what is none, or is absurdly large."""
        body = await self.text(response)
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            raise SourceUnavailable(f"{response.url.host} did not answer with JSON") from None

    async def text(self, response: aiohttp.ClientResponse) -> bytes:
        """The answer's bytes, at most 64 MiB of them."""
        body = bytearray()
        async for chunk in response.content.iter_chunked(CHUNK):
            body += chunk
            if len(body) > _METADATA_LIMIT:
                raise SourceUnavailable(f"{response.url.host} sent far more than expected")
        return bytes(body)

    async def download(
        self,
        url: str,
        target: Path,
        *,
        size_bytes: int | None = None,
        on_bytes: Callable[[int], None] = lambda count: None,
        **request: Any,
    ) -> str:
        """Fetches a URL into a file, going on where an earlier try stopped, and returns the file's sha256.

        `on_bytes` is told of every piece that arrives, with a negative count where a server that cannot
        resume makes it start over. A broken connection is tried again five times, as long as none of them
        brings anything.
        """
        digest = await asyncio.to_thread(hash_file, target)
        failures = 0
        while True:
            before = file_size(target)
            if size_bytes is not None and before == size_bytes:
                return str(digest.hexdigest())
            if size_bytes is not None and before > size_bytes:
                digest = _start_over(target, before, on_bytes)
                continue
            try:
                if await self._stream(url, target, before, digest, on_bytes, size_bytes, request):
                    return str(digest.hexdigest())
                digest = _start_over(target, before, on_bytes)
            except ConnectionBroken:
                failures = 0 if file_size(target) > before else failures + 1
                if failures > _RETRIES:
                    raise
                await asyncio.sleep(min(0.25 * 2**failures, 8.0))

    async def _stream(
        self,
        url: str,
        target: Path,
        start: int,
        digest: Any,
        on_bytes: Callable[[int], None],
        size_bytes: int | None,
        request: dict[str, Any],
    ) -> bool:
        """Appends what the server sends from `start` on; False where the server cannot begin there."""
        headers = {**request.get("headers", {}), "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        options = {**request, "headers": headers}
        # A company's proxy may look through a whole file before it lets the first byte pass.
        expect, answer_s = 417 if start else 400, self.stall_s
        async with self.open("GET", url, expect=expect, answer_s=answer_s, **options) as response:
            if start and (response.status != 206 or _range_start(response) != start):
                return False
            with target.open("ab") as file:
                async for chunk in response.content.iter_chunked(CHUNK):
                    write(file, chunk, target)
                    digest.update(chunk)
                    on_bytes(len(chunk))
        have = file_size(target)
        if size_bytes is not None and have < size_bytes:
            raise ConnectionBroken(f"{URL(url).host} broke off after {have:,} of {size_bytes:,} bytes")
        if size_bytes is not None and have > size_bytes:
            _start_over(target, have, on_bytes)
            raise ChecksumMismatch(
                f"{target.name} is not what the catalogue names",
                why=f"{URL(url).host} sent more than the {size_bytes:,} bytes expected",
                do="Try again, or name another source with --source",
            )
        return True


def file_size(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def _start_over(target: Path, before: int, on_bytes: Callable[[int], None]) -> Any:
    target.unlink(missing_ok=True)
    on_bytes(-before)
    return hashlib.sha256()


def write(file: IO[bytes], data: bytes, path: Path) -> None:
    """Writes, and says it plainly where the disk is full."""
    try:
        file.write(data)
        file.flush()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise NotEnoughSpace(
            f"The disk is full while writing {path.name}",
            why=error.strerror or "",
            do="Free some space and pull again; what is there already is kept",
        ) from None


def hash_file(path: Path, length: int | None = None) -> Any:
    """The running sha256 of a file's first `length` bytes (all by default); of nothing where there is no file."""
    digest = hashlib.sha256()
    left = length
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK if left is None else min(CHUNK, left)):
                digest.update(chunk)
                left = None if left is None else left - len(chunk)
    except FileNotFoundError:
        pass
    return digest


def unreachable(url: str, error: BaseException) -> ConnectionBroken:
    """A network failure as one line: which host, and why, without credentials."""
    try:
        host = URL(url).host or "the address"
    except ValueError:
        host = "the address"
    if isinstance(error, TimeoutError):
        why = "no answer in time"
    elif isinstance(error, aiohttp.ClientConnectorDNSError):
        why = "its name cannot be resolved"
    elif isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = "its certificate is not trusted (set SSL_CERT_FILE to your company's certificates)"
    elif isinstance(error, aiohttp.ClientConnectorError):
        why = error.os_error.strerror or "the connection failed"
    else:
        why = str(error) or type(error).__name__
    return ConnectionBroken(f"{host} cannot be reached", why=why)


def _range_start(response: aiohttp.ClientResponse) -> int | None:
    """Where a partial answer begins (`Content-Range: bytes 100-199/200`)."""
    start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(start) if start.isdigit() else None


def _without_login(url: str) -> str:
    return str(URL(url).with_user(None).with_query(None))
