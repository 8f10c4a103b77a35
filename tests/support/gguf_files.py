"""Writes GGUF files for tests: small whole models, and files that are wrong in one place."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

Tensor = tuple[str, tuple[int, ...], int]
"""Name, shape and ggml type."""

_BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 8: (32, 34), 12: (256, 144)}


def gguf_bytes(
    metadata: Mapping[str, Any], tensors: Sequence[Tensor], *, version: int = 3, data: bytes | None = None
) -> bytes:
    """A GGUF file. Metadata values may be text, int (u32), float (f32), lists of those, or raw bytes as they stand."""
    header = bytearray(b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata)))
    for key, value in metadata.items():
        header += _text(key) + (value if isinstance(value, bytes) else _value(value))
    offset = 0
    for name, shape, kind in tensors:
        header += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
        offset += -(-_size(shape, kind) // 32) * 32
    header += b"\0" * (-len(header) % 32)
    return bytes(header) + (bytes(offset) if data is None else data)


def model_metadata(**changes: Any) -> dict[str, Any]:
    """Metadata of a two-layer Llama; a change to None leaves a key out (dots are written as __)."""
    values: dict[str, Any] = {
        "general.architecture": "llama",
        "general.name": "tiny",
        "general.file_type": 2,
        "llama.block_count": 2,
        "llama.context_length": 2048,
        "llama.embedding_length": 64,
        "llama.feed_forward_length": 128,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "tokenizer.ggml.tokens": ["a", "b", "c"],
    }
    values |= {key.replace("__", "."): value for key, value in changes.items()}
    return {key: value for key, value in values.items() if value is not None}


MODEL_TENSORS: tuple[Tensor, ...] = (
    ("token_embd.weight", (64, 320), 8),
    ("blk.0.attn_q.weight", (64, 64), 2),
    ("blk.0.attn_norm.weight", (64,), 0),
    ("output.weight", (64, 320), 8),
)


def small_model(filler: int = 0) -> bytes:
    """A whole small model file, made longer by so many bytes of incompressible tensor data."""
    import random

    count = -(-filler // 4)
    tensors = [*MODEL_TENSORS, ("blk.1.ffn_up.weight", (count,), 0)] if count else list(MODEL_TENSORS)
    data = random.Random(filler).randbytes(sum(-(-_size(shape, kind) // 32) * 32 for _, shape, kind in tensors))
    return gguf_bytes(model_metadata(), tensors, data=data)


def _size(shape: tuple[int, ...], kind: int) -> int:
    elements = 1
    for size in shape:
        elements *= size
    block, block_bytes = _BLOCKS.get(kind, (1, 1))
    return elements // block * block_bytes


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Any) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    kind = {str: 8, float: 6, int: 4}[type(value[0])]
    body = b"".join(_text(v) if kind == 8 else struct.pack("<f" if kind == 6 else "<I", v) for v in value)
    return struct.pack("<IIQ", 9, kind, len(value)) + body
