"""The gateway's settings: a TOML file, overridden by INHOUSE_GATEWAY_… in the environment and by options."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from inhouse.core.errors import UsageError


class ReplicaSettings(BaseModel):
    """One server of a model: `engine` as in `--engine`; `url` and `key_env` for a server elsewhere."""

    model_config = ConfigDict(extra="forbid")

    engine: str = "openai"
    url: str = ""
    model: str = ""
    """The model's name there; empty: the same as here."""
    key_env: str = ""
    """The environment variable that holds the server's API key."""
    slots: int = Field(default=0, ge=0, le=4096)
    """Requests it answers at once; 0: the embedded engine's own number, 4 for Ollama, 64 for others."""


class ModelSettings(BaseModel):
    """A model on offer, and what serves it."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    replicas: list[ReplicaSettings] = Field(min_length=1)
    fallback: str = ""
    """The model that takes over when none of the replicas can answer."""
    max_waiting: int = Field(default=256, ge=0)
    """Requests that may wait in its queue."""


class AgentSettings(BaseModel):
    """An agent on offer as the model agent/<name>: which of the models it thinks with, and its tools."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    model: str = ""
    """Empty: the first model on offer."""
    tools: list[str] = []
    system: str = ""
    """Empty: the agent's own."""
    context: int = Field(default=4096, ge=512)


class DocumentsSettings(BaseModel):
    """A collection of documents on offer as the model docs/<name>, and which of the models answers from it."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    model: str = ""
    """Empty: the first model on offer."""
    store: str = ""
    """Where the collection is kept, as in `inhouse docs --store`."""
    k: int = Field(default=5, ge=1, le=50)
    """Passages that an answer is made from."""
    max_tokens: int = Field(default=400, ge=16)
    """The longest answer, where the request does not say."""


class AlertSettings(BaseModel):
    """When the gateway raises an alert, and whom it tells beside its own page."""

    model_config = ConfigDict(extra="forbid")

    webhook: SecretStr = SecretStr("")
    """Where each alert's beginning and end is POSTed as JSON; empty: nowhere."""
    webhook_networks: list[IPvAnyNetwork] = []
    """Networks that it may lie in beside the public internet: ["10.0.0.0/8"]."""
    language: Literal["en", "ko"] = "en"
    """Of the text that it is sent."""
    window_s: float = Field(default=300.0, ge=30, le=3600)
    """The time over which errors and latency are looked at."""
    least_requests: int = Field(default=20, ge=1)
    """Fewer requests in that time tell nothing."""
    error_share: float = Field(default=0.05, gt=0, le=1)
    """The share of requests that fail (5xx)."""
    ttft_p95_s: float = Field(default=5.0, gt=0)
    """The time to the first token that one in twenty waits longer than."""
    budget_share: float = Field(default=0.8, gt=0, le=1)
    """The share of a key's or team's budget that is used."""
    disk_share: float = Field(default=0.9, gt=0, le=1)
    """The used share of the store's disk."""
    model_down_s: float = Field(default=60.0, gt=0)
    """How long a model has been down."""

    @field_validator("webhook")
    @classmethod
    def _is_address(cls, value: SecretStr) -> SecretStr:
        parts = urlsplit(value.get_secret_value())
        if value.get_secret_value() and (parts.scheme not in ("http", "https") or not parts.hostname or parts.username):
            raise ValueError("write a whole http:// or https:// address, without a user name")
        return value


class GatewaySettings(BaseSettings):
    """Each field is a key of the TOML file, and INHOUSE_GATEWAY_<NAME> in the environment."""

    model_config = SettingsConfigDict(env_prefix="INHOUSE_GATEWAY_", env_file=".env", extra="ignore")

    host: str = "127.0.0.1"
    """The address to listen on. Any but the loopback interface's needs a key to have been made."""
    port: int = Field(default=8000, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=256)
    """Processes that serve the port together. More than one needs a Redis (`redis_url`)."""
    models: list[ModelSettings] = []
    """What is served; empty: the engine and the model of the program's own settings."""
    agents: list[AgentSettings] = []
    """Agents on offer beside the models."""
    documents: list[DocumentsSettings] = []
    """Collections of documents on offer beside the models; none is unless it stands here."""
    prices: Path | None = None
    """The price table."""
    ledger_sync: Literal["process", "disk"] = "process"
    """When a usage row counts as kept: once committed, or once on the disk as well."""
    redis_url: SecretStr = SecretStr("")
    """The Redis in which several processes share limits, queues and cached answers: redis://host:6379/0."""
    cache: Literal["off", "key", "team", "all"] = "off"
    """Whether equal requests get the same answer again, and whose: the key's own, its team's, everybody's."""
    cache_semantic: bool = False
    """Whether a question in other words gets the same answer too."""
    cache_ttl_s: float = Field(default=3600.0, gt=0)
    """How long an answer is kept."""
    cache_bytes: int = Field(default=64 * 1024 * 1024, ge=0)
    """Memory for answers in each process, where no Redis keeps them."""
    guard_policy: Path | None = None
    """The guard's policy; without one the guard is off."""
    keep_bodies_days: float | None = Field(default=None, gt=0, le=36500)
    """How long prompts and answers are kept, encrypted; without it none are."""
    keep_conversations_days: float | None = Field(default=None, gt=0, le=36500)
    """How long conversations of keys are kept after their last turn; without it until they are deleted."""
    max_body_bytes: int = Field(default=8 * 1024 * 1024, ge=1024)
    body_timeout_s: float = Field(default=30.0, gt=0)
    head_timeout_s: float = Field(default=15.0, gt=0)
    """How long a client may take for its request's headers."""
    keep_alive_s: float = Field(default=75.0, gt=0)
    """How long an idle connection is kept."""
    drain_s: float = Field(default=30.0, ge=0)
    """How long answers under way may go on after SIGTERM."""
    deadline_s: float | None = Field(default=None, gt=0)
    """A request that cannot be started within so long is refused; its X-Deadline-Seconds goes before this."""
    otlp_endpoint: str = ""
    """Where traces are sent, over OTLP/HTTP: http://127.0.0.1:4318. Empty: none are made."""
    otlp_share: float = Field(default=1.0, ge=0, le=1)
    """The share of the requests without a trace of their own that are traced."""
    alerts: AlertSettings = AlertSettings()
    """What is watched, and who is told."""
    web: bool = True
    """Whether the pages under /ui are served."""
    session_hours: float = Field(default=12.0, gt=0, le=24 * 365)
    """How long signing in to the pages lasts."""
    sign_ins_per_minute: int = Field(default=30, ge=1)
    """Attempts to sign in that one address may make, right or wrong."""
    runs_for: Literal["admins", "everyone"] = "admins"
    """Who may look at runs and reports and review answers in the pages. Whoever may sees all that was asked and said
    there, passages of documents among it, whatever the key's access tags."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options first, then the environment, then the file."""
        return init_settings, env_settings, dotenv_settings, TomlConfigSettingsSource(settings_cls)


def load_gateway_settings(config: Path | None = None, **options: Any) -> GatewaySettings:
    """The settings from the file `config`, the environment and the options that are not None."""
    if config is not None and not config.is_file():
        raise UsageError(f"The configuration {config} is not there", do="Correct --config")
    kind: type[GatewaySettings] = type(
        "GatewaySettings",
        (GatewaySettings,),
        {"__module__": __name__, "model_config": SettingsConfigDict(toml_file=config)},
    )
    try:
        return kind(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"The gateway's setting {where} cannot be used", why=str(first["msg"]), do="See docs/gateway.md"
        ) from None
    except (SettingsError, ValueError) as error:  # a file that is no TOML, a variable that is no JSON
        raise UsageError("The gateway's settings cannot be read", why=str(error), do="See docs/gateway.md") from None
