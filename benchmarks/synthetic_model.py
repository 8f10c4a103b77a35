"""Writes GGUF files of made-up Llama models, all matrices of one tensor type: what a kernel costs, without any model.

The weights mean nothing. Their scales vary from block to block as a real model's do, for that costs time: llama.cpp
turns each half-precision scale into a float by looking it up in a table of 256 KiB.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from inhouse.models.ggml import TENSOR_TYPES, tensor_bytes

# Half-precision numbers at the beginning of each block, where the type has them there.
_SCALES = {"Q4_0": 1, "Q4_1": 2, "Q5_0": 1, "Q5_1": 2, "Q8_0": 1, "Q4_K": 2, "Q5_K": 2, "IQ4_NL": 1}
_TYPE_IDS = {kind.name: number for number, kind in TENSOR_TYPES.items()}


def write_model(
    path: Path, kind: str, *, layers: int, embedding: int, feed_forward: int, head_dim: int = 64, vocab: int = 320
) -> int:
    """Writes a model whose layers' matrices are of that ggml type; returns the bytes of those matrices.

    The embedding table and the output matrix are Q8_0 and as small as the vocabulary.
    """
    matrix: dict[str, tuple[tuple[int, ...], str]] = {
        "token_embd.weight": ((embedding, vocab), "Q8_0"),
        "output.weight": ((embedding, vocab), "Q8_0"),
        "output_norm.weight": ((embedding,), "F32"),
    }
    for layer in range(layers):
        block = f"blk.{layer}."
        matrix[block + "attn_norm.weight"] = matrix[block + "ffn_norm.weight"] = ((embedding,), "F32")
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix[f"{block}{name}.weight"] = ((embedding, embedding), kind)
        matrix[block + "ffn_gate.weight"] = matrix[block + "ffn_up.weight"] = ((embedding, feed_forward), kind)
        matrix[block + "ffn_down.weight"] = ((feed_forward, embedding), kind)
    heads = embedding // head_dim
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens += [f"▁w{number}" for number in range(vocab - len(tokens))]
    metadata: dict[str, Any] = {
        "general.architecture": "llama",
        "llama.block_count": layers,
        "llama.context_length": 4096,
        "llama.embedding_length": embedding,
        "llama.feed_forward_length": feed_forward,
        "llama.attention.head_count": heads,
        "llama.attention.head_count_kv": heads,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": head_dim,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [0.0] * vocab,
        "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * (vocab - 259),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }
    header = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(matrix), len(metadata)))
    for key, value in metadata.items():
        header += _text(key) + _value(value)
    offset, sizes, total = 0, [], 0
    for name, (shape, type_name) in matrix.items():
        elements = shape[0] * (shape[1] if len(shape) > 1 else 1)
        size = tensor_bytes(_TYPE_IDS[type_name], elements)
        assert size is not None, f"{name}: {shape} is no whole number of blocks of {type_name}"
        header += _text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        header += struct.pack("<IQ", _TYPE_IDS[type_name], offset)
        sizes.append((size, type_name))
        offset += -(-size // 32) * 32
        total += size if type_name == kind and name.startswith("blk.") else 0
    header += b"\0" * (-len(header) % 32)
    with path.open("wb") as file:
        file.write(header)
        for size, type_name in sizes:
            data = struct.pack("<f", 1.0) * (size // 4) if type_name == "F32" else _weights(type_name, size)
            file.write(data + b"\0" * (-size % 32))
    return total


def _weights(type_name: str, size: int) -> bytes:
    """Blocks with random values, and scales of the size that trained weights have."""
    block_bytes = TENSOR_TYPES[_TYPE_IDS[type_name]].block_bytes
    random = np.random.default_rng(0)
    blocks = random.integers(0, 256, size=(size // block_bytes, block_bytes), dtype=np.uint8)
    scales = random.normal(0.005, 0.0015, size=(len(blocks), 2)).astype(np.float16).view(np.uint8)
    if type_name == "Q6_K":
        blocks[:, -2:] = scales[:, :2]
    elif type_name in _SCALES:
        width = 2 * _SCALES[type_name]
        blocks[:, :width] = scales[:, :width]
    else:
        blocks[:] = 0x11  # a small finite number in every other type
    return blocks.tobytes()


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
    kind = {str: 8, float: 6, int: 5}[type(value[0])]
    body = b"".join(_text(v) if kind == 8 else struct.pack("<f" if kind == 6 else "<i", v) for v in value)
    return struct.pack("<IIQ", 9, kind, len(value)) + body
