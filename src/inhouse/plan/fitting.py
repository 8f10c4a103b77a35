"""Fits the service model to a bench's samples: what each kind of work in a step costs, by least squares.

Every gap between two tokens of a request is a step. Who else was being answered in it, how much their caches held
and whose prompts it took in follows from the other samples. Knows no engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inhouse.bench.metrics import StageSamples, by_stage
from inhouse.core.errors import BenchError, UsageError
from inhouse.core.records import Sample
from inhouse.plan.service import PROMPT_BATCH, ServiceModel
from inhouse.store.repository import Store

Floats = NDArray[np.float64]

_LEAST_GAPS = 20  # steps of a batch size, below which its cost would be chance
# Columns after those of the batch sizes.
_CACHE, _FIXED, _PROMPT, _SQUARE, _REQUEST = range(5)


@dataclass(frozen=True, slots=True)
class _Steps:
    """Steps seen in a stage: how long each took, and what was in it. `requests` is 0 where nobody decoded."""

    seconds: Floats
    requests: Floats
    work: Floats  # a row a step, columns as above


def service_of(store: Store, run_ids: Sequence[str]) -> ServiceModel:
    """The service model that kept benches of one engine and model show together.

    Raises:
        RunNotFound: no run goes by one of the ids.
        UsageError: they are of different models or machines.
        BenchError: their samples do not tell what a step costs.
    """
    runs = [store.get_run(run_id, kind="bench" if run_id == "last" else None) for run_id in run_ids]
    if len({(run.model, run.engine, run.environment.cpu, run.environment.cores) for run in runs}) != 1:
        raise UsageError("The runs are not of one model on one machine", do="Name runs of the same model and engine")
    slots = [count for run in runs if isinstance(count := run.config.get("slots"), int)]
    return fit_service(*(store.samples(run.id) for run in runs), slots=max(slots, default=None))


def fit_service(*runs: Iterable[Sample], slots: int | None = None) -> ServiceModel:
    """The service model that the samples of benches show.

    Args:
        runs: each one's samples, of several numbers of requests at once where the model is to know them.
        slots: how many requests the engine serves together; None: the most that were seen.

    Raises:
        BenchError: too few answers, or answers without tokens' times, to tell what a step costs.
    """
    stages = (stage for samples in runs for stage in by_stage(samples))
    seen = [steps for stage in stages if (steps := _steps(stage)) is not None]
    counts = np.concatenate([steps.requests for steps in seen]) if seen else np.zeros(0)
    sizes = [int(n) for n in np.unique(counts) if n and (counts == n).sum() >= _LEAST_GAPS]
    if not sizes:
        raise BenchError(
            "The run shows no steps to fit a service model to",
            why=f"it takes at least {_LEAST_GAPS} tokens that came one by one",
            do="Measure with inhouse bench run --streams 1,2,4,8 --prompt-tokens 64,256",
        )
    matrix = np.concatenate([np.hstack([_hats(steps.requests, sizes), steps.work]) for steps in seen])
    seconds = np.concatenate([steps.seconds for steps in seen])
    costs = _non_negative(matrix, seconds)
    ends = np.cumsum([len(steps.seconds) for steps in seen])[:-1]
    parts = zip(np.split(matrix @ costs, ends), np.split(seconds, ends), strict=True)
    rest = costs[len(sizes) :]
    return ServiceModel(
        slots=slots or max(sizes),
        decode_s=tuple(zip(sizes, np.maximum.accumulate(costs[: len(sizes)]).tolist(), strict=True)),
        cache_s=float(rest[_CACHE]),
        prompt_fixed_s=float(rest[_FIXED]),
        prompt_s=float(rest[_PROMPT]),
        prompt_square_s=float(rest[_SQUARE]),
        request_s=float(rest[_REQUEST]),
        method=f"fitted to {len(seconds)} measured steps",
        off=max(abs(float(said.sum() / was.sum()) - 1) for said, was in parts),
    )


def _steps(stage: StageSamples) -> _Steps | None:
    """The steps that a stage's samples show; None where there are none."""
    samples = [s for s in stage.answered if s.first_token_s is not None and s.token_times_s and s.prompt_tokens]
    if not samples:
        return None
    prompts = np.array([float((s.prompt_tokens or 0) - (s.cached_tokens or 0)) for s in samples])
    held = np.array([float(s.prompt_tokens or 0) for s in samples])
    outputs = np.array([float(s.completion_tokens or len(s.token_times_s)) for s in samples])
    first = np.array([s.token_times_s[0] for s in samples])
    last = np.array([s.token_times_s[-1] for s in samples])
    pieces = [np.array(s.token_times_s) for s in samples]
    # A piece of text may hold several tokens, and so be several steps.
    each = np.concatenate([np.full(len(p) - 1, n / len(p)) for p, n in zip(pieces, outputs, strict=True)])
    gaps = np.concatenate([np.diff(p) for p in pieces])
    middle = np.concatenate([(p[1:] + p[:-1]) / 2 for p in pieces])
    # After a request's last token the next step is taken to be as long as its usual one.
    usual = float(np.median(gaps)) if len(gaps) else 0.0
    following = np.concatenate([np.append(np.diff(p)[1:], usual) if len(p) > 1 else np.zeros(0) for p in pieces])
    single = np.isclose(each, 1.0, atol=0.2)
    until = middle + (gaps + following) / 2

    arrived = _Running(first, np.stack([np.ones_like(first), held, prompts, prompts**2], axis=1))
    left = _Running(last, np.stack([np.ones_like(last), held + outputs], axis=1))
    shares = [np.full((len(p), 1), n / len(p)) for p, n in zip(pieces, outputs, strict=True)]
    tokens = _Running(np.concatenate(pieces), np.concatenate(shares))
    there, gone = arrived.at(middle), left.at(middle)
    requests = there[:, 0] - gone[:, 0]
    cached = there[:, 1] - gone[:, 1] + tokens.at(middle)[:, 0]
    # The prompts that a step took in are those whose first token came at its end, nearer than at the next one's.
    taken = arrived.at(until) - there
    work = np.zeros((len(gaps), 5))
    work[:, _CACHE] = cached
    work[:, _FIXED] = taken[:, 0] > 0
    work[:, _PROMPT], work[:, _SQUARE] = taken[:, 2], taken[:, 3]
    # Prompts that do not fit into one step are taken in over several, of which the samples tell nothing.
    sent = _Running(np.array([s.start_s for s in samples]), prompts[:, None]).at(middle - gaps / 2)[:, 0]
    whole = (sent - there[:, 2] <= PROMPT_BATCH - requests) | (requests >= requests.max(initial=0))
    keep = single & (requests >= 1) & whole
    alone = _alone(samples, prompts)
    return _Steps(
        np.concatenate([gaps[keep] / each[keep], alone[0]]),
        np.concatenate([requests[keep], np.zeros(len(alone[0]))]),
        np.concatenate([work[keep], alone[1]]),
    )


def _alone(samples: Sequence[Sample], prompts: Floats) -> tuple[Floats, Floats]:
    """The times to first token of requests that no other was under way beside: their prompts' cost alone."""
    seconds, work = [], []
    for sample, prompt in zip(samples, prompts, strict=True):
        ttft = sample.ttft_s
        beside = any(
            other is not sample and other.start_s < sample.start_s + (ttft or 0) and other.end_s > sample.start_s
            for other in samples
        )
        if ttft is not None and not beside and prompt <= PROMPT_BATCH:
            seconds.append(ttft)
            work.append([0.0, 1.0, prompt, prompt * prompt, 1.0])
    return np.array(seconds), np.array(work).reshape(-1, 5)


class _Running:
    """Sums of what has happened up to a time."""

    def __init__(self, times: Floats, values: Floats) -> None:
        order = np.argsort(times, kind="stable")
        self._times = times[order]
        self._sums = np.vstack([np.zeros((1, values.shape[1])), np.cumsum(values[order], axis=0)])

    def at(self, when: Floats) -> Floats:
        """The sums at each of those times, a row a time."""
        found: Floats = self._sums[np.searchsorted(self._times, when, side="right")]
        return found


def _hats(requests: Floats, sizes: Sequence[int]) -> Floats:
    """What share each known batch size has in a step of so many requests: 1 at its own, linear between two."""
    shares = np.stack([np.interp(requests, sizes, np.eye(len(sizes))[i]) for i in range(len(sizes))], axis=1)
    shares[requests == 0] = 0.0
    return shares


def _non_negative(matrix: Floats, seconds: Floats) -> Floats:
    """Least squares with no cost below zero (Lawson and Hanson's idea, the most negative one leaving at a time)."""
    scale = np.abs(matrix).max(axis=0)
    active = scale > 0
    costs = np.zeros(matrix.shape[1])
    while active.any():
        found = np.linalg.lstsq(matrix[:, active] / scale[active], seconds, rcond=None)[0] / scale[active]
        if (found >= 0).all():
            costs[active] = found
            return costs
        active[np.flatnonzero(active)[np.argmin(found * scale[active])]] = False
    return costs
