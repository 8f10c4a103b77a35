"""One run of a study's part under way: sends its requests, keeps their samples, and its figures at the end."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from inhouse.bench.client import measure
from inhouse.bench.keeping import ending, origin_of
from inhouse.bench.metrics import percentiles, summarise
from inhouse.bench.plan import Objectives
from inhouse.bench.prompts import PromptWriter, calibrate
from inhouse.bench.workload import Work
from inhouse.core.errors import EngineError, EngineOverloaded
from inhouse.core.records import Metric, Sample, Scalar
from inhouse.engines.base import ChatRequest, Engine, Message
from inhouse.models.catalogue import find_entry
from inhouse.study.base import Context


@dataclass(slots=True)
class Recording:
    """A run's samples and figures so far. `objectives` are what goodput counts by."""

    run_id: str
    origin: float
    seed: int
    samples: list[Sample] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    objectives: Objectives | None = None
    stage_of: Callable[[Sample], str] | None = None
    """Names the stage of a sample, where that can be told at the end only."""

    async def send(self, engine: Engine, work: Work, due: float | None = None) -> Sample:
        """Sends it and keeps its sample; a refusal that said when to come back is tagged with that."""
        errors: list[EngineError] = []
        index = len(self.samples)
        intended_s = None if due is None else due - self.origin
        sample = await measure(
            engine, work.request, index=index, origin=self.origin, intended_s=intended_s, tags=work.tags,
            on_error=errors.append,
        )  # fmt: skip
        if errors and isinstance(errors[0], EngineOverloaded) and errors[0].retry_after_s is not None:
            sample = replace(sample, tags={**sample.tags, "retry_after_s": errors[0].retry_after_s})
        self.samples.append(replace(sample, index=len(self.samples)))
        return sample

    def add(
        self, name: str, value: float, unit: str = "", labels: Mapping[str, Scalar] | None = None,
        n: int | None = None, method: str = "counted",
    ) -> None:  # fmt: skip
        """Adds a figure."""
        self.metrics.append(Metric(name, value, unit, labels or {}, n=n, method=method))

    def add_times(self, name: str, values: Iterable[float], labels: Mapping[str, Scalar] | None = None) -> None:
        """Adds the percentiles of durations in seconds that there are enough of them for."""
        self.metrics += percentiles(name, np.array(list(values)), labels or {}, np.random.default_rng(self.seed))


@contextmanager
def recording(context: Context, part: str, wanted: frozenset[str], **config: Any) -> Iterator[Recording]:
    """A run of kind "gateway"; at its end samples and figures are kept, of the usual figures those `wanted`."""
    store = context.store
    environment = replace(context.environment, engine="gateway")
    run = store.create_run(
        "gateway", {"name": part, **config}, seed=context.config.seed, environment=environment,
        model=context.config.model, engine="gateway", study_id=context.study.id,
    )  # fmt: skip
    with ending(store, run):
        record = Recording(run.id, origin_of(run), context.config.seed)
        yield record
        if record.stage_of is not None:
            record.samples = [replace(sample, tags={"stage": record.stage_of(sample)}) for sample in record.samples]
        store.add_samples(run.id, record.samples)
        usual = summarise(record.samples, objectives=record.objectives, seed=record.seed)
        store.set_metrics(run.id, [*(metric for metric in usual if metric.name in wanted), *record.metrics])


@dataclass(slots=True)
class Prompts:
    """Requests of one shape, each with words of its own, so that no cache of the engine's shortens one."""

    writer: PromptWriter
    model: str
    prompt_tokens: int
    output_tokens: int
    seed: int
    made: int = 0

    def next(self, tags: Mapping[str, Scalar]) -> Work:
        """The next request."""
        self.made += 1
        tokens = max(self.prompt_tokens, self.writer.shortest + 8)
        prompt = self.writer.unique(f"{self.seed}:{self.made}", tokens)
        return Work(
            ChatRequest(self.model, (Message("user", prompt),), max_tokens=self.output_tokens, temperature=0.0), tags
        )


async def prompts(context: Context, engine: Engine, prompt_tokens: int, output_tokens: int) -> Prompts:
    """A maker of requests about so long, in the study's language where the model knows it; sends two for it."""
    model = context.config.model
    korean = context.config.lang == "ko" and "ko" in find_entry(model).languages
    writer = await calibrate(engine, model, text="ko" if korean else "en", nonce=uuid.uuid4().hex)
    return Prompts(writer, model, prompt_tokens, output_tokens, context.config.seed)


def deadline(context: Context, share: float = 1.0, *, least_s: float = 2.0) -> float:
    """When a stretch of the part that gets that share of its time is over, on time.perf_counter()."""
    return time.perf_counter() + max(least_s, context.seconds * share)
