"""What of a conversation the model is shown: pinned, summary, recalled and recent parts within the context's budget.

A pure function of the steps (whose texts were counted when they were kept), so that a replay sends the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from inhouse.agent.answers import HINTS
from inhouse.agent.config import AgentConfig
from inhouse.agent.recall import recall
from inhouse.agent.records import CallRecord, Step, StepKind
from inhouse.agent.world import estimate_tokens
from inhouse.engines.base import Message, ToolCall

_MESSAGE_TOKENS = 8  # what a template puts around a message
_SLACK = 48
_SUMMARY_PROMPT = (
    "Shorten the conversation below to notes for yourself. Keep every name, number, date, decision, preference and "
    "open task; leave out pleasantries. Write in the conversation's language, at most 150 words."
)


@dataclass(frozen=True, slots=True)
class View:
    """What to send, or the steps that must be summarised first (then `messages` asks for just that).

    `until` is the last step that the summary will cover; `tokens` the planned prompt.
    """

    messages: tuple[Message, ...]
    tokens: int
    until: int | None = None
    cut: bool = False
    """Whether a tool's result is shown in part only."""


def build_view(config: AgentConfig, steps: Sequence[Step], *, scale: float = 1.0) -> View:
    """The view of the steps; `scale` below 1 shrinks the budget, where the engine found the last one too long."""
    begin = _last(steps, StepKind.INPUT)
    facts: list[str] = list(begin.data.get("facts", ())) if begin else []
    pinned = int(begin.data.get("pinned_tokens", 0)) if begin else 0
    budget = int((config.context - config.max_tokens) * scale) - pinned - _SLACK
    turns = _turns(steps)
    result_tokens = max(64, budget // 4)
    while True:  # the current turn stays whole: if need be, its results are cut shorter
        costs = [sum(_cost(step, result_tokens) for step in turn) for turn in turns]
        if costs[-1] <= budget or result_tokens <= 64:
            break
        result_tokens = max(64, result_tokens // 2)
    summary = _last(steps, StepKind.SUMMARY)
    covered = -1 if summary is None else int(summary.data["until"])
    fixed = 0 if summary is None else summary.tokens
    shown = _recent(turns, costs, budget - fixed, covered, config)
    left_out = turns[:shown]
    if config.memory == "summary" and left_out and left_out[-1][-1].number > covered:
        # Make room for more than this one turn, so that not every turn needs a summary.
        shown = max(shown, _recent(turns, costs, (budget - fixed) // 2, covered, config))
        return _summary_request(config, turns[:shown], covered, summary, budget)
    system = config.system + _facts(facts)
    if summary is not None and summary.text and left_out:
        system += f"\n\nNotes on the conversation so far:\n{summary.text}"
    # Where nothing is to be said, the model's own template has its say. With tools it is what tells of them.
    messages = [Message("system", system)] if system or config.tools else []
    recalled = (
        _recalled(turns[-1], left_out, (budget - fixed - sum(costs[shown:]))) if config.memory == "summary" else ""
    )
    for turn in turns[shown:]:
        for step in turn:
            messages += _messages(step, result_tokens, recalled if step is begin else "")
    tokens = pinned + fixed + sum(costs[shown:]) + estimate_tokens(recalled)
    cut = any(call.tokens > result_tokens for turn in turns[shown:] for step in turn for call in step.calls)
    return View(tuple(messages), tokens, cut=cut)


def _recent(turns: Sequence[Sequence[Step]], costs: Sequence[int], room: int, covered: int, config: AgentConfig) -> int:
    """From which turn on they fit the room; the last one always. What a summary covers is not shown again."""
    first = len(turns) - 1
    room -= costs[first]
    while first > 0 and costs[first - 1] <= room:
        if config.memory == "summary" and turns[first - 1][-1].number <= covered:
            break
        first -= 1
        room -= costs[first]
    return first


def _summary_request(
    config: AgentConfig, turns: Sequence[Sequence[Step]], covered: int, before: Step | None, budget: int
) -> View:
    """Asks for a summary of what is not covered yet, as much of it as fits."""
    lines = [f"Notes so far:\n{before.text}"] if before is not None and before.text else []
    room = budget - sum(map(estimate_tokens, lines)) - estimate_tokens(_SUMMARY_PROMPT)
    until = covered
    for turn in turns:
        if turn[-1].number <= covered:
            continue
        text = "\n".join(line for step in turn for line in _told(step))
        room -= estimate_tokens(text)
        if room < 0 and until > covered:
            break
        lines.append(text[: 4 * budget] if room < 0 else text)
        until = turn[-1].number
    prompt = "\n\n".join(lines)
    return View((Message("system", _SUMMARY_PROMPT), Message("user", prompt)), estimate_tokens(prompt), until)


def _recalled(current: Sequence[Step], left_out: Sequence[Sequence[Step]], room: int) -> str:
    """Earlier turns, no longer shown, that touch the question, in their own words."""
    told = ["\n".join(line for step in turn for line in _told(step, longest=400)) for turn in left_out]
    kept: list[int] = []
    for place in recall(current[0].text, told):
        room -= estimate_tokens(told[place])
        if room < 0:
            break
        kept.append(place)
    return "\n".join(told[place] for place in sorted(kept))


def _told(step: Step, longest: int = 1200) -> list[str]:
    """A step as lines of a transcript."""
    who = {StepKind.INPUT: "User", StepKind.MODEL: "Assistant"}.get(step.kind)
    lines = [f"{who}: {_short(step.text, longest)}"] if who and step.text else []
    lines += [
        f"Tool {call.name}({json.dumps(dict(call.arguments), ensure_ascii=False)}): {_short(call.content, 300)}"
        for call in step.calls
    ]
    return lines


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest] + "…"


def _turns(steps: Sequence[Step]) -> list[list[Step]]:
    """The steps by turn, each beginning with what the person wrote; without summaries."""
    turns: list[list[Step]] = []
    for step in steps:
        if step.kind is StepKind.INPUT:
            turns.append([])
        if step.kind is not StepKind.SUMMARY:
            turns[-1].append(step)
    return turns


def _messages(step: Step, result_tokens: int, recalled: str) -> list[Message]:
    if step.kind is StepKind.INPUT:
        before = f"(From earlier in this conversation:\n{recalled})\n\n" if recalled else ""
        return [Message("user", before + step.text)]
    if step.kind is StepKind.STOP:
        return [Message("assistant", f"(No answer: {step.text})")]
    if step.error:
        return []
    if not step.calls:
        answer = [Message("assistant", step.text)] if step.text else []
        hint = HINTS.get(str(step.data.get("problem", "")))
        return [*answer, Message("user", hint)] if hint else answer
    calls = tuple(
        ToolCall(call.handle, call.name, json.dumps(dict(call.arguments), ensure_ascii=False)) for call in step.calls
    )
    results = [
        Message("tool", cut_result(call, result_tokens), tool_call_id=call.handle, name=call.name)
        for call in step.calls
    ]
    return [Message("assistant", step.text, tool_calls=calls), *results]


def cut_result(call: CallRecord, most: int) -> str:
    """The call's result, cut to about so many tokens, with the handle by which the rest is read."""
    if call.tokens <= most:
        return call.content
    kept = call.content[: max(1, len(call.content) * most // call.tokens)]
    left = len(call.content) - len(kept)
    return f'{kept}\n[{left} more characters: read_more(handle="{call.handle}", start={len(kept)})]'


def _cost(step: Step, result_tokens: int) -> int:
    if step.error:
        return 0
    results = sum(min(call.tokens, result_tokens + 24) + _MESSAGE_TOKENS for call in step.calls)
    return step.tokens + _MESSAGE_TOKENS + results


def _facts(facts: Sequence[str]) -> str:
    return "\n\nKnown about the user:\n" + "\n".join(f"- {fact}" for fact in facts) if facts else ""


def pinned_text(config: AgentConfig, facts: Sequence[str], declared: str) -> str:
    """All that is sent with every request, to be counted."""
    return config.system + _facts(facts) + declared


def _last(steps: Sequence[Step], kind: StepKind) -> Step | None:
    return next((step for step in reversed(steps) if step.kind is kind), None)
