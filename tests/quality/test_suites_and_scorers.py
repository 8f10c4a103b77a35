"""Suites that say what is wrong with them, and verdicts on answers as models write them."""

import math

import pytest

from inhouse.core.errors import BadSuite
from inhouse.engines.base import TokenLogprob
from inhouse.quality.choice_scorers import chosen_in
from inhouse.quality.judge import read_verdict
from inhouse.quality.likelihood import letter_logprobs
from inhouse.quality.rules import follows
from inhouse.quality.scorers import Response, make_scorer
from inhouse.quality.suite import Case, Item, Prompt, Sampling, ScorerUse
from inhouse.quality.suite_files import load_suites, read_suite, suite_files

TOML = """name = "mine"
language = "en"
licence = "Apache-2.0"
source = "mine"
task = "choice"

[[prompt]]
template = "{question}\\n{choices}"

[[scorer]]
name = "choice_letter"
"""
ITEM = '{"question": "?", "choices": ["x", "y"], "target": "y"}\n'


def written(folder, toml=TOML, items=ITEM):
    (folder / "mine.toml").write_text(toml)
    (folder / "mine.jsonl").write_text(items)
    return folder / "mine.toml"


def case(targets=(), choices=(), **fields):
    return Case("s", Item("1", fields, tuple(targets), tuple(choices)), Prompt("p", "q"), Sampling())


async def value(name, case, text="", **options):
    return (await make_scorer(ScorerUse(name, options)).score(case, Response(text))).value


def test_every_suite_of_the_package_can_be_read_and_its_scorers_be_made():
    for suite in load_suites(suite_files()):
        assert suite.licence
        assert suite.source
        for use in suite.scorers:
            make_scorer(use)
        for prompt in suite.prompts:
            assert prompt.render(suite.items[0])


@pytest.mark.parametrize(
    ("toml", "items", "said"),
    [
        (TOML.replace("task =", "tsak ="), ITEM, "line 5: 'tsak' is not known here"),
        (TOML.replace('"choice"', '"quiz"'), ITEM, "line 5"),
        (TOML + "[", ITEM, "no TOML"),
        (TOML, ITEM + "{", "line 2 is no JSON"),
        (TOML, ITEM + '{"question": "?", "choices": ["x", "y"], "target": "z"}', "line 2: the target 'z' is none"),
        (TOML, '{"id": 1, ' + ITEM[1:] + '{"id": 1, ' + ITEM[1:], "line 2: the id '1' stands in line 1"),
        (TOML, "", "holds no item"),
    ],
)
def test_a_mistake_in_a_suite_is_named_with_its_line(tmp_path, toml, items, said):
    with pytest.raises(BadSuite) as error:
        read_suite(written(tmp_path, toml, items))
    assert said in str(error.value)


def test_a_missing_field_is_named(tmp_path):
    suite = read_suite(written(tmp_path, TOML.replace("{question}", "{topic}")))
    with pytest.raises(BadSuite, match="no field 'topic'"):
        suite.prompts[0].render(suite.items[0])


async def test_texts_are_compared_as_people_would():
    assert await value("exact", case(["The Eiffel Tower"]), "eiffel tower.") == 1
    assert await value("exact", case(["서울 특별시"]), "서울특별시") == 1
    assert await value("contains", case(["Paris"]), "It is Paris, I think.") == 1
    assert await value(
        "regex", case(["1,200"]), "so the answer is 1200.0", pattern=r"answer is ([\d.,]+)", numeric=True
    )
    assert await value("f1", case(["the cat sat"]), "a cat sat down") == pytest.approx(0.8)
    with pytest.raises(BadSuite, match="no option 'patern'"):
        make_scorer(ScorerUse("regex", {"patern": "x"}))


@pytest.mark.parametrize(
    ("text", "chosen"),
    [("B", 1), ("(b) no: B.", 1), ("정답: C입니다", 2), ("The answer is **A**", 0), ("A dog is blue", None),
     ("I would say red", 0), ("red or green", None), ("", None), ("B입니다.", 1)],
)  # fmt: skip
def test_the_choice_in_a_written_answer(text, chosen):
    assert chosen_in(text, ("red", "green", "blue sky")) == chosen


def test_a_letters_share_is_that_of_all_its_forms():
    token = TokenLogprob(" A", math.log(0.5), ((" A", math.log(0.5)), ("A", math.log(0.25)), ("x", math.log(0.2))))
    assert letter_logprobs(token, "AB") == pytest.approx((math.log(0.75), -math.inf))


@pytest.mark.parametrize(
    ("text", "rule", "kept"),
    [
        ("One. Dr. Kim paid 3.5 won! Two?", {"rule": "sentences", "exactly": 3}, True),
        ("1. a\n2. b\n4. c", {"rule": "numbered", "exactly": 3}, False),
        ("| a | b |\n|---|---|\n| 1 | 2 |", {"rule": "table", "rows": 1, "columns": 2}, True),
        ("by the seaside", {"rule": "count", "text": "sea", "exactly": 0}, True),
        ('```json\n["a"]\n```', {"rule": "json_array", "exactly": 1}, True),
        ("three words here", {"rule": "words", "at_most": 2}, False),
    ],
)
def test_rules(text, rule, kept):
    assert follows(text, rule) is kept


def test_a_judges_verdict_is_read_from_json_and_from_words():
    assert read_verdict('{"reason": "ok", "verdict": "PASS"}', ["PASS", "FAIL"]) == ("PASS", "ok")
    assert read_verdict("It could FAIL, but: PASS", ["PASS", "FAIL"])[0] == "PASS"
    assert read_verdict("no idea", ["PASS", "FAIL"])[0] is None
