"""`inhouse agent run --estimate`: what a task may take before it is begun, by how often the model may be asked."""

from __future__ import annotations

from typing import Any

from inhouse.agent.budget import usual_requests
from inhouse.agent.config import AgentConfig
from inhouse.agent.records import Conversation
from inhouse.agent.session import Session
from inhouse.cli.agent_session import this_person
from inhouse.cli.output import note, print_json, print_table

_LOOKED_AT = 50  # kept conversations


async def print_estimate(
    session: Session, config: AgentConfig, kept: Conversation | None, text: str, *, as_json: bool
) -> None:
    """Prints tokens and won of an answer at once, of a usual turn, and of one that goes up to its limit."""
    like = [one for one in session.conversations.listed(limit=_LOOKED_AT) if _alike(one, config)]
    usual, turns = usual_requests([session.conversations.steps(one.id) for one in like])
    cases = {
        "answered at once": 1,
        "usual" if turns else "one tool call": usual or 2,
        "up to the limit": config.limits.steps,
    }
    found: dict[str, Any] = {}
    for name, requests in cases.items():
        one = await session.estimate(config, text, requests, person=this_person(), kept=kept)
        usage = session.priced(one)
        found[name] = {
            "requests": requests, "prompt_tokens": one.prompt_tokens, "completion_tokens": one.completion_tokens,
            "won": usage.micro_krw / 1e6 if usage is not None else None,
        }  # fmt: skip
    if as_json:
        print_json({"estimate": found, "usual_from_turns": turns})
        return
    rows = [(name, *(_shown(value) for value in one.values())) for name, one in found.items()]
    print_table(("case", "requests", "prompt tokens", "completion tokens", "won"), rows)
    basis = (
        f"usual: the median of {turns} kept turns with these tools" if turns else "no kept turn with these tools yet"
    )
    note(f"{basis} · assumed: 40 tokens a call, 120 a result, 120 the answer; nothing taken from a prompt cache")


def _alike(conversation: Conversation, config: AgentConfig) -> bool:
    before = AgentConfig.from_dict(conversation.config)
    return (before.model, before.tools) == (config.model, config.tools)


def _shown(value: float | None) -> str | None:
    return None if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.2f}"
