"""What this machine is, what it can run and which engines run on it already. Examines; decides nothing.

Points measured on this machine are passed in; nothing here reads runs.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from inhouse.core.environment import Environment, Gpu, available_ram_bytes, read_environment
from inhouse.core.errors import InhouseError
from inhouse.core.settings import Settings
from inhouse.engines.base import Engine
from inhouse.models.bandwidth import BandwidthNote, bandwidth
from inhouse.models.catalogue import CatalogueEntry, load_catalogue
from inhouse.models.choice import Fit, fits
from inhouse.models.gguf import GgufInfo, read_gguf
from inhouse.models.library import pulled
from inhouse.models.roofline import DecodePoint, DecodePrediction, predict_decode

# Where the well-known servers listen unless told otherwise.
_LOCAL_PORTS = {8000: "vLLM", 8080: "llama.cpp", 1234: "LM Studio"}
_PROBE_S = 2.0


@dataclass(frozen=True, slots=True)
class EngineFound:
    """A server that was looked for: whether it answers, and the models it offers. `detail` tells why not."""

    name: str
    url: str
    running: bool
    version: str | None = None
    models: tuple[str, ...] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ModelFit:
    """Whether a model fits here and how fast it should decode one stream: a prediction, never a measurement.

    `memory_bytes` is what must be free for one slot of `context` tokens, `resident_bytes` the resident set to
    expect (mapped weights that the system may drop included). `fits` judges by all the memory that may be used,
    `fits_now` by what is available at this moment. `gpu_decode` is None where no GPU holds the model.
    """

    name: str
    title: str
    pulled: bool
    size_bytes: int
    licence: str
    context: int
    memory_bytes: int
    resident_bytes: int
    fits: bool
    fits_now: bool
    decode: DecodePrediction
    gpu_decode: DecodePrediction | None = None


@dataclass(frozen=True, slots=True)
class Doctor:
    """The whole examination. Sizes in bytes, bandwidth in bytes/s; `store_detail` is empty where the store opens."""

    environment: Environment
    available_ram_bytes: int
    bandwidth: BandwidthNote
    cache_dir: Path
    disk_free_bytes: int
    engines: tuple[EngineFound, ...]
    store: str
    store_ok: bool
    store_detail: str
    models: tuple[ModelFit, ...]


async def examine(
    settings: Settings,
    *,
    fresh: bool = False,
    points: Sequence[DecodePoint] = (),
    store_failure: str = "",
    seconds: float = 1.0,
) -> Doctor:
    """Examines the machine: some two seconds, or half of that where the bandwidth is known.

    Args:
        settings: Where files lie, which servers to look for.
        fresh: Measure the bandwidth again.
        points: Decode speeds measured on this machine, for the predictions.
        store_failure: Why the store did not open; empty if it did.
        seconds: How long to measure bandwidth, where it is measured.
    """
    note = await asyncio.to_thread(bandwidth, settings, fresh=fresh, seconds=seconds)
    engines = await find_engines(settings)
    environment = replace(read_environment(), memory_bandwidth_bytes_s=note.bytes_s)
    here = {model.name: model.path for model in pulled(settings)}
    entries = load_catalogue(settings.data_dir)
    models = [_judge(entry, here.get(entry.name), environment, points) for entry in entries.values()]
    return Doctor(
        environment=environment,
        available_ram_bytes=available_ram_bytes(),
        bandwidth=note,
        cache_dir=settings.cache_dir,
        disk_free_bytes=free_bytes(settings.cache_dir),
        engines=engines,
        store=_without_password(settings.database_url),
        store_ok=not store_failure,
        store_detail=store_failure,
        models=tuple(model for model in models if model is not None),
    )


async def find_engines(settings: Settings) -> tuple[EngineFound, ...]:
    """Asks, all at once and for two seconds at most: Ollama, the configured server, the usual local ports."""
    from inhouse.engines.ollama import OllamaEngine
    from inhouse.engines.openai_compatible import OpenAICompatibleEngine

    probes = [_probe("Ollama", settings.ollama_url, lambda: OllamaEngine(settings.ollama_url, stall_s=_PROBE_S))]
    servers: dict[str, tuple[str, str | None]] = {
        f"http://127.0.0.1:{port}/v1": (name, None) for port, name in _LOCAL_PORTS.items()
    }
    if settings.base_url:
        key = settings.api_key.get_secret_value() or None
        servers[settings.base_url.rstrip("/")] = ("OpenAI-compatible", key)
    for url, (name, key) in servers.items():
        probes.append(
            _probe(name, url, lambda url=url, key=key: OpenAICompatibleEngine(url, api_key=key, stall_s=_PROBE_S))  # type: ignore[misc]
        )
    return tuple(await asyncio.gather(*probes))


async def _probe(name: str, url: str, open_it: Callable[[], Engine]) -> EngineFound:
    try:
        engine = open_it()
    except InhouseError as error:
        return EngineFound(name, url, running=False, detail=str(error))
    try:
        async with asyncio.timeout(_PROBE_S):
            health = await engine.health()
            models = tuple(info.name for info in await engine.models()) if health.ok else ()
        return EngineFound(name, url, health.ok, health.version, models, health.detail)
    except TimeoutError:
        return EngineFound(name, url, running=False, detail=f"no answer within {_PROBE_S:.0f} s")
    except InhouseError as error:
        return EngineFound(name, url, running=True, detail=str(error))
    finally:
        await engine.close()


def _judge(
    entry: CatalogueEntry, path: Path | None, environment: Environment, points: Sequence[DecodePoint]
) -> ModelFit | None:
    """A catalogue entry against this machine; None where its shape is not known before it is pulled."""
    info = entry.layout
    if path is not None:
        try:
            info = read_gguf(path)
        except InhouseError:
            path = None
    if info is None or environment.memory_bandwidth_bytes_s is None:
        return None
    fit = fits(info, available_bytes=environment.ram_bytes)
    return ModelFit(
        name=entry.name,
        title=entry.title,
        pulled=path is not None,
        size_bytes=entry.size_bytes,
        licence=entry.licence,
        context=fit.context,
        memory_bytes=fit.memory.needed_bytes,
        resident_bytes=fit.memory.total_bytes,
        fits=fit.fits,
        fits_now=fits(info).fits,
        decode=predict_decode(info, environment.memory_bandwidth_bytes_s, points, cores=environment.cores),
        gpu_decode=_on_gpu(info, fit, environment.gpus),
    )


def _on_gpu(info: GgufInfo, fit: Fit, gpus: Sequence[Gpu]) -> DecodePrediction | None:
    """The prediction for the first GPU that holds the whole model."""
    for gpu in gpus:
        if gpu.memory_bandwidth_bytes_s and fit.memory.needed_bytes <= 0.9 * gpu.memory_bytes:
            return predict_decode(info, gpu.memory_bandwidth_bytes_s, cores=0)
    return None


def free_bytes(folder: Path) -> int:
    """Free space of the disk that a folder is on, or will be on."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    login, at, host = rest.rpartition("@")
    return f"{scheme}{separator}{login.partition(':')[0]}{at}{host}" if at else url
