"""Says in what two runs differ beyond noise: ratios of medians and rates with intervals, corrected for many looks."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from inhouse.bench.cold_start import PARTS
from inhouse.bench.metrics import LATENCIES, StageSamples, by_stage, output_tokens_s
from inhouse.bench.statistics import Clustered, Floats, holm, quantile_draws, ratio_draws, two_sided_p
from inhouse.core.environment import Environment
from inhouse.core.records import Metric, Run, RunStatus, Sample, Scalar
from inhouse.store.repository import Store

Verdict = Literal["better", "worse", "within noise", "too few samples", "not tested"]

RESAMPLES = 5_000
_NEEDED = 5  # samples on each side under which nothing can be said
_COMPARED = ("ttft_s", "tpot_s", "e2e_from_intended_s", "queue_s", "prefill_s")
_ENVIRONMENT = (
    "cpu",
    "cores",
    "instruction_sets",
    "ram_bytes",
    "os",
    "gpus",
    "engine",
    "engine_version",
    "model_sha256",
)
_CONFIG = ("warmup", "seed", "text", "objectives", "context", "repeats", "drop_page_cache", "points", "fill_tokens")
# Where more is worse; of all else that is compared, more is better.
_LESS_IS_BETTER = ("_s", "_bytes", "_rate")
_RATES = ("tokens_s", "requests_s", "bytes_s")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure in both runs. `ratio` is B ÷ A, with its 95 % interval; None where there is none.

    `verdict` says whether B is better or worse, at 5 % over all rows together (Holm's correction).
    """

    name: str
    labels: Mapping[str, Scalar]
    unit: str
    a: float
    b: float
    ratio: float | None
    low: float | None
    high: float | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side; `warnings` say what else differs between them, so that the rows are read rightly."""

    a: str
    b: str
    rows: tuple[Row, ...]
    warnings: tuple[str, ...]


def compare_runs(store: Store, a_id: str, b_id: str) -> Comparison:
    """Compares the stages that both runs have, by their samples; runs without samples by their metrics.

    Noise is what scatters within the runs. What differs between two runs on another day (another load on the
    machine, another temperature) is not in it: repeat a run to see that.
    """
    a, b = store.get_run(a_id), store.get_run(b_id)
    stages = _matched(by_stage(store.samples(a.id)), by_stage(store.samples(b.id)))
    tested = [row for before, after in stages for row in _stage_rows(before, after)]
    fallen = holm([p for _, p in tested if p is not None])
    verdicts = iter(fallen)
    rows = [row if p is None else _judged(row, next(verdicts)) for row, p in tested]
    return Comparison(a.id, b.id, (*rows, *_metric_rows(store, a, b, bool(stages))), tuple(_warnings(a, b)))


_Tested = tuple[Row, float | None]


def _stage_rows(a: StageSamples, b: StageSamples) -> Iterator[_Tested]:
    rng = np.random.default_rng(zlib.crc32(str(a.labels.get("stage")).encode()))
    # Of a cold start, the parts; the latency of its short answer says nothing more.
    if "cache" in a.labels:
        for part, part_of in PARTS.items():
            yield from _median(a, b, "cold_start_s", part_of, rng, {"part": part})
        return
    for name in _COMPARED:
        yield from _median(a, b, name, LATENCIES[name], rng)
    yield from _gaps(a, b, rng)
    yield from _throughput(a, b, rng)
    yield from _errors(a, b, rng)


def _median(
    a: StageSamples,
    b: StageSamples,
    name: str,
    of: Callable[[Sample], float | None],
    rng: np.random.Generator,
    labels: Mapping[str, Scalar] | None = None,
) -> Iterator[_Tested]:
    left, right = (np.array([v for s in stage.answered if (v := of(s)) is not None]) for stage in (a, b))
    if len(left) and len(right):
        yield _row(
            name,
            {**a.labels, **(labels or {}), "stat": "p50"},
            "s",
            (float(np.median(left)), float(np.median(right))),
            min(len(left), len(right)),
            lambda: (quantile_draws(left, 0.5, rng, RESAMPLES), quantile_draws(right, 0.5, rng, RESAMPLES)),
        )


def _gaps(a: StageSamples, b: StageSamples, rng: np.random.Generator) -> Iterator[_Tested]:
    left, right = ([np.array(s.itl_s) for s in stage.answered if len(s.token_times_s) > 1] for stage in (a, b))
    if left and right:
        before, after = Clustered(left), Clustered(right)
        yield _row(
            "itl_s",
            {**a.labels, "stat": "p50"},
            "s",
            (float(np.median(before.values)), float(np.median(after.values))),
            min(len(left), len(right)),
            lambda: (before.quantile_draws(0.5, rng, RESAMPLES), after.quantile_draws(0.5, rng, RESAMPLES)),
        )


def _throughput(a: StageSamples, b: StageSamples, rng: np.random.Generator) -> Iterator[_Tested]:
    """Tokens a second of closed loops; those of an open loop are set by its schedule."""
    if "streams" in a.labels and a.answered and b.answered:
        yield _row(
            "output_tokens_s",
            a.labels,
            "tokens/s",
            (output_tokens_s(a), output_tokens_s(b)),
            min(len(a.answered), len(b.answered)),
            lambda: (_rate_draws(a, rng), _rate_draws(b, rng)),
        )


def _rate_draws(stage: StageSamples, rng: np.random.Generator) -> Floats:
    """The rate in each resample: what was counted, scattered as Σ tokens ÷ Σ latency over requests scatters."""
    tokens = np.array([float(s.completion_tokens or len(s.token_times_s)) for s in stage.answered])
    latency = np.array([max(s.e2e_s, 1e-9) for s in stage.answered])
    draws = ratio_draws(tokens, latency, rng, RESAMPLES)
    scaled: Floats = draws * (output_tokens_s(stage) / (tokens.sum() / latency.sum()))
    return scaled


def _errors(a: StageSamples, b: StageSamples, rng: np.random.Generator) -> Iterator[_Tested]:
    counts = [(len(stage.samples), len(stage.samples) - len(stage.answered)) for stage in (a, b)]
    if any(failed for _, failed in counts):
        rates = [failed / n for n, failed in counts]
        # Laplace's rule keeps a run without a failure from being taken for one that can have none.
        draws = [rng.binomial(n, (failed + 1) / (n + 2), RESAMPLES) / n for n, failed in counts]
        row = Row("error_rate", a.labels, "", rates[0], rates[1], None, None, None, "within noise")
        yield row, two_sided_p(draws[1] - draws[0], null=0.0)


def _row(
    name: str,
    labels: Mapping[str, Scalar],
    unit: str,
    values: tuple[float, float],
    n: int,
    draw: Callable[[], tuple[Floats, Floats]],
) -> _Tested:
    a, b = values
    ratio = b / a if a > 0 else None
    row = Row(name, labels, unit, a, b, ratio, None, None, "too few samples")
    if n < _NEEDED:
        return row, None
    left, right = draw()
    if ratio is None or not (left > 0).all():
        return replace(row, verdict="not tested"), None
    ratios = right / left
    low, high = np.quantile(ratios, (0.025, 0.975))
    return replace(row, low=float(low), high=float(high), verdict="within noise"), two_sided_p(ratios)


def _judged(row: Row, differs: bool) -> Row:
    if not differs:
        return row
    less = row.name.endswith(_LESS_IS_BETTER) and not row.name.endswith(_RATES)
    return replace(row, verdict="better" if (row.b < row.a) == less else "worse")


def _matched(a: Sequence[StageSamples], b: Sequence[StageSamples]) -> list[tuple[StageSamples, StageSamples]]:
    after = {stage.labels.get("stage"): stage for stage in b}
    return [(stage, after[name]) for stage in a if (name := stage.labels.get("stage")) in after]


def _metric_rows(store: Store, a: Run, b: Run, sampled: bool) -> Iterator[Row]:
    """Figures that do not stem from samples: not tested, since a single figure tells nothing of its noise."""
    after = {(m.name, _key(m)): m for m in store.metrics(b.id)}
    for metric in store.metrics(a.id):
        if sampled and not (metric.name == "rss_bytes" or metric.name.startswith("knee_")):
            continue
        other = after.get((metric.name, _key(metric)))
        if other is not None:
            ratio = other.value / metric.value if metric.value else None
            yield Row(
                metric.name, metric.labels, metric.unit, metric.value, other.value, ratio, None, None, "not tested"
            )  # fmt: skip


def _key(metric: Metric) -> tuple[tuple[str, Scalar], ...]:
    return tuple(sorted((name, value) for name, value in metric.labels.items() if name != "broken"))


def _warnings(a: Run, b: Run) -> Iterator[str]:
    if a.id == b.id:
        yield "A and B are the same run"
    if a.kind != b.kind:
        yield f"A is a run of kind {a.kind}, B of kind {b.kind}"
    for run, name in ((a, "A"), (b, "B")):
        if run.status is not RunStatus.DONE:
            yield f"{name} is {run.status.value}, so parts of it are missing"
    if a.model != b.model:
        yield f"The models differ: {a.model} and {b.model}"
    elif a.environment.model_sha256 != b.environment.model_sha256:
        yield "The model's file is not the same in both runs"
    for field in _ENVIRONMENT:
        left, right = _shown(a.environment, field), _shown(b.environment, field)
        if left != right:
            yield f"The environments differ in {field}: {left} and {right}"
    for key in _CONFIG:
        if a.config.get(key) != b.config.get(key):
            yield f"The configurations differ in {key}: {a.config.get(key)} and {b.config.get(key)}"


def _shown(environment: Environment, field: str) -> Any:
    value = getattr(environment, field)
    return [gpu.name for gpu in value] if field == "gpus" else value
