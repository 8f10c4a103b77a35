"""What a gateway's parent process and its workers say to each other: each word a pickled value on a line of its own."""

from __future__ import annotations

import base64
import pickle
from dataclasses import dataclass
from typing import Any

from inhouse.core.errors import InhouseError
from inhouse.core.settings import Settings
from inhouse.gateway.lent_engine import Standing
from inhouse.gateway.open import StudyPage
from inhouse.gateway.settings import GatewaySettings


@dataclass(frozen=True, slots=True)
class Launch:
    """The parent's first word: what to serve, on which inherited socket, with which models of the parent's."""

    settings: Settings
    gateway_settings: GatewaySettings
    socket: int
    parent: str
    models: dict[str, Standing]
    report: StudyPage | None = None


@dataclass(frozen=True, slots=True)
class News:
    """The parent's later words: how one of its models stands."""

    name: str
    standing: Standing


@dataclass(frozen=True, slots=True)
class Serving:
    """The worker's word that it serves."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker's last word, where it could not begin."""

    error: InhouseError


@dataclass(frozen=True, slots=True)
class LoadWanted:
    """The worker begs the parent to load a model."""

    name: str


def word(value: object) -> bytes:
    """A value as a line."""
    return base64.b64encode(pickle.dumps(value)) + b"\n"


def heard(line: bytes) -> Any:
    """The value of a line; None where the other side is gone. Only for the pipes between parent and worker."""
    return pickle.loads(base64.b64decode(line)) if line.endswith(b"\n") else None  # noqa: S301 - our own process
