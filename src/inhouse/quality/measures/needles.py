"""How much text a model can really use: facts hidden in a long document, by its length and by their place in it."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from inhouse.core.errors import UnsupportedFeature
from inhouse.core.records import Metric, Scalar
from inhouse.quality.answers import Answer
from inhouse.quality.measures.base import Asking, scorers_of, share, value_of
from inhouse.quality.suite import Case, Item, Prompt, Sampling, ScorerUse, Suite

LENGTHS = (256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
DEPTHS = (1.0, 0.5, 0.0)
"""The deepest first: what stands before the needle is then in the engine's prompt cache for the next one."""
HOLDS = 0.8
"""The share of needles that must be found for a length to count as one that the model can use."""

_PLACES = {
    "ko": ("북쪽", "남쪽", "동쪽", "서쪽", "강변", "언덕"),
    "en": ("northern", "southern", "eastern", "western", "riverside", "hillside"),
}
_NEEDLE = {"ko": "{place} 창고의 출입 번호는 {code}이다.", "en": "The access code of the {place} warehouse is {code}."}
_QUESTION = {
    "ko": "위 글에서 {places} 창고의 출입 번호를 찾아 번호만 쓰세요.",
    "en": "From the text above, give the access code of the {places} warehouse; write the code only.",
}
_JOIN = {"ko": ", ", "en": " and the "}


@dataclass(frozen=True, slots=True)
class Haystack:
    """Sentences of a language with what each takes in the model's tokens."""

    lang: str
    sentences: tuple[str, ...]
    tokens: tuple[int, ...]

    def fill(self, tokens: int, dice: random.Random) -> list[str]:
        """Sentences of about so many tokens, in an order by lot; begun anew where there are not enough."""
        found: list[str] = []
        left = tokens
        while True:
            order = dice.sample(range(len(self.sentences)), len(self.sentences))
            for place in order:
                if self.tokens[place] > left:
                    return found
                found.append(self.sentences[place])
                left -= self.tokens[place]


async def haystack(asking: Asking, lang: str, text: str) -> Haystack:
    """The text's lines and their lengths in tokens; three bytes a token where the engine cannot count."""
    sentences = tuple(dict.fromkeys(line.strip() for line in text.splitlines() if len(line.strip()) > 20))
    counts: list[int] = []
    for sentence in sentences:
        try:
            counts.append(await asking.session.engine.count_tokens(asking.session.model, sentence) + 1)
        except UnsupportedFeature:
            counts = [len(one.encode()) // 3 + 1 for one in sentences]
            break
    return Haystack(lang, sentences, tuple(counts))


async def context_limit(
    asking: Asking, hay: Haystack, *, window: int, lengths: Sequence[int] = LENGTHS, depths: Sequence[float] = DEPTHS,
    needles: int = 1,
) -> tuple[list[Metric], list[Answer]]:  # fmt: skip
    """Every length that fits the window and the time, at every depth; again with other numbers while there is time.

    With several `needles` they are spread evenly over the text instead, and each must be found.
    """
    suite = _suite(hay.lang, needles)
    scorers = scorers_of(suite)
    answers: list[Answer] = []
    cells: dict[tuple[int, float], list[float]] = {}
    seconds: dict[int, list[float]] = {}
    found: list[Metric] = []
    trial = 0
    while trial == 0 or not asking.over:
        asked = len(answers)
        for length in lengths:
            # A text twice as long takes at least twice as long: no length is begun that cannot be ended in time.
            took = max((values[-1] * length / known for known, values in seconds.items()), default=0.0)
            late = time.perf_counter() + took > asking.until
            if length + 96 > window or (late and (trial > 0 or length > lengths[0])):
                break
            dice = random.Random(f"{asking.seed}:{hay.lang}:{length}:{trial}")
            sentences = hay.fill(length - 60 - 16 * needles, dice)
            for number, depth in enumerate(depths if needles == 1 else (0.0,)):
                item = _item(hay.lang, sentences, depth, needles, dice, f"{length}-{depth:g}-{needles}-{trial}")
                answer = await asking.session.answer(Case(suite.name, item, suite.prompts[0], suite.sampling), scorers)
                answers.append(answer)
                if (value := value_of(answer, "contains")) is not None:
                    cells.setdefault((length, depth), []).append(value)
                    if number == 0 and answer.cached_from is None:  # the later ones have the document in the cache
                        seconds.setdefault(length, []).append(answer.duration_s)
            asking.report(None, f"{length} tokens, {hay.lang}, round {trial + 1}")
            if trial == 0:
                found += await _memory(asking, hay.lang, length)
        trial += 1
        if len(answers) == asked:
            break  # not one more length can be ended in time
    labels: dict[str, Scalar] = {"language": hay.lang, "needles": needles}
    for (length, depth), values in sorted(cells.items()):
        cell = (
            {**labels, "length": length, "depth": round(depth * 100)} if needles == 1 else {**labels, "length": length}
        )
        found += share("needle_found", values, cell)
    return found + _limits(cells, labels) + _times(seconds, labels), answers


def _limits(cells: dict[tuple[int, float], list[float]], labels: dict[str, Scalar]) -> list[Metric]:
    """By length over all depths; up to where it holds, and from where it fails."""
    found: list[Metric] = []
    holds, fails = 0, 0
    for length in sorted({length for length, _ in cells}):
        values = [value for (one, _), part in cells.items() if one == length for value in part]
        found += share("needle_found_at_length", values, {**labels, "length": length})
        if sum(values) >= HOLDS * len(values) and not fails:
            holds = length
        else:
            fails = fails or length
    for name, length in (("context_holds_until", holds), ("context_fails_from", fails)):
        if length:
            n = sum(len(part) for (one, _), part in cells.items() if one == length)
            found.append(Metric(name, length, "tokens", labels, n=n, method=f"{HOLDS:.0%} of the needles found"))
    return found


def _times(seconds: dict[int, list[float]], labels: dict[str, Scalar]) -> list[Metric]:
    """Seconds to the end of a short answer on a document that the engine had not seen."""
    return [
        Metric(
            "context_answer_s", sorted(values)[len(values) // 2], "s", {**labels, "length": length},
            min(values) if len(values) > 4 else None, max(values) if len(values) > 4 else None, len(values),
            "median; its interval is the range",
        )
        for length, values in sorted(seconds.items())
    ]  # fmt: skip


async def _memory(asking: Asking, lang: str, length: int) -> list[Metric]:
    loaded = await asking.session.engine.loaded()
    size = next((one.rss_bytes for one in loaded if one.model == asking.session.model and one.rss_bytes), None)
    if size is None:
        return []
    return [Metric("context_memory_bytes", float(size), "B", {"language": lang, "length": length}, n=1)]


def _suite(lang: str, needles: int) -> Suite:
    return Suite(
        name=f"needles_{lang}" + (f"_{needles}" if needles > 1 else ""),
        title={"en": "Facts hidden in a long document", "ko": "긴 글에 숨긴 사실 찾기"},
        language=lang, licence="Apache-2.0", source="made by quality/measures/needles.py", task="text",
        prompts=(Prompt("default", "{document}\n\n{question}"),), scorers=(ScorerUse("contains", {"all": True}),),
        items=(), sampling=Sampling(max_tokens=8 + 10 * needles),
    )  # fmt: skip


def _item(lang: str, sentences: Sequence[str], depth: float, needles: int, dice: random.Random, name: str) -> Item:
    places = dice.sample(_PLACES[lang], needles)
    codes = [str(dice.randrange(10_000, 100_000)) for _ in places]
    lines = list(sentences)
    spots = [depth] if needles == 1 else [(one + 0.5) / needles for one in range(needles)]
    for spot, place, code in sorted(zip(spots, places, codes, strict=True), reverse=True):
        lines.insert(round(spot * len(sentences)), _NEEDLE[lang].format(place=place, code=code))
    question = _QUESTION[lang].format(places=_JOIN[lang].join(places))
    return Item(name, {"document": "\n".join(lines), "question": question}, tuple(codes), cluster=name)
