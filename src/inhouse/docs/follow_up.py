"""Rewrites a follow-up question so that it can be searched for without the conversation before it."""

from __future__ import annotations

from collections.abc import Sequence

from inhouse.docs.model import Model
from inhouse.docs.prompt import rewrite_request
from inhouse.docs.terms import How, terms
from inhouse.engines.base import ChatRequest, Message, TextEvent, UsageEvent

_KNOWN = 0.6
"""Of a rewritten question's terms, the share that the conversation must have: a rewriting adds little."""


async def standalone(
    question: str, history: Sequence[Message], engine: Model, model: str, *, seed: int | None = None
) -> tuple[str, UsageEvent | None]:
    """The question in words that need no conversation, and what that took.

    What a model makes of it is taken only if it is one short line that still speaks of the same; otherwise the
    question before is put in front.
    """
    before = [turn.content for turn in history if turn.role == "user" and turn.content.strip()]
    if not before:
        return question, None
    pieces: list[str] = []
    used: UsageEvent | None = None
    request = ChatRequest(model, rewrite_request(history, question), max_tokens=80, temperature=0.0, seed=seed)
    async for event in engine.chat(request):
        if isinstance(event, TextEvent):
            pieces.append(event.text)
        elif isinstance(event, UsageEvent):
            used = event
    lines = "".join(pieces).strip().strip('"“”').splitlines()
    rewritten = lines[0].strip() if lines else ""
    how: How = "words+bigrams"
    known = set(terms(" ".join([question, *(turn.content for turn in history)]), how))
    new = terms(rewritten, how)
    same = sum(term in known for term in new) >= _KNOWN * len(new)
    if new and same and set(terms(question, how)).intersection(new) and len(rewritten) <= 4 * len(question) + 80:
        return rewritten, used
    return f"{before[-1]} {question}", used
