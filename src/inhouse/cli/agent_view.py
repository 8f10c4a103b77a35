"""How an agent's steps and turns look in the terminal, and how a person there approves a call."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import orjson

from inhouse.agent.budget import total_usage
from inhouse.agent.loop import Turn
from inhouse.agent.records import Approver, CallRecord, CallStatus, Status, Step, StepKind
from inhouse.agent.tools.base import Tool
from inhouse.cli.output import note
from inhouse.core.units import format_seconds
from inhouse.engines.base import Event, TextEvent


class Speaker:
    """Says on stdout what the model answers as it comes, and shows each step on stderr once it is kept.

    `form` is how the agent's calls are asked for: text that may turn out to be one is not said as it comes. `said` is
    the whole of the last answer, as the loop has it.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent
        self._text = ""
        self.form = "native"
        self.said = ""

    def event(self, event: Event) -> None:
        """A piece of an answer; an engine keeps back itself what may be a call."""
        if isinstance(event, TextEvent) and not self._silent and self.form == "native":
            text = event.text if self._text else event.text.lstrip()
            self._text += text
            sys.stdout.write(text)
            sys.stdout.flush()

    def step(self, step: Step) -> None:
        """A step has been kept."""
        if self._text:
            sys.stdout.write("\n")
            self.said = step.text if self._text.strip() == step.text.strip() else ""
            self._text = ""
        if not self._silent:
            show_step(step)


def show_step(step: Step) -> None:
    """One step as it happens, on stderr; calls once they have ended."""
    if step.error:
        note(f"  ! {step.error}")
    elif step.kind is StepKind.SUMMARY:
        note("  (older turns were summarised)")
    elif problem := step.data.get("problem"):
        note(f"  ? {problem}")
    for call in step.calls:
        if call.status.ended:
            note(f"  {call_line(call)}")


def call_line(call: CallRecord) -> str:
    """A call and its outcome on one line."""
    arguments = orjson.dumps(dict(call.arguments)).decode()
    result = " ".join(call.content.split())
    result = result if len(result) <= 120 else result[:119] + "…"
    sign = "→" if call.status is CallStatus.DONE else f"{call.status.value}:"
    return f"{call.name} {arguments} {sign} {result}"


def print_turn(conversation_id: str, turn: Turn, steps: Sequence[Step], *, said: str = "") -> None:
    """The answer on stdout, unless that is what was `said` as it came; what it took on stderr."""
    if turn.status is Status.IDLE and turn.text == said:
        pass
    elif turn.status is Status.IDLE:
        sys.stdout.write(turn.text + "\n")
    elif turn.status is Status.STOPPED:
        note(f"stopped: {turn.text}")
    else:
        note("waits for approval of:")
        for call in steps[-1].calls:
            if call.status is CallStatus.WAITING:
                note(f"  {call.name} {orjson.dumps(dict(call.arguments)).decode()} ({call.reason})")
    usage = total_usage(turn.steps)
    asked = sum(step.kind in (StepKind.MODEL, StepKind.SUMMARY) for step in turn.steps)
    seconds = sum(step.duration_s for step in turn.steps)
    requests = "1 request" if asked == 1 else f"{asked} requests"
    money = f" · {usage.micro_krw / 1e6:.2f} won" if usage.micro_krw else ""
    note(
        f"{requests} · {usage.prompt_tokens} ({usage.cached_tokens} cached) + {usage.completion_tokens} tokens · "
        f"{format_seconds(seconds)}{money} · inhouse agent trace {conversation_id[:10]}"
    )


def turn_data(conversation_id: str, turn: Turn) -> dict[str, Any]:
    """A turn for programs."""
    calls = [
        {
            "name": call.name,
            "arguments": dict(call.arguments),
            "status": call.status.value,
            "form": call.form,
            "repaired": call.repaired,
            "content": call.content,
        }
        for step in turn.steps
        for call in step.calls
    ]
    return {
        "conversation": conversation_id,
        "status": turn.status.value,
        "answer" if turn.status is Status.IDLE else "reason": turn.text,
        "calls": calls,
        "usage": total_usage(turn.steps),
    }


def answer_approval(*, always: bool) -> Approver:
    """An approver that asks at the terminal; without one, or with `always`, it does not ask."""

    async def approve(tool: Tool, call: CallRecord) -> bool | None:
        if always:
            return True
        if not sys.stdin.isatty():
            return None
        note(f"{tool.name} has an effect ({call.reason}):\n{orjson.dumps(dict(call.arguments)).decode()}")
        said = await asyncio.to_thread(input, "Run it? [y/N] ")
        return said.strip().lower() in ("y", "yes", "예", "네")

    return approve
