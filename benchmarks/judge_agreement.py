"""How far a model's verdicts agree with people's: HaluEval's answers, labelled by people as hallucinated or not.

As many of either label, drawn by a fixed seed; the judge sees question and answer only. Printed are the agreement, the
kappa (agreement beyond chance; 0 is a coin) and how often the judge passes an answer that people found hallucinated.

    python benchmarks/judge_agreement.py DATA.jsonl [--model qwen2.5-coder:1.5b] [--items 40]

DATA is HaluEval's general_data.json, one JSON object a line: user_query, chatgpt_response, hallucination ("yes", "no").
The last line is JSON. It has no bar: it exits 1 where the judge gave no verdict on more than a tenth.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from pathlib import Path

from inhouse.models.opened import open_for
from inhouse.quality.answers import Answer, Label
from inhouse.quality.judge import judged
from inhouse.quality.scorers import Response, Support, make_scorer
from inhouse.quality.session import together
from inhouse.quality.suite import Case, Item, Prompt, Sampling, ScorerUse

RUBRIC = "The answer states nothing that is false, invented or impossible to check."
LONGEST = 1200
"""Characters of question and answer together: longer ones are left out, so that all fit the judge's context."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="qwen2.5-coder:1.5b")
    parser.add_argument("--items", type=int, default=40)
    options = parser.parse_args()
    rows = drawn(options.data, options.items)
    return report(options.model, asyncio.run(verdicts(options.model, rows)), rows)


def drawn(path: Path, count: int) -> list[dict[str, str]]:
    """Half of each label, in an order by lot."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    short = [row for row in rows if len(row["user_query"]) + len(row["chatgpt_response"]) <= LONGEST]
    dice = random.Random(0)
    found = []
    for label in ("yes", "no"):
        mine = [row for row in short if row["hallucination"].strip().lower() == label]
        found += dice.sample(mine, min(len(mine), count // 2))
    dice.shuffle(found)
    return found


async def verdicts(model: str, rows: list[dict[str, str]]) -> list[Answer]:
    """Each answer with the judge's score."""
    async with open_for("embedded", model, context=2048, slots=2) as opened:
        await opened.engine.load(opened.model)
        support = Support(judge_engine=opened.engine, judge_model=opened.model)
        judge = make_scorer(ScorerUse("judge", {"rubric": RUBRIC, "reference": False}), support)
        two = asyncio.Semaphore(2)

        async def one(place: int, row: dict[str, str]) -> Answer:
            case = Case("halueval", Item(str(place), {"q": row["user_query"]}), Prompt("p", "{q}"), Sampling())
            response = Response(row["chatgpt_response"])
            async with two:
                score = await judge.score(case, response)
            return Answer("halueval", str(place), "p", 0, "", case.text, response, scores={"judge": score}, id=place)

        return await together(one(place, row) for place, row in enumerate(rows))


def report(model: str, answers: list[Answer], rows: list[dict[str, str]]) -> int:
    """Prints the agreement; 1 where too many answers got no verdict."""
    labels = [
        Label(place, "people", float(row["hallucination"].strip().lower() == "no")) for place, row in enumerate(rows)
    ]
    told = judged(answers, labels, "judge")
    none = sum(one.scores["judge"].value is None for one in answers)
    if told is None:
        print(json.dumps({"model": model, "answers": len(answers), "no_verdict": none}))
        return 1
    passed = [label.value for one, label in zip(answers, labels, strict=True) if one.scores["judge"].value == 1.0]
    bad = sum(not value for value in passed)
    print(f"{model} judges {told.n} answers: passes {len(passed)}, {bad} of them hallucinated by people's labels")
    for name, one in (("agreement", told.agreement), ("kappa", told.kappa)):
        interval = "" if one.low is None or one.high is None else f" ({one.low:.2f} to {one.high:.2f})"
        print(f"{name}: {one.value:.2f}{interval}")
    figures = {
        name: [one.value, one.low, one.high] for name, one in (("agreement", told.agreement), ("kappa", told.kappa))
    }
    print(json.dumps({"model": model, "answers": told.n, "no_verdict": none, "passed": len(passed), **figures}))
    return 0 if none <= len(answers) / 10 else 1


if __name__ == "__main__":
    sys.exit(main())
