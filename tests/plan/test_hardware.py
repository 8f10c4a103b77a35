"""Predicted machines: sizes as published, speeds near published ones, and no model where it does not fit."""

from __future__ import annotations

import pytest

from inhouse.core.errors import UnknownModel, UsageError
from inhouse.plan.assumptions import load_assumptions
from inhouse.plan.hardware import carried_over, find_layout, find_machine, machines, predicted_service
from inhouse.plan.service import ServiceModel

# Parameters in billions, as their makers publish them.
PUBLISHED = {
    "llama3.1:8b": 8.03, "llama3.3:70b": 70.6, "mistral:7b": 7.25, "qwen3:8b": 8.19, "qwen2.5:32b": 32.8,
    "qwen3:30b-a3b": 30.5, "gpt-oss:20b": 20.9,
}  # fmt: skip


@pytest.mark.parametrize(("name", "billions"), PUBLISHED.items())
def test_shapes_add_up_to_the_published_number_of_parameters(name: str, billions: float) -> None:
    assert find_layout(name).parameters / 1e9 == pytest.approx(billions, rel=0.01)


def test_fewer_bits_take_less_memory_and_leave_more_for_caches() -> None:
    card = find_machine("l40s")
    sizes = [predicted_service(card, find_layout("llama3.1:8b", bits)) for bits in (16, 8, 4)]
    room = [model.cache_tokens or 0 for model in sizes]
    assert room == sorted(room)
    # 16 bit: 43.2 GB less 16.06 GB and 1 GB, at 128 KiB a token.
    assert room[0] == pytest.approx((43.2e9 - 16.06e9 - 1e9) / 131_072, rel=0.01)


def test_a_decode_step_takes_what_reading_the_weights_takes() -> None:
    step = predicted_service(find_machine("a100-40gb"), find_layout("llama3.1:8b")).step_s(1)
    assert 1 / step == pytest.approx(75, rel=0.15)  # measured with vLLM, johnmusgrave.com, 2026


def test_experts_make_one_request_fast_and_many_read_nearly_all() -> None:
    model = predicted_service(find_machine("h100"), find_layout("qwen3:30b-a3b", 8))
    dense = predicted_service(find_machine("h100"), find_layout("qwen2.5:32b", 8))
    assert model.step_s(1) < 0.25 * dense.step_s(1)
    assert model.step_s(128) > 5 * model.step_s(1)


def test_a_prediction_says_that_it_is_one() -> None:
    model = predicted_service(find_machine("l40s"), find_layout("qwen3:8b"))
    assert model.predicted
    assert model.method.startswith("predicted:")


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="does not fit"):
        predicted_service(find_machine("rtx-4090"), find_layout("llama3.3:70b", 4))


def test_unknown_machines_models_and_widths_are_refused_with_what_there_is() -> None:
    with pytest.raises(UsageError) as caught:
        find_machine("l40")
    assert "l40s" in caught.value.do
    with pytest.raises(UnknownModel):
        find_layout("nothing:1b")
    with pytest.raises(UsageError):
        find_layout("qwen3:8b", 3)
    with pytest.raises(UsageError):
        find_layout("llama2:7b", 8)


def test_a_measured_model_carries_over_to_a_larger_one_on_the_same_machine() -> None:
    small, large = find_layout("smollm2:135m"), find_layout("llama2:7b")
    model = ServiceModel(slots=4, decode_s=((1, 0.008), (4, 0.024)), cache_s=1e-6, prompt_s=3e-3, method="measured")
    other = carried_over(model, small, large, 45.8e9, 2)
    assert other.predicted
    assert 15 < other.step_s(1) / model.step_s(1) < 60
    assert other.prompt_s / model.prompt_s == pytest.approx(6.6e9 / 134.5e6, rel=0.05)


def test_every_machine_names_its_source_and_what_is_bought_is_among_them() -> None:
    assert all(machine.source for machine in machines().values())
    assert load_assumptions().choice.own in machines()
