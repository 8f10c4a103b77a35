"""Each measure asks the real small model: its answers are kept, and its figures follow from them."""

import pytest

from inhouse.quality.measures.bias import bias
from inhouse.quality.measures.consistency import consistency
from inhouse.quality.measures.detection import BASELINES, detection
from inhouse.quality.measures.formats import json_answers
from inhouse.quality.measures.korean import parallel_sentences, token_cost
from inhouse.quality.measures.needles import context_limit, haystack
from inhouse.quality.measures.sampling import Setting, sweep
from inhouse.quality.suite_files import load_suites


def names(metrics):
    return {one.name for one in metrics}


def short(suite, items, tokens=8):
    return suite.with_(items=suite.items[:items], sampling=suite.sampling.__class__(max_tokens=tokens))


@pytest.mark.timeout(180)
async def test_the_same_question_again_and_beside_others(asking):
    (suite,) = load_suites(["prompts_en"])
    async with asking() as desk:
        found, answers = await consistency(desk, short(suite, 2), temperatures=(0.0, 1.5), samples=2)
    by_prompt = {one.prompt for one in answers}
    assert by_prompt == {"plain, temperature 0", "plain, temperature 0, at once", "plain, temperature 1.5"}
    assert {"agreement", "contradiction", "deterministic", "same_when_batched"} <= names(found)
    alone = next(one for one in found if one.name == "deterministic" and one.labels["way"] == "alone")
    assert alone.value == 1.0, "one after the other, at temperature 0, nothing can differ"
    assert (alone.n, alone.low is not None) == (2, True)


@pytest.mark.timeout(180)
async def test_every_method_that_needs_no_costly_questions_judges_every_answer(asking):
    (suite,) = load_suites(["prompts_en"])
    async with asking() as desk:
        _, judged = await detection(desk, short(suite, 4), samples=2, costly=False)
    assert len(judged) >= 2
    wanted = {*BASELINES, "least likely token", "self-consistency", "selfcheck (words)", "semantic entropy (words)"}
    for one in judged:
        assert wanted <= one.sureness.keys()
        assert 0 < one.sureness["token probability"] <= 1
        assert 0 <= one.sureness["p(true)"] <= 1


@pytest.mark.timeout(180)
async def test_bias_is_judged_by_the_likeliest_of_the_letters(asking):
    (suite,) = load_suites(["bbq"])
    async with asking() as desk:
        found, answers = await bias(desk, suite)
    assert {"bias_accuracy", "bbq_bias", "kobbq_bias"} == names(found)
    assert len({one.cluster for one in answers}) == 2, "whole templates, two at least"
    for one in answers:
        assert one.scores["choice_letter"].answer in next(i for i in suite.items if i.id == one.item).choices


@pytest.mark.timeout(180)
async def test_a_schema_makes_valid_json_of_a_model_that_writes_none(asking):
    (suite,) = load_suites(["json_en"])
    async with asking() as desk:
        found, answers = await json_answers(desk, suite.with_(items=suite.items[:1]))
    assert {one.prompt for one in answers} == {"free", "constrained"}
    ended = [one for one in answers if one.prompt == "constrained" and one.response.finish_reason == "stop"]
    assert all(one.scores["json"].detail["valid"] for one in ended)
    assert {"json_valid", "json_fits", "json_right", "json_gain", "json_answer_s"} <= names(found)


@pytest.mark.timeout(180)
async def test_korean_costs_tokens_as_the_models_own_vocabulary_counts_them(asking):
    async with asking() as desk:
        found = await token_cost(desk)
        engine, model = desk.session.engine, desk.session.model
        rows = parallel_sentences()
        counts = {lang: sum([await engine.count_tokens(model, row[lang]) for row in rows]) for lang in ("ko", "en")}
    ratio = next(one for one in found if one.name == "korean_token_ratio")
    assert ratio.value == pytest.approx(counts["ko"] / counts["en"])
    assert ratio.low < ratio.value < ratio.high


@pytest.mark.timeout(180)
async def test_a_hidden_fact_is_looked_for_at_every_depth_of_the_shortest_text(asking):
    text = "\n".join(f"The shop in street number {at} sells bread, cheese and newspapers." for at in range(60))
    async with asking(slots=1) as desk:
        hay = await haystack(desk, "en", text)
        found, answers = await context_limit(desk, hay, window=1024)
        tokens = [await desk.session.engine.count_tokens(desk.session.model, one.question) for one in answers]
    cells = [one for one in found if one.name == "needle_found"]
    assert {(one.labels["length"], one.labels["depth"]) for one in cells} == {(256, 0), (256, 50), (256, 100)}
    assert all(180 <= count <= 256 for count in tokens), tokens
    assert {"needle_found_at_length", "context_answer_s", "context_memory_bytes"} <= names(found)


@pytest.mark.timeout(180)
async def test_each_setting_is_really_used(asking):
    facts, open_ = load_suites(["prompts_en", "refusal_en"])
    settings = (Setting(0.0), Setting(1.5, 1.0, 0, 1.0))
    async with asking() as desk:
        found, answers = await sweep(desk, short(facts, 1), short(open_, 1), settings=settings)
    texts = {
        setting.name: {one.response.text for one in answers if one.prompt.endswith(f", {setting.name}")
                       and one.suite == open_.name}
        for setting in settings
    }  # fmt: skip
    assert len(texts["t0"]) == 1, "at temperature 0 both answers are the same"
    assert len(texts["t1.5 p1 k0 r1"]) == 2
    assert {"setting_quality", "setting_consistency", "setting_variety", "recommended"} <= names(found)
