"""Phase 1, run: pull a model, start it, load it, fill it. Each part keeps one run; none measures by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from inhouse.bench.cold_start import run_cold_start
from inhouse.bench.memory import run_memory
from inhouse.bench.plan import BenchPlan, Closed, Stage
from inhouse.bench.runner import run_bench
from inhouse.core.errors import EngineError, PartSkipped
from inhouse.core.records import Metric, RunStatus
from inhouse.engines.base import Engine
from inhouse.engines.embedded import EmbeddedEngine
from inhouse.engines.ollama import OllamaEngine
from inhouse.models.catalogue import find_entry
from inhouse.models.launch import launch_spec
from inhouse.study.base import Context, Part
from inhouse.study.preparation import measure_machine, predict_reference, pull_model

OUTPUT_TOKENS = 48
CONCURRENCY_PROMPT = 128
CONCURRENCY = (1, 2, 4, 8)
PROMPT_LENGTHS = (64, 256, 1024, 2048)
MEMORY_CONTEXTS = ((512, 1), (2048, 1), (4096, 1), (8192, 1), (4096, 4))


async def _cold_start(context: Context) -> str:
    async with embedded(context, slots=1) as engine:
        run = await run_cold_start(
            engine, context.store, model=context.config.model, repeats=3, environment=context.environment,
            drop_page_cache=True, study_id=context.study.id, name="cold_start",
            on_progress=lambda done, total: context.report(done / total, f"start {done} of {total}"),
        )  # fmt: skip
    return run.id


async def _prompt_length(context: Context) -> str:
    lengths = [n for n in PROMPT_LENGTHS if n + OUTPUT_TOKENS <= _model_context(context)]
    # Long prompts take longer: each length gets time in proportion to what it costs.
    weights = [length + 4 * OUTPUT_TOKENS for length in lengths]
    stages = [
        Stage(Closed(1), length, OUTPUT_TOKENS, count=30, duration_s=context.seconds * weight / sum(weights))
        for length, weight in zip(lengths, weights, strict=True)
    ]
    async with embedded(context, slots=1, per_slot=max(lengths) + 2 * OUTPUT_TOKENS) as engine:
        return await _bench(context, engine, "prompt_length", stages)


async def _concurrency(context: Context) -> str:
    stages = [
        Stage(Closed(n), CONCURRENCY_PROMPT, OUTPUT_TOKENS, count=200, duration_s=context.seconds / len(CONCURRENCY))
        for n in CONCURRENCY
    ]
    async with embedded(context, slots=max(CONCURRENCY), per_slot=512) as engine:
        return await _bench(context, engine, "concurrency", stages)


async def _memory(context: Context) -> str:
    points = [(length, slots) for length, slots in MEMORY_CONTEXTS if length <= _model_context(context)]
    run = await run_memory(
        context.settings, context.store, model=context.config.model, points=points, environment=context.environment,
        study_id=context.study.id, name="memory",
        on_progress=lambda done, total: context.report(done / total, f"{done} of {total} context sizes"),
    )  # fmt: skip
    return run.id


async def _gpu(context: Context) -> str:
    if not context.environment.gpus:
        raise PartSkipped("No GPU was found on this machine", message="phase1.no_gpu")
    stage = Stage(Closed(1), CONCURRENCY_PROMPT, OUTPUT_TOKENS, count=30, duration_s=context.seconds / 2)
    found: dict[str, str] = {}
    metrics: list[Metric] = []
    for device, layers in (("cpu", 0), ("gpu", -1)):
        async with embedded(context, slots=1, gpu_layers=layers) as engine:
            found[device] = await _bench(context, engine, f"gpu_{device}", [stage])
        metrics += [
            replace(metric, labels={**metric.labels, "device": device})
            for metric in context.store.metrics(found[device])
            if metric.name in ("decode_tokens_s", "prefill_tokens_s", "ttft_s")
        ]
    run = context.store.create_run(
        "comparison", {"name": "gpu", "runs": found}, seed=context.config.seed, environment=context.environment,
        model=context.config.model, study_id=context.study.id,
    )  # fmt: skip
    context.store.set_metrics(run.id, metrics)
    context.store.finish_run(run.id, RunStatus.DONE)
    return run.id


async def _ollama(context: Context) -> str:
    url = context.settings.ollama_url
    engine = OllamaEngine(url, stall_s=context.settings.stall_s)
    try:
        health = await engine.health()
        if not health.ok:
            raise PartSkipped(f"No Ollama server answered at {url}", message="phase1.no_ollama", url=url)
        names = [info.name for info in await engine.models()]
        name = next((n for n in names if n.removesuffix(":latest") == context.config.model), None)
        if name is None:
            raise PartSkipped(
                f"Ollama at {url} does not have {context.config.model}",
                do=f"inhouse models pull {context.config.model} --engine ollama",
                message="phase1.ollama_without_model",
                url=url,
                model=context.config.model,
            )
        stage = Stage(Closed(1), CONCURRENCY_PROMPT, OUTPUT_TOKENS, count=30, duration_s=context.seconds)
        return await _bench(context, engine, "ollama", [stage], model=name)
    except EngineError as error:
        raise PartSkipped(
            f"Ollama at {url} did not serve", why=str(error), message="phase1.ollama_failed", url=url,
            reason=str(error), error=type(error).__name__,
        ) from None  # fmt: skip
    finally:
        await engine.close()


@asynccontextmanager
async def embedded(
    context: Context, *, slots: int, per_slot: int | None = None, gpu_layers: int | None = None
) -> AsyncIterator[Engine]:
    """The embedded engine with the study's model, in the shape that a part wants; closed at the end."""
    update = {"slots": slots, "context": per_slot or 0}
    if gpu_layers is not None:
        update["gpu_layers"] = gpu_layers
    settings = context.settings.model_copy(update=update)
    engine = EmbeddedEngine(lambda name: launch_spec(settings, name), stall_s=settings.stall_s)
    try:
        yield engine
    finally:
        await engine.close()


async def _bench(
    context: Context, engine: Engine, name: str, stages: Sequence[Stage], *, model: str | None = None
) -> str:
    health = await engine.health()
    korean = context.config.lang == "ko" and "ko" in find_entry(context.config.model).languages
    plan = BenchPlan(tuple(stages), name=name, seed=context.config.seed, text="ko" if korean else "en")
    run = await run_bench(
        engine, context.store, plan,
        model=model or context.config.model, study_id=context.study.id, run_id=context.resume,
        environment=replace(context.environment, engine=engine.name, engine_version=health.version),
        on_progress=lambda progress: context.report(progress.run_share, progress.stage),
    )  # fmt: skip
    return run.id


def _model_context(context: Context) -> int:
    return find_entry(context.config.model).context


PHASE1: tuple[Part, ...] = (
    Part("machine", 1, "read this machine, measure its memory bandwidth", 0.01, measure_machine),
    Part("pull", 1, "pull the model", 0.0, pull_model),
    Part("cold_start", 1, "cold start, from nothing to the first token", 0.07, _cold_start),
    Part("prompt_length", 1, "one user, prompts from short to long", 0.30, _prompt_length, resumable=True),
    Part("concurrency", 1, "1 to 8 users at once", 0.40, _concurrency, resumable=True),
    Part("memory", 1, "memory by context, beside the estimate", 0.10, _memory),
    Part("gpu", 1, "CPU against GPU", 0.06, _gpu),
    Part("ollama", 1, "the same on Ollama", 0.05, _ollama),
    Part("llama2", 1, "predict Llama 2 7B on this machine", 0.01, predict_reference),
)
