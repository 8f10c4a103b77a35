"""How often the semantic cache answers with another question's answer, beside what vectors alone would do.

Near misses and rewordings in Korean and English of our own (cache_questions.json), and where they are at hand (--data)
questions that others wrote and answered: 1,500 on Korean passages, and commands of BFCL v4. Each of a set is looked up
among all others of its set; a hit is false where the answers differ.

    python benchmarks/cache_false_hits.py [--full] [--data ../shared/data]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inhouse.engines.base import ChatRequest, Message
from inhouse.gateway.base import Answer
from inhouse.gateway.cache import AnswerCache
from inhouse.gateway.cache_store import MemoryStore
from inhouse.gateway.identity import LOCAL_CALLER
from inhouse.gateway.same_question import same_question
from inhouse.gateway.semantic_cache import THRESHOLD, SemanticCache, e5_embedder

NEAR_BAR = 0.02  # of near misses taken for hits
REAL_BAR = 0.005  # of look-ups among real questions that give another's answer
FOUND_BAR = 0.25  # of rewordings found: a cache that never hits makes no false hits either
SAMPLE = 200  # real questions of a set for the vectors alone, which must embed them all

Question = tuple[str, str]
"""The question, and its answer in a form that can be compared."""


@dataclass(slots=True)
class Vectors:
    """Vectors by text, each made once."""

    kept: dict[str, Sequence[float]]

    async def of(self, texts: Sequence[str]) -> list[Sequence[float]]:
        """The texts' vectors."""
        missing = [text for text in dict.fromkeys(texts) if text not in self.kept]
        if missing:
            self.kept |= dict(zip(missing, await e5_embedder()(missing), strict=True))
        return [self.kept[text] for text in texts]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="all real questions for the vectors alone, too")
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    options = parser.parse_args()
    return asyncio.run(measure(options.data, full=options.full))


async def measure(data: Path, *, full: bool) -> int:
    """Prints each set's figures, ours beside the vectors'."""
    vectors = Vectors({})
    near, same = own_pairs()
    rates = {}
    for name, pairs in (("near misses", near), ("rewordings", same)):
        ours = [await hits(vectors, [pair[0]], [pair[1]]) for pair in pairs]
        alone = [cosine(*await vectors.of(pair)) >= THRESHOLD for pair in pairs]
        words = [same_question(*pair) for pair in pairs]
        rates[name] = sum(bool(hit) for hit in ours) / len(pairs)
        print(
            f"{name}: {rates[name]:.1%} of {len(pairs)} hit; by words alone {np.mean(words):.1%}, "
            f"by vectors alone (cosine {THRESHOLD}) {np.mean(alone):.1%}"
        )
    worst = 0.0
    for name, questions in real_sets(data).items():
        answers = dict(questions)
        found = await hits(vectors, list(answers), [], others=True)
        wrong = sum(answers[asked] != answers[kept] for asked, kept in found)
        sample = questions if full else random.Random(3).sample(questions, min(SAMPLE, len(questions)))
        all_alone, wrong_alone = await by_vectors(vectors, sample)
        worst = max(worst, wrong / len(questions))
        print(
            f"{name}: {wrong} of {len(questions)} look-ups false ({wrong / len(questions):.2%}), "
            f"{len(found) - wrong} right; by vectors alone {wrong_alone} of {len(sample)} false "
            f"({wrong_alone / len(sample):.1%}), {all_alone - wrong_alone} right"
        )
    print(
        f"cache_false_hits: {rates['near misses']:.1%} of near misses (bar {NEAR_BAR:.0%}), {worst:.2%} of real "
        f"look-ups (bar {REAL_BAR:.1%}), finding {rates['rewordings']:.0%} of rewordings (bar {FOUND_BAR:.0%})"
    )
    return int(rates["near misses"] > NEAR_BAR or worst > REAL_BAR or rates["rewordings"] < FOUND_BAR)


def own_pairs() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Near misses and rewordings, each beside the question they are near to."""
    groups = json.loads(Path(__file__).with_name("cache_questions.json").read_text())
    near = [(group["ask"], other) for language in ("ko", "en") for group in groups[language] for other in group["near"]]
    same = [(group["ask"], other) for language in ("ko", "en") for group in groups[language] for other in group["same"]]
    return near, same


def real_sets(data: Path) -> dict[str, list[Question]]:
    """Questions with their answers, each question once; empty where the data are not here."""
    sets: dict[str, list[Question]] = {}
    korean = data / "korean_qa_retrieval" / "questions.jsonl"
    if korean.is_file():
        rows = [json.loads(line) for line in korean.read_text().splitlines()]
        sets["Korean questions"] = [(row["question"], json.dumps(sorted(row["answers"]))) for row in rows]
    commands: list[Question] = []
    for name in ("simple_python", "live_simple", "multiple", "parallel"):
        asked, right = (data / "bfcl_v4" / folder / f"BFCL_v4_{name}.json" for folder in ("", "possible_answer"))
        if asked.is_file() and right.is_file():
            answers = {row["id"]: row["ground_truth"] for row in map(json.loads, right.read_text().splitlines())}
            for row in map(json.loads, asked.read_text().splitlines()):
                text = row["question"][0][-1]["content"]
                commands.append((text, json.dumps(answers[row["id"]], sort_keys=True)))
    if commands:
        sets["BFCL commands"] = commands
    return {name: list(dict(questions).items()) for name, questions in sets.items()}


async def hits(
    vectors: Vectors, asked: Sequence[str], kept: Sequence[str], *, others: bool = False
) -> list[tuple[str, str]]:
    """Which of the questions asked are answered by the cache, and with whose answer; with `others` not by their own."""
    cache = SemanticCache(AnswerCache(MemoryStore()), vectors.of)
    found = []
    if not others:
        for question in kept:
            await keep(cache, question)
    for question in asked:
        key = cache.key(request(question), LOCAL_CALLER, "")
        assert key is not None
        hit = await cache.get(key)
        if hit is not None:
            found.append((question, hit.answer.text))
        if others:
            await keep(cache, question)  # whoever asks later finds it
    return found


async def keep(cache: SemanticCache, question: str) -> None:
    key = cache.key(request(question), LOCAL_CALLER, "")
    assert key is not None
    await cache.put(key, Answer(question, "stop"))


def request(question: str) -> ChatRequest:
    return ChatRequest("m", (Message("user", question),), temperature=0.0)


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def by_vectors(vectors: Vectors, questions: Sequence[Question]) -> tuple[int, int]:
    """Hits and false hits of a cache that goes by the nearest vector over the threshold alone."""
    matrix = np.array(await vectors.of([question for question, _ in questions]))
    alike = np.tril(matrix @ matrix.T, -1)  # each among those before it
    nearest = alike.argmax(axis=1)
    hit = alike.max(axis=1) >= THRESHOLD
    wrong = sum(questions[i][1] != questions[int(nearest[i])][1] for i in map(int, np.flatnonzero(hit)))
    return int(hit.sum()), wrong


if __name__ == "__main__":
    sys.exit(main())
