"""Machines and models that are not here: what they would take for a step, predicted from what is published of them.

A roofline: a decode step reads the weights and the caches once and multiplies each weight once for every request;
a prompt only multiplies. Every figure made here is a prediction, and benchmarks/gpu_prediction.py holds it against
published measurements.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from inhouse.core.errors import ModelError, UnknownModel, UsageError
from inhouse.core.units import format_bytes
from inhouse.models.catalogue import find_entry
from inhouse.models.gguf import GgufInfo
from inhouse.models.roofline import EFFICIENCY, LAYER_S, TOKEN_S, token_time_s
from inhouse.plan.service import ServiceModel

BITS = (16, 8, 4)
"""Widths of weights that a shape can be planned with. 4 bits come with scales: 4.5 bits a weight, as in Q4_0."""
SLOTS = 256
"""Requests that vLLM serves together by default (max_num_seqs)."""
USABLE = 0.9
"""Share of the memory that vLLM takes by default (gpu_memory_utilization)."""
COMPUTE_SHARE = 0.6
"""Share of the specified TFLOPS that matrices reach: an assumption that the published points bear out."""
BUFFERS_BYTES = 1_000_000_000
"""Memory beside weights and caches (an assumption)."""
REQUEST_S = 0.005
"""Transport and tokenising of a request (an assumption)."""

_KNOTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_STORED = {16: 16.0, 8: 8.0, 4: 4.5}


@dataclass(frozen=True, slots=True)
class Machine:
    """One accelerator. `tflops` by the width of the weights in bits, of dense matrices."""

    name: str
    title: str
    memory_bytes: float
    bandwidth_bytes_s: float
    power_w: float
    tflops: Mapping[int, float]
    source: str

    def flops(self, bits: float) -> float:
        """Operations a second on weights of that width: of the narrowest units that are no narrower."""
        fitting = [width for width in self.tflops if width >= bits] or [max(self.tflops)]
        return self.tflops[min(fitting)] * 1e12


@lru_cache(maxsize=1)
def machines() -> Mapping[str, Machine]:
    """The hardware catalogue by name."""
    return {
        name: Machine(
            name, table["title"], table["memory_bytes"], table["bandwidth_bytes_s"], table["power_w"],
            {int(bits): value for bits, value in table["tflops"].items()}, table["source"],
        )
        for name, table in _table("hardware.toml").items()
    }  # fmt: skip


def find_machine(name: str) -> Machine:
    """The machine of that name; UsageError, with near matches, where there is none."""
    known = machines()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=3)
    raise UsageError(f"There is no machine {name!r}", do=f"Choose one of {', '.join(near or known)}")


def find_layout(name: str, bits: int | None = None, data_dir: Path | None = None) -> GgufInfo:
    """A model's layout: by its shape with weights of so many bits (None: 16), else as the catalogue's file has it.

    Raises:
        UnknownModel: neither knows it.
        UsageError: another width was asked for than its file has, or one that is not planned with.
    """
    shapes = _table("shapes.toml")
    if name in shapes:
        if bits is not None and bits not in BITS:
            raise UsageError(f"No weights of {bits} bits are planned with", do="Choose 16, 8 or 4")
        return _layout(name, shapes[name], bits or 16)
    try:
        layout = find_entry(name, data_dir).layout
    except ModelError:
        layout = None
    if layout is None:
        known = ", ".join(shapes)
        raise UnknownModel(
            f"There is no layout of {name!r} to plan with", do=f"Choose one of the catalogue, or {known}"
        )
    if bits is not None:
        raise UsageError(f"{name} is planned with as its file is ({layout.quantisation})", do="Leave out --bits")
    return layout


def predicted_service(machine: Machine, info: GgufInfo) -> ServiceModel:
    """What the machine would take for the model's steps under an engine such as vLLM.

    Raises:
        UsageError: the model does not fit into the machine's memory.
    """
    room = USABLE * machine.memory_bytes - info.tensor_bytes - BUFFERS_BYTES
    cache_tokens = int(room // (2 * info.kv_values))
    if cache_tokens < 2048:
        raise UsageError(
            f"{info.name} does not fit {machine.title}",
            why=f"beside its weights of {format_bytes(info.tensor_bytes)} a context of 2,048 tokens must fit",
            do="Choose fewer --bits, a smaller model or a larger machine",
        )
    active = _active(info)
    flops = COMPUTE_SHARE * machine.flops(8 * info.decode_bytes / max(1, active))
    read_s = 1 / (EFFICIENCY * machine.bandwidth_bytes_s)
    small_s = info.layers * LAYER_S + info.vocab * TOKEN_S

    def step(requests: int) -> float:
        return max(_read(info, requests) * read_s, 2 * active * requests / flops) + small_s

    return ServiceModel(
        slots=SLOTS,
        decode_s=tuple((count, step(count)) for count in _KNOTS),
        cache_s=2 * info.kv_values * read_s,
        prompt_fixed_s=0.0,
        prompt_s=2 * active / flops,
        # Each token attends to half of those before it, on average: 4 operations a value and pair.
        prompt_square_s=2 * info.layers * info.heads * info.head_dim_k / flops,
        request_s=REQUEST_S,
        cache_tokens=cache_tokens,
        method=f"predicted: roofline of {machine.title}",
        predicted=True,
    )


def carried_over(
    model: ServiceModel, measured: GgufInfo, other: GgufInfo, bandwidth_bytes_s: float, cores: int
) -> ServiceModel:
    """The service model of another model on a CPU machine, from one that was measured there: each cost grows as the
    decode roofline says, prompts as the weights that are multiplied, caches as what a token holds in them.
    """
    decode = token_time_s(other, bandwidth_bytes_s, cores=cores) / token_time_s(
        measured, bandwidth_bytes_s, cores=cores
    )
    weights = _active(other) / _active(measured)
    cache = other.kv_values / measured.kv_values
    attention = (other.layers * other.heads * other.head_dim_k) / (
        measured.layers * measured.heads * measured.head_dim_k
    )
    return replace(
        model,
        decode_s=tuple((count, seconds * decode) for count, seconds in model.decode_s),
        cache_s=model.cache_s * cache,
        prompt_s=model.prompt_s * weights,
        prompt_square_s=model.prompt_square_s * attention,
        method=f"predicted: carried over by roofline from a model {model.method}",
        predicted=True,
        off=None,
    )


def _active(info: GgufInfo) -> float:
    """Weights that a token is multiplied with: all but the embedding table, of experts those in use."""
    table = info.vocab * info.embedding
    rest = info.parameters - table * (1 if not info.tied else 0)
    if not info.experts:
        return rest
    experts = 3 * info.embedding * info.feed_forward * info.layers * info.experts
    return rest - experts * (1 - info.experts_used / info.experts)


def _read(info: GgufInfo, requests: int) -> float:
    """Bytes of weights read in a step: of experts, those that any of the requests is sent to."""
    if not info.experts:
        return info.decode_bytes
    used = info.experts_used / info.experts
    share = 3 * info.embedding * info.feed_forward * info.layers * info.experts_used / _active(info)
    touched = (1 - (1 - used) ** requests) / used
    return info.decode_bytes * (1 - share + share * touched)


def _layout(name: str, table: Mapping[str, Any], bits: int) -> GgufInfo:
    """A shape with weights of one width, as the layout of a file that holds them."""
    layers, embedding, vocab, heads, kv_heads = (
        int(table[key]) for key in ("layers", "embedding", "vocab", "heads", "kv_heads")
    )
    head = int(table.get("head_dim", embedding // heads))
    experts, used = int(table.get("experts", 0)), int(table.get("experts_used", 0))
    attention = layers * embedding * head * 2 * (heads + kv_heads)
    forward = layers * 3 * embedding * int(table["feed_forward"])
    matrices = attention + forward * max(1, experts)
    each = _STORED[bits] / 8
    read = int((attention + forward * max(1, used) + vocab * embedding) * each)
    return GgufInfo(
        architecture="", layers=layers, embedding=embedding, feed_forward=int(table["feed_forward"]), heads=heads,
        kv_heads=kv_heads, head_dim_k=head, head_dim_v=head, kv_values=2 * layers * kv_heads * head, vocab=vocab,
        context=0, quantisation=f"{bits} bit", parameters=matrices + 2 * vocab * embedding,
        tensor_bytes=int((matrices + 2 * vocab * embedding) * each), embedding_bytes=int(vocab * embedding * each),
        output_bytes=int(vocab * embedding * each), decode_bytes=read, decode_rows=0, embedding_type="",
        experts=experts, experts_used=used, name=name,
    )  # fmt: skip


@lru_cache(maxsize=2)
def _table(file: str) -> Mapping[str, Any]:
    return tomllib.loads((resources.files("inhouse.plan") / file).read_text(encoding="utf-8"))
