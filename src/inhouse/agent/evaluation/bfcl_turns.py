"""BFCL's multi-turn tasks: several requests to tools on simulated services, judged turn by turn as the official check.

After each turn the services must stand as they do after the official calls, and the results of those calls must be
among all results so far (bfcl_eval's multi_turn_checker, Apache-2.0; a test compares both verdicts). The services are
that package's classes; calls are made by name and argument, never by running text as it does. Knows no model.
"""

from __future__ import annotations

import ast
import copy
import importlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from inhouse.agent.evaluation.ast_check import Call
from inhouse.agent.evaluation.dialogue import Dialogue
from inhouse.agent.evaluation.rows import as_schema, rows
from inhouse.agent.tools.base import Tool, ToolContext, ToolResult
from inhouse.core.errors import MissingExtra

CATEGORIES = ("multi_turn_base", "multi_turn_miss_func")
# What the official harness says where a turn only adds functions.
_MORE = "I have updated some more functions you can choose from. What about now?"
_DOCS = {
    "GorillaFileSystem": "gorilla_file_system", "MathAPI": "math_api", "MessageAPI": "message_api",
    "TwitterAPI": "posting_api", "TicketAPI": "ticket_api", "TradingBot": "trading_bot",
    "TravelAPI": "travel_booking", "VehicleControlAPI": "vehicle_control",
}  # fmt: skip


def load_turns(folder: Path, category: str) -> Iterator[Dialogue]:
    """The category's tasks. MissingExtra without the services; OSError, KeyError, ValueError for files that are off."""
    answers = {row["id"]: row["ground_truth"] for row in rows(folder / f"possible_answer/BFCL_v4_{category}.json")}
    documents = {name: list(rows(folder / f"multi_turn_func_doc/{file}.json")) for name, file in _DOCS.items()}
    service("MathAPI")
    for row in rows(folder / f"BFCL_v4_{category}.json"):
        left_out = set(row.get("excluded_function", ()))
        offered = [one for name in row["involved_classes"] for one in documents[name] if one["name"] not in left_out]
        begin = partial(_begin, row, offered, answers[row["id"]])
        yield Dialogue(row["id"], category, row["question"][0][-1]["content"], begin)


def _begin(row: Mapping[str, Any], offered: Sequence[Mapping[str, Any]], truth: list[list[str]], *_: Any) -> Turns:
    return Turns(row, offered, truth)


def service(name: str) -> Any:
    """The class of a simulated service. MissingExtra where the package is not there."""
    try:
        path = importlib.import_module("bfcl_eval.constants.executable_backend_config").CLASS_FILE_PATH_MAPPING[name]
        return getattr(importlib.import_module(path), name)
    except ImportError as error:
        raise MissingExtra(
            "BFCL's simulated services are not installed", why=str(error),
            do="pip install 'inhouse[agent-suites]', then: pip install --no-deps bfcl-eval (with its dependencies it "
            "holds other packages to old versions)",
        ) from None  # fmt: skip


class World:
    """The services of a task, as they are at its beginning."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self.services: dict[str, Any] = {}
        for name in row["involved_classes"]:
            one = service(name)()
            if name != "MathAPI":  # it has no state
                one._load_scenario(copy.deepcopy(row["initial_config"].get(name, {})), long_context=False)
            self.services[name] = one

    def call(self, name: str, arguments: Mapping[str, Any], places: Sequence[Any] = ()) -> str:
        """The result of a call as text; what goes wrong is told as the official harness tells it."""
        method = next((getattr(one, name, None) for one in self.services.values() if hasattr(one, name)), None)
        try:
            if name.startswith("_") or not callable(method):
                raise NameError(f"name '{name}' is not defined")
            result = method(*places, **arguments)
        except Exception as error:  # noqa: BLE001 - whatever a service raises is its answer
            return f"Error during execution: {error}"
        if isinstance(result, str):
            return result
        if isinstance(result, dict):
            try:
                return json.dumps(result)
            except (TypeError, ValueError):
                return str(result)
        return str(result)

    def equals(self, other: World) -> bool:
        """Whether all that the services show is the same."""
        return all(_shown(one) == _shown(other.services[name]) for name, one in self.services.items())


def _shown(one: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(one).items() if not name.startswith("_")}


class Turns:
    """A try at a task (see `Course`). Ends at the first turn that is judged wrong: nothing mends it."""

    system = ""

    def __init__(self, row: Mapping[str, Any], offered: Sequence[Mapping[str, Any]], truth: list[list[str]]) -> None:
        self._questions = row["question"]
        self._held_back: dict[int, set[str]] = {
            int(turn): set(names) for turn, names in row.get("missed_function", {}).items()
        }
        self._offered = offered
        self._truth = truth
        self._world, self._right_world = World(row), World(row)
        self._turn = -1
        self._results: list[str] = []
        self._made_before = 0
        self._fault = ""
        self.calls: list[Call] = []
        self.seconds = 0.0

    @property
    def tools(self) -> Mapping[str, Tool]:
        """See `Course.tools`: without what a later turn adds."""
        later = {name for turn, names in self._held_back.items() if turn > self._turn for name in names}
        return {
            one["name"]: Tool(
                one["name"], one["description"], as_schema(one["parameters"]), partial(self._run, one["name"]),
                "effect", keyed=False, retries=0,
            )
            for one in self._offered if one["name"] not in later
        }  # fmt: skip

    async def say(self, answer: str) -> str | None:
        """See `Course.say`."""
        if self._turn >= 0:
            self._judge()
        if self._fault or self._turn + 1 == len(self._questions):
            return None
        self._turn += 1
        self._made_before = len(self.calls)
        said = self._questions[self._turn]
        return str(said[-1]["content"]) if said else _MORE

    async def fault(self) -> str:
        """See `Course.fault`."""
        return self._fault

    async def _run(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        start = time.perf_counter()
        result = self._world.call(name, arguments)
        self._results.append(result)
        self.calls.append((name, dict(arguments)))
        self.seconds += time.perf_counter() - start
        return ToolResult(result)

    def _judge(self) -> None:
        right = self._truth[self._turn]
        wanted = [self._right_world.call(*read_call(one)) for one in right]
        if not right:  # here a function is missing: whatever is done instead shows in the next turn's state
            return
        if len(self.calls) == self._made_before:
            self._fault = "no call"
        elif not self._right_world.equals(self._world):
            self._fault = "wrong state"
        else:
            left = list(self._results)
            for one in wanted:
                if one not in left:
                    self._fault = "missing result"
                    return
                left.remove(one)


def read_call(text: str) -> tuple[str, dict[str, Any], list[Any]]:
    """A call in Python's syntax with plain values: name, named arguments, the others. ValueError for anything else."""
    tree = ast.parse(text.strip(), mode="eval").body
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
        raise ValueError(f"no call: {text!r}")
    named = {one.arg: ast.literal_eval(one.value) for one in tree.keywords if one.arg is not None}
    return tree.func.id, named, [ast.literal_eval(one) for one in tree.args]
