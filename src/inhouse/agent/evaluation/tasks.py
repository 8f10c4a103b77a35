"""Tasks of one answer each: what is asked, the tools on offer, and the check of the calls. BFCL and FunctionChat.

Read from their authors' files. Knows no engine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inhouse.agent.evaluation.ast_check import Call, check_calls
from inhouse.agent.evaluation.rows import as_schema, draw, rows
from inhouse.core.errors import UsageError
from inhouse.engines.base import Message, ToolCall, ToolSpec

BFCL = ("simple_python", "multiple", "parallel", "parallel_multiple", "irrelevance", "live_simple", "live_parallel",
        "live_relevance")  # fmt: skip
FUNCTIONCHAT = ("exact", "4_random", "4_close", "8_random", "8_close", "dialog_call", "dialog_other")
SUITES = ("bfcl", "functionchat")
Check = Callable[[Sequence[Call]], str]
"""What is wrong with the calls, in a word or two; empty where nothing is."""


@dataclass(frozen=True, slots=True)
class Task:
    """One question. `messages` end with the user's; `check` judges the calls that the model then makes."""

    id: str
    category: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...]
    check: Check

    @property
    def question(self) -> str:
        """What is asked."""
        return self.messages[-1].content


def load_tasks(suite: str, folder: Path, categories: Sequence[str], limit: int | None, seed: int) -> list[Task]:
    """The tasks of the categories, of each at most `limit`, drawn by the seed. UsageError where they are not there."""
    if suite not in SUITES:
        raise UsageError(f"There is no suite {suite!r}", do=f"Choose of {', '.join(SUITES)}")
    known = BFCL if suite == "bfcl" else FUNCTIONCHAT
    tasks: list[Task] = []
    for category in categories or known:
        if category not in known:
            raise UsageError(f"{suite} has no category {category!r}", do=f"Choose of {', '.join(known)}")
        try:
            found = list(_bfcl(folder, category) if suite == "bfcl" else _functionchat(folder, category))
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise UsageError(
                f"{suite}'s files cannot be read in {folder}", why=str(error), do="Name the folder: --data PATH"
            ) from None
        tasks += draw(found, limit, seed, category)
    return tasks


def _bfcl(folder: Path, category: str) -> Iterator[Task]:
    answers: dict[str, list[Mapping[str, Any]]] = {}
    if category not in ("irrelevance", "live_relevance"):
        answers = {row["id"]: row["ground_truth"] for row in rows(folder / f"possible_answer/BFCL_v4_{category}.json")}
    for row in rows(folder / f"BFCL_v4_{category}.json"):
        # Names with a dot become ones with _, as the official harness does for APIs that allow no dot.
        functions = [{**function, "name": _underscored(function["name"])} for function in row["function"]]
        tools = tuple(
            ToolSpec(one["name"], one.get("description", ""), as_schema(one["parameters"])) for one in functions
        )
        messages = tuple(Message(one["role"], one["content"]) for one in row["question"][0])
        check: Check
        if category == "irrelevance":
            check = _no_call
        elif category == "live_relevance":
            check = _some_call
        else:
            good = [{_underscored(name): values for name, values in one.items()} for one in answers[row["id"]]]
            check = _ast(functions, good, category)
        yield Task(row["id"], category, messages, tools, check)


def _ast(functions: list[dict[str, Any]], good: list[dict[str, Any]], category: str) -> Check:
    return lambda calls: check_calls(functions, calls, good, category)


def _functionchat(folder: Path, category: str) -> Iterator[Task]:
    if category.startswith("dialog"):
        yield from _dialogs(folder, calls=category == "dialog_call")
        return
    for row in rows(folder / "FunctionChat-Singlecall.jsonl"):
        offered = next(one["content"] for one in row["tools"] if one["type"] == category)
        tools = tuple(_spec(one) for one in offered)
        for query, truth, other in zip(row["query"], row["ground_truth"], row["acceptable_arguments"], strict=True):
            call = json.loads(truth["content"])
            check = _exact(call["name"], json.loads(call["arguments"]), other["content"])
            yield Task(
                f"{row['function_num']}.{query['serial_num']}.{category}", category,
                (Message("user", query["content"]),), tools, check,
            )  # fmt: skip


def _dialogs(folder: Path, *, calls: bool) -> Iterator[Task]:
    """Turns of conversations: those answered by a call; or those that must not be (a question back, an answer)."""
    for row in rows(folder / "FunctionChat-Dialog.jsonl"):
        tools = tuple(_spec(one) for one in row["tools"])
        for turn in row["turns"]:
            if (turn["type_of_output"] == "call") is not calls or turn["query"][-1]["role"] != "user":
                continue  # what is told after a tool's result takes a judge of texts
            check: Check = _no_call
            if calls:
                made = turn["ground_truth"]["tool_calls"][0]["function"]
                check = _exact(made["name"], json.loads(made["arguments"]), turn["acceptable_arguments"])
            name = f"dialog {row['dialog_num']}.{turn['turn_num']}"
            yield Task(
                name, f"dialog_{'call' if calls else 'other'}", tuple(map(_message, turn["query"])), tools, check
            )


def _exact(name: str, truth: Mapping[str, Any], other: Any) -> Check:
    """The ground truth, or for each argument one that its authors accept, up to spaces and case.

    The benchmark's own judge is a large model that passes paraphrases too: this is its lower bound.
    """
    accepted = other
    if isinstance(other, str):
        try:
            accepted = json.loads(other)
        except json.JSONDecodeError:
            accepted = None  # "Only ground truth is allowed."
    accepted = accepted if isinstance(accepted, Mapping) else {}

    def check(calls: Sequence[Call]) -> str:
        if len(calls) != 1:
            return "no call" if not calls else "wrong number of calls"
        made, arguments = calls[0]
        if made != name:
            return "wrong function"
        if set(truth) - set(arguments):
            return "missing argument"
        if set(arguments) - set(truth) - set(accepted):
            return "unknown argument"
        for key, value in arguments.items():
            more = accepted.get(key, [])
            good = [*([truth[key]] if key in truth else []), *(more if isinstance(more, list) else [more])]
            if _loose(value) not in map(_loose, good):
                return "wrong value"
        return ""

    return check


def _loose(value: Any) -> Any:
    if isinstance(value, str):
        return re.sub(r"\s+", "", value).casefold()
    if isinstance(value, list):
        return [_loose(one) for one in value]
    if isinstance(value, Mapping):
        return {key: _loose(one) for key, one in value.items()}
    return value


def _no_call(calls: Sequence[Call]) -> str:
    return "needless call" if calls else ""


def _some_call(calls: Sequence[Call]) -> str:
    return "" if calls else "no call"


def _spec(written: Mapping[str, Any]) -> ToolSpec:
    function = written["function"]
    return ToolSpec(function["name"], function.get("description", ""), function["parameters"])


def _message(written: Mapping[str, Any]) -> Message:
    calls = tuple(
        ToolCall(one["id"], one["function"]["name"], one["function"]["arguments"])
        for one in written.get("tool_calls") or ()
    )
    content = written.get("content") or ""
    return Message(written["role"], content, calls, written.get("tool_call_id"), written.get("name"))


def _underscored(name: str) -> str:
    return name.replace(".", "_")
