"""The requests that the agent sends: with tools as the engine offers them, as text, or held to a JSON schema.

A repair turn after an invalid call is held to that call's own schema, so that its next try can be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace

import orjson

from inhouse.agent.config import AgentConfig
from inhouse.agent.records import CallRecord, CallStatus, Step, StepKind
from inhouse.agent.tools.base import Tool
from inhouse.engines.base import ChatRequest, Message
from inhouse.engines.tool_prompt import call_schema, tools_as_text

_SUMMARY_TOKENS = 300
_ANSWER_FORM = '\n\nOr answer without a function, as {"answer": <text>}.'
_ENOUGH = "You have made this call already. Answer me now in plain words from the results above, without a tool call."


def ask_for_answer(
    config: AgentConfig, tools: Iterable[Tool], messages: tuple[Message, ...], turn: Sequence[Step]
) -> ChatRequest:
    """The next request of a turn."""
    offered = {tool.name: tool.spec for tool in tools}
    request = ChatRequest(
        config.model,
        messages,
        max_tokens=config.max_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        seed=config.seed,
        tools=tuple(offered.values()),
    )
    if not offered:
        return request
    if _repeats(turn):
        return replace(request, tools=(), messages=(*messages, Message("user", _ENOUGH)))
    broken = _to_repair(turn)
    if broken is not None and broken.name in offered:
        request = replace(request, tools=(offered[broken.name],), tool_choice="required")
    if config.tool_form == "native":
        return request
    text = tools_as_text(request)
    if config.tool_form == "schema" and text.json_schema is None:
        answer = {
            "type": "object",
            "properties": {"answer": {"type": "string"}},
            "required": ["answer"],
            "additionalProperties": False,
        }
        system, *rest = text.messages
        system = replace(system, content=system.content + _ANSWER_FORM)
        text = replace(
            text,
            messages=(system, *rest),
            json_schema={"anyOf": [*(call_schema(spec) for spec in offered.values()), answer]},
        )
    # The tools stay out of the request, so that the engine does not offer them a second time.
    return text


def ask_for_summary(config: AgentConfig, messages: tuple[Message, ...]) -> ChatRequest:
    """The request that tells older turns in short."""
    tokens = min(_SUMMARY_TOKENS, config.max_tokens)
    return ChatRequest(config.model, messages, max_tokens=tokens, temperature=0.0, seed=config.seed)


def declared(tools: Iterable[Tool]) -> str:
    """The tools' declarations as text, to be counted."""
    return "".join(orjson.dumps(asdict(tool.spec)).decode() for tool in tools)


def _repeats(turn: Sequence[Step]) -> bool:
    """Whether the last answer only made calls that had been done in this turn before: a small model's loop."""
    last = turn[-1] if turn else None
    if last is None or not last.calls:
        return False
    before = {_call_key(call) for step in turn[:-1] for call in step.calls if call.status is CallStatus.DONE}
    return all(_call_key(call) in before for call in last.calls)


def _call_key(call: CallRecord) -> tuple[str, bytes]:
    return call.name, orjson.dumps(dict(call.arguments), option=orjson.OPT_SORT_KEYS)


def _to_repair(turn: Sequence[Step]) -> CallRecord | None:
    """The one call whose arguments were wrong, if the last answer was that and nothing else."""
    last = turn[-1] if turn else None
    if last is None or last.kind is not StepKind.MODEL or len(last.calls) != 1:
        return None
    call = last.calls[0]
    return call if call.reason == "invalid arguments" else None
