"""Measures the memory that the embedded engine takes by context and slots, beside the estimate from the layout."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from functools import partial

from inhouse.bench.client import measure
from inhouse.bench.keeping import ending, origin_of
from inhouse.bench.plan import check_positive
from inhouse.bench.prompts import PromptWriter, calibrate
from inhouse.bench.resources import ResourceSampler
from inhouse.core.environment import Environment, read_environment
from inhouse.core.errors import BenchError, EngineError
from inhouse.core.records import Metric, Run, Scalar
from inhouse.core.settings import Settings
from inhouse.engines.base import ChatRequest, Message
from inhouse.engines.embedded import EmbeddedEngine
from inhouse.models.estimate import estimate_memory
from inhouse.models.gguf import read_gguf
from inhouse.models.launch import launch_spec
from inhouse.store.repository import Store

FILL_TOKENS = 512
"""Tokens of prompt that show a window's memory: the engine takes KV cache and buffers when it starts, and touches
all of the buffers in its first full batch. (A window of 2,048 filled to its end measured 1.5 % more.)"""

_ANSWER = 4  # tokens generated on top of the filling


async def run_memory(
    settings: Settings,
    store: Store,
    *,
    model: str,
    points: Sequence[tuple[int, int]],
    fill_tokens: int | None = FILL_TOKENS,
    study_id: str | None = None,
    environment: Environment | None = None,
    name: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Run:
    """Starts the model for each (context, slots) of `points`, sends a prompt to every slot at once, and keeps the
    process's largest resident memory beside the estimate, under a run of kind "memory".

    Args:
        settings: the embedded engine's; context and slots come from the points.
        store: where the run is kept.
        model: what to start.
        points: context tokens for each slot, and slots.
        fill_tokens: how long the prompts are at most; None: as long as the context.
        study_id: the study that the run is part of.
        environment: None: read here.
        name: of the run.
        on_progress: told how many points of how many are done.
    """
    if not points:
        raise BenchError("No context sizes were given")
    for context, slots in points:
        check_positive("The context", context)
        check_positive("The number of slots", slots)
    environment = environment or read_environment()
    info = read_gguf(launch_spec(settings, model).path)
    config = {"name": name, "points": [list(point) for point in points], "fill_tokens": fill_tokens}
    run = store.create_run(
        "memory", config, seed=0, environment=environment, model=model, engine="embedded", study_id=study_id
    )
    writer: PromptWriter | None = None
    with ending(store, run):
        for done, (context, slots) in enumerate(points):
            if on_progress is not None:
                on_progress(done, len(points))
            labels: dict[str, Scalar] = {"context": context, "slots": slots}
            estimate = estimate_memory(info, context=context, slots=slots)
            shaped = settings.model_copy(update={"context": context, "slots": slots})
            engine = EmbeddedEngine(partial(launch_spec, shaped), stall_s=settings.stall_s)
            try:
                await engine.load(model)
                writer = writer or await calibrate(engine, model, text="en", nonce=uuid.uuid4().hex)
                length = min(context - _ANSWER, fill_tokens or context)
                measured = await _fill(engine, store, run, model, writer, length, labels)
            finally:
                await engine.close()
            how = "predicted: weights, KV cache and buffers from the model's layout"
            predicted = float(estimate.total_bytes)
            store.add_metrics(
                run.id,
                [
                    Metric("memory_measured_bytes", measured, "bytes", labels, method="measured: peak RSS"),
                    Metric("memory_estimate_bytes", predicted, "bytes", labels, method=how, predicted=True),
                ],
            )
        if on_progress is not None:
            on_progress(len(points), len(points))
    return store.get_run(run.id)


async def _fill(
    engine: EmbeddedEngine,
    store: Store,
    run: Run,
    model: str,
    writer: PromptWriter,
    length: int,
    labels: dict[str, Scalar],
) -> float:
    """Sends a prompt to every slot at once; the largest resident memory of the engine's process meanwhile."""
    origin = origin_of(run)
    context, slots = int(labels["context"] or 0), int(labels["slots"] or 0)
    tags = {**labels, "stage": f"context {context} × {slots}"}
    failures: list[EngineError] = []
    # Under the prompt's length all that is filled is the chat template; a window that small is still measured.
    length = max(length, writer.shortest)
    with ResourceSampler(origin) as sampler:
        sampler.watch(pid for loaded in await engine.loaded() for pid in loaded.pids)
        samples = await asyncio.gather(
            *(
                measure(
                    engine,
                    ChatRequest(
                        model,
                        (Message("user", writer.unique(f"{context} {slots} {slot}", length)),),
                        max_tokens=_ANSWER,
                        ignore_eos=True,
                    ),
                    index=slot,
                    origin=origin,
                    tags=tags,
                    on_error=failures.append,
                )
                for slot in range(slots)
            )
        )
        await asyncio.sleep(0.25)  # two more readings after the last token
    series = sampler.take(tags)
    store.add_samples(run.id, samples)
    store.add_series(run.id, series)
    if failures:
        raise failures[0]
    readings = [value for one in series if one.name == "rss_bytes" for value in one.values]
    if not readings:
        raise BenchError("The memory of the engine's process cannot be read on this system")
    return max(readings)
