"""Reads what a GGUF file says of its model: layers, heads, context, quantisation, bytes by tensor type.

Only metadata and tensor descriptions are read, never the weights. The file is not trusted: every count and
length is checked against what is left of the file, so that no file can exhaust memory or time. Format:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, little-endian).
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any

from inhouse.core.errors import CorruptModel, ModelNotPulled
from inhouse.models.ggml import FILE_TYPES, TENSOR_TYPES, tensor_bytes

# Well over any real model (vocabularies reach 262,144, tensor counts a few thousand), and low enough that
# a file made to waste time is refused within seconds.
_MAX_PAIRS = 65_536
_MAX_TENSORS = 65_536
_MAX_ARRAY = 4_000_000
_MAX_VALUES = 16_000_000
_MAX_KEPT = 128 << 20
_MAX_STRING = 16 << 20
_MAX_DEPTH = 4
_KEPT_ARRAY = 1_024

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_EMBEDDING = "token_embd.weight"
_OUTPUT = "output.weight"


@dataclass(frozen=True, slots=True)
class GgufInfo:
    """A model's shape. Sizes are bytes of tensor data; the file is slightly larger.

    `kv_values` is how many numbers one token adds to the KV cache over all layers. `decode_bytes` is what
    generating one token reads: all weights but the embedding table, of which only a row is looked up, and of
    a mixture of experts only the experts in use. A tied model reads its embedding table as output matrix.
    """

    architecture: str
    layers: int
    embedding: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_dim_k: int
    head_dim_v: int
    kv_values: int
    vocab: int
    context: int
    quantisation: str
    parameters: int
    tensor_bytes: int
    embedding_bytes: int
    output_bytes: int
    decode_bytes: int
    decode_rows: int
    """Rows of all matrices that are multiplied with for a token (the used experts' only)."""
    embedding_type: str
    bytes_by_type: Mapping[str, int] = field(default_factory=dict)
    """Bytes of everything but the embedding table by ggml type, the largest first."""
    tensors: int = 0
    experts: int = 0
    experts_used: int = 0
    name: str = ""

    @property
    def tied(self) -> bool:
        """Whether the embedding table serves as output matrix too."""
        return self.output_bytes == 0


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    shape: tuple[int, ...]
    type: int
    offset: int

    @property
    def elements(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count


def read_gguf(path: Path) -> GgufInfo:
    """Reads a model file's description (some 0.2 s for a vocabulary of 150,000).

    Raises:
        CorruptModel: It is no GGUF file, is cut off, or contradicts itself.
        ModelNotPulled: There is no such file.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            metadata, tensors, data_start = _read_header(_Reader(file, size, path))
    except FileNotFoundError:
        raise ModelNotPulled(f"There is no model file {path}") from None
    except OSError as error:
        raise CorruptModel(f"{path} cannot be read", why=error.strerror or str(error)) from None
    return _describe(path, size, metadata, tensors, data_start)


class _Reader:
    """The file from front to back; every read is checked against what is left."""

    def __init__(self, file: BufferedReader, size: int, path: Path) -> None:
        self.file = file
        self.left = size
        self.size = size
        self.path = path
        self.kept = 0
        self.values = 0

    def corrupt(self, why: str) -> CorruptModel:
        return _corrupt(self.path, why)

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise self.corrupt("it ends in the middle of its description")
        data = self.file.read(count)
        if len(data) != count:
            raise self.corrupt("it ends in the middle of its description")
        self.left -= count
        self.kept += count
        if self.kept > _MAX_KEPT:
            raise self.corrupt(f"its description is over {_MAX_KEPT >> 20} MiB long")
        return data

    def number(self, code: str) -> Any:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def skip(self, count: int) -> None:
        if count > self.left:
            raise self.corrupt("it ends in the middle of its description")
        self.file.seek(count, 1)
        self.left -= count

    def string(self) -> str:
        length = self.number("Q")
        if length > _MAX_STRING:
            raise self.corrupt(f"it announces a text of {length:,} bytes")
        return self.take(length).decode("utf-8", "replace")

    def value(self, kind: int, depth: int = 0) -> Any:
        """A metadata value; of a long array only its length is kept, as a `range`."""
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY or depth >= _MAX_DEPTH:
            raise self.corrupt(f"a metadata value has the unknown type {kind}")
        inner, length = self.number("I"), self.number("Q")
        self.values += length
        if length > _MAX_ARRAY or self.values > _MAX_VALUES:
            raise self.corrupt(f"it announces a list of {length:,} values")
        if length <= _KEPT_ARRAY:
            return [self.value(inner, depth + 1) for _ in range(length)]
        if inner in _SCALARS:
            self.skip(length * struct.calcsize("<" + _SCALARS[inner]))
        elif inner == _STRING:
            for _ in range(length):
                self.skip(self.number("Q"))
        else:
            raise self.corrupt(f"a metadata list of {length:,} values has the type {inner}")
        return range(length)


def _read_header(reader: _Reader) -> tuple[dict[str, Any], list[_Tensor], int]:
    if reader.size < 24 or reader.take(4) != b"GGUF":
        raise reader.corrupt("it does not begin as a GGUF file does")
    version = reader.number("I")
    if version not in (2, 3):
        big_endian = int.from_bytes(struct.pack("<I", version), "big") in (2, 3)
        raise reader.corrupt("it is big-endian" if big_endian else f"its GGUF version is {version}, not 2 or 3")
    tensor_count, pair_count = reader.number("Q"), reader.number("Q")
    if tensor_count > _MAX_TENSORS or pair_count > _MAX_PAIRS:
        raise reader.corrupt(f"it announces {tensor_count:,} tensors and {pair_count:,} metadata values")
    metadata: dict[str, Any] = {}
    for _ in range(pair_count):
        key = reader.string()
        metadata[key] = reader.value(reader.number("I"))
    tensors = []
    for _ in range(tensor_count):
        name, dimensions = reader.string(), reader.number("I")
        if dimensions > 4:
            raise reader.corrupt(f"tensor {name[:80]!r} has {dimensions} dimensions")
        shape = tuple(reader.number("Q") for _ in range(dimensions))
        tensors.append(_Tensor(name, shape, reader.number("I"), reader.number("Q")))
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 0 < alignment <= 1 << 20:
        raise reader.corrupt(f"its alignment is {alignment!r}")
    position = reader.size - reader.left
    return metadata, tensors, -(-position // alignment) * alignment


def _describe(path: Path, size: int, metadata: Mapping[str, Any], tensors: list[_Tensor], data_start: int) -> GgufInfo:
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise _corrupt(path, "it does not say which architecture it is of")

    def number(key: str, default: int | None = None) -> int:
        """A whole number of the architecture's; of one given for each layer, the largest."""
        value = metadata.get(f"{architecture}.{key}", default)
        if isinstance(value, list) and value and all(isinstance(item, int) for item in value):
            value = max(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 40:
            raise _corrupt(path, f"{architecture}.{key} is {_short(value)}")
        return value

    layers, embedding, heads = number("block_count"), number("embedding_length"), number("attention.head_count")
    if not (layers and embedding and heads):
        raise _corrupt(path, "it has no layers, no heads or no embedding")
    kv_heads = number("attention.head_count_kv", heads)
    head_dim = embedding // heads
    head_dim_k, head_dim_v = number("attention.key_length", head_dim), number("attention.value_length", head_dim)
    per_layer = metadata.get(f"{architecture}.attention.head_count_kv")
    all_kv_heads = sum(per_layer) if isinstance(per_layer, list) else layers * kv_heads
    experts, experts_used = number("expert_count", 0), number("expert_used_count", 0)

    parameters = total = embedding_bytes = output_bytes = expert_bytes = rows = expert_rows = 0
    by_type: Counter[str] = Counter()
    vocab, embedding_rows, embedding_type = 0, 0, ""
    for tensor in tensors:
        if tensor.type not in TENSOR_TYPES:
            raise _corrupt(path, f"tensor {tensor.name[:80]!r} has the type {tensor.type}, unknown to this reader")
        if tensor.elements >= 1 << 50:
            raise _corrupt(path, f"tensor {tensor.name[:80]!r} has {tensor.elements:,} values")
        nbytes = tensor_bytes(tensor.type, tensor.elements)
        if nbytes is None:
            raise _corrupt(path, f"tensor {tensor.name[:80]!r} is no whole number of blocks")
        if data_start + tensor.offset + nbytes > size:
            raise _corrupt(path, f"it ends before the data of tensor {tensor.name[:80]!r}")
        matrix_rows = tensor.elements // tensor.shape[0] if len(tensor.shape) > 1 and tensor.shape[0] else 0
        parameters += tensor.elements
        total += nbytes
        if tensor.name == _EMBEDDING:
            embedding_bytes = nbytes
            vocab = tensor.shape[-1] if tensor.shape else 0
            embedding_type = TENSOR_TYPES[tensor.type].name
            embedding_rows = matrix_rows
        else:
            output_bytes += nbytes if tensor.name == _OUTPUT else 0
            rows += matrix_rows
            if "_exps." in tensor.name:
                expert_bytes += nbytes
                expert_rows += matrix_rows
            by_type[TENSOR_TYPES[tensor.type].name] += nbytes
    if not tensors or not embedding_bytes:
        raise _corrupt(path, "it holds no token embedding, so it is no language model")
    idle, of = (experts - experts_used, experts) if 0 < experts_used <= experts else (0, 1)
    tied = not output_bytes
    return GgufInfo(
        architecture=architecture,
        layers=layers,
        embedding=embedding,
        feed_forward=number("feed_forward_length", 0),
        heads=heads,
        kv_heads=kv_heads,
        head_dim_k=head_dim_k,
        head_dim_v=head_dim_v,
        kv_values=all_kv_heads * (head_dim_k + head_dim_v),
        vocab=vocab,
        context=number("context_length"),
        quantisation=FILE_TYPES.get(metadata.get("general.file_type", -1)) or by_type.most_common(1)[0][0],
        parameters=parameters,
        tensor_bytes=total,
        embedding_bytes=embedding_bytes,
        output_bytes=output_bytes,
        decode_bytes=sum(by_type.values()) + embedding_bytes * tied - expert_bytes * idle // of,
        decode_rows=rows + embedding_rows * tied - expert_rows * idle // of,
        embedding_type=embedding_type,
        bytes_by_type=dict(by_type.most_common()),
        tensors=len(tensors),
        experts=experts,
        experts_used=experts_used,
        name=str(metadata.get("general.name", "")),
    )


def _corrupt(path: Path, why: str) -> CorruptModel:
    return CorruptModel(
        f"{path} is no readable GGUF model",
        why=why,
        do="Remove it and pull the model again (inhouse models rm NAME, then inhouse models pull NAME)",
    )


def _short(value: object) -> str:
    text = repr(value)
    return "missing" if value is None else text if len(text) <= 40 else text[:40] + "…"
