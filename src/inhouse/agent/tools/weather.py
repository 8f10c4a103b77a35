"""The weather tool over Open-Meteo (no key): a place's weather now and on the coming days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from inhouse.agent.tools.base import Tool, ToolContext, ToolResult
from inhouse.agent.tools.fetch import Fetcher, get_json
from inhouse.agent.tools.recorded import Recordings
from inhouse.agent.tools.settings import recordings, tool_settings
from inhouse.core.errors import ToolError
from inhouse.core.settings import Settings

PARAMETERS = {
    "type": "object",
    "properties": {
        "place": {"type": "string", "minLength": 1, "description": "A city or town, such as Seoul or 부산."},
        "days": {"type": "integer", "minimum": 1, "maximum": 7, "description": "Days of forecast; default 1: today."},
    },
    "required": ["place"],
    "additionalProperties": False,
}
_NOW = "temperature_2m,apparent_temperature,relative_humidity_2m,precipitation,weather_code,wind_speed_10m"
_DAILY = "weather_code,temperature_2m_max,temperature_2m_min,precipitation_sum,precipitation_probability_max"
# WMO code table 4677, as Open-Meteo documents it.
_SKY = {
    0: "clear", 1: "mainly clear", 2: "partly cloudy", 3: "overcast", 45: "fog", 48: "rime fog",
    51: "light drizzle", 53: "drizzle", 55: "dense drizzle", 56: "freezing drizzle", 57: "freezing drizzle",
    61: "light rain", 63: "rain", 65: "heavy rain", 66: "freezing rain", 67: "freezing rain",
    71: "light snow", 73: "snow", 75: "heavy snow", 77: "snow grains", 80: "light showers", 81: "showers",
    82: "violent showers", 85: "snow showers", 86: "snow showers", 95: "thunderstorm", 96: "thunderstorm with hail",
    99: "thunderstorm with hail",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class OpenMeteo:
    """Open-Meteo's two services, as the tool asks them."""

    fetcher: Fetcher
    forecast_url: str
    geocoding_url: str

    async def place(self, name: str) -> dict[str, Any]:
        """The likeliest place of that name. ToolError where there is none."""
        korean = any("가" <= sign <= "힣" for sign in name)
        query = urlencode({"name": name, "count": 1, "language": "ko" if korean else "en", "format": "json"})
        found = await get_json(self.fetcher, f"{self.geocoding_url}/v1/search?{query}")
        if not found.get("results"):
            raise ToolError(f"No place is called {name!r}", do="Give a city's name, without the country")
        place: dict[str, Any] = found["results"][0]
        return place

    async def forecast(self, name: str) -> dict[str, Any]:
        """The place of that name, its weather now and for seven days."""
        place = await self.place(name)
        query = {
            "latitude": place["latitude"],
            "longitude": place["longitude"],
            "current": _NOW,
            "daily": _DAILY,
            "timezone": place.get("timezone", "auto"),
            "forecast_days": 7,
        }
        return {"place": place, **await get_json(self.fetcher, f"{self.forecast_url}/v1/forecast?{urlencode(query)}")}


def make(settings: Settings) -> Tool:
    """The tool, as the settings of tools say."""
    own = tool_settings()
    kept = Recordings(recordings(settings), "weather", fresh_s=own.weather_fresh_s, offline=own.offline)
    return make_weather(OpenMeteo(Fetcher(), own.weather_url, own.geocoding_url), kept)


def make_weather(service: OpenMeteo, kept: Recordings) -> Tool:
    """The tool over that service."""

    async def run(arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        name, days = " ".join(arguments["place"].split()), arguments.get("days", 1)
        answer = await kept.answer({"place": name.casefold()}, context.clock(), lambda: service.forecast(name))
        try:
            text = _told(answer.data, days)
        except (KeyError, IndexError, TypeError):
            raise ToolError("Open-Meteo's answer has another form than expected", retryable=True) from None
        return ToolResult(text + answer.note, answer.data, source="Open-Meteo" + answer.note)

    # Numbers from one known service, read field by field: nothing of it is text that an outsider wrote.
    return Tool("weather", "Tells a place's weather now and on coming days.", PARAMETERS, run, timeout_s=25.0)


def _told(data: Mapping[str, Any], days: int) -> str:
    place, now, daily = data["place"], data["current"], data["daily"]
    where = ", ".join(dict.fromkeys(str(place[key]) for key in ("name", "admin1", "country") if place.get(key)))
    lines = [
        f"{where}, {str(now['time']).replace('T', ' ')}: {_sky(now['weather_code'])}, {now['temperature_2m']:g} °C "
        f"(feels like {now['apparent_temperature']:g}), humidity {now['relative_humidity_2m']:g} %, "
        f"wind {now['wind_speed_10m']:g} km/h, precipitation {now['precipitation']:g} mm"
    ]
    for n in range(min(days, len(daily["time"]))):
        low, high = daily["temperature_2m_min"][n], daily["temperature_2m_max"][n]
        chance = daily["precipitation_probability_max"][n]
        rain = "" if chance is None else f", {chance:g} % chance of rain"
        lines.append(
            f"{daily['time'][n]}: {_sky(daily['weather_code'][n])}, {low:g} to {high:g} °C, "
            f"{daily['precipitation_sum'][n]:g} mm{rain}"
        )
    return "\n".join(lines)


def _sky(code: int) -> str:
    return _SKY.get(int(code), f"weather code {code}")
