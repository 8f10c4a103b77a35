"""What a model that judges the best hits does to recall@1, and how long it takes: Korean questions, before and after.

Hybrid search finds the ten best of a folder's passages (default ../shared/data/korean_qa_retrieval, 507 passages) for
each of so many questions, drawn by a fixed seed; the model's odds then put them in order, alone (share 1) and with the
search's own score (share 0.5, as `--rerank` does). Differences are paired by question. Times are of the whole `rerank`
on ten of the questions, one after another. Nothing is fitted. No bar: the figures decide the default.

The odds are kept in the cache folder; --minutes ends a run early, which prints what it has, and the next goes on.

    python benchmarks/rerank.py [FOLDER] [--model NAME] [--questions 200] [--hits 10] [--minutes M]
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path

from inhouse.bench.statistics import mean, ratio_draws, two_sided_p
from inhouse.core.event_loop import run
from inhouse.docs.rerank import log_odds, reordered, rerank
from inhouse.docs.search import Hit, Searcher
from inhouse.models.opened import open_for
from retrieval_korean import SHARED, Kept, collection

KEPT = user_cache_path("inhouse") / "benchmarks"
SHARES = (0.5, 1.0)
PART, TIMED, CONTEXT, SEED = 50, 10, 2048, 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=SHARED / "korean_qa_retrieval")
    parser.add_argument("--model", default="qwen2.5-coder:0.5b")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--hits", type=int, default=10)
    parser.add_argument("--minutes", type=float, help="end after so long and go on the next time")
    options = parser.parse_args()
    if not (options.folder / "passages.jsonl").exists():
        print(f"skipped: {options.folder} has no passages.jsonl")
        return 0
    passages, questions = (
        [json.loads(line) for line in (options.folder / name).read_text().splitlines()]
        for name in ("passages.jsonl", "questions.jsonl")
    )
    asked = random.Random(SEED).sample(questions, min(options.questions, len(questions)))
    embedder = Kept()
    with collection(passages, embedder, titled=True) as store:
        searcher = Searcher(store, embedder)
        found = [searcher.search(row["question"], options.hits) for row in asked]
        embedder.save()
        return run(judge(asked, found, options.model, options.minutes))


async def judge(asked: Sequence[dict[str, str]], found: Sequence[list[Hit]], model: str, minutes: float | None) -> int:
    """Asks the model what it has not been asked before, and prints what its odds do; 0, or 3 where it is not done."""
    until = None if minutes is None else time.perf_counter() + 60 * minutes
    file = KEPT / f"rerank-{model.replace(':', '-')}.jsonl"
    known: dict[tuple[str, str], float] = {}
    if file.exists():
        rows = (json.loads(line) for line in file.read_text().splitlines())
        known = {(question, passage): odds for question, passage, odds in rows}
    # By passage within a part: the engine then reads each passage once for all questions that it is a hit of.
    missing = sorted(
        (at // PART, hit.chunk.document_id, row["question"], hit.chunk.chunk.text)
        for at, (row, hits) in enumerate(zip(asked, found, strict=True)) for hit in hits
        if (row["question"], hit.chunk.document_id) not in known
    )  # fmt: skip
    ended = False
    async with open_for("embedded", model, context=CONTEXT, slots=1) as opened:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as out:
            for at, (_, passage, question, text) in enumerate(missing):
                if until is not None and time.perf_counter() > until:
                    print(f"{len(missing) - at} of {sum(map(len, found))} pairs are still to be asked", file=sys.stderr)
                    ended = True
                    break
                odds = await log_odds(opened.engine, opened.model, question, text)
                known[question, passage] = odds
                out.write(json.dumps([question, passage, odds], ensure_ascii=False) + "\n")
                out.flush()
        done = [
            (row, hits) for row, hits in zip(asked, found, strict=True)
            if all((row["question"], hit.chunk.document_id) in known for hit in hits)
        ]  # fmt: skip
        took = []
        for row, hits in [] if ended else done[:TIMED]:
            began = time.perf_counter()
            await rerank(opened.engine, opened.model, row["question"], hits, at_once=1)
            took.append(1000 * (time.perf_counter() - began))
    if not done:
        return 3
    gold = [row["passage"] for row, _ in done]
    before = firsts([hits for _, hits in done], gold)
    print(f"{model}: {len(done)} questions, {len(found[0])} hits each; recall@1 before {before.mean():.3f}")
    for share in SHARES:
        lists = [
            reordered(hits, [known[row["question"], hit.chunk.document_id] for hit in hits], share)
            for row, hits in done
        ]
        gain = firsts(lists, gold) - before
        rng = np.random.default_rng(SEED)
        told = mean(gain, rng)
        p = two_sided_p(ratio_draws(gain, np.ones_like(gain), rng), null=0.0)
        print(
            f"  share {share}: recall@1 {firsts(lists, gold).mean():.3f}, difference {told.value:+.3f} "
            f"({told.low:+.3f} to {told.high:+.3f}, p {p:.3f}); {int((gain > 0).sum())} put right, "
            f"{int((gain < 0).sum())} put wrong"
        )
    if took:
        print(
            f"{model}: rerank of {len(found[0])} hits p50 {np.median(took):,.0f} ms a question ({len(took)} questions)"
        )
    return 3 if ended else 0


def firsts(lists: Sequence[Sequence[Hit]], gold: Sequence[str]) -> np.ndarray:
    """1 for each question whose passage is first."""
    return np.array([float(hits[0].chunk.document_id == right) for hits, right in zip(lists, gold, strict=True)])


if __name__ == "__main__":
    sys.exit(main())
