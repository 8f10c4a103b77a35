"""Runs a bench: each stage in turn, warm-up first, samples kept as they come, figures at the end.

What a stage sends is made in workload, how it is sent in loops. A run that was stopped goes on with the first
stage that it had not finished.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

from inhouse.bench.client import measure
from inhouse.bench.keeping import SampleWriter, ending, origin_of
from inhouse.bench.loops import closed_loop, open_loop
from inhouse.bench.metrics import by_stage, summarise
from inhouse.bench.plan import BenchPlan, Closed, Stage
from inhouse.bench.progress import BenchProgress, Report, Tally
from inhouse.bench.prompts import calibrate
from inhouse.bench.resources import ResourceSampler, resource_metrics
from inhouse.bench.sweep import Level, knee_metric, level_of, next_load, stage_at
from inhouse.bench.workload import Work, WorkMaker, check_traces
from inhouse.core.environment import Environment, read_environment
from inhouse.core.errors import EngineError
from inhouse.core.records import Metric, Run, Sample
from inhouse.engines.base import Engine
from inhouse.store.repository import Store

__all__ = ["BenchProgress", "quiet_interpreter", "run_bench"]

_WATCH_S = 2.0  # how often the engine is asked for its processes
_REPORT_S = 0.25
# A thread that holds the interpreter must give it up after so long. At Python's 5 ms the threads that keep
# samples and read resources would make requests late.
_SWITCH_S = 0.0005


async def run_bench(
    engine: Engine,
    store: Store,
    plan: BenchPlan,
    *,
    model: str,
    study_id: str | None = None,
    run_id: str | None = None,
    environment: Environment | None = None,
    on_progress: Report | None = None,
) -> Run:
    """Measures all stages of the plan and keeps samples, series and metrics under a run of kind "bench".

    With `run_id` it goes on with that run, by the plan that was kept with it: stages that were finished stay,
    the one that was not is measured again. Cancelled, it leaves the run INTERRUPTED, and on an error FAILED;
    both can be resumed.

    Raises:
        UsageError: the plan cannot be carried out (a bad trace, prompts too short for the chat template).
        EngineError, BenchError: the engine does not answer.
    """
    if run_id is not None:
        plan = BenchPlan.from_dict(store.get_run(run_id).config)
    check_traces(plan.stages)
    health = await engine.health()
    if run_id is not None:
        run = store.claim_run(run_id)
    else:
        run = store.create_run(
            "bench",
            plan.to_dict(),
            seed=plan.seed,
            environment=environment or replace(read_environment(), engine=engine.name, engine_version=health.version),
            model=model,
            engine=engine.name,
            study_id=study_id,
        )
    with ending(store, run):
        await _BenchRun(engine, store, plan, run, model, on_progress or (lambda _: None)).measure()
    return store.get_run(run.id)


@contextmanager
def quiet_interpreter() -> Iterator[None]:
    """Keeps the interpreter from delaying requests: no collection walks over what is there already, and
    threads yield quickly. More sockets than the usual 1,024 may be open where the system allows it.
    """
    switch = sys.getswitchinterval()
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(_SWITCH_S)
    _raise_socket_limit()
    try:
        yield
    finally:
        sys.setswitchinterval(switch)
        gc.unfreeze()


class _BenchRun:
    """One run under way in this process."""

    def __init__(self, engine: Engine, store: Store, plan: BenchPlan, run: Run, model: str, report: Report) -> None:
        self._engine = engine
        self._store = store
        self._plan = plan
        self._run = run
        self._model = model
        self._report = report
        self._origin = origin_of(run)
        self._index = 1 + max((sample.index for sample in store.samples(run.id)), default=-1)

    async def measure(self) -> None:
        """All that is left to do."""
        try:
            maker = await self._prepare()
            with quiet_interpreter(), ResourceSampler(self._origin) as sampler:
                for number, stage in enumerate(self._stages(), 1):
                    if stage.name not in (done := self._done()):
                        await self._stage(stage, number, maker, sampler)
                        self._store.set_progress(self._run.id, {"done_stages": [*done, stage.name]})
        finally:
            # Stopped or not, what the finished stages say is kept.
            self._store.set_metrics(self._run.id, self._metrics())

    def _done(self) -> list[str]:
        return list(self._store.progress(self._run.id).get("done_stages", []))

    def _stages(self) -> Iterator[Stage]:
        yield from self._plan.stages
        if (sweep := self._plan.sweep) is not None:
            while (load := next_load(sweep, self._levels())) is not None:
                yield stage_at(sweep, load)

    def _levels(self) -> list[Level]:
        """What the sweep's finished stages brought, by rising load."""
        sweep, levels = self._plan.sweep, list[Level]()
        if sweep is None:
            return levels
        done = self._done()
        samples = {stage.labels["stage"]: stage for stage in by_stage(self._store.samples(self._run.id))}
        while (load := next_load(sweep, levels)) is not None:
            name = stage_at(sweep, load).name
            if name not in done or name not in samples:
                break
            levels.append(level_of(samples[name], load, self._plan.objectives))
        return levels

    async def _prepare(self) -> WorkMaker:
        """Loads the model and learns what words cost in its tokens; says so, for it can take seconds."""
        self._report(BenchProgress(self._run.id, "loading the model"))
        if self._engine.capabilities.lifecycle:
            await self._engine.load(self._model)
        self._report(BenchProgress(self._run.id, "preparing prompts"))
        # Prompts sent before must not be found in the engine's cache, whatever the seed.
        writer = await calibrate(self._engine, self._model, text=self._plan.text, nonce=uuid.uuid4().hex)
        return WorkMaker(
            writer,
            self._model,
            seed=self._plan.seed,
            fixed_length=self._engine.capabilities.ignore_eos,
            window=self._plan.context or await self._window(),
            context=self._plan.context,
        )

    async def _window(self) -> int | None:
        """The window of each request, as the engine states it."""
        for loaded in await self._engine.loaded():
            if loaded.model == self._model and loaded.context:
                return loaded.context
        return next((info.context for info in await self._engine.models() if info.name == self._model), None)

    async def _stage(self, stage: Stage, number: int, maker: WorkMaker, sampler: ResourceSampler) -> None:
        self._store.delete_samples(self._run.id, stage=stage.name)
        work = maker.stage(stage)
        tally = Tally(self._run.id, stage, number, None if self._plan.sweep else len(self._plan.stages), work.total)
        try:
            with SampleWriter(self._store, self._run.id) as writer:

                async def send(piece: Work, due: float) -> Sample:
                    sample = await self._send(piece, due)
                    writer.add(sample)
                    tally.add(sample)
                    return sample

                async with self._beside(self._watch(sampler), self._reporting(tally)):
                    for piece in maker.warmup(stage, self._plan.warmup):
                        writer.add(await self._send(piece, None, failing=True))
                    tally.start()
                    if isinstance(stage.arrival, Closed):
                        streams = stage.arrival.streams
                        await closed_loop(send, work.pieces, streams=streams, duration_s=stage.duration_s)
                    else:
                        await open_loop(send, work.pieces, work.times_s or [])
        finally:
            self._store.add_series(self._run.id, sampler.take({"stage": stage.name}))
        self._report(tally.progress())

    async def _send(self, piece: Work, due: float | None, *, failing: bool = False) -> Sample:
        """Sends a piece of work due at a time on time.perf_counter(); with `failing`, an error is raised."""
        index, self._index = self._index, self._index + 1
        errors: list[EngineError] = []
        sample = await measure(
            self._engine,
            piece.request,
            index=index,
            origin=self._origin,
            intended_s=None if due is None else due - self._origin,
            tags=piece.tags,
            on_error=errors.append,
        )
        if failing and errors:
            raise errors[0]
        return sample

    @asynccontextmanager
    async def _beside(self, *parts: Coroutine[object, object, None]) -> AsyncIterator[None]:
        """Runs the parts as long as what is inside."""
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, sampler: ResourceSampler) -> None:
        while True:
            with contextlib.suppress(EngineError):  # a restarting engine has no processes for a moment
                loaded = await self._engine.loaded()
                sampler.watch(pid for model in loaded for pid in model.pids)
            await asyncio.sleep(_WATCH_S)

    async def _reporting(self, tally: Tally) -> None:
        while True:
            self._report(tally.progress())
            await asyncio.sleep(_REPORT_S)

    def _metrics(self) -> list[Metric]:
        """The figures of all finished stages."""
        done = set(self._done())
        samples = [sample for sample in self._store.samples(self._run.id) if sample.tags.get("stage") in done]
        metrics = summarise(samples, objectives=self._plan.objectives, seed=self._plan.seed)
        windows = [(stage.labels, stage.start_s, stage.end_s) for stage in by_stage(samples)]
        metrics += resource_metrics(self._store.series(self._run.id), windows)
        levels = self._levels()
        if self._plan.sweep and levels:
            metrics.append(knee_metric(self._plan.sweep, levels))
        return [replace(metric, labels={**metric.labels, **self._plan.labels}) for metric in metrics]


def _raise_socket_limit() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard == resource.RLIM_INFINITY or soft < hard:
            wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
