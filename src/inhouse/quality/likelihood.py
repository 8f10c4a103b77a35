"""Asks an engine one case in the ways that its scorers need: as text, by the letters' or the choices' log-probability.

Goes by what the engine says that it can; knows no server.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase

from inhouse.core.errors import UnsupportedFeature
from inhouse.engines.base import (
    ChatRequest,
    ContinuationEngine,
    ContinuationLogprob,
    DoneEvent,
    Engine,
    TextEvent,
    TokenLogprob,
    UsageEvent,
)
from inhouse.quality.scorers import Need, Response
from inhouse.quality.suite import Case

TOP = 20
"""Alternatives asked for at the answer's first token: what OpenAI's API gives at most."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A response with what it cost."""

    response: Response
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    first_token_s: float | None = None
    duration_s: float = 0.0


async def ask(engine: Engine, case: Case, request: ChatRequest, needs: frozenset[Need]) -> Asked:
    """Everything that the scorers need of one case.

    Raises:
        UnsupportedFeature: the engine gives no such log-probabilities.
        EngineError: it failed.
    """
    begin = time.perf_counter()
    asked = Asked(Response())
    if "text" in needs:
        if case.prompt.raw:
            raise UnsupportedFeature(
                f"The prompt {case.prompt.name!r} is raw and cannot be answered in words",
                do="Score it by log-probability, or take raw out",
            )
        asked = await _text(engine, request)
    if "letters" in needs:
        letters = ascii_uppercase[: len(case.item.choices)]
        if case.prompt.raw or engine.capabilities.continuations:
            # Exact for every letter, also where the likeliest tokens are others.
            before = case.prompt.delimiter if case.prompt.raw else ""
            found = await continuations(engine, request, [before + one for one in letters], raw=case.prompt.raw)
            asked = replace(asked, response=replace(asked.response, letters=tuple(one.logprob for one in found)))
        else:
            asked = await _letters(engine, request, letters, asked)
    if "continuations" in needs:
        before = case.prompt.delimiter if case.prompt.raw else ""
        found = await continuations(
            engine, request, [before + choice for choice in case.item.choices], raw=case.prompt.raw
        )
        scored = replace(
            asked.response,
            continuations=tuple(one.logprob for one in found),
            continuation_tokens=tuple(one.tokens for one in found),
        )
        tokens = (asked.completion_tokens or 0) + sum(one.tokens for one in found)
        asked = replace(asked, response=scored, completion_tokens=tokens)
    return replace(asked, duration_s=time.perf_counter() - begin)


async def continuations(
    engine: Engine, request: ChatRequest, texts: Sequence[str], *, raw: bool = False
) -> tuple[ContinuationLogprob, ...]:
    """See `ContinuationEngine.continuations`; UnsupportedFeature where the engine is none."""
    # Some engines know what they can do only once they were asked for something.
    if not engine.capabilities.continuations:
        await engine.health()
    if not (engine.capabilities.continuations and isinstance(engine, ContinuationEngine)):
        raise UnsupportedFeature(
            f"The engine {engine.name} does not give the log-probability of a whole answer",
            do="Use the embedded engine or llama.cpp's server, or score by letter or by text",
        )
    return await engine.continuations(request, texts, raw=raw)


def letter_logprobs(token: TokenLogprob, letters: str) -> tuple[float, ...]:
    """How likely each letter is as this token: over all forms of it ("B", " B", "(B"), −∞ where none is listed."""
    shares = dict.fromkeys(letters, 0.0)
    for text, logprob in dict([*token.top, (token.token, token.logprob)]).items():
        letter = text.strip(" \n\t(*\"'[").removesuffix(")").removesuffix(".")
        if letter in shares:
            shares[letter] += math.exp(logprob)
    return tuple(math.log(share) if share > 0 else -math.inf for share in shares.values())


async def _text(engine: Engine, request: ChatRequest) -> Asked:
    if request.top_logprobs is not None and not engine.capabilities.logprobs:
        raise _no_logprobs(engine)
    pieces: list[str] = []
    tokens: list[TokenLogprob] = []
    usage: UsageEvent | None = None
    finish: str | None = None
    begin, first = time.perf_counter(), None
    async for event in engine.chat(request):
        match event:
            case TextEvent():
                first = first or event.at
                pieces.append(event.text)
                tokens += event.logprobs
            case UsageEvent():
                usage = event
            case DoneEvent():
                finish = event.finish_reason
            case _:
                pass
    return Asked(
        Response("".join(pieces), finish, tuple(replace(one, top=()) for one in tokens)),
        usage.prompt_tokens if usage else None,
        usage.completion_tokens if usage else None,
        usage.cached_tokens if usage else None,
        None if first is None else first - begin,
    )


async def _letters(engine: Engine, request: ChatRequest, letters: str, before: Asked) -> Asked:
    """One token with its likeliest alternatives: all letters at the price of one request."""
    if not engine.capabilities.logprobs:
        raise _no_logprobs(engine)
    wanted = replace(
        request, max_tokens=1, temperature=0.0, top_p=None, top_k=None, repeat_penalty=None, json_schema=None, stop=(),
        top_logprobs=TOP,
    )  # fmt: skip
    found: tuple[float, ...] = (-math.inf,) * len(letters)
    usage: UsageEvent | None = None
    seen = said = False
    async for event in engine.chat(wanted):
        said = said or isinstance(event, TextEvent)
        if isinstance(event, TextEvent) and event.logprobs and not seen:
            seen = True
            found = letter_logprobs(event.logprobs[0], letters)
        elif isinstance(event, UsageEvent):
            usage = event
    # A token that is a part of a letter, as of Hangul, is no text yet: nothing was said, and no letter chosen.
    if said and not seen:
        raise UnsupportedFeature(
            f"The engine {engine.name} sent no log-probabilities", do="Score by text, or use another engine"
        )
    return replace(
        before,
        response=replace(before.response, letters=found),
        prompt_tokens=before.prompt_tokens or (usage.prompt_tokens if usage else None),
        completion_tokens=(before.completion_tokens or 0) + ((usage.completion_tokens or 1) if usage else 1),
    )


def _no_logprobs(engine: Engine) -> UnsupportedFeature:
    return UnsupportedFeature(
        f"The engine {engine.name} gives no log-probabilities", do="Score by text, or use another engine"
    )
