"""Prompts have the length that was asked for, in the model's tokens, and are alike only on purpose."""

from __future__ import annotations

import random

import pytest
from scripted_engine import TEMPLATE_TOKENS, ScriptedEngine, tokens_of

from inhouse.bench.prompts import PromptWriter, calibrate
from inhouse.core.errors import BenchError, UsageError


async def writer(text: str = "en", nonce: str = "n", *, counts_tokens: bool = True) -> PromptWriter:
    return await calibrate(ScriptedEngine(counts_tokens=counts_tokens), "scripted", text=text, nonce=nonce)


def length(prompt: str) -> int:
    return TEMPLATE_TOKENS + tokens_of(prompt)


def common_words(a: str, b: str) -> int:
    return next((i for i, (x, y) in enumerate(zip(a.split(), b.split(), strict=False)) if x != y), 10**9)


@pytest.mark.parametrize("text", ["en", "ko"])
async def test_prompts_are_exactly_as_long_as_asked(text: str) -> None:
    made = await writer(text)
    for tokens in (made.shortest, 64, 256, 257, 1000, 4096):
        for number in range(5):
            assert length(made.unique(f"k{number}", tokens)) == tokens
        assert length(made.unique("shared", tokens, shared=max(0, tokens - 30))) == tokens


async def test_a_text_whose_every_word_is_several_tokens_is_filled_up_to_the_last_one() -> None:
    class Byteish(ScriptedEngine):
        async def count_tokens(self, model: str, text: str) -> int:
            return sum(1 if len(word) == 1 and word.isascii() else 3 * len(word) for word in text.split())

    made = await calibrate(Byteish(), "scripted", text="ko", nonce="n")
    for tokens in range(made.shortest, made.shortest + 40):
        words = made.unique("k", tokens).split()[4:]
        cost = sum(1 if len(word) == 1 and word.isascii() else 3 * len(word) for word in words)
        assert cost == pytest.approx(tokens - made.overhead, abs=0.5)


async def test_no_two_prompts_begin_alike_but_for_the_instruction() -> None:
    made = await writer()
    prompts = [made.unique(f"k{number}", 128) for number in range(200)]
    lead = common_words(prompts[0], prompts[1])
    assert lead <= 6
    assert len({" ".join(prompt.split()[: lead + 4]) for prompt in prompts}) == 200


async def test_another_process_with_the_same_seed_sends_prompts_that_no_cache_has_seen() -> None:
    mine, theirs = await writer(nonce="mine"), await writer(nonce="theirs")
    assert mine.unique("k", 128) == (await writer(nonce="mine")).unique("k", 128)
    assert common_words(mine.unique("k", 128), theirs.unique("k", 128)) <= 6


async def test_a_shared_prefix_is_shared_and_nothing_after_it() -> None:
    made = await writer()
    first, second = (made.unique(key, 300, shared=200) for key in "ab")
    together = " ".join(first.split()[: common_words(first, second)])
    lead_and_prefix = tokens_of(together)
    assert 200 <= lead_and_prefix <= 200 + 16


async def test_equal_blocks_are_equal_text_and_others_differ() -> None:
    made = await writer()
    first = made.blocks("a", 1500, (5, 6, 7))
    second = made.blocks("b", 1500, (5, 6, 8))
    third = made.blocks("c", 1500, (9, 6, 7))
    assert length(first) == length(second) == length(third) == 1500
    shared = tokens_of(" ".join(first.split()[: common_words(first, second)]))
    assert 1024 <= shared < 1060
    assert common_words(first, third) <= 6


async def test_prompts_read_as_sentences() -> None:
    assert "The harbour town wakes before the light does" in (await writer()).unique("k", 4000)


async def test_a_length_under_the_templates_own_is_refused() -> None:
    made = await writer()
    with pytest.raises(UsageError, match="too short"):
        made.unique("k", made.shortest - 1)


async def test_an_engine_that_counts_no_tokens_is_calibrated_from_its_usage() -> None:
    made = await writer(counts_tokens=False)
    lengths = [length(made.unique(f"k{n}", 512)) for n in range(20)]
    assert sum(lengths) / len(lengths) == pytest.approx(512, rel=0.05)


@pytest.mark.parametrize("text", ["en", "ko"])
async def test_a_small_slot_holds_what_an_engine_is_asked_to_be_calibrated(text: str) -> None:
    asked = []

    class Watched(ScriptedEngine):
        def chat(self, request):  # type: ignore[no-untyped-def, override]
            asked.append(request.messages[0].content)
            return super().chat(request)

    await calibrate(Watched(counts_tokens=False), "scripted", text=text, nonce="n")
    # Five tokens a word, as a tokeniser that knows little Korean makes of it.
    assert [prompt for prompt in asked if 5 * len(prompt.split()) + TEMPLATE_TOKENS > 512] == []


async def test_an_engine_that_reports_no_usage_cannot_be_benched() -> None:
    class Silent(ScriptedEngine):
        async def chat(self, request):  # type: ignore[no-untyped-def, override]
            async for event in super().chat(request):
                if type(event).__name__ != "UsageEvent":
                    yield event

    with pytest.raises(BenchError, match="how many tokens"):
        await calibrate(Silent(), "scripted", text="en", nonce="n")


async def test_making_prompts_is_cheap_enough_to_do_between_requests() -> None:
    made = await writer()
    rng = random.Random(0)
    import time

    start = time.process_time()
    for _ in range(200):
        made.unique(str(rng.random()), 1024)
    assert (time.process_time() - start) / 200 < 0.005
