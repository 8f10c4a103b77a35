"""Our check of calls gives BFCL's official verdicts: on its own answers, on answers spoiled in each way, and by it."""

from __future__ import annotations

import copy
import json
import random
import sys
import types
from pathlib import Path

import pytest

from inhouse.agent.evaluation.ast_check import check_calls

DATA = Path(__file__).parents[4] / "shared/data/bfcl_v4"
CATEGORIES = ("simple_python", "multiple", "parallel", "parallel_multiple", "live_simple", "live_parallel")
FUNCTION = {
    "name": "area",
    "parameters": {
        "type": "dict",
        "properties": {
            "base": {"type": "integer"},
            "height": {"type": "float"},
            "unit": {"type": "string"},
            "sides": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["base"],
    },
}
GOOD = {"area": {"base": [10], "height": [5.0, ""], "unit": ["sq. cm", ""], "sides": [["a", "b"], ""]}}


@pytest.mark.parametrize(
    ("calls", "fault"),
    [
        ([("area", {"base": 10})], ""),
        ([("area", {"base": 10, "height": 5})], ""),
        ([("area", {"base": 10, "unit": "SQ CM", "sides": ["A", "b"]})], ""),
        ([], "no call"),
        ([("area", {"base": 10})] * 2, "wrong number of calls"),
        ([("volume", {"base": 10})], "wrong function"),
        ([("area", {"height": 5.0})], "missing argument"),
        ([("area", {"base": 10, "colour": "red"})], "unknown argument"),
        ([("area", {"base": "10"})], "wrong type"),
        ([("area", {"base": 11})], "wrong value"),
        ([("area", {"base": 10, "sides": ["b", "a"]})], "wrong value"),
    ],
)
def test_each_fault_is_named(calls, fault):
    assert check_calls([FUNCTION], calls, [GOOD], "simple") == fault


def _official():
    """The official checker; its table of models is left out, which needs every vendor's package."""
    pytest.importorskip("bfcl_eval", reason="the package bfcl-eval is not installed")
    table = types.ModuleType("bfcl_eval.constants.model_config")
    table.MODEL_CONFIG_MAPPING = {"m": types.SimpleNamespace(underscore_to_dot=False)}
    sys.modules.setdefault(table.__name__, table)
    from bfcl_eval.constants.enums import Language
    from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker

    return lambda functions, calls, answers, category: ast_checker(
        functions, [{name: arguments} for name, arguments in calls], answers, Language.PYTHON, category, "m"
    )["valid"]


def _spoiled(rng: random.Random, calls: list, names: list[str]) -> list:
    calls = copy.deepcopy(calls)
    place = rng.randrange(len(calls))
    _, arguments = calls[place]
    key = rng.choice([*arguments, "extra"])
    match rng.randrange(7):
        case 0:
            calls.pop(place)
        case 1:
            calls.append(calls[place])
        case 2:
            calls[place] = (rng.choice([*names, "other"]), arguments)
        case 3:
            arguments.pop(key, None)
        case 4:
            arguments[key] = rng.choice([1, 1.5, True, "text", [], ["text"], [1], {}, {"a": 1}, [{"a": 1}], None])
        case 5 if isinstance(arguments.get(key), str):
            arguments[key] = arguments[key].upper().replace(" ", "-")
        case 6:
            rng.shuffle(calls)
    return calls


@pytest.mark.skipif(not DATA.exists(), reason="BFCL's files are not here")
def test_verdicts_are_the_official_ones():
    official = _official()
    rng = random.Random(0)
    seen = {True: 0, False: 0}
    for category in CATEGORIES:
        tasks = [json.loads(line) for line in (DATA / f"BFCL_v4_{category}.json").read_text().splitlines()]
        answers = {
            row["id"]: row["ground_truth"]
            for row in map(json.loads, (DATA / f"possible_answer/BFCL_v4_{category}.json").read_text().splitlines())
        }
        for task in rng.sample(tasks, min(60, len(tasks))):
            good = answers[task["id"]]
            calls = [
                (name, {key: options[0] for key, options in values.items() if options and options[0] != ""})
                for one in good
                for name, values in one.items()
            ]
            names = [function["name"] for function in task["function"]]
            for tried in (calls, *(_spoiled(rng, calls, names) for _ in range(8))):
                try:
                    verdict = official(task["function"], tried, good, category)
                except Exception:  # the official checker breaks on some types: no verdict to compare with
                    continue
                seen[verdict] += 1
                assert (check_calls(task["function"], tried, good, category) == "") is verdict, (task["id"], tried)
    assert min(seen.values()) > 300
