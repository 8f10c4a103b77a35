"""Whether two questions that sound alike ask the same: by their words, numbers, negations and kind of question.

Vectors put "2023 revenue" next to "2024 revenue" and "enable" next to "disable"; this tells them apart. It would
rather call two equal questions different than the other way round. Knows no vectors and no cache.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from unicodedata import normalize

_WORD = re.compile(r"[가-힣]+|[a-z]+(?:'[a-z]+)?|\d+(?:[.,]\d+)*|[^\s\w]|\w", re.IGNORECASE)
_QUIET = frozenset("?!.,;:\"'…“”‘’()[]{}~-–")

# In code and formulas every sign counts.
_CODE = re.compile(r"[`=<>{}|\\^*+]")

# Words by which a kind of question is asked; what is not one of these or empty is content.
_KINDS = {
    "how": "어떻게 방법 방법이 방법은 방법을 법 법을 how way steps",
    "why": "왜 이유 이유가 이유는 이유를 why reason",
    "when": "언제 when",
    "where": "어디 어디에 어디에서 어디서 어디예요 where",
    "who": "누구 누가 누구인지 누구예요 who whose whom",
    "which": "어떤 어느 무슨 which",
    "how much": "얼마 얼마나 얼마인가요 얼마예요 얼마입니까 얼마인지 much",
    "how many": "몇 many",
    "how long": "long",
    "how often": "often 자주",
    "how far": "far distance",
}
_KIND = {word: kind for kind, words in _KINDS.items() for word in words.split()}

# What a question is wrapped in. No negation, no time, no place, no direction is among these.
_WRAPPING = """
    a an the of is are was were be been being am do does did doing can could may might must shall should will would
    i me my we us our you your it its this that these those there here s please kindly tell give show let know want
    need have has had get got what what's one and or so to in into on at for by with as than then also just
    possible allowed able
    하나요 하나 하죠 하는지 하는 해야 해요 해 하려면 할 수 있나요 있어요 있는지 있을까요 있습니까 있나 있는
    되나요 되죠 돼요 된다 되는지 되나 되는 되는지요 됩니까 인가요 인가 이에요 예요 입니까 인지
    무엇인가요 무엇 무엇인지 뭔가요 뭐예요 뭐야 뭔지 뭐 무엇이 알려 알려줘 알려줄래 알고
    주세요 줘 줄래 줄래요 줄 주나요 줄까요 싶어요 싶습니다 궁금합니다 궁금해요 좀 혹시
    그런가요 그런 건가요 것 게 거 때 때는 경우 가능한가요 가능합니까 가능 가능한지
    다음 이 저 그 제가 저는 우리 님 씨 및 은 는 가 을 를 의 에 도 요 들
"""
_EMPTY = frozenset(_WRAPPING.split())
_NEGATION = re.compile(
    r"^(?:not|no|never|none|nothing|without|cannot|un|안|못|않\w*|없\w*|아니\w*|말\w*|금지\w*|불가\w*|제외\w*|미포함)$|n't$"
)
# Endings of Korean words, the longest first. Those of direction stay: from and to are not the same.
_PARTICLE = re.compile(
    r"(?:이라고|라고|입니까|인가요|이에요|예요|인지|이란|에게는|에는|에도|께서|님의|님이|님께|님은|님|은|는|이|가|을|를|의|에|과|와|도|만|요)$"
)
_DIRECTION = re.compile(r"(?:에서|으로|로|에게|한테|부터|까지|보다|마다)$")
_VERB = re.compile(
    r"(?:해야|하려면|하나요|하는지|하는|하면|해도|해요|했을|했는데|한|할|합니까|합니다|하고|하기|해|되나요|되는지|되는데|되는|되면|된|될|"
    r"됩니까|돼요|려면|나요|아요|어요|는데|(?<=..)나|(?<=..)을)$"
)
_COPULA = re.compile(r"(?:이라면|이면|일|인)$")  # of words of two syllables and more: 법인 is not 법
_SUFFIXES = ("'s", "ally", "ly", "ing", "al", "ed", "es", "s")


@dataclass(frozen=True, slots=True)
class Content:
    """What a question asks: its words with the kind of question and the count of negations, whatever their order;
    the Latin words in their order; the words marked as subjects and as objects.
    """

    words: frozenset[str]
    order: tuple[str, ...]
    subjects: frozenset[str]
    objects: frozenset[str]


def same_question(one: str, other: str) -> bool:
    """Whether the two, in Korean or English, consist of the same content in the same kind of question."""
    if _CODE.search(one) or _CODE.search(other):
        return False
    ours, theirs = content_of(one), content_of(other)
    if ours.words != theirs.words or ours.order != theirs.order:
        return False
    return ours.subjects.isdisjoint(theirs.objects) and ours.objects.isdisjoint(theirs.subjects)


@lru_cache(maxsize=4096)
def content_of(text: str) -> Content:
    """What the question asks."""
    words: set[str] = set()
    order: list[str] = []
    subjects: set[str] = set()
    objects: set[str] = set()
    negations = 0
    for match in _WORD.finditer(normalize("NFKC", text).lower()):
        word = match[0]
        if word in _QUIET or word in _EMPTY:
            continue
        if _NEGATION.search(word):
            negations += 1
            continue
        stem = word if word in _KIND else _stem(word)
        if stem in _KIND:
            words.add(f"kind:{_KIND[stem]}")
        elif stem not in _EMPTY:
            words.add(stem)
            if stem.isascii():
                order.append(stem)
            elif word.endswith(("이", "가")):
                subjects.add(stem)
            elif word.endswith(("을", "를")):
                objects.add(stem)
    return Content(frozenset(words | {f"negations:{negations}"}), tuple(order), frozenset(subjects), frozenset(objects))


def _stem(word: str) -> str:
    if "가" <= word[0] <= "힣":
        return _korean_stem(word)
    word = word.replace(",", "") if word[0].isdigit() else word
    if len(word) > 4 and word[0].isalpha():
        for suffix in _SUFFIXES:
            if word.endswith(suffix) and len(word) - len(suffix) >= 3:
                word = word[: -len(suffix)]
                break
        return word.rstrip("e")
    return word


def _korean_stem(word: str) -> str:
    if _DIRECTION.search(word) and word not in _KIND:
        return word
    if len(word) > 2:
        word = _COPULA.sub("", word)
    for endings in (_VERB, _PARTICLE):
        short = endings.sub("", word)
        # What is left of a noun by chance must not be taken for an empty word: 가을 is not 가.
        if short and (short not in _EMPTY or len(word) > 2):
            word = short
    return word
