"""How much memory a model needs when it is served, from its shape alone; compared with the worker's resident set.

The terms follow llama.cpp's own accounting. Where it prints a buffer's size, ours agrees to the byte or to the
percent stated; what it does not print (vocabulary tables, the process itself) was measured on the catalogue's
models, see benchmarks/memory_estimate.py, which holds the whole to 10 % of the measured resident set.
"""

from __future__ import annotations

import platform
from collections.abc import Collection
from dataclasses import dataclass

from inhouse.models.gguf import GgufInfo
from inhouse.models.roofline import DecodePoint, DecodePrediction, fit_roofline, predict_decode

__all__ = [
    "DecodePoint",
    "DecodePrediction",
    "MemoryEstimate",
    "estimate_memory",
    "fit_roofline",
    "predict_decode",
    "repacked_types",
]

# Tokens that llama.cpp evaluates together in prefill (its n_ubatch), for which the buffers are sized.
UBATCH = 512
# llama.cpp rounds each slot's share of the context up to a multiple of this.
_CONTEXT_STEP = 256
_F16 = _HALF = 2
_F32 = 4


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """What each part of a served model takes, in bytes.

    `weights_bytes` is the file's tensors, mapped and all of them touched; `repacked_bytes` the second copy that
    llama.cpp's CPU backend makes of matrices in types it re-orders for its kernels; `kv_bytes` the KV cache of
    all slots; `compute_bytes` the buffers of one evaluation; `runtime_bytes` the process, its libraries and
    the vocabulary.
    """

    weights_bytes: int
    repacked_bytes: int
    kv_bytes: int
    compute_bytes: int
    runtime_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of it: the resident set to expect once the context has been used."""
        return self.weights_bytes + self.repacked_bytes + self.kv_bytes + self.compute_bytes + self.runtime_bytes

    @property
    def needed_bytes(self) -> int:
        """What must be free: the whole but the mapped weights that a second copy replaces.

        The system may drop those mapped pages at any time without loss, since only the copy is read.
        """
        return self.total_bytes - self.repacked_bytes


def estimate_memory(
    info: GgufInfo, *, context: int, slots: int, repack: Collection[str] | None = None
) -> MemoryEstimate:
    """What the embedded engine will hold in memory for a model.

    Args:
        info: The model's shape.
        context: Tokens of each slot.
        slots: Requests decoded together.
        repack: ggml types that the CPU backend re-orders; None: those of this machine's kind of CPU.
    """
    context = -(-context // _CONTEXT_STEP) * _CONTEXT_STEP
    kinds = repacked_types() if repack is None else repack
    return MemoryEstimate(
        weights_bytes=info.tensor_bytes,
        repacked_bytes=sum(size for kind, size in info.bytes_by_type.items() if kind in kinds),
        kv_bytes=info.kv_values * _F16 * context * slots,
        compute_bytes=_compute_bytes(info, context, slots),
        runtime_bytes=_runtime_bytes(info, slots),
    )


def repacked_types(machine: str = "") -> frozenset[str]:
    """The types that llama.cpp's CPU backend copies in another order, by the kind of CPU.

    As in `ggml_repack_get_optimal_repack_type` (ggml/src/ggml-cpu/repack.cpp) for AVX2, to which the x86 wheels
    are built, and for Arm with dot products. The embedding table, being looked up, never is.
    """
    machine = (machine or platform.machine()).lower()
    if machine in ("x86_64", "amd64"):
        return frozenset({"Q4_0", "Q4_K", "IQ4_NL", "MXFP4"})
    if machine in ("aarch64", "arm64"):
        return frozenset({"Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "IQ4_NL", "MXFP4"})
    return frozenset()


def _compute_bytes(info: GgufInfo, context: int, slots: int) -> int:
    """Buffers of one evaluation of UBATCH tokens, with flash attention (which llama.cpp turns on by itself).

    At its widest a layer holds three activations of the feed-forward width (gate, up, their product) and five
    of the embedding width in f32, and the attention mask in f16. llama.cpp prints 15.64, 38.27 and 68.52 MiB
    for the catalogue's three models at a context of 1,024; these terms give 15.63, 38.25 and 68.50. The CPU
    backend's own work space holds the feed-forward activations once more, in 8 bits with their scales.
    """
    width = max(info.embedding, info.heads * info.head_dim_k)
    ubatch = min(UBATCH, context * slots)
    activations = ubatch * _F32 * (3 * info.feed_forward + 5 * width)
    mask = ubatch * _HALF * context
    logits = slots * info.vocab * _F32
    work = ubatch * max(info.feed_forward, width) * 9 // 8
    return activations + mask + logits + work


# What llama.cpp does not print, found as the rest of the measured resident set once the terms above are taken off
# (benchmarks/memory_estimate.py; Linux x86-64, CPython 3.11, xllamacpp 2026.10): the worker process with its
# libraries and server threads, and with a model its graphs, tensor descriptions and chat template;
_PROCESS_BYTES = 40_000_000
# the vocabulary's tables (text, scores, merges, look-up by text), for each token;
_TOKEN_BYTES = 400
# and what the server keeps for each slot.
_SLOT_BYTES = 500_000


def _runtime_bytes(info: GgufInfo, slots: int) -> int:
    return _PROCESS_BYTES + info.vocab * _TOKEN_BYTES + slots * _SLOT_BYTES
