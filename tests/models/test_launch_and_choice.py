"""What a model is started with, and which model is chosen, by the memory and speed of the machine."""

from pathlib import Path

import pytest
from gguf_files import small_model

from inhouse.core.environment import usable_cores
from inhouse.core.errors import ModelNotPulled, UsageError
from inhouse.core.settings import Settings
from inhouse.models.catalogue import find_entry
from inhouse.models.choice import default_model, fits, largest_fitting
from inhouse.models.estimate import estimate_memory
from inhouse.models.gguf import GgufInfo
from inhouse.models.launch import choose_window, launch_spec, resolver

GB = 1_000_000_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data", threads=0, context=0, slots=0, model="")


@pytest.fixture
def here(tiny_model: Path, settings: Settings) -> Settings:
    """Settings of a home where the tiny model is pulled."""
    settings.models_dir.mkdir(parents=True)
    (settings.models_dir / tiny_model.name).symlink_to(tiny_model)
    return settings


def shape(name: str, folder: Path) -> GgufInfo:
    layout = find_entry(name, folder).layout
    assert layout is not None
    return layout


def test_a_launch_takes_what_the_machine_offers(here: Settings):
    spec = launch_spec(here, "smollm2:135m", available_bytes=8 * GB)
    assert (spec.context, spec.slots, spec.threads) == (4096, 4, usable_cores())
    assert spec.gpu_layers == -1


def test_settings_go_before_the_machine_and_arguments_before_settings(here: Settings):
    chosen = here.model_copy(update={"context": 1024, "slots": 2, "threads": 1, "gpu_layers": 0})
    spec = resolver(chosen)("smollm2:135m")
    assert (spec.context, spec.slots, spec.threads, spec.gpu_layers) == (1024, 2, 1, 0)
    assert launch_spec(chosen, "smollm2:135m", context=2048, slots=3).context == 2048


def test_a_context_over_the_models_is_refused_with_the_limit(here: Settings):
    with pytest.raises(UsageError) as refused:
        launch_spec(here, "smollm2:135m", context=9000)
    assert "8,192" in refused.value.why


def test_a_model_that_is_not_pulled_cannot_be_launched(settings: Settings):
    with pytest.raises(ModelNotPulled):
        launch_spec(settings, "smollm2:135m")


@pytest.mark.parametrize("available", [7 * GB, 8 * GB, 10 * GB, 14 * GB])
def test_slots_are_given_up_before_context_and_what_is_chosen_fits(tmp_path: Path, available: int):
    info = shape("llama2:7b", tmp_path)
    context, slots = choose_window(info, available)
    assert estimate_memory(info, context=context, slots=slots).needed_bytes <= 0.9 * available
    assert slots == 1 or context == 4096


def test_context_shrinks_only_when_one_slot_does_not_fit(tmp_path: Path):
    info = shape("llama2:7b", tmp_path)
    assert choose_window(info, 7 * GB) == (4096, 1)
    context, slots = choose_window(info, 5 * GB)
    assert (context < 4096, slots) == (True, 1)


def test_what_was_asked_for_is_never_changed(tmp_path: Path):
    info = shape("llama2:7b", tmp_path)
    assert choose_window(info, 1 * GB, context=4096, slots=8) == (4096, 8)


def test_where_nothing_fits_the_smallest_window_is_taken(tmp_path: Path):
    assert choose_window(shape("llama2:7b", tmp_path), 1 * GB) == (512, 1)


def test_a_model_fits_where_it_leaves_a_tenth_of_the_memory(tmp_path: Path):
    info = shape("llama2:7b", tmp_path)
    needed = fits(info).memory.needed_bytes
    assert fits(info, available_bytes=int(needed / 0.89)).fits
    assert not fits(info, available_bytes=int(needed / 0.91)).fits


@pytest.mark.parametrize(
    ("memory", "budget_s", "chosen"),
    [
        (16 * GB, 600, "qwen2.5-coder:1.5b"),
        (1 * GB, 600, "qwen2.5-coder:0.5b"),
        (16 * GB, 60, "smollm2:135m"),
        (16 * GB, 0.1, "smollm2:135m"),
    ],
)
def test_the_study_takes_the_largest_model_that_memory_and_budget_allow(
    settings: Settings, memory: int, budget_s: float, chosen: str
):
    entry = largest_fitting(settings, budget_s, bandwidth_bytes_s=20e9, available_bytes=memory)
    assert entry.name == chosen


def test_a_reference_model_is_chosen_only_where_it_is_here(settings: Settings):
    def chosen() -> str:
        return largest_fitting(settings, 1e6, bandwidth_bytes_s=100e9, available_bytes=64 * GB).name

    assert chosen() == "qwen2.5-coder:1.5b"
    settings.models_dir.mkdir(parents=True)
    (settings.models_dir / "llama-2-7b-chat.Q4_0.gguf").write_bytes(small_model())
    assert chosen() == "llama2:7b"


def test_a_machine_too_small_for_any_is_told(settings: Settings):
    with pytest.raises(UsageError):
        largest_fitting(settings, 600, available_bytes=100_000_000)


def test_the_default_model_is_the_largest_pulled_one_that_fits(here: Settings):
    (here.models_dir / "larger.gguf").write_bytes(small_model(200_000_000))
    assert default_model(here, available_bytes=8 * GB) == "larger"
    assert default_model(here.model_copy(update={"model": "named"})) == "named"


def test_a_broken_file_is_never_the_default(here: Settings):
    (here.models_dir / "broken.gguf").write_bytes(b"GGUF" + bytes(200_000_000))
    assert default_model(here, available_bytes=8 * GB) == "smollm2:135m"


def test_without_any_model_the_next_step_is_named(settings: Settings):
    with pytest.raises(UsageError) as refused:
        default_model(settings)
    assert "inhouse models pull" in refused.value.do


def test_where_none_fits_that_is_said(here: Settings):
    with pytest.raises(UsageError) as refused:
        default_model(here, available_bytes=100_000_000)
    assert "fits" in refused.value.what
