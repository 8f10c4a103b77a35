"""Whether our figures are lm-evaluation-harness' figures: same GGUF, prompts, items and choices, by log-probability.

Ours goes through llama.cpp's server, which gives no log-probabilities of prompts; the harness cannot measure over that
server at all, so it runs the same file in transformers, its weights made float32. 500 items: 240 of BBQ and 60 of
Korean knowledge by letter, 200 of HaluEval by the choices' whole text.

    python benchmarks/eval_agreement.py [--model smollm2:135m]

The harness is installed in an environment of its own under the cache. The last line is JSON; more than 1 point of
difference over all items exits 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from inhouse.bench.statistics import holm
from inhouse.core.settings import get_settings
from inhouse.models.library import model_path
from inhouse.models.opened import open_for
from inhouse.quality.likelihood import ask
from inhouse.quality.scorers import Response
from inhouse.quality.statistics import paired_difference
from inhouse.quality.suite import Case, Item, Prompt, Sampling
from inhouse.quality.suite_files import load_suites

BAR_POINTS = 1.0
PEER = user_cache_path("inhouse") / "peers" / "lm-eval"
_LETTERED = Prompt("raw", "{question_text}\n{choices}\nAnswer:", raw=True)
_WHOLE = Prompt("raw", "{question_text}\nAnswer:", raw=True)
PARTS = {"bbq": (240, _LETTERED), "korean_knowledge": (60, _LETTERED), "halueval_qa": (200, _WHOLE)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2:135m")
    parser.add_argument("--share", type=float, default=1.0, help="of the items; for trying it out")
    options = parser.parse_args()
    parts = {
        name: [_case(name, item, prompt) for item in load_suites([name])[0].items[: round(n * options.share)]]
        for name, (n, prompt) in PARTS.items()
    }
    ours, seconds = asyncio.run(measure(options.model, parts))
    with tempfile.TemporaryDirectory() as work:
        theirs = harness(Path(work), options.model, parts)
    return report(parts, ours, seconds, theirs)


def _case(suite: str, item: Item, prompt: Prompt) -> Case:
    context = f"{item.fields['context']}\n" if "context" in item.fields else ""
    text = f"{context}Question: {item.fields['question']}"
    asked = Item(item.id, {"question_text": text}, item.targets, item.choices, item.cluster)
    return Case(suite, asked, prompt, Sampling())


async def measure(model: str, parts: dict[str, list[Case]]) -> tuple[dict[str, list[Response]], float]:
    """Our log-probabilities of every choice, through the embedded engine, and the seconds without loading."""
    found: dict[str, list[Response]] = {}
    async with open_for("embedded", model, context=1024, slots=2) as opened:
        await opened.engine.load(opened.model)
        begin = time.perf_counter()
        gate = asyncio.Semaphore(2)

        async def one(case: Case) -> Response:
            async with gate:
                needs = frozenset({"letters" if case.prompt is _LETTERED else "continuations"})
                return (await ask(opened.engine, case, case.request(opened.model, 0), needs)).response  # type: ignore[arg-type]

        for name, cases in parts.items():
            found[name] = list(await asyncio.gather(*(one(case) for case in cases)))
    return found, time.perf_counter() - begin


def harness(work: Path, model: str, parts: dict[str, list[Case]]) -> dict[str, Any]:
    """The harness' log-probabilities of the same choices after the same prompts."""
    path = model_path(get_settings(), model)
    for name, cases in parts.items():
        lettered = cases[0].prompt is _LETTERED
        rows = [
            {
                "prompt": case.text,
                "options": [chr(65 + at) for at in range(len(case.item.choices))] if lettered else case.item.choices,
                "right": case.item.right,
            }
            for case in cases
        ]
        data = work / f"{name}.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        (work / f"{name}.yaml").write_text(
            f"task: inhouse_{name}\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    test: {data}\n"
            "test_split: test\noutput_type: multiple_choice\ndoc_to_text: '{{prompt}}'\ndoc_to_choice: options\n"
            "doc_to_target: right\ntarget_delimiter: ' '\nmetric_list:\n  - metric: acc\n"
        )
    spec = {
        "tasks": str(work),
        "names": [f"inhouse_{name}" for name in parts],
        "model": "hf",
        "args": {"pretrained": str(path.parent), "gguf_file": path.name, "dtype": "float32"},
        "model_options": {"batch_size": 8, "device": "cpu"},
        "options": {},
    }
    return run_peer(work, spec)


def run_peer(work: Path, spec: dict[str, Any]) -> dict[str, Any]:
    """Runs eval_peer.py in the harness' environment, made if it is not there."""
    python = PEER / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", PEER], check=True)
        packages = ["lm-eval[api]", "transformers", "gguf", "torch", "accelerate"]
        subprocess.run([PEER / "bin" / "pip", "install", "-q", *packages], check=True)
    (work / "spec.json").write_text(json.dumps(spec))
    environment = {**os.environ, "OMP_NUM_THREADS": str(get_settings().threads or os.cpu_count() or 1)}
    script = Path(__file__).with_name("eval_peer.py")
    done = subprocess.run(
        [python, script, work / "spec.json", work / "out.json"], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        sys.stderr.write(done.stderr[-3000:])
        raise SystemExit("the harness failed")
    found: dict[str, Any] = json.loads((work / "out.json").read_text())
    return found


def report(
    parts: dict[str, list[Case]], ours: dict[str, list[Response]], seconds: float, theirs: dict[str, Any]
) -> int:
    """Prints both accuracies of each part; 1 where they differ by more than the bar over all."""
    before: list[float] = []
    after: list[float] = []
    same = total = 0
    gaps: list[float] = []
    p_values: list[float] = []
    for name, cases in parts.items():
        a, b = [], []
        for case, response, row in zip(cases, ours[name], theirs[f"inhouse_{name}"], strict=True):
            mine = response.letters or response.continuations
            other = [float(one) for one in row["resps"]]
            gaps += [abs(x - y) for x, y in zip(mine, other, strict=True)]
            a.append(float(other.index(max(other)) == case.item.right))
            b.append(float(mine.index(max(mine)) == case.item.right))
            same += mine.index(max(mine)) == other.index(max(other))
        difference = paired_difference(a, b)
        p_values.append(difference.p or 1.0)
        print(
            f"{name:<18} n = {len(a)}: harness {sum(a) / len(a):.1%}, ours {sum(b) / len(b):.1%}, "
            f"difference {100 * difference.value:+.2f} points ({100 * (difference.low or 0):+.2f} to "
            f"{100 * (difference.high or 0):+.2f})"
        )
        before, after, total = before + a, after + b, total + len(a)
    gaps.sort()
    overall = paired_difference(before, after)
    points = 100 * overall.value
    print(
        f"same choice on {same} of {total} items; log-probabilities {gaps[len(gaps) // 2]:.3f} nats apart (median), "
        f"{gaps[int(len(gaps) * 0.95)]:.3f} (95 %); any part different at 5 % (Holm): {any(holm(p_values))}"
    )
    print(
        json.dumps(
            {
                "difference_points": round(points, 2),
                "low": round(100 * (overall.low or 0), 2),
                "high": round(100 * (overall.high or 0), 2),
                "items": total,
                "same_choice": round(same / total, 4),
                "harness_accuracy": round(sum(before) / total, 4),
                "our_accuracy": round(sum(after) / total, 4),
                "harness_s": round(theirs["seconds"], 1),
                "our_s": round(seconds, 1),
                "bar_points": BAR_POINTS,
            }
        )
    )
    return 0 if abs(points) <= BAR_POINTS else 1


if __name__ == "__main__":
    sys.exit(main())
