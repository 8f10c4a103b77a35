"""The requests of a stage, ready to be sent: a stage's arrivals and lengths become prompts. Sends nothing."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from inhouse.bench.arrivals import arrivals, until
from inhouse.bench.plan import Closed, Open, Stage, Trace
from inhouse.bench.prompts import PromptWriter
from inhouse.bench.traces import TraceRequest, cap, read_trace, speed_up
from inhouse.core.records import Scalar
from inhouse.engines.base import ChatRequest, Message


@dataclass(frozen=True, slots=True)
class Work:
    """A request ready to be sent, and what its sample is tagged with."""

    request: ChatRequest
    tags: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StageWork:
    """All work of a stage, made as it is taken. `times_s`: when each piece is due, from the stage's start
    (None in a closed loop); `total`: how many pieces there will be, where that is known.
    """

    pieces: Iterator[Work]
    times_s: list[float] | None
    total: int | None


class WorkMaker:
    """Makes the requests of a run's stages, the same for the same seed.

    `fixed_length` holds every answer at its length (engines with ignore_eos). A trace is cut to `window`;
    `context` is the window that each request asks for, where the engine takes it with the request.
    """

    def __init__(
        self,
        writer: PromptWriter,
        model: str,
        *,
        seed: int,
        fixed_length: bool,
        window: int | None,
        context: int | None = None,
    ) -> None:
        self._writer = writer
        self._model = model
        self._seed = seed
        self._fixed_length = fixed_length
        self._window = window
        self._context = context

    def stage(self, stage: Stage) -> StageWork:
        """The stage's work."""
        rng = random.Random(f"{self._seed}:{stage.name}")
        match stage.arrival:
            case Closed():
                endless = (self._piece(stage, number) for number in itertools.count())
                return StageWork(itertools.islice(endless, stage.count), None, stage.count)
            case Open():
                endless_times = arrivals(stage.arrival, rng)
                times = list(until(endless_times, count=stage.count, duration_s=stage.duration_s))
                return StageWork((self._piece(stage, number) for number in range(len(times))), times, len(times))
        requests = self._trace(stage)
        pieces = (self._traced(stage, number, request) for number, request in enumerate(requests))
        return StageWork(pieces, [request.at_s for request in requests], len(requests))

    def warmup(self, stage: Stage, count: int) -> Iterator[Work]:
        """Unmeasured requests like the stage's own, tagged so."""
        if isinstance(stage.arrival, Trace) and self._window is not None:
            quarter = max(1, self._window // 4)
            prompt = max(self._writer.shortest, min(stage.prompt_tokens, 2 * quarter))
            stage = replace(stage, prompt_tokens=prompt, output_tokens=min(stage.output_tokens, quarter))
        for number in range(count):
            piece = self._piece(stage, number, "warm-up ")
            yield Work(piece.request, {**piece.tags, "warmup": True})

    def _piece(self, stage: Stage, number: int, prefix: str = "") -> Work:
        key = f"{prefix}{self._seed}:{stage.name}:{number}"
        prompt = self._writer.unique(key, stage.prompt_tokens, shared=stage.shared_prefix)
        # Even the chat template would be found in the cache; only a shared prefix is to be.
        cache = None if stage.shared_prefix else False
        return Work(self._request(prompt, stage.output_tokens, cache), stage.labels)

    def _trace(self, stage: Stage) -> list[TraceRequest]:
        assert isinstance(stage.arrival, Trace)
        requests = speed_up(read_trace(Path(stage.arrival.path)), stage.arrival.speed)
        in_time = until((request.at_s for request in requests), count=stage.count, duration_s=stage.duration_s)
        return requests[: len(list(in_time))]

    def _traced(self, stage: Stage, number: int, asked: TraceRequest) -> Work:
        fitted = asked if self._window is None else cap(asked, self._window)
        # A prompt shorter than the chat template cannot be sent at all; it becomes the shortest there is.
        tokens = max(fitted.prompt_tokens, self._writer.shortest)
        key = f"{self._seed}:{stage.name}:{number}"
        prompt = self._writer.blocks(key, tokens, fitted.blocks) if fitted.blocks else self._writer.unique(key, tokens)
        tags: dict[str, Scalar] = {"asked_prompt": asked.prompt_tokens, "asked_output": asked.output_tokens}
        if fitted is not asked:
            tags["capped"] = True
        return Work(self._request(prompt, fitted.output_tokens, None), {**stage.labels, **tags})

    def _request(self, prompt: str, tokens: int, cache: bool | None) -> ChatRequest:
        return ChatRequest(
            self._model,
            (Message("user", prompt),),
            max_tokens=tokens,
            temperature=0.0,
            ignore_eos=self._fixed_length,
            cache_prompt=cache,
            context=self._context,
        )


def check_traces(stages: Iterable[Stage]) -> None:
    """Reads every trace once, so that a bad one is refused before a model is loaded."""
    for stage in stages:
        if isinstance(stage.arrival, Trace):
            read_trace(Path(stage.arrival.path))
