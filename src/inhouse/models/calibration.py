"""Turns kept runs of this machine into points for the decode prediction. Reads the store; measures nothing."""

from __future__ import annotations

from inhouse.core.environment import Environment
from inhouse.core.errors import InhouseError
from inhouse.core.records import Metric, RunStatus
from inhouse.core.settings import Settings
from inhouse.models.catalogue import find_entry
from inhouse.models.gguf import GgufInfo, read_gguf
from inhouse.models.library import model_path
from inhouse.models.roofline import DecodePoint
from inhouse.store.repository import Store

# Runs looked through, the newest first.
_LATEST = 200


def points_from(
    store: Store, settings: Settings, environment: Environment, bandwidth_bytes_s: float
) -> list[DecodePoint]:
    """The fastest single-stream decode speed of each model that the embedded engine ran on this machine."""
    best: dict[str, DecodePoint] = {}
    for run in store.list_runs(kind="bench", engine="embedded", status=RunStatus.DONE, limit=_LATEST):
        there = run.environment
        same = (there.cpu, there.cores, there.ram_bytes) == (environment.cpu, environment.cores, environment.ram_bytes)
        if not same or not run.model:
            continue
        speeds = [metric for metric in store.metrics(run.id) if _is_single_stream(metric)]
        info = _shape(settings, run.model) if speeds else None
        for metric in speeds:
            held = best.get(run.model)
            if info is not None and (held is None or metric.value > held.tokens_s):
                context = metric.labels.get("prompt_tokens")
                best[run.model] = DecodePoint(
                    info,
                    bandwidth_bytes_s,
                    metric.value,
                    context_tokens=context if isinstance(context, int) else 256,
                    cores=environment.cores,
                )
    return list(best.values())


def _is_single_stream(metric: Metric) -> bool:
    return metric.name == "decode_tokens_s" and metric.labels.get("streams") == 1 and not metric.predicted


def _shape(settings: Settings, name: str) -> GgufInfo | None:
    try:
        return read_gguf(model_path(settings, name))
    except InhouseError:
        pass
    try:
        return find_entry(name, settings.data_dir).layout
    except InhouseError:
        return None
