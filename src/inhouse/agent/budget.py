"""When a turn must stop (steps, tokens, money, time, loops, repairs, a failing engine), and what one will cost.

Pure functions over steps: the same steps stop a replay at the same place.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from inhouse.agent.answers import REPAIRABLE
from inhouse.agent.config import AgentConfig, Limits
from inhouse.agent.records import CallStatus, Step, StepKind, Usage
from inhouse.core.errors import ContextExceeded


def turn_of(steps: Sequence[Step]) -> list[Step]:
    """The steps since the person last wrote, that one included; after a stop, those since the stop."""
    begin = max((step.number for step in steps if step.kind in (StepKind.INPUT, StepKind.STOP)), default=0)
    return [step for step in steps if step.number >= begin]


def total_usage(steps: Sequence[Step]) -> Usage:
    """What the steps used together."""
    return sum((step.usage for step in steps), Usage())


def spent_reason(limits: Limits, steps: Sequence[Step]) -> str:
    """Why the turn may not ask the model again; empty where it may."""
    turn = turn_of(steps)
    asked = [step for step in turn if step.kind is StepKind.MODEL]
    usage = total_usage(turn)
    seconds = sum(step.duration_s + sum(call.duration_s for call in step.calls) for step in turn)
    if len(asked) >= limits.steps:
        return f"the limit of {limits.steps} steps is reached"
    if limits.tokens is not None and usage.tokens >= limits.tokens:
        return f"the limit of {limits.tokens} tokens is reached"
    if limits.krw is not None and usage.micro_krw >= limits.krw * 1_000_000:
        return f"the limit of {limits.krw:g} won is reached"
    if limits.seconds is not None and seconds >= limits.seconds:
        return f"the limit of {limits.seconds:g} s is reached"
    return _failing(limits, asked) or _looping(limits, asked)


def _failing(limits: Limits, asked: Sequence[Step]) -> str:
    errors = unusable = 0
    for step in reversed(asked):
        if not step.error:
            break
        errors += 1
    if errors:
        last = asked[-1]
        can_help = last.data.get("retryable") or last.data.get("error_kind") == ContextExceeded.kind
        if not can_help or errors > limits.engine_retries:
            return f"the engine failed: {last.error}"
    for step in reversed(asked):
        if step.data.get("problem") not in REPAIRABLE:
            break
        unusable += 1
    if unusable > limits.repairs:
        return f"{unusable} answers in a row could not be used ({asked[-1].data['problem']})"
    return ""


def _looping(limits: Limits, asked: Sequence[Step]) -> str:
    made = Counter(
        (call.name, json.dumps(dict(call.arguments), sort_keys=True))
        for step in asked
        for call in step.calls
        if call.status is not CallStatus.INVALID
    )
    for (name, arguments), times in made.items():
        if times >= limits.same_call:
            return f"a loop: {name}({arguments}) was called {times} times"
    return ""


def usual_requests(conversations: Iterable[Sequence[Step]]) -> tuple[int, int]:
    """How often the model is asked in a turn, by the median of the conversations' turns, and how many turns those are.

    Both 0 where there is none.
    """
    asked: list[int] = []
    for steps in conversations:
        for step in steps:
            if step.kind is StepKind.INPUT:
                asked.append(0)
            elif asked and step.kind in (StepKind.MODEL, StepKind.SUMMARY):
                asked[-1] += 1
    made = sorted(count for count in asked if count)
    return (made[len(made) // 2] if made else 0), len(made)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a turn is expected to use: requests to the model, and tokens."""

    requests: int
    prompt_tokens: int
    completion_tokens: int


def estimate_turn(config: AgentConfig, pinned: int, shown: int, *, requests: int) -> Estimate:
    """The tokens of a turn of so many requests, of which all but the last call a tool.

    `pinned` is what goes with every request, `shown` the history and the question. Each call is taken to add 40
    tokens written and 120 of result, the answer 120: what the small models of the catalogue were seen to use.
    """
    calls = requests - 1
    grown = sum(160 * call for call in range(requests))
    most = config.context - config.max_tokens
    return Estimate(requests, min(requests * (pinned + shown) + grown, requests * most), calls * 40 + 120)
