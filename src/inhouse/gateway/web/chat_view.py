"""What a page shows of a conversation: its steps with their text as HTML, calls, sources and the figures of each turn.

Pure functions over records and ledger rows; knows no template and no store.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inhouse.agent.budget import turn_of
from inhouse.agent.records import CallRecord, CallStatus, Conversation, Step, StepKind
from inhouse.docs.citations import Citation, sources_text
from inhouse.gateway.ledger import UsageRow
from inhouse.gateway.web.markdown import to_html


@dataclass(frozen=True, slots=True)
class Figures:
    """What a turn took, from the ledger; None where that is not known. `krw` is None where there is no price.

    `tokens_s` counts from the first token on, over the requests that gave more than one.
    """

    requests: int
    ttft_s: float | None
    tokens_s: float | None
    prompt_tokens: int
    completion_tokens: int
    estimated: bool
    krw: float | None
    cached: bool
    e2e_s: float


@dataclass(frozen=True, slots=True)
class ShownCall:
    """A tool call; `waits` for a person to allow or refuse it."""

    step: int
    index: int
    name: str
    arguments: str
    status: str
    reason: str
    content: str
    tainted: bool
    waits: bool


@dataclass(frozen=True, slots=True)
class Source:
    """A source of an answer, and where it opens."""

    number: int
    place: str
    text: str
    href: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A step on the page. `ways`: the conversations that go on otherwise from here, this one among them."""

    number: int
    kind: str
    model: str
    """Which was asked, where one was; an agent's own goes by that name, not by the agent's."""
    text: str
    html: str
    error: str
    problem: str
    stopped: bool
    calls: tuple[ShownCall, ...]
    sources: tuple[Source, ...]
    figures: Figures | None
    ways: tuple[str, ...]
    answers: bool
    """Whether it ends a turn with an answer, which can be asked for again."""


def shown(
    conversation: Conversation,
    steps: Sequence[Step],
    rows: Mapping[str, UsageRow],
    ways: Mapping[int, Sequence[str]],
    *,
    priced: bool,
    lang: str,
) -> list[Shown]:
    """The steps for the page; `rows` are those of `request_ids`, `priced` whether the model has a price."""
    return [show_last(conversation, steps[: at + 1], rows, ways, priced=priced, lang=lang) for at in range(len(steps))]


def show_last(
    conversation: Conversation,
    steps: Sequence[Step],
    rows: Mapping[str, UsageRow],
    ways: Mapping[int, Sequence[str]],
    *,
    priced: bool,
    lang: str,
) -> Shown:
    """As `shown`, the last of the steps alone."""
    step = steps[-1]
    cited = citations_of(step)
    sources = tuple(
        Source(one.number, one.place(lang), one.text, f"/ui/chat/{conversation.id}/source/{step.number}/{one.number}")
        for one in cited
    )
    ends = step.kind in (StepKind.MODEL, StepKind.STOP) and all(call.status.ended for call in step.calls)
    answers = step.kind is StepKind.MODEL and not step.calls and not step.error
    return Shown(
        number=step.number,
        kind=step.kind.value,
        model=str(step.data.get("request", {}).get("model", "")),
        text=step.text,
        html=_html(step, cited, sources),
        error=step.error,
        problem=str(step.data.get("problem", "")) if not step.text else "",
        stopped=bool(step.data.get("stopped")),
        calls=tuple(map(_call, step.calls)),
        sources=sources,
        figures=figures_of(turn_of(steps), rows, priced=priced) if ends and not step.calls else None,
        ways=tuple(ways.get(step.number, ())),
        answers=answers,
    )


def request_ids(steps: Sequence[Step]) -> list[str]:
    """Under which ids the ledger has the steps' requests."""
    return [str(step.data["about"]["request"]) for step in steps if "request" in step.data.get("about", {})]


def citations_of(step: Step) -> list[Citation]:
    """The sources that the step's answer names."""
    found: Sequence[Mapping[str, Any]] = step.data.get("about", {}).get("citations", ())
    return [Citation(**{**one, "headings": tuple(one["headings"])}) for one in found]


def _html(step: Step, cited: Sequence[Citation], sources: Sequence[Source]) -> str:
    if step.kind is not StepKind.MODEL:
        return ""
    text = step.text
    for lang in ("ko", "en"):  # the page lists them itself
        text = text.removesuffix(sources_text(cited, lang).strip()).rstrip() if cited else text
    return to_html(text, {one.number: one.href for one in sources})


def _call(call: CallRecord) -> ShownCall:
    return ShownCall(
        call.step,
        call.index,
        call.name,
        json.dumps(dict(call.arguments), ensure_ascii=False, indent=1),
        call.status.value,
        call.reason,
        call.content,
        call.tainted,
        call.status is CallStatus.WAITING,
    )


def figures_of(turn: Sequence[Step], rows: Mapping[str, UsageRow], *, priced: bool) -> Figures | None:
    """What the turn's requests took together; None where the ledger has none of them (yet)."""
    found = [rows[one] for one in request_ids(turn) if one in rows]
    if not found:
        return None
    written = [
        (row.completion_tokens - 1, row.e2e_s - row.ttft_s)
        for row in found
        if row.ttft_s is not None and row.completion_tokens > 1 and row.e2e_s > row.ttft_s and row.cache is None
    ]
    tokens, seconds = (sum(column) for column in zip(*written, strict=True)) if written else (0, 0.0)
    return Figures(
        requests=len(found),
        ttft_s=found[0].ttft_s,
        tokens_s=tokens / seconds if seconds else None,
        prompt_tokens=sum(row.prompt_tokens for row in found),
        completion_tokens=sum(row.completion_tokens for row in found),
        estimated=any(row.tokens_estimated for row in found),
        krw=sum(row.micro_krw for row in found) / 1e6 if priced else None,
        cached=all(row.cache is not None for row in found),
        e2e_s=sum(row.e2e_s for row in found),
    )


def as_markdown(conversation: Conversation, steps: Sequence[Step]) -> str:
    """The conversation to be read and kept elsewhere."""
    parts = [f"# {conversation.title or conversation.id}", f"{conversation.config.get('model')}, {conversation.id}"]
    for step in steps:
        who = {StepKind.INPUT: "You", StepKind.MODEL: "Model", StepKind.SUMMARY: "Notes", StepKind.STOP: "Stopped"}
        parts.append(f"## {who[step.kind]}, {step.at:%Y-%m-%d %H:%M} UTC")
        parts += [step.text] if step.text else []
        parts += [f"Error: {step.error}"] if step.error else []
        for call in step.calls:
            arguments = json.dumps(dict(call.arguments), ensure_ascii=False)
            parts.append(f"- `{call.name}({arguments})`: {call.status.value}\n\n{_quoted(call.content)}")
    return "\n\n".join(parts) + "\n"


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines())
