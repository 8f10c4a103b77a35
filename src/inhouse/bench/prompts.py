"""Prompts of set lengths in a model's own tokens, from real text, each different or deliberately alike.

Knows how to fill a length and how to find what a word costs; knows nothing of arrivals or measuring. The texts
were written for this project and share its licence.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from importlib.resources import files

from inhouse.bench.traces import BLOCK_TOKENS
from inhouse.core.errors import BenchError, UsageError
from inhouse.engines.base import ChatRequest, Engine, Message, UsageEvent

# The instruction makes a model without ignore_eos write on, too.
_LEADS = {"en": "Continue this text:", "ko": "이 글을 이어 쓰세요:"}
_UNIQUE_WORDS = 8  # of several hundred: no two prompts begin alike
# A model that knows little Korean makes several tokens of every word; these fill what words leave over.
_FILLERS = (".", ",", "-", "1", "a")
_AT_ONCE = 16
# Words of the prompts that tell the template's cost and, by their difference, that of a byte: few enough that a slot
# of 512 tokens holds them in a language that costs five tokens a word.
_PROBE_WORDS = (8, 96)


class PromptWriter:
    """Writes prompts of exact lengths; made by `calibrate`.

    A prompt costs what its words cost one by one (tokenisers split text at spaces first), plus the fixed cost
    of the chat template and the instruction. `nonce` differs between processes: the same prompts sent again
    would be found in the engine's prompt cache, so only a prompt's content comes from its key, and its first
    words from nonce and key.
    """

    def __init__(self, text: str, costs: dict[str, float], overhead: float, *, lead: str, nonce: str) -> None:
        self.overhead = overhead
        self._lead = lead
        self._nonce = nonce
        self._costs = costs
        self._filler = min(_FILLERS, key=lambda filler: costs[filler])
        self._words = sorted(costs.keys() - set(_FILLERS))
        self._least = min(costs[word] for word in self._words)
        self._sentences = [sentence.split() for sentence in text.splitlines() if sentence.strip()]
        self._sums = [sum(costs[word] for word in sentence) for sentence in self._sentences]

    @property
    def shortest(self) -> int:
        """The shortest prompt that can be written, in tokens."""
        return int(self.overhead + self._costs[self._filler] + 1)

    def unique(self, key: str, tokens: int, *, shared: int = 0) -> str:
        """A prompt that no other has a prefix in common with, but for `shared` tokens that all of them begin with."""
        left = self._room(tokens)
        parts, left = self._fill(f"{self._nonce}:shared", min(left, shared), left) if shared else ([], left)
        rng = random.Random(f"{self._nonce}:{key}")
        for _ in range(_UNIQUE_WORDS):
            word = rng.choice(self._words)
            if self._costs[word] <= left:
                parts.append(word)
                left -= self._costs[word]
        more, _ = self._fill(key, left, left)
        return " ".join([self._lead, *parts, *more])

    def blocks(self, key: str, tokens: int, blocks: Sequence[int]) -> str:
        """A prompt made of named blocks of 512 tokens, equal in all prompts that name them, and own text after."""
        left = self._room(tokens)
        parts: list[str] = []
        for block in blocks:
            if left < self._costs[self._filler]:
                break
            more, left = self._fill(f"{self._nonce}:block {block}", min(left, BLOCK_TOKENS), left)
            parts += more
        more, _ = self._fill(f"{self._nonce}:{key}", left, left)
        return " ".join([self._lead, *parts, *more])

    def _room(self, tokens: int) -> float:
        if tokens < self.shortest:
            raise UsageError(
                f"A prompt of {tokens} tokens is too short for this model",
                why=f"its chat template and the instruction alone take {self.overhead:.0f}",
                do=f"Ask for prompts of {self.shortest} tokens or more",
            )
        return tokens - self.overhead

    def _fill(self, key: str, tokens: float, left: float) -> tuple[list[str], float]:
        """Words worth `tokens`, and what they leave of `left`: whole sentences in an order of the key's own,
        then such words of the next ones as still fit, then single tokens.
        """
        rng = random.Random(key)
        parts: list[str] = []
        room = tokens
        while room >= self._least:
            index = rng.randrange(len(self._sentences))
            if self._sums[index] <= room:
                parts += self._sentences[index]
                room -= self._sums[index]
                continue
            for word in self._sentences[index]:
                if self._costs[word] <= room:
                    parts.append(word)
                    room -= self._costs[word]
        fillers = max(0, int(room // self._costs[self._filler]))
        room -= fillers * self._costs[self._filler]
        return [*parts, *[self._filler] * fillers], left - (tokens - room)


async def calibrate(engine: Engine, model: str, *, text: str, nonce: str) -> PromptWriter:
    """Finds what words and the chat template cost in this model's tokens, and so makes a writer of prompts.

    Where the engine counts tokens, each word of the text is counted once (half a second or so); elsewhere the
    usage that it reports for a short and a longer prompt tells the cost of a byte. Two or three short
    requests are sent for it.

    Raises:
        EngineError: the engine cannot answer.
        BenchError: it reports no token counts at all.
    """
    source = files("inhouse.bench").joinpath(f"texts/{text}.txt").read_text(encoding="utf-8")
    lead = _LEADS[text]
    words = sorted({*source.split(), *_FILLERS})
    if engine.capabilities.token_count:
        costs = await _count_words(engine, model, words)
        probes = 1
    else:
        costs = {word: float(len(word.encode()) + 1) for word in words}
        probes = 2
    rng = random.Random(nonce)
    spent: list[tuple[float, int]] = []
    for size in _PROBE_WORDS[:probes]:
        chosen = rng.choices(words, k=size)
        tokens = await _prompt_tokens(engine, model, " ".join([lead, *chosen]))
        spent.append((sum(costs[word] for word in chosen), tokens))
    if probes == 2:
        (small, few), (large, many) = spent
        slope = max((many - few) / (large - small), 1e-3)
        costs = {word: cost * slope for word, cost in costs.items()}
        spent = [(small * slope, few)]
    return PromptWriter(source, costs, spent[0][1] - spent[0][0], lead=lead, nonce=nonce)


async def _count_words(engine: Engine, model: str, words: Sequence[str]) -> dict[str, float]:
    """The tokens of each word after a space: what it adds to a text that ends before it."""
    alone = await engine.count_tokens(model, "x")
    gate = asyncio.Semaphore(_AT_ONCE)

    async def count(word: str) -> float:
        async with gate:
            return float(max(1, await engine.count_tokens(model, f"x {word}") - alone))

    return dict(zip(words, await asyncio.gather(*map(count, words)), strict=True))


async def _prompt_tokens(engine: Engine, model: str, prompt: str) -> int:
    request = ChatRequest(model, (Message("user", prompt),), max_tokens=1, temperature=0.0)
    tokens = 0
    async for event in engine.chat(request):
        if isinstance(event, UsageEvent):
            tokens = event.prompt_tokens or 0
    if tokens:
        return tokens
    raise BenchError(
        "The engine does not say how many tokens a prompt has",
        why="its answers carry no usage, so neither lengths nor speeds can be known",
        do="Use an engine that reports usage (stream_options.include_usage)",
    )
