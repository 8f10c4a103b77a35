"""BFCL's multi-turn tasks: an agent that makes the right calls passes, and verdicts are the official checker's."""

from __future__ import annotations

import json
import random
import uuid
from importlib.util import find_spec
from pathlib import Path

import pytest

from inhouse.agent.config import AgentConfig
from inhouse.agent.evaluation.bfcl_turns import load_turns, read_call
from inhouse.agent.evaluation.dialogue import hold
from inhouse.core.errors import MissingExtra

DATA = Path(__file__).parents[4] / "shared/data/bfcl_v4"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="BFCL's files are not here")


class Scripted:
    """A side (see `dialogue.Side`) that makes in each turn the calls it is given for it."""

    def __init__(self, turns: list[list[str]]) -> None:
        self.turns = list(turns)
        self.tools = {}
        self.heard: list[str] = []

    def offer(self, system, tools):
        self.tools = tools

    async def answer(self, text: str) -> str:
        self.heard.append(text)
        for one in self.turns.pop(0):
            name, named, places = read_call(one)
            order = list(self.tools[name].parameters["properties"]) if name in self.tools else []
            arguments = dict(zip(order, places, strict=False)) | named
            if name in self.tools:
                await self.tools[name].run(arguments, None)
        return "done"


def tasks(category: str = "multi_turn_base"):
    pytest.importorskip("bfcl_eval", reason="the package bfcl-eval is not installed")
    return list(load_turns(DATA, category))


def truths(category: str) -> dict[str, list[list[str]]]:
    lines = (DATA / f"possible_answer/BFCL_v4_{category}.json").read_text().splitlines()
    return {row["id"]: row["ground_truth"] for row in map(json.loads, lines)}


async def verdict(task, turns: list[list[str]]) -> tuple[str, Scripted]:
    side = Scripted(turns)
    course = task.begin(None, AgentConfig("scripted"))
    return (await hold(course, side, lambda: 0.0, 30)).fault, side


@needs_data
async def test_the_right_calls_pass_and_no_calls_fail():
    truth = truths("multi_turn_base")
    for task in tasks()[:40]:
        assert (await verdict(task, truth[task.id]))[0] == "", task.id
        assert (await verdict(task, [[] for _ in truth[task.id]]))[0] == "no call"


@needs_data
async def test_a_function_held_back_is_offered_in_its_turn_and_said_so():
    task = tasks("multi_turn_miss_func")[0]
    course = task.begin(None, AgentConfig("scripted"))
    side = Scripted(truths("multi_turn_miss_func")[task.id])
    offered = []
    side.offer = lambda system, tools: (offered.append("sort" in tools), setattr(side, "tools", tools))

    assert (await hold(course, side, lambda: 0.0, 30)).fault == ""
    assert offered == [False, False, False, True, True]
    assert side.heard[3].startswith("I have updated some more functions")


@needs_data
async def test_verdicts_are_the_official_ones():
    found = tasks()
    from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import multi_turn_checker

    rng = random.Random(0)
    rows = {row["id"]: row for row in map(json.loads, (DATA / "BFCL_v4_multi_turn_base.json").read_text().splitlines())}
    truth = truths("multi_turn_base")
    seen = {True: 0, False: 0}
    for task in rng.sample(found, 40):
        for turns in (truth[task.id], *(spoiled(rng, truth[task.id]) for _ in range(4))):
            decoded = [[[one] for one in turn] for turn in turns]
            name = f"m{uuid.uuid4().hex}"  # it keeps its services by this name
            official = multi_turn_checker(decoded, truth[task.id], rows[task.id], "multi_turn_base", name)["valid"]
            fault, _ = await verdict(task, turns)
            assert (fault == "") is official, (task.id, turns, fault)
            seen[official] += 1
    assert min(seen.values()) > 40


def spoiled(rng: random.Random, truth: list[list[str]]) -> list[list[str]]:
    """The calls with one left out, doubled, moved to another turn or altered."""
    turns = [list(turn) for turn in truth]
    turn = rng.choice([place for place, calls in enumerate(turns) if calls])
    place = rng.randrange(len(turns[turn]))
    match rng.randrange(5):
        case 0:
            turns[turn].pop(place)
        case 1:
            turns[turn].insert(place, turns[turn][place])
        case 2:
            other = rng.randrange(len(turns))
            turns[other].insert(0, turns[turn].pop(place))
        case 3:
            turns[turn][place] = turns[turn][place].replace("='", "='x")
        case 4:
            turns[turn].insert(place, rng.choice(["ls()", "pwd()", "get_current_time()"]))
    return turns


def test_only_calls_with_plain_values_are_read():
    assert read_call("cd(folder='a')") == ("cd", {"folder": "a"}, [])
    assert read_call("sort('a.txt')") == ("sort", {}, ["a.txt"])
    for text in ("__import__('os').system('ls')", "f(x=g())", "1 + 1"):
        with pytest.raises(ValueError):
            read_call(text)


@needs_data
@pytest.mark.skipif(find_spec("bfcl_eval") is not None, reason="the package bfcl-eval is installed")
def test_without_the_services_it_says_how_to_get_them():
    with pytest.raises(MissingExtra, match="--no-deps bfcl-eval"):
        list(load_turns(DATA, "multi_turn_base"))
