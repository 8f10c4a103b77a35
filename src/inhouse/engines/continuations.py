"""How likely whole texts are to follow a prompt, from llama.cpp's server.

That server gives log-probabilities of the tokens that it generates, never of a prompt's. So the text is generated:
a grammar of its token ids leaves no other choice, while the log-probabilities are those before any sampling, over
the whole vocabulary. The prompt is read once and its cached state serves all texts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from inhouse.core.errors import EngineProtocolError, UnsupportedFeature, UsageError
from inhouse.engines.base import ChatRequest, ContinuationLogprob
from inhouse.engines.http import HttpClient
from inhouse.engines.openai_wire import LLAMA_CPP, chat_body

# The first place's likeliest tokens that are asked for: texts of one token found among them need no request.
_TOP = 40
# Likeliest tokens among which a part of a character is looked for; the last is more than any vocabulary.
_LOOKED_AMONG = (200, 1_000_000)


async def score_continuations(
    http: HttpClient, request: ChatRequest, texts: Sequence[str], *, raw: bool
) -> tuple[ContinuationLogprob, ...]:
    """See `ContinuationEngine.continuations`.

    Raises:
        UsageError: a text is empty or adds no token.
        EngineError: the server failed, or is too old to be held to token ids.
    """
    prompt = request.messages[-1].content if raw else await _templated(http, request)
    pieces: dict[int, bool] = {}
    read, *whole = await asyncio.gather(
        *(_tokens(http, text, pieces) for text in (prompt, *(prompt + one for one in texts)))
    )
    # A text's first letters may join the prompt's last token: all are scored from where all agree.
    base = min((_agreement(read, tokens) for tokens in whole), default=len(read))
    known: dict[int, tuple[float, bool]] = {}
    found: list[ContinuationLogprob] = []
    for text, tokens in zip(texts, whole, strict=True):
        rest = tokens[base:]
        if not rest:
            raise UsageError(f"The text {text!r} adds no token to the prompt")
        if len(rest) == 1 and rest[0] in known:
            logprob, greedy = known[rest[0]]
            found.append(ContinuationLogprob(logprob, 1, greedy))
            continue
        places = await _read(http, request.model, tokens[:base], rest, pieces)
        known |= {top["id"]: (top["logprob"], rank == 0) for rank, top in enumerate(places[0]["top_logprobs"])}
        found.append(
            ContinuationLogprob(
                logprob=sum(place["logprob"] for place in places),
                tokens=len(rest),
                greedy=all(place["top_logprobs"][0]["id"] == place["id"] for place in places),
            )
        )
    return tuple(found)


async def _templated(http: HttpClient, request: ChatRequest) -> str:
    """The messages as the model's chat template writes them, up to where the answer begins."""
    answer = await http.json("POST", "/apply-template", {"messages": chat_body(request, LLAMA_CPP)["messages"]})
    try:
        return str(answer["prompt"])
    except (KeyError, TypeError):
        raise EngineProtocolError("The server's templated prompt cannot be read") from None


async def _tokens(http: HttpClient, text: str, pieces: dict[int, bool]) -> list[int]:
    """The text's tokens. `pieces` is told of each whether it is but a part of a character."""
    asked = {"content": text, "add_special": True, "parse_special": True, "with_pieces": True}
    answer = await http.json("POST", "/tokenize", asked)
    try:
        for one in answer["tokens"]:
            pieces[int(one["id"])] = not isinstance(one["piece"], str)  # bytes where they make no text
        return [int(one["id"]) for one in answer["tokens"]]
    except (KeyError, TypeError, ValueError):
        raise EngineProtocolError("The server's tokens cannot be read") from None


async def _read(
    http: HttpClient, model: str, prompt: list[int], rest: list[int], pieces: dict[int, bool]
) -> list[dict[str, Any]]:
    """What the server says of each token of `rest` after the prompt."""
    places: list[dict[str, Any]] = []
    for in_parts, run in groupby(rest, key=lambda token: pieces[token]):
        for tokens in ([one] for one in run) if in_parts else [list(run)]:
            before = [*prompt, *rest[: len(places)]]
            if in_parts:
                places.append(await _looked_up(http, model, before, tokens[0]))
            else:
                places += await _forced(http, model, before, tokens)
    return places


async def _forced(http: HttpClient, model: str, prompt: list[int], rest: list[int]) -> list[dict[str, Any]]:
    """What the server says of the tokens when it may generate nothing else."""
    grammar = "root ::= " + " ".join(f"<[{token}]>" for token in rest)
    places = await _generated(http, model, prompt, grammar, len(rest), _TOP)
    forced = [place["id"] for place in places]
    if forced != rest:
        raise UnsupportedFeature(
            "This server does not keep to a grammar of token ids",
            why=f"it generated {forced[:4]}… for {rest[:4]}…",
            do="Update llama.cpp (December 2025 or later), or score by letter or by text",
        )
    return places


async def _looked_up(http: HttpClient, model: str, prompt: list[int], token: int) -> dict[str, Any]:
    """What the server says of a token when it generates some letter in its place."""
    for count in _LOOKED_AMONG:
        places = await _generated(http, model, prompt, "root ::= [a-z]+", 1, count)
        for one in places[0]["top_logprobs"] if places else ():
            if one["id"] == token:
                return {**one, "top_logprobs": places[0]["top_logprobs"][:_TOP]}
    raise EngineProtocolError(f"The server gives no log-probability of the token {token}")


async def _generated(
    http: HttpClient, model: str, prompt: list[int], grammar: str, count: int, top: int
) -> list[dict[str, Any]]:
    """Generates `count` tokens; what the server says of each, with the `top` likeliest in its place."""
    body = {
        "model": model,
        "prompt": prompt,
        "n_predict": count,
        "grammar": grammar,
        "temperature": 0,
        "n_probs": top,
        "post_sampling_probs": False,
        "cache_prompt": True,
        "stream": False,
    }
    answer = await http.json("POST", "/completion", body)
    try:
        places: list[dict[str, Any]] = answer["completion_probabilities"]
        if not all(isinstance(place["id"], int) and place["top_logprobs"] for place in places):
            raise TypeError
    except (KeyError, TypeError):
        raise EngineProtocolError("The server's log-probabilities cannot be read") from None
    return places


def _agreement(a: list[int], b: list[int]) -> int:
    """How many tokens both begin with."""
    length = 0
    for one, other in zip(a, b, strict=False):
        if one != other:
            break
        length += 1
    return length
