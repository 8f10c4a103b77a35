"""Reading GGUF files: what a real one says, and that no file, however made, does harm."""

import struct
from pathlib import Path

import pytest
from gguf_files import MODEL_TENSORS, gguf_bytes, model_metadata, small_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inhouse.core.errors import CorruptModel, ModelNotPulled
from inhouse.models.gguf import read_gguf

GOOD = small_model()


def write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    return path


def test_a_real_model_is_described_as_its_makers_describe_it(tiny_model: Path):
    info = read_gguf(tiny_model)
    assert (info.architecture, info.layers, info.embedding, info.feed_forward) == ("llama", 30, 576, 1536)
    assert (info.heads, info.kv_heads, info.head_dim_k, info.head_dim_v) == (9, 3, 64, 64)
    assert (info.vocab, info.context, info.quantisation) == (49_152, 8192, "Q4_1")
    assert info.parameters == 134_515_008


def test_tensor_bytes_are_the_file_less_its_description(tiny_model: Path):
    info = read_gguf(tiny_model)
    assert 0 < tiny_model.stat().st_size - info.tensor_bytes < 2_000_000
    assert info.tensor_bytes == info.embedding_bytes + sum(info.bytes_by_type.values())


def test_a_tied_model_reads_its_embedding_table_for_every_token(tiny_model: Path):
    info = read_gguf(tiny_model)
    assert info.tied
    assert info.decode_bytes == info.tensor_bytes


def test_an_untied_model_does_not(tmp_path: Path):
    info = read_gguf(write(tmp_path, GOOD))
    assert not info.tied
    assert info.decode_bytes == info.tensor_bytes - info.embedding_bytes


def test_key_value_heads_given_for_each_layer_are_added_up(tmp_path: Path):
    data = gguf_bytes(model_metadata(llama__attention__head_count_kv=[2, 1]), MODEL_TENSORS)
    info = read_gguf(write(tmp_path, data))
    assert info.kv_heads == 2
    assert info.kv_values == (2 + 1) * (16 + 16)


def test_of_a_mixture_of_experts_only_the_used_ones_are_read_for_a_token(tmp_path: Path):
    metadata = model_metadata(llama__expert_count=8, llama__expert_used_count=2)
    tensors = [*MODEL_TENSORS, ("blk.0.ffn_up_exps.weight", (64, 128, 8), 2)]
    info = read_gguf(write(tmp_path, gguf_bytes(metadata, tensors)))
    experts = 64 * 128 * 8 // 32 * 18
    assert info.decode_bytes == info.tensor_bytes - info.embedding_bytes - experts * 6 // 8


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "does not begin"),
        (b"PK\3\4" + bytes(100), "does not begin"),
        (b"<!DOCTYPE html><html>Not found</html>", "does not begin"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0) + bytes(8), "version is 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0) + bytes(8), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0) + bytes(8), "announces"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60) + bytes(8), "announces"),
        (GOOD[: len(GOOD) // 2], "ends before"),
        (GOOD[:200], "ends in the middle"),
        (gguf_bytes(model_metadata(general__architecture=None), MODEL_TENSORS), "which architecture"),
        (gguf_bytes(model_metadata(llama__block_count=None), MODEL_TENSORS), "block_count is missing"),
        (gguf_bytes(model_metadata(llama__attention__head_count=0), MODEL_TENSORS), "no heads"),
        (gguf_bytes(model_metadata(llama__block_count="many"), MODEL_TENSORS), "block_count is 'many'"),
        (gguf_bytes(model_metadata(), MODEL_TENSORS[1:]), "no token embedding"),
        (gguf_bytes(model_metadata(), [("token_embd.weight", (64, 320), 99)]), "type 99"),
        (gguf_bytes(model_metadata(), [("token_embd.weight", (33, 3), 8)]), "whole number of blocks"),
        (gguf_bytes(model_metadata(), [("token_embd.weight", (1 << 40, 1 << 40), 8)], data=b""), "values"),
        (gguf_bytes(model_metadata(general__alignment=0), MODEL_TENSORS), "alignment"),
        (gguf_bytes(model_metadata(x=struct.pack("<IIQ", 9, 4, 1 << 60)), MODEL_TENSORS), "list of"),
        (gguf_bytes(model_metadata(x=struct.pack("<IQ", 8, 1 << 60)), MODEL_TENSORS), "text of"),
        (gguf_bytes(model_metadata(x=struct.pack("<I", 77)), MODEL_TENSORS), "unknown type 77"),
        (
            gguf_bytes(model_metadata(x=struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 40), MODEL_TENSORS),
            "unknown type 9",
        ),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_reason(tmp_path: Path, data: bytes, why: str):
    with pytest.raises(CorruptModel) as refused:
        read_gguf(write(tmp_path, data))
    assert why in refused.value.why
    assert refused.value.do


def test_a_missing_file_and_a_folder_are_errors_of_ours(tmp_path: Path):
    with pytest.raises(ModelNotPulled):
        read_gguf(tmp_path / "none.gguf")
    with pytest.raises(CorruptModel):
        read_gguf(tmp_path)


fuzz = settings(max_examples=150, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])


@fuzz
@given(data=st.binary(max_size=400))
def test_random_bytes_after_the_magic_are_refused(tmp_path: Path, data: bytes):
    with pytest.raises(CorruptModel):
        read_gguf(write(tmp_path, b"GGUF\3\0\0\0" + data))


@fuzz
@given(
    changes=st.lists(st.tuples(st.integers(0, 900), st.sampled_from([0, 1, 9, 0x7F, 0x80, 0xFF])), max_size=8),
    length=st.integers(0, len(GOOD)),
)
def test_a_model_with_changed_or_missing_bytes_is_read_or_refused(
    tmp_path: Path, changes: list[tuple[int, int]], length: int
):
    data = bytearray(GOOD[: length or len(GOOD)])
    for position, value in changes:
        if position < len(data):
            data[position] = value
    try:
        info = read_gguf(write(tmp_path, bytes(data)))
    except CorruptModel:
        return
    assert info.tensor_bytes <= len(data)
