"""Predicts decode speed from a model's shape and a machine's memory bandwidth: a roofline with two roofs.

To generate one token all weights are read once. How long that takes is bounded by the memory (bytes over
bandwidth) and by the cores (what the kernel of each tensor type costs for each byte); where both are near,
neither is reached. Points measured on the machine replace what is assumed about it. Knows no engine.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from inhouse.core.environment import usable_cores
from inhouse.models.gguf import GgufInfo

# Share of a read bandwidth that llama.cpp's matrix kernels reach where memory is the limit. Published decode
# speeds of 4-bit 7B models lie at 60 to 80 % of bandwidth over size (i5-6500 75 %, Ryzen 5700G 75 %, P40 63 %).
EFFICIENCY = 0.75
# What one core needs, in seconds: for each byte of a tensor type, and for each row of a matrix on top. From
# made-up models of one type and two widths each (benchmarks/kernel_cost.py), on one 2.6 GHz Zen 4 core with
# llama.cpp's AVX2 kernels. Types that were not measured stand with their nearest relative.
KERNEL_COST = {
    "F32": 40e-12, "F16": 40e-12, "BF16": 40e-12, "Q8_0": 62e-12,
    "Q4_0": 60e-12, "Q4_1": 79e-12, "Q5_0": 98e-12, "Q5_1": 98e-12, "IQ4_NL": 60e-12, "MXFP4": 60e-12,
    "Q2_K": 50e-12, "Q3_K": 60e-12, "Q4_K": 48e-12, "Q5_K": 72e-12, "Q6_K": 48e-12, "IQ4_XS": 60e-12,
}  # fmt: skip
_OTHER_COST = 80e-12
ROW_COST = 9e-9
# n cores do the work of n^0.8: two threads here 1.7 times that of one, a 5700G's six 1.37 times that of four.
_SCALING = 0.8
# Beside the matrices: each layer's small operations, the barriers between the threads in it (or the launches of
# kernels on a GPU), and sampling over the vocabulary.
LAYER_S = 10e-6
BARRIERS_S = 40e-6
TOKEN_S = 5e-9
# How sharply one roof takes over from the other: times add as (a^6 + b^6)^(1/6).
_SHARPNESS = 6.0
# Half-widths of the interval: from published efficiencies alone, and with points of this machine.
_UNCALIBRATED = 0.30
_CALIBRATED = 0.15


@dataclass(frozen=True, slots=True)
class DecodePoint:
    """A measured speed: one stream's tokens/s of a model where memory reads `bandwidth_bytes_s`.

    `context_tokens` is how much of the KV cache was read for a token, `cores` with how many cores.
    """

    info: GgufInfo
    bandwidth_bytes_s: float
    tokens_s: float
    context_tokens: int = 256
    cores: int | None = None


@dataclass(frozen=True, slots=True)
class DecodePrediction:
    """Predicted tokens/s of one stream, with bounds that it should lie in; `method` says what it stands on."""

    tokens_s: float
    low: float
    high: float
    method: str


@dataclass(frozen=True, slots=True)
class Roofline:
    """What points have taught: measured time is `factor` times the assumed one, to within `spread` (relative)."""

    factor: float = 1.0
    spread: float = _UNCALIBRATED
    points: int = 0


def token_time_s(
    info: GgufInfo,
    bandwidth_bytes_s: float,
    *,
    cores: int | None = None,
    context_tokens: int = 256,
    kernel_scale: float = 1.0,
) -> float:
    """Seconds for one token, before calibration.

    Args:
        info: The model.
        bandwidth_bytes_s: Measured read bandwidth, or a GPU's documented one.
        cores: Cores that compute; None: this machine's; 0: a GPU, whose arithmetic is no limit.
        context_tokens: Tokens in the KV cache, all of which are read.
        kernel_scale: How many times slower a core is than the one that the costs were measured on.
    """
    cores = usable_cores() if cores is None else cores
    cache_bytes = info.kv_values * 2 * context_tokens
    memory_s = (info.decode_bytes + cache_bytes) / (EFFICIENCY * bandwidth_bytes_s)
    small_s = info.layers * (LAYER_S + (BARRIERS_S if cores != 1 else 0.0)) + info.vocab * TOKEN_S
    if not cores:
        return memory_s + small_s
    sizes = Counter(info.bytes_by_type)
    if info.tied:
        sizes[info.embedding_type] += info.embedding_bytes
    weights_s = sum(size * KERNEL_COST.get(kind, _OTHER_COST) for kind, size in sizes.items())
    # Of a mixture of experts only those in use are read: all types alike, as the experts hold nearly everything.
    weights_s *= info.decode_bytes / max(1, sizes.total())
    cache_s = cache_bytes * KERNEL_COST["F16"]
    compute_s = kernel_scale * (weights_s + info.decode_rows * ROW_COST + cache_s) / cores**_SCALING
    return float((memory_s**_SHARPNESS + compute_s**_SHARPNESS) ** (1 / _SHARPNESS)) + small_s


def fit_roofline(points: Sequence[DecodePoint]) -> Roofline:
    """Learns from measured points how this machine differs from what is assumed (a geometric mean)."""
    ratios = [
        -math.log(point.tokens_s * token_time_s(
            point.info, point.bandwidth_bytes_s, cores=point.cores, context_tokens=point.context_tokens))
        for point in points
        if point.tokens_s > 0
    ]  # fmt: skip
    if not ratios:
        return Roofline()
    mean = sum(ratios) / len(ratios)
    deviation = max(abs(ratio - mean) for ratio in ratios)
    return Roofline(math.exp(mean), max(_CALIBRATED, deviation), len(ratios))


def predict_decode(
    info: GgufInfo,
    bandwidth_bytes_s: float,
    points: Sequence[DecodePoint] = (),
    *,
    cores: int | None = None,
    context_tokens: int = 256,
) -> DecodePrediction:
    """Predicts one stream's decode speed of a model, calibrated on the points measured on the same machine."""
    line = fit_roofline(points)
    seconds = line.factor * token_time_s(info, bandwidth_bytes_s, cores=cores, context_tokens=context_tokens)
    basis = (
        f"calibrated on {line.points} model{'s' if line.points > 1 else ''} measured here"
        if line.points
        else "not calibrated: efficiency from published 7B points"
    )
    return DecodePrediction(
        tokens_s=1 / seconds,
        low=1 / (seconds * (1 + line.spread)),
        high=1 / (seconds * (1 - line.spread)) if line.spread < 1 else math.inf,
        method=f"bandwidth roofline, {basis}",
    )
