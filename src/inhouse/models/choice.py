"""Which model to take on this machine: whether one fits into memory, and the largest that does."""

from __future__ import annotations

from dataclasses import dataclass

from inhouse.core.environment import available_ram_bytes, usable_ram_bytes
from inhouse.core.errors import CorruptModel, UsageError
from inhouse.core.settings import Settings
from inhouse.models.bandwidth import kept_bandwidth
from inhouse.models.catalogue import CatalogueEntry, load_catalogue
from inhouse.models.estimate import MemoryEstimate, estimate_memory
from inhouse.models.gguf import GgufInfo, read_gguf
from inhouse.models.launch import DEFAULT_CONTEXT
from inhouse.models.library import pulled
from inhouse.models.roofline import predict_decode

# The study generates about so many tokens for its figures to be worth something (phase 1: prompt lengths,
# a concurrency sweep and memory by context); a model that would need longer than the budget is too large.
STUDY_TOKENS = 4_000
# Bandwidth assumed where nobody has measured it: two channels of DDR4-2400, an older office machine.
_ASSUMED_BANDWIDTH = 20e9


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a model fits into the memory that is available, at one slot of the usual context."""

    memory: MemoryEstimate
    available_bytes: int
    context: int

    @property
    def fits(self) -> bool:
        """Whether it fits with a tenth of the memory left to the rest of the machine."""
        return self.memory.needed_bytes <= 0.9 * self.available_bytes


def fits(info: GgufInfo, *, context: int = 0, slots: int = 1, available_bytes: int | None = None) -> Fit:
    """Judges a model against the memory available now (or the memory given), at a context of 4,096 if none is said."""
    context = context or min(info.context or DEFAULT_CONTEXT, DEFAULT_CONTEXT)
    available = available_ram_bytes() if available_bytes is None else available_bytes
    return Fit(estimate_memory(info, context=context, slots=slots), available, context)


def largest_fitting(
    settings: Settings,
    budget_s: float,
    *,
    bandwidth_bytes_s: float | None = None,
    available_bytes: int | None = None,
) -> CatalogueEntry:
    """The largest catalogue model that fits into memory and that a study of `budget_s` seconds can measure.

    Speed is predicted from the bandwidth; the smallest model is taken where none is fast enough.

    Raises:
        UsageError: Not even the smallest fits.
    """
    kept = kept_bandwidth(settings)
    bandwidth = bandwidth_bytes_s or (kept.bytes_s if kept else _ASSUMED_BANDWIDTH)
    available = usable_ram_bytes() if available_bytes is None else available_bytes
    here = {model.name for model in pulled(settings)}
    entries = [e for e in load_catalogue(settings.data_dir).values() if not e.reference or e.name in here]
    fitting = [
        e
        for e in sorted(entries, key=lambda entry: -entry.size_bytes)
        if e.layout and fits(e.layout, available_bytes=available).fits
    ]
    if not fitting:
        raise UsageError(
            "No model of the catalogue fits into this machine's memory", do="Name a smaller one with --model"
        )
    for entry in fitting:
        assert entry.layout is not None
        if STUDY_TOKENS / predict_decode(entry.layout, bandwidth).tokens_s <= budget_s:
            return entry
    return fitting[-1]


def default_model(settings: Settings, *, available_bytes: int | None = None) -> str:
    """The setting's model, else the largest pulled one that fits into the memory available now.

    Raises:
        UsageError: None is pulled, or none fits; says what to do.
    """
    if settings.model:
        return settings.model
    models = pulled(settings)
    if not models:
        raise UsageError("No model is on this machine", do="Run: inhouse models pull smollm2:135m")
    for model in sorted(models, key=lambda held: -held.size_bytes):
        try:
            if fits(read_gguf(model.path), available_bytes=available_bytes).fits:
                return model.name
        except CorruptModel:
            continue
    raise UsageError(
        "None of the models on this machine fits into the memory that is free",
        do="Free some memory, name one with --model, or run: inhouse models pull smollm2:135m",
    )
