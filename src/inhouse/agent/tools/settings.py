"""Settings of the tools, read from the environment (INHOUSE_TOOL_…) and `.env`. Knows no tool."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from inhouse.core.errors import UsageError
from inhouse.core.settings import Settings


class ToolSettings(BaseSettings):
    """Each field is INHOUSE_TOOL_<NAME> in the environment."""

    model_config = SettingsConfigDict(env_prefix="INHOUSE_TOOL_", env_file=".env", extra="ignore")

    search: str = ""
    """searxng, brave or duckduckgo; empty: the first of these that is set up, at last duckduckgo."""
    searxng_url: str = ""
    brave_key: SecretStr = SecretStr("")
    weather_url: str = "https://api.open-meteo.com"
    geocoding_url: str = "https://geocoding-api.open-meteo.com"
    offline: bool = False
    """Answer from what was recorded of earlier answers only; nothing leaves this machine."""
    weather_fresh_s: float = Field(default=900.0, ge=0)
    search_fresh_s: float = Field(default=3600.0, ge=0)
    page_bytes: int = Field(default=2_000_000, gt=0)
    """Of a page, at most so many bytes are read."""
    outbox: Path | None = None
    """Where drafts, tickets and events are written; None: `outbox` in the data folder."""


def tool_settings() -> ToolSettings:
    """The settings now. UsageError where one cannot be used."""
    try:
        return ToolSettings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "INHOUSE_TOOL_" + "_".join(str(part) for part in first["loc"]).upper()
        raise UsageError(f"The setting {name} cannot be used", why=str(first["msg"]), do=f"Change {name}") from None


def outbox(settings: Settings, own: ToolSettings) -> Path:
    """The folder that effects are written to."""
    return own.outbox or settings.data_dir / "outbox"


def recordings(settings: Settings) -> Path:
    """The folder in which answers from elsewhere are kept."""
    return settings.data_dir / "recorded"
