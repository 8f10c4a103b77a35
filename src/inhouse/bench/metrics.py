"""From samples to figures: percentiles, rates and goodput of each stage, with bootstrap intervals.

Failed requests count as errors and in nothing else; a request without a first token has no TTFT. Knows
samples only, not how they were made.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inhouse.bench.plan import Objectives
from inhouse.bench.statistics import (
    QUANTILES,
    Clustered,
    Estimate,
    Floats,
    mean,
    quantile,
    ratio_of_sums,
    supported,
)
from inhouse.core.records import Metric, Sample, Scalar

LABELS = (
    "stage",
    "streams",
    "rate",
    "arrival",
    "trace",
    "speed",
    "prompt_tokens",
    "output_tokens",
    "shared_prefix",
    "cache",
)
"""The tags that say what a figure is a figure of; other tags are of one request only."""


def prefill_s(sample: Sample) -> float | None:
    """The engine's own time on the prompt, where it says."""
    return sample.engine_timings.get("prompt_s")


def queue_s(sample: Sample) -> float | None:
    """Time before the engine turned to the prompt: its own word, or TTFT less prefill, where it says that."""
    said = sample.engine_timings.get("queue_s")
    if said is not None:
        return said
    ttft, prefill = sample.ttft_s, prefill_s(sample)
    return None if ttft is None or prefill is None else max(0.0, ttft - prefill)


LATENCIES: dict[str, Callable[[Sample], float | None]] = {
    "ttft_s": lambda sample: sample.ttft_s,
    "tpot_s": lambda sample: sample.tpot_s,
    "e2e_s": lambda sample: sample.e2e_s,
    "e2e_from_intended_s": lambda sample: sample.e2e_from_intended_s,
    "client_wait_s": lambda sample: sample.client_wait_s,
    "queue_s": queue_s,
    "prefill_s": prefill_s,
}
"""The durations that each request has one of."""


@dataclass(frozen=True, slots=True)
class StageSamples:
    """A stage's measured samples, and the stretch of time that its rates are taken over."""

    labels: Mapping[str, Scalar]
    samples: tuple[Sample, ...]

    @property
    def answered(self) -> tuple[Sample, ...]:
        """Those without an error."""
        return tuple(sample for sample in self.samples if sample.ok)

    @property
    def start_s(self) -> float:
        """When the first request was due."""
        return min(sample.intended_start_s for sample in self.samples)

    @property
    def end_s(self) -> float:
        """When the last answer ended."""
        return max(sample.end_s for sample in self.samples)

    @property
    def window(self) -> tuple[float, float]:
        """The time over which the load was as it should be: in a closed loop while all streams were busy
        (until the first stream finds nothing more to do), otherwise from first to last.
        """
        if "streams" not in self.labels:
            return self.start_s, self.end_s
        last_start = max(sample.start_s for sample in self.samples)
        return self.start_s, min(sample.end_s for sample in self.samples if sample.end_s > last_start)


def by_stage(samples: Iterable[Sample]) -> list[StageSamples]:
    """The measured samples (no warm-up) by stage, in order of time."""
    groups: dict[Scalar, list[Sample]] = {}
    for sample in samples:
        if not sample.tags.get("warmup"):
            groups.setdefault(sample.tags.get("stage"), []).append(sample)
    return [
        StageSamples({name: group[0].tags[name] for name in LABELS if name in group[0].tags}, tuple(group))
        for group in groups.values()
    ]


def summarise(samples: Iterable[Sample], *, objectives: Objectives | None = None, seed: int = 0) -> list[Metric]:
    """All figures of a run's samples, stage by stage."""
    return [metric for stage in by_stage(samples) for metric in _stage_metrics(stage, objectives, seed)]


def attained(stage: StageSamples, objectives: Objectives) -> float:
    """The share of a stage's requests that kept all objectives; a failed request keeps none."""
    return sum(_good(sample, objectives) for sample in stage.samples) / len(stage.samples)


def output_tokens_s(stage: StageSamples) -> float:
    """Tokens that arrived a second within the stage's window."""
    start, end = stage.window
    tokens = 0.0
    for sample in stage.answered:
        times = sample.token_times_s
        if times:
            inside = sum(start <= at <= end for at in times)
            tokens += (sample.completion_tokens or len(times)) * inside / len(times)
    return tokens / (end - start) if end > start else 0.0


def _stage_metrics(stage: StageSamples, objectives: Objectives | None, seed: int) -> list[Metric]:
    # Seeded by the stage's name too, so that a stage's figures do not hang on the stages before it.
    rng = np.random.default_rng([seed, zlib.crc32(str(stage.labels.get("stage")).encode())])
    answered = stage.answered
    found = [
        Metric("requests", len(stage.samples), "", stage.labels, n=len(stage.samples)),
        _error_rate(stage, rng),
    ]
    kinds = Counter(sample.error.kind for sample in stage.samples if sample.error is not None)
    found += [
        Metric("errors", number, "", {**stage.labels, "kind": kind}, n=len(stage.samples), method="counted")
        for kind, number in kinds.items()
    ]
    for name, of in LATENCIES.items():
        values = [value for sample in answered if (value := of(sample)) is not None]
        found += _latency(name, np.array(values), stage.labels, rng)
    found += _gaps(answered, stage.labels, rng)
    found += _rates(stage, objectives, rng)
    found += _lengths(answered, stage.labels)
    if "trace" in stage.labels:
        capped = sum(bool(sample.tags.get("capped")) for sample in stage.samples)
        found.append(Metric("capped_requests", capped, "", stage.labels, n=len(stage.samples), method="counted"))
    return found


def percentiles(name: str, values: Floats, labels: Mapping[str, Scalar], rng: np.random.Generator) -> list[Metric]:
    """The percentiles of durations in seconds that there are enough of them for, under the label `stat`."""
    if not len(values):
        return []
    return [
        _metric(name, quantile(values, q, rng), {**labels, "stat": stat}, f"bootstrap {stat}")
        for stat, q in QUANTILES.items()
        if supported(stat, len(values))
    ]


def _latency(name: str, values: Floats, labels: Mapping[str, Scalar], rng: np.random.Generator) -> list[Metric]:
    if not len(values):
        return []
    found = percentiles(name, values, labels, rng)
    found.append(_metric(name, mean(values, rng), {**labels, "stat": "mean"}, "bootstrap mean"))
    if name == "tpot_s" and (median := found[0]).value > 0:
        low = 1 / median.high if median.high else None
        high = 1 / median.low if median.low else None
        found.append(
            Metric("decode_tokens_s", 1 / median.value, "tokens/s", labels, low, high, median.n, "1 ÷ TPOT p50")
        )
    return found


def _gaps(answered: Sequence[Sample], labels: Mapping[str, Scalar], rng: np.random.Generator) -> list[Metric]:
    """Inter-token latencies, resampled by request."""
    clusters = [np.array(sample.itl_s) for sample in answered if len(sample.token_times_s) > 1]
    if not clusters:
        return []
    pooled = Clustered(clusters)
    method = f"bootstrap by request ({len(clusters)})"
    found = [
        _metric("itl_s", pooled.quantile(q, rng), {**labels, "stat": stat}, method)
        for stat, q in QUANTILES.items()
        if supported(stat, len(pooled.values))
    ]
    sums = np.array([cluster.sum() for cluster in clusters])
    sizes = np.array([float(len(cluster)) for cluster in clusters])
    found.append(_metric("itl_s", ratio_of_sums(sums, sizes, rng), {**labels, "stat": "mean"}, method))
    return found


def _rates(stage: StageSamples, objectives: Objectives | None, rng: np.random.Generator) -> list[Metric]:
    """Requests and tokens a second in the stage's window; a request counts by the share of it that lies within.

    The interval of a closed loop's rate is that of Σ tokens ÷ Σ latency over requests, to which the rate is
    proportional; of an open loop's token rates, that of the tokens a request. The rate of an open loop's
    requests is set by its schedule and has none.
    """
    answered = stage.answered
    start, end = stage.window
    if not answered or end <= start:
        return []
    length = end - start
    share = np.array([_share(sample, start, end) for sample in answered])
    latency = np.array([max(sample.e2e_s, 1e-9) for sample in answered])
    ones = np.ones_like(share)
    closed = "streams" in stage.labels
    lower = latency if closed else ones

    def rate(name: str, value: float, upper: Floats) -> Metric:
        unit = "requests/s" if name.endswith("requests_s") else "tokens/s"
        if not upper.any():
            return Metric(name, 0.0, unit, stage.labels, n=len(answered), method="counted")
        ratio = ratio_of_sums(upper, lower, rng)
        low, high = (None if edge is None else value * edge / ratio.value for edge in (ratio.low, ratio.high))
        return Metric(name, value, unit, stage.labels, low, high, len(answered), "bootstrap by request")

    requests = float(share.sum()) / length
    found = [
        rate("requests_s", requests, ones)
        if closed
        else Metric("requests_s", requests, "requests/s", stage.labels, n=len(answered)),
        rate(
            "output_tokens_s",
            output_tokens_s(stage),
            np.array([float(s.completion_tokens or len(s.token_times_s)) for s in answered]),
        ),
    ]
    prompts = np.array([float(sample.prompt_tokens or 0) for sample in answered])
    if prompts.any():
        found.append(rate("input_tokens_s", float((share * prompts).sum()) / length, prompts))
    if objectives:
        good = np.array([float(_good(sample, objectives)) for sample in answered])
        labels = {**stage.labels, "objectives": str(objectives)}
        made = rate("goodput_requests_s", float((share * good).sum()) / length, good)
        found.append(Metric(made.name, made.value, made.unit, labels, made.low, made.high, made.n, made.method))
        kept = attained(stage, objectives)
        found.append(Metric("goodput_share", kept, "", labels, n=len(stage.samples)))
    return found


def _lengths(answered: Sequence[Sample], labels: Mapping[str, Scalar]) -> list[Metric]:
    """What the requests really were, in the engine's own counts; and what of the prompts came from its cache."""
    found = []
    prompts = [sample.prompt_tokens for sample in answered if sample.prompt_tokens is not None]
    outputs = [sample.completion_tokens for sample in answered if sample.completion_tokens is not None]
    for name, values in (("actual_prompt_tokens", prompts), ("actual_output_tokens", outputs)):
        if values:
            figures = {"mean": sum(values) / len(values), "min": min(values), "max": max(values)}
            found += [
                Metric(name, value, "tokens", {**labels, "stat": stat}, n=len(values))
                for stat, value in figures.items()
            ]
    cached = [(s.cached_tokens, s.prompt_tokens) for s in answered if s.cached_tokens is not None and s.prompt_tokens]
    if cached:
        found.append(
            Metric("cached_share", sum(c for c, _ in cached) / sum(p for _, p in cached), "", labels, n=len(cached))
        )
    speeds = [
        (s.prompt_tokens - (s.cached_tokens or 0)) / spent
        for s in answered
        if s.prompt_tokens is not None and (spent := prefill_s(s))
    ]
    if speeds:
        found.append(
            Metric("prefill_tokens_s", float(np.median(speeds)), "tokens/s", labels, n=len(speeds), method="median")
        )
    return found


def _error_rate(stage: StageSamples, rng: np.random.Generator) -> Metric:
    failed = np.array([float(not sample.ok) for sample in stage.samples])
    return _metric("error_rate", mean(failed, rng), stage.labels, "bootstrap mean", unit="")


def _share(sample: Sample, start: float, end: float) -> float:
    inside = min(sample.end_s, end) - max(sample.start_s, start)
    return min(1.0, max(0.0, inside / max(sample.e2e_s, 1e-9)))


def _good(sample: Sample, objectives: Objectives) -> bool:
    if not sample.ok:
        return False
    wait = sample.client_wait_s
    limits = (
        (objectives.ttft_s, None if sample.ttft_s is None else sample.ttft_s + wait),
        (objectives.tpot_s, sample.tpot_s if sample.tpot_s is not None else 0.0),  # one token has no TPOT to break
        (objectives.e2e_s, sample.e2e_from_intended_s),
    )
    return all(limit is None or (value is not None and value <= limit) for limit, value in limits)


def _metric(name: str, found: Estimate, labels: Mapping[str, Scalar], method: str, unit: str = "s") -> Metric:
    return Metric(name, found.value, unit, labels, found.low, found.high, found.n, method)
