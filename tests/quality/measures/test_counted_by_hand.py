"""Figures of the other measures against answers whose truth is counted by hand."""

import random

import pytest

from inhouse.quality.examples import clip, three_groups, three_of
from inhouse.quality.measures.consistency import agreement_of
from inhouse.quality.measures.formats import json_metrics
from inhouse.quality.measures.honesty import invented_metrics, staleness_metrics
from inhouse.quality.measures.needles import Haystack, _item, _limits
from inhouse.quality.measures.sampling import Setting, distinct_pairs, sampling_metrics
from inhouse.quality.measures.spread import spread_metrics
from inhouse.quality.suite_files import load_suites


def one(metrics, name, **labels):
    return next(m for m in metrics if m.name == name and labels.items() <= m.labels.items())


def test_claims_and_needless_abstentions_are_told_apart(answer):
    (suite,) = load_suites(["invented_en"])
    made_up = [item for item in suite.items if not item.tags["answerable"]][:10]
    facts = [item for item in suite.items if item.tags["answerable"]][:4]
    outcomes = [*["claimed"] * 7, *["abstained"] * 3, *["right"] * 2, "abstained", "claimed"]
    kept = [
        answer(item.id, scorer="honesty", suite=suite.name, outcome=outcome)
        for item, outcome in zip([*made_up, *facts], outcomes, strict=True)
    ]
    found = invented_metrics(suite, kept)
    rate = one(found, "hallucination_rate")
    assert (rate.value, rate.n) == (0.7, 10)
    assert rate.low < 0.7 < rate.high
    assert (one(found, "needless_abstention").value, one(found, "fact_accuracy").value) == (0.25, 0.5)


def test_knowledge_ends_with_the_last_year_of_which_half_was_known(answer):
    (suite,) = load_suites(["staleness_en"])
    known = {2020: 3, 2021: 2, 2022: 1}
    kept = []
    for year, right in known.items():
        items = [item for item in suite.items if item.tags["year"] == year][:4]
        kept += [
            answer(item.id, scorer="honesty", suite=suite.name, cluster=item.cluster,
                   outcome="right" if place < right else "claimed")
            for place, item in enumerate(items)
        ]  # fmt: skip
    future = [item for item in suite.items if not item.tags["known"]][:2]
    kept += [
        answer(item.id, scorer="honesty", suite=suite.name, outcome=outcome)
        for item, outcome in zip(future, ("claimed", "abstained"), strict=True)
    ]
    found = staleness_metrics(suite, kept)
    assert one(found, "known_until_year").value == 2021
    assert one(found, "year_right", year=2022).value == 0.25
    assert one(found, "yearly_right").value == 0.5
    assert one(found, "future_claimed").value == 0.5


def test_two_answers_agree_but_for_case_spaces_and_punctuation():
    assert agreement_of(["Seoul.", "seoul", "Busan"]) == pytest.approx(1 / 3)
    assert agreement_of(["서울 입니다", "서울입니다."]) == 1.0


def table(answer, suite, rows):
    """Answers to as many items as there are rows; a row has a right or wrong for each of the suite's prompts."""
    return [
        answer(str(at), value=float(value), suite=suite.name, prompt=prompt.name)
        for at, row in enumerate(rows)
        for prompt, value in zip(suite.prompts, row, strict=True)
    ]


def test_a_wording_that_spoils_answers_is_more_than_chance(answer):
    (suite,) = load_suites(["prompts_en"])
    found = spread_metrics(suite, table(answer, suite, [[1, 1, 1, 1, 1, 1, 1, at % 10 == 0] for at in range(30)]))
    gap = one(found, "wording_gap")
    assert gap.value == pytest.approx(0.9)
    assert (gap.labels["worst"], gap.labels["p"] < 0.01) == (suite.prompts[-1].name, True)
    assert one(found, "wording_firm").value == pytest.approx(0.1)


def test_a_gap_that_chance_makes_is_not_taken_for_more(answer):
    (suite,) = load_suites(["prompts_en"])
    dice = random.Random(5)
    rows = [[dice.random() < 0.5 for _ in suite.prompts] for _ in range(30)]
    gap = one(spread_metrics(suite, table(answer, suite, rows)), "wording_gap")
    assert gap.value > 0
    assert gap.labels["p"] > 0.1


def test_what_a_schema_adds_is_compared_sentence_by_sentence(answer):
    (suite,) = load_suites(["json_en"])
    kept = [
        answer(str(at), value=float(right), scorer="json", suite=suite.name, prompt=way, valid=True, fits=right)
        for at in range(20)
        for way, right in (("free", at < 5), ("constrained", at < 15))
    ]
    found = json_metrics(suite, kept, ("free", "constrained"))
    gain = one(found, "json_gain")
    assert gain.value == pytest.approx(0.5)
    assert gain.low > 0
    assert one(found, "json_fits", way="free").value == 0.25


def test_the_recommended_setting_is_the_steadiest_of_those_that_are_not_worse(answer):
    facts, open_ = load_suites(["prompts_en", "refusal_en"])
    cold, warm, hot = Setting(0.0), Setting(0.7), Setting(1.5)
    words = {cold: ["k b k b", "k b k b"], warm: ["k b k c", "k b c d"], hot: ["q w e r", "t y u i"]}
    rows = {}
    for setting, texts in words.items():
        rows[setting.name] = {
            facts.name: [
                answer(str(at), texts[repeat], float(setting is not hot or at == 0), repeat=repeat)
                for at in range(12) for repeat in range(2)
            ],
            open_.name: [answer(str(at), text, scorer="refusal") for at in range(12) for text in texts],
        }  # fmt: skip
    found = sampling_metrics(facts, open_, [cold, warm, hot], rows)
    answers, writing = (one(found, "recommended", purpose=purpose) for purpose in ("answers", "writing"))
    assert (answers.labels["setting"], writing.labels["setting"]) == (cold.name, warm.name)
    assert answers.labels["ruled_out"] == 1, "the hottest is worse beyond noise"
    assert one(found, "setting_consistency", setting=cold.name).value == 1.0


def test_variety_is_the_share_of_different_pairs_of_words():
    assert distinct_pairs(["x y x y"]) == pytest.approx(2 / 3)
    assert distinct_pairs(["one"]) == 0.0


def test_a_haystack_fills_the_length_and_holds_each_needle_where_it_belongs():
    hay = Haystack("en", tuple(f"sentence number {at}" for at in range(50)), (10,) * 50)
    lines = hay.fill(300, random.Random(1))
    assert len(lines) == 30
    for depth, place in ((0.0, 0), (0.5, 15), (1.0, 30)):
        item = _item("en", lines, depth, 1, random.Random(2), "x")
        document = item.fields["document"].splitlines()
        assert item.targets[0] in document[place]
        assert sum(item.targets[0] in line for line in document) == 1
    several = _item("en", lines, 0.0, 3, random.Random(2), "y")
    assert all(code in several.fields["document"] for code in several.targets)
    assert len(set(several.targets)) == 3


def test_the_limit_is_the_first_length_that_fails_even_if_a_longer_one_happens_to_hold():
    cells = {(256, 0.0): [1, 1, 1], (512, 0.0): [1, 0, 0], (1024, 0.0): [1, 1, 1]}
    found = _limits(cells, {"language": "en", "needles": 1})
    assert one(found, "context_holds_until").value == 256
    assert one(found, "context_fails_from").value == 512
    assert one(found, "needle_found_at_length", length=512).value == pytest.approx(1 / 3)


def test_the_worst_example_is_the_wrong_answer_that_the_model_was_surest_of(answer):
    kept = [
        answer("a", "wrong and sure", 0.0, confidence=0.9), answer("b", "wrong, unsure", 0.0, confidence=0.4),
        answer("c", "wrong too", 0.0, confidence=0.6), answer("d", "right, unsure", 1.0, confidence=0.5),
        answer("e", "right and sure", 1.0, confidence=0.99),
    ]  # fmt: skip
    shown = three_of(kept, "contains")
    assert [(example.rank, example.answer) for example in shown] == [
        ("worst", "wrong and sure"), ("typical", "wrong, unsure"), ("best", "right and sure"),
    ]  # fmt: skip
    assert [example.verdict for example in shown] == ["wrong", "wrong", "right"]


def test_answers_to_one_question_are_shown_together(answer):
    groups = [[answer("a", text) for text in texts] for texts in (("x", "x"), ("x", "y"), ("z", "z"))]
    shown = three_groups(groups, lambda group: agreement_of([each.response.text for each in group]))
    assert shown[0].answer == "x / y"
    assert [example.rank for example in shown] == ["worst", "typical", "best"]


def test_a_long_question_keeps_its_end_and_nothing_that_cannot_be_printed():
    text = clip("head " + "filling " * 200 + "\ue000 what is asked?", 100)
    assert len(text) <= 104
    assert text.startswith("head")
    assert text.endswith("what is asked?")
    assert "\ue000" not in text
