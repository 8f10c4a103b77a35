"""How long an engine with continuous batching takes: a step's duration by what is in it. Knows no arrivals.

An engine works in steps. Each gives one token to every request that is being answered, and takes in the prompts of
those that have just been admitted; what a step costs is linear in what is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

PROMPT_BATCH = 2048
"""Tokens of prompts that llama.cpp (n_batch) and vLLM (max_num_batched_tokens) take into one step by default."""


@dataclass(frozen=True, slots=True)
class ServiceModel:
    """What one machine takes for a step, in seconds, and how many requests it serves together.

    `decode_s` holds (requests, seconds) of a decode step with empty caches, by rising number of requests; between
    them it is interpolated, beyond them extended. `cache_s` comes on top for each token held in the caches of the
    requests that decode. A step that takes prompts in costs `prompt_fixed_s` more, `prompt_s` for each of their
    tokens and `prompt_square_s` for the square of each prompt's length. `request_s` passes once a request outside
    of any step (transport, template, tokenising). `cache_tokens` is what fits into KV memory (None: no limit but
    the slots). `method` says what it stands on; `off` is the largest share by which it missed a stage's time.
    """

    slots: int
    decode_s: tuple[tuple[int, float], ...]
    cache_s: float = 0.0
    prompt_fixed_s: float = 0.0
    prompt_s: float = 0.0
    prompt_square_s: float = 0.0
    request_s: float = 0.0
    prompt_batch: int = PROMPT_BATCH
    cache_tokens: int | None = None
    method: str = "measured"
    predicted: bool = False
    off: float | None = None

    def step_s(self, requests: int, cached: float = 0.0) -> float:
        """A decode step for so many requests, whose caches hold `cached` tokens together."""
        return interpolated(self.decode_s, requests) + self.cache_s * cached

    def prefill_s(self, tokens: float) -> float:
        """What one prompt of so many tokens adds to the step or steps that take it in."""
        steps = max(1, -(-int(tokens) // self.prompt_batch))
        return self.prompt_fixed_s * steps + self.prompt_s * tokens + self.prompt_square_s * tokens * tokens

    def fitting(self, tokens: float) -> int:
        """How many requests of so many tokens (prompt and answer) are served together: slots, or less by memory."""
        if self.cache_tokens is None:
            return self.slots
        return max(1, min(self.slots, int(self.cache_tokens // max(1.0, tokens))))

    def cycle_s(self, requests: int, prompt: float, output: float) -> float:
        """How long each of so many requests of one shape takes while they are served together.

        While one is answered each of the others ends and its successor's prompt is taken in once, so that
        `requests` prompts and output − 1 decode steps pass.
        """
        cached = requests * (prompt + output / 2)
        return requests * self.prefill_s(prompt) + max(0.0, output - 1) * self.step_s(requests, cached)

    def rate(self, requests: int, prompt: float, output: float) -> float:
        """Requests a second that are completed while so many of one shape are served together."""
        return requests / self.cycle_s(requests, prompt, output)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)


def interpolated(points: Sequence[tuple[int, float]], at: float) -> float:
    """The value at `at` between (or, on the last two, beyond) points of rising place; never below the first."""
    if at <= points[0][0] or len(points) == 1:
        # Fewer requests than were ever measured do not take less than the fewest that were.
        return points[0][1] if at <= points[0][0] else points[0][1] * at / points[0][0]
    for (left, low), (right, high) in pairwise(points):
        if at <= right:
            return low + (high - low) * (at - left) / (right - left)
    (left, low), (right, high) = points[-2:]
    return high + max(0.0, (high - low) / (right - left)) * (at - right)
