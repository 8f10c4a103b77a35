"""Settings: read once from the environment (INHOUSE_…) and `.env`; everything else is passed in.

Where files go follows the platform's convention: downloads under the cache folder (shared between
checkouts), the database and saved chats under the data folder.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from platformdirs import user_cache_path, user_data_path
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from inhouse.core.errors import UsageError


class Settings(BaseSettings):
    """Each field is INHOUSE_<NAME> in the environment; command-line options go before both."""

    model_config = SettingsConfigDict(env_prefix="INHOUSE_", env_file=".env", extra="ignore")

    cache_dir: Path = Field(default_factory=lambda: user_cache_path("inhouse"))
    data_dir: Path = Field(default_factory=lambda: user_data_path("inhouse"))
    store_url: str = ""
    """SQLAlchemy URL of the store; empty for SQLite in the data folder."""

    engine: str = "embedded"
    model: str = ""
    """Default model; empty: the largest pulled model that fits this machine."""
    base_url: str = ""
    """Server for the openai engine."""
    api_key: SecretStr = SecretStr("")
    ollama_url: str = "http://127.0.0.1:11434"

    sources: str = ""
    """Sources of model files to try, in order and separated by commas; empty: the catalogue's order."""
    model_folder: Path | None = None
    """A folder with model files (or the wheels that carry them), looked into before any source."""

    threads: int = Field(default=0, ge=0)
    """Threads of the embedded engine; 0: the machine's usable cores."""
    context: int = Field(default=0, ge=0)
    """Context tokens for each parallel slot; 0: chosen from the model and the memory."""
    slots: int = Field(default=0, ge=0, le=256)
    """Requests the embedded engine decodes together; 0: chosen from the machine."""
    gpu_layers: int = Field(default=-1, ge=-1)
    """Layers put on a GPU; -1: as many as fit."""
    stall_s: float = Field(default=120.0, gt=0)
    """An engine that sends nothing for so long is taken for stalled."""

    @property
    def models_dir(self) -> Path:
        """Where pulled model files are kept."""
        return self.cache_dir / "models"

    @property
    def database_url(self) -> str:
        """`store_url`, or the SQLite file in the data folder."""
        return self.store_url or f"sqlite:///{self.data_dir / 'inhouse.db'}"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read on first use."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "INHOUSE_" + "_".join(str(part) for part in first["loc"]).upper()
        raise UsageError(
            f"The setting {name} cannot be used", why=str(first["msg"]), do=f"Change or unset {name}"
        ) from None
