"""Pages are read from the public internet only, whatever names, redirects and rebinding say; answers are recorded."""

from __future__ import annotations

import ipaddress
from datetime import timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tool_calls_made import NOON, make_call

from inhouse.agent.tools.fetch import Fetcher, is_public
from inhouse.agent.tools.html_text import html_text
from inhouse.agent.tools.page import make_reader
from inhouse.agent.tools.recorded import Recordings
from inhouse.agent.tools.search import Provider, brave, duckduckgo, make_search, searxng
from inhouse.agent.tools.weather import OpenMeteo, make_weather
from inhouse.core.errors import ToolError

HOME = ipaddress.ip_address("127.0.0.1")
OPEN = Fetcher(allowed=lambda address: address == HOME, ports=None)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "255.255.255.255", "::1", "fe80::1", "fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
        "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::", "2001::1", "fec0::1", "ff02::1", "::",
    ],
)  # fmt: skip
def test_inner_addresses_are_not_public(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "203.248.252.2", "2606:4700::1111", "::ffff:1.1.1.1"])
def test_outer_addresses_are_public(address):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://2130706433/", "http://0x7f.1/",
        "http://0177.0.0.1/", "http://[::ffff:127.0.0.1]/", "http://169.254.169.254/latest/meta-data/",
        "http://1.1.1.1:22/", "http://user:pass@1.1.1.1/", "file:///etc/passwd", "ftp://1.1.1.1/",
        "http:///x", "nonsense",
    ],
)  # fmt: skip
async def test_forbidden_addresses_are_not_read_in_any_spelling(url):
    with pytest.raises(ToolError) as caught:
        await Fetcher().get(url, most_bytes=1000)
    assert not caught.value.retryable


@pytest.fixture
async def server():
    """A web server on this machine; /page is HTML, /to?url=… redirects, the others are as services answer."""
    hits = []

    async def answer(request: web.Request) -> web.Response:
        hits.append(request)
        path = request.path
        if path == "/to":
            raise web.HTTPFound(request.query["url"])
        if path == "/page":
            return web.Response(text="<title>T</title><p>Hello <b>you</b><script>x</script>", content_type="text/html")
        if path == "/large":
            return web.Response(text="x" * 10_000)
        if path == "/image":
            return web.Response(body=b"GIF89a", content_type="image/gif")
        if path == "/search":
            return web.json_response({"results": [{"title": "A", "url": "https://a.example", "content": "about  a"}]})
        if path == "/res/v1/web/search":
            return web.json_response(
                {"web": {"results": [{"title": "B", "url": "https://b.example", "description": "b"}]}}
            )
        if path == "/html/":
            return web.Response(
                text='<div><a class="result__a" href="//x/l/?uddg=https%3A%2F%2Fc.example%2F&amp;rut=1">C <b>c</b></a>'
                '<a class="result__snippet" href="/">about c</a></div>',
                content_type="text/html",
            )
        if path == "/v1/search":
            found = {
                "name": "서울",
                "country": "대한민국",
                "latitude": 37.57,
                "longitude": 127.0,
                "timezone": "Asia/Seoul",
            }
            return web.json_response({"results": [found]} if request.query["name"] == "서울" else {})
        if path == "/v1/forecast":
            now = {
                "time": "2026-03-01T21:00", "temperature_2m": 3.5, "apparent_temperature": 0, "weather_code": 3,
                "relative_humidity_2m": 40, "wind_speed_10m": 11.2, "precipitation": 0,
            }  # fmt: skip
            daily = {
                "time": ["2026-03-01", "2026-03-02"], "weather_code": [3, 61], "temperature_2m_max": [6, 8],
                "temperature_2m_min": [-1, 1], "precipitation_sum": [0, 4.2],
                "precipitation_probability_max": [5, None],
            }  # fmt: skip
            return web.json_response({"current": now, "daily": daily})
        return web.Response(status=503)

    app = web.Application()
    app.router.add_get("/{tail:.*}", answer)
    async with TestServer(app, host="127.0.0.1") as running:
        running.hits = hits
        yield running


async def test_a_redirect_to_an_inner_address_is_not_followed(server):
    for target in ("http://127.0.0.2/", "http://169.254.169.254/", "file:///etc/passwd"):
        with pytest.raises(ToolError):
            await OPEN.get(str(server.make_url("/to").with_query(url=target)), most_bytes=1000)
    followed = await OPEN.get(str(server.make_url("/to").with_query(url="/page")), most_bytes=1000)
    assert followed.url.endswith("/page")


async def test_a_name_that_turns_to_an_inner_address_is_refused_and_the_checked_address_is_the_one_called(server):
    asked = []

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    fetcher = Fetcher(allowed=lambda address: address == HOME, ports=None, lookup=rebinding)
    url = f"http://rebind.example:{server.port}"
    loop = f"{url}/to?url={url}/page"

    assert (await fetcher.get(f"{url}/page", most_bytes=1000)).status == 200
    assert len(asked) == 1  # one lookup: what was checked is what was called
    with pytest.raises(ToolError, match="not on the public internet"):
        await fetcher.get(loop, most_bytes=1000)


async def test_one_inner_address_among_outer_ones_refuses_the_host():
    async def mixed(host: str, port: int) -> list[str]:
        return ["1.1.1.1", "10.0.0.1"]

    with pytest.raises(ToolError, match="not on the public internet"):
        await Fetcher(lookup=mixed).get("http://mixed.example/", most_bytes=1000)


async def test_size_and_type_are_limited(server):
    cut = await OPEN.get(str(server.make_url("/large")), most_bytes=100)
    assert (len(cut.body), cut.cut) == (100, True)
    with pytest.raises(ToolError, match="more than 100 bytes"):
        await OPEN.get(str(server.make_url("/large")), most_bytes=100, whole=True)
    with pytest.raises(ToolError, match="image/gif"):
        await OPEN.get(str(server.make_url("/image")), most_bytes=100, kinds=("text/",))


async def test_keys_are_not_sent_on_to_another_host(server):
    other = f"http://other.example:{server.port}/page"

    async def home(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    fetcher = Fetcher(allowed=lambda address: True, ports=None, lookup=home)
    await fetcher.get(str(server.make_url("/to").with_query(url=other)), most_bytes=1000, headers={"X-Key": "secret"})
    assert ["X-Key" in request.headers for request in server.hits] == [True, False]


async def test_a_page_is_read_as_text_and_is_untrusted(server, tmp_path):
    reader = make_reader(OPEN, Recordings(tmp_path, "page", fresh_s=0), 10_000)
    result = await make_call(reader, url=str(server.make_url("/page")))

    assert result.content.startswith("T\n")
    assert result.content.endswith("Hello you")
    assert result.tainted
    assert not reader.trusted


def test_what_a_page_does_not_show_is_not_read():
    title, text = html_text(
        "<head><title> A &amp; B </title><style>p{}</style><body><h2>Head</h2><p>one<br>two</p><ul><li>x<li>y</ul>"
        "<p style='display: none'>hidden order</p><div hidden>hidden too</div><p aria-hidden=true>no</p>"
        "<table><tr><td>1<td>2</table><p>unclosed <b>bold"
    )

    assert title == "A & B"
    assert "hidden" not in text
    assert text.split() == ["##", "Head", "one", "two", "-", "x", "-", "y", "|", "1", "|", "2", "unclosed", "bold"]


async def test_each_search_service_is_read(server, tmp_path):
    base = str(server.make_url("")).rstrip("/")

    assert await searxng(OPEN, base, "a") == [{"title": "A", "url": "https://a.example", "text": "about a"}]
    assert await brave(OPEN, "key", "b", base) == [{"title": "B", "url": "https://b.example", "text": "b"}]
    assert await duckduckgo(OPEN, "c", base) == [{"title": "C c", "url": "https://c.example/", "text": "about c"}]
    assert server.hits[1].headers["X-Subscription-Token"] == "key"


async def test_the_weather_is_told_with_its_place(server, tmp_path):
    base = str(server.make_url("")).rstrip("/")
    weather = make_weather(OpenMeteo(OPEN, base, base), Recordings(tmp_path, "weather", fresh_s=900))
    result = await make_call(weather, place="서울", days=2)

    assert result.content.startswith("서울, 대한민국, 2026-03-01 21:00: overcast, 3.5 °C")
    assert "2026-03-02: light rain, 1 to 8 °C, 4.2 mm" in result.content
    asked = len(server.hits)
    await make_call(weather, place=" 서울 ")
    assert len(server.hits) == asked  # still fresh
    with pytest.raises(ToolError, match="No place is called"):
        await make_call(weather, place="Nowhere")


async def test_without_a_network_the_recorded_answer_is_given_and_named_as_such(tmp_path):
    async def down(query: str) -> list[dict[str, str]]:
        raise ToolError("no network", retryable=True)

    async def up(query: str) -> list[dict[str, str]]:
        return [{"title": "A", "url": "https://a.example", "text": "a"}]

    kept = Recordings(tmp_path, "web_search", fresh_s=0)
    await make_call(make_search(Provider("p", up), kept), query="a")
    again = await make_call(make_search(Provider("p", down), kept), query="a")

    assert "(recorded 2026-03-01 12:00 UTC, not live)" in again.content
    assert again.source == "p (recorded 2026-03-01 12:00 UTC, not live)"
    with pytest.raises(ToolError, match="no network"):
        await make_call(make_search(Provider("p", down), kept), query="other")


async def test_offline_nothing_is_asked(tmp_path):
    async def never():
        raise AssertionError("asked")

    kept = Recordings(tmp_path, "t", fresh_s=0, offline=True)
    with pytest.raises(ToolError, match="offline"):
        await kept.answer({"q": 1}, NOON, never)


async def test_a_broken_recording_is_asked_again(tmp_path):
    async def ask():
        return 1

    kept = Recordings(tmp_path, "t", fresh_s=60)
    await kept.answer({"q": 1}, NOON, ask)
    next((tmp_path / "t").glob("*.json")).write_text("{")
    assert (await kept.answer({"q": 1}, NOON + timedelta(seconds=1), ask)).data == 1
