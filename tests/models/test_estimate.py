"""The memory estimate agrees with what llama.cpp itself prints, and grows as it must."""

from pathlib import Path

import pytest

from inhouse.models.catalogue import find_entry
from inhouse.models.estimate import estimate_memory, repacked_types
from inhouse.models.gguf import GgufInfo

MIB = 1 << 20


def shape(name: str, tmp_path: Path) -> GgufInfo:
    layout = find_entry(name, tmp_path).layout
    assert layout is not None
    return layout


# As llama.cpp prints them when it loads the model with a context of 1,024 (llama_kv_cache and load_tensors).
@pytest.mark.parametrize(
    ("name", "kv_mib", "repacked_mib"),
    [("smollm2:135m", 22.5, 0), ("qwen2.5-coder:0.5b", 12.0, 28.05), ("qwen2.5-coder:1.5b", 28.0, 596.53)],
)
def test_kv_cache_and_second_copies_are_llama_cpps_own_figures(
    tmp_path: Path, name: str, kv_mib: float, repacked_mib: float
):
    estimate = estimate_memory(shape(name, tmp_path), context=1024, slots=1, repack=repacked_types("x86_64"))
    assert estimate.kv_bytes == kv_mib * MIB
    assert estimate.repacked_bytes == pytest.approx(repacked_mib * MIB, abs=0.01 * MIB)


# As llama.cpp prints it (sched_reserve), without its output buffer and the CPU backend's own work space.
@pytest.mark.parametrize(
    ("name", "printed_mib"), [("smollm2:135m", 15.64), ("qwen2.5-coder:0.5b", 38.27), ("qwen2.5-coder:1.5b", 68.52)]
)
def test_compute_buffers_are_those_printed_and_a_tenth_for_work_space(tmp_path: Path, name: str, printed_mib: float):
    compute = estimate_memory(shape(name, tmp_path), context=1024, slots=1).compute_bytes
    assert printed_mib * MIB < compute < 1.15 * printed_mib * MIB


def test_llama2_7b_has_half_a_megabyte_of_kv_cache_for_each_token(tmp_path: Path):
    info = shape("llama2:7b", tmp_path)
    assert estimate_memory(info, context=4096, slots=1).kv_bytes == 4096 * 512 * 1024


def test_each_slot_has_its_own_context_rounded_up_as_llama_cpp_does(tmp_path: Path):
    info = shape("smollm2:135m", tmp_path)
    one = estimate_memory(info, context=1024, slots=1)
    four = estimate_memory(info, context=1024, slots=4)
    assert four.kv_bytes == 4 * one.kv_bytes
    assert estimate_memory(info, context=1000, slots=1).kv_bytes == one.kv_bytes


def test_weights_that_a_second_copy_replaces_need_not_be_free(tmp_path: Path):
    info = shape("llama2:7b", tmp_path)
    x86 = estimate_memory(info, context=512, slots=1, repack=repacked_types("x86_64"))
    plain = estimate_memory(info, context=512, slots=1, repack=())
    assert x86.total_bytes > plain.total_bytes
    assert x86.needed_bytes == plain.needed_bytes == plain.total_bytes


def test_arm_re_orders_more_types_and_others_none():
    assert {"Q4_0", "Q4_K"} <= repacked_types("x86_64") < repacked_types("arm64")
    assert repacked_types("riscv64") == frozenset()
