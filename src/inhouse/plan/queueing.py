"""Predicts rates and times under load from a service model in milliseconds: a queue with state-dependent service.

The number of requests at a machine is taken for a birth-death process whose death rate is what the engine completes
while it serves so many at once; for processor sharing its distribution does not hang on how service times scatter.
The simulation makes no such assumption, and takes a thousand times as long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inhouse.bench.statistics import QUANTILES
from inhouse.plan.demand import Lengths
from inhouse.plan.service import ServiceModel

Floats = NDArray[np.float64]

KNEE_SHARE = 0.9
"""The knee is the fewest requests at once that bring this share of the most requests a second."""
_DRAWS = 20_000
_TAIL = 1e-9  # states less likely than this are left out


@dataclass(frozen=True, slots=True)
class LoadPrediction:
    """What a load brings. `utilisation` is the load over the capacity; at 1 and above nothing else can be told.

    `ttft_s` and `e2e_s` hold percentiles by name (p50, p90, p95, p99); `served` and `waiting` are mean numbers of
    requests over all machines.
    """

    requests_s: float
    utilisation: float
    output_tokens_s: float
    served: float
    waiting: float
    waiting_share: float
    ttft_s: Mapping[str, float]
    e2e_s: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Shape:
    """What the queue needs to know of the lengths, weighed as the engine meets them."""

    prefill_s: float
    decode_tokens: float
    cached: float
    whole: float
    scatter: float


def shape_of(model: ServiceModel, lengths: Lengths) -> Shape:
    """The mean cost of the prompts, decode tokens, tokens held while decoding (a long answer counts longer)."""
    prompts, outputs = lengths.prompt_tokens.astype(float), lengths.output_tokens.astype(float)
    prefill = np.array([model.prefill_s(tokens) for tokens in prompts])
    work = prefill + outputs * model.step_s(max(1, model.slots // 2)) / max(1, model.slots // 2)
    return Shape(
        prefill_s=float(prefill.mean()),
        decode_tokens=float(np.maximum(0.0, outputs - 1).mean()),
        cached=float(((prompts + outputs / 2) * outputs).sum() / outputs.sum()),
        whole=float((prompts + outputs).mean()),
        scatter=float((work.std() / work.mean()) ** 2),
    )


def rates(model: ServiceModel, lengths: Lengths) -> Floats:
    """Requests a second that one machine completes while it serves 1, 2, … requests, up to as many as it can."""
    shape = shape_of(model, lengths)
    counts = np.arange(1, model.fitting(shape.whole) + 1)
    steps = np.array([model.step_s(int(n), n * shape.cached) for n in counts])
    # More at once may bring less; the engine still serves them, so that it stays what it is.
    found: Floats = counts / (counts * shape.prefill_s + shape.decode_tokens * steps)
    return found


def capacity(model: ServiceModel, lengths: Lengths, machines: int = 1) -> float:
    """The most requests a second that the machines complete, all of them busy with all that they serve at once."""
    return machines * float(rates(model, lengths)[-1])


def knee(model: ServiceModel, lengths: Lengths) -> int:
    """The fewest requests at once that bring nearly (KNEE_SHARE) the most requests a second."""
    found = rates(model, lengths)
    return int(np.argmax(found >= KNEE_SHARE * found.max())) + 1


def predict_load(
    model: ServiceModel, lengths: Lengths, rate: float, *, machines: int = 1, burst: float = 1.0, seed: int = 0
) -> LoadPrediction:
    """What a rate of requests brings on machines behind one queue.

    Args:
        model: what a step takes on one machine.
        lengths: of the requests.
        rate: requests a second.
        machines: how many there are.
        burst: standard deviation of the gaps between arrivals over their mean.
        seed: fixes the draws that percentiles are taken over.
    """
    shape, each = shape_of(model, lengths), rates(model, lengths)
    slots = machines * len(each)
    most = machines * float(each[-1])
    utilisation = rate / most
    output = lengths.mean[1]
    if utilisation >= 1:
        forever = {stat: float("inf") for stat in QUANTILES}
        return LoadPrediction(rate, utilisation, most * output, slots, float("inf"), 1.0, forever, forever)
    # While n requests are there, each machine serves n ÷ machines of them; below one, only some machines work.
    busy = np.arange(1, slots + 1)
    deaths = np.where(
        busy >= machines, machines * np.interp(busy / machines, np.arange(1, len(each) + 1), each), busy * each[0]
    )
    chain = np.concatenate([[0.0], np.cumsum(np.log(rate / deaths))])
    weights = np.exp(chain - chain.max())
    queued = weights[-1] * utilisation / (1 - utilisation)  # all states beyond the slots, a geometric series
    total = weights.sum() + queued
    states = weights / total
    waiting_share = float(states[-1] + queued / total)
    # Bursts and scatter of lengths stretch a queue by half the sum of their squared variations (Kingman 1961).
    stretch = (burst**2 + shape.scatter) / 2
    wait_s = stretch / (most - rate)
    rng = np.random.default_rng(seed)
    seen = np.minimum(rng.choice(slots + 1, _DRAWS, p=states / states.sum()), slots - 1)
    waits = rng.random(_DRAWS) < waiting_share
    waited = np.where(waits, rng.exponential(wait_s, _DRAWS), 0.0)
    mean = float((np.minimum(np.arange(slots + 1) + 1, slots) * states).sum() + slots * queued / total)
    # Half of what was met on arrival has gone when half of one's own time is over.
    beside = np.where(waits, slots, (seen + 1 + mean) / 2) / machines
    drawn = rng.integers(0, len(lengths.prompt_tokens), _DRAWS)
    prompts, outputs = lengths.prompt_tokens[drawn].astype(float), lengths.output_tokens[drawn].astype(float)
    ttft, e2e = _times(model, shape, prompts, outputs, np.maximum(1.0, beside), rate / machines, rng)
    return LoadPrediction(
        requests_s=rate,
        utilisation=utilisation,
        output_tokens_s=rate * output,
        served=float((np.arange(slots + 1) * states).sum() + slots * queued / total),
        waiting=float(waiting_share * rate * wait_s),
        waiting_share=waiting_share,
        ttft_s={stat: float(np.quantile(waited + ttft, q)) for stat, q in QUANTILES.items()},
        e2e_s={stat: float(np.quantile(waited + e2e, q)) for stat, q in QUANTILES.items()},
    )


def _times(
    model: ServiceModel,
    shape: Shape,
    prompts: Floats,
    outputs: Floats,
    beside: Floats,
    rate: float,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Time to first and to last token, without waiting for a slot, of requests served `beside` others on average."""
    sizes = np.arange(1, model.slots + 1)
    known = np.array([model.step_s(int(n)) for n in sizes])
    steps = np.interp(beside, sizes, known) + model.cache_s * beside * shape.cached
    others = np.interp(beside - 1, sizes, known, left=0.0) + model.cache_s * (beside - 1) * shape.cached
    own = np.array([model.prefill_s(tokens) for tokens in prompts])
    # Prompts queue among themselves (M/G/1: the rest of the one under way, and those before), and the step under way
    # is met half done. What arrives meanwhile is taken in together with this prompt.
    taken = min(0.95, rate * shape.prefill_s)
    rest_s = float((own**2).mean() / (2 * own.mean())) / (1 - taken)
    meets = rng.random(len(prompts)) < taken
    met = np.where(meets, rng.exponential(rest_s, len(prompts)), 0.0)
    met = np.minimum(met, np.maximum(1.0, beside) * shape.prefill_s) * (1 + taken / 2)
    ttft = model.request_s + met + others * rng.random(len(prompts)) + own + others
    # While an answer is decoded each of the others ends about once, and its successor's prompt is taken in.
    ends = rng.poisson(np.maximum(0.0, beside - 1) * outputs / max(1.0, shape.decode_tokens))
    return ttft, ttft + (outputs - 1).clip(0) * steps + ends * shape.prefill_s
