"""What the embedded engine is started with: the settings where they say something, else what fits the machine."""

from __future__ import annotations

from collections.abc import Callable

from inhouse.core.environment import available_ram_bytes, usable_cores
from inhouse.core.errors import UsageError
from inhouse.core.settings import Settings
from inhouse.engines.launch import LaunchSpec
from inhouse.models.estimate import estimate_memory
from inhouse.models.gguf import GgufInfo, read_gguf
from inhouse.models.library import known_sha256, model_path

DEFAULT_CONTEXT = 4096
"""Tokens for each slot where nobody says otherwise: enough for a few pages of text."""
DEFAULT_SLOTS = 4
"""Slots at most where nobody says otherwise: on a CPU more of them only make each slower."""
SMALLEST_CONTEXT = 512
# What is left to everything else on the machine.
_SHARE = 0.9


def launch_spec(
    settings: Settings,
    name: str,
    *,
    context: int | None = None,
    slots: int | None = None,
    threads: int | None = None,
    embeddings: bool = False,
    available_bytes: int | None = None,
) -> LaunchSpec:
    """How to start a model here. Arguments go before settings; 0 or None leaves a value to be found.

    Context and slots are the largest up to the model's own context, 4,096 tokens and 4 slots for which the
    memory available now suffices; what was asked for is never changed, only refused where it cannot be.

    Raises:
        UnknownModel, ModelNotPulled, CorruptModel: The file is not there or not usable.
        UsageError: The context asked for is over the model's.
    """
    path = model_path(settings, name)
    info = read_gguf(path)
    context = context or settings.context
    slots = slots or settings.slots
    if context and info.context and context > info.context:
        raise UsageError(
            f"{name} has no context of {context:,} tokens",
            why=f"it was trained for {info.context:,}",
            do=f"Ask for {info.context} or less (--context, INHOUSE_CONTEXT)",
        )
    available = available_ram_bytes() if available_bytes is None else available_bytes
    context, slots = choose_window(info, available, context=context, slots=slots)
    return LaunchSpec(
        model=name,
        path=path,
        context=context,
        slots=slots,
        threads=threads or settings.threads or usable_cores(),
        gpu_layers=settings.gpu_layers,
        embeddings=embeddings,
        sha256=known_sha256(path),
    )


def choose_window(info: GgufInfo, available_bytes: int, *, context: int = 0, slots: int = 0) -> tuple[int, int]:
    """Context of each slot, and slots, that fit into the memory; a value over 0 is kept as it is.

    Slots are given up before context: a short context breaks answers, fewer slots only make them wait.
    Where even the smallest does not fit, the smallest is returned; the engine will say what it meets.
    """
    limit = info.context or DEFAULT_CONTEXT
    longest = context or min(limit, DEFAULT_CONTEXT)
    most = slots or DEFAULT_SLOTS
    tried_context = longest
    while True:
        for tried_slots in [slots] if slots else range(most, 0, -1):
            need = estimate_memory(info, context=tried_context, slots=tried_slots).needed_bytes
            if need <= available_bytes * _SHARE:
                return tried_context, tried_slots
        if context or tried_context <= SMALLEST_CONTEXT:
            return tried_context, slots or 1
        tried_context = max(tried_context // 2, min(SMALLEST_CONTEXT, longest))


def resolver(settings: Settings) -> Callable[[str], LaunchSpec]:
    """What the embedded engine asks for a model's launch, by name."""
    return lambda name: launch_spec(settings, name)
