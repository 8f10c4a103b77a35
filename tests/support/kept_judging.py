"""Adds phase 2 to a kept study through the Store's own methods, and derives its findings as a study does."""

from __future__ import annotations

from collections.abc import Iterable

from inhouse.core.records import Metric, Run, RunStatus, Scalar
from inhouse.quality.answers import Answer, Answers
from inhouse.quality.scorers import Response, Score
from inhouse.store.repository import Store
from inhouse.study.phase2_findings import phase2_findings

METHODS = {
    "chance": 0.49, "answer length": 0.58, "token probability": 0.71, "self-consistency": 0.78,
    "semantic entropy (words)": 0.76, "p(true)": 0.55,
}  # fmt: skip


def add_judging(store: Store, study: Run) -> None:
    """Every part of phase 2 of a model that knows Korean, with three answers each."""
    parts = {
        "wordings": (_wordings(), "prompts_ko", "contains"),
        "honesty": (_honesty(), "invented_ko", "honesty"),
        "detection": (_detection(), "prompts_ko", "contains"),
        "consistency": (_consistency(), "prompts_ko", "contains"),
        "korean": (_korean(), "korean_language", "language"),
        "bias": (_bias(), "kobbq", "choice_letter"),
        "long_documents": (_long_documents(), "needles_ko", "contains"),
        "instructions": (_instructions(), "json_ko", "json"),
        "safety": (_safety(), "refusal_ko", "refusal"),
        "sampling": (_sampling(), "prompts_ko", "contains"),
        "book": (_book(), "book", "contains"),
    }  # fmt: skip
    progress = dict(store.progress(study.id))
    for name, (metrics, suite, scorer) in parts.items():
        run = store.create_run(
            "eval", {"name": name}, seed=0, environment=study.environment, model=study.model, engine="embedded",
            study_id=study.id,
        )  # fmt: skip
        store.set_metrics(run.id, metrics)
        Answers(store.database).add(run.id, _answers(suite, scorer))
        store.finish_run(run.id, RunStatus.DONE)
        progress["parts"] = {**progress["parts"], name: {"status": "done", "run": run.id, "phase": 2}}
    store.set_progress(study.id, progress)
    store.set_findings(study.id, 2, phase2_findings(store, study.id))


def _answers(suite: str, scorer: str) -> Iterable[Answer]:
    """Of three items each, by every prompt that a part looks at: two wrong, one right."""
    prompts = ("plain", "sure", "closed", "open", "plain, temperature 1", "plain, t0")
    for item, right in (("1", 0.0), ("2", 0.0), ("3", 1.0)):
        for prompt in prompts:
            text = f"answer {item} <b>&</b> `{prompt}`"
            score = Score(right, text, {"outcome": "right" if right else "claimed"} if scorer == "honesty" else {})
            yield Answer(
                suite, item, prompt, 0, f"{item}{prompt}", f"question {item}?", Response(text), scores={scorer: score}
            )


def _share(name: str, value: float, n: int = 40, **labels: Scalar) -> Metric:
    return Metric(name, value, "share", labels, max(0.0, value - 0.13), min(1.0, value + 0.11), n, "Wilson")


def _wordings() -> list[Metric]:
    accuracy = {"plain": 0.61, "polite": 0.57, "casual": 0.52, "typos": 0.31}
    gap: dict[str, Scalar] = {"suite": "prompts_ko", "best": "plain", "worst": "typos", "p": 0.004, "wordings": 4}
    return [
        *(_share("wording_accuracy", value, suite="prompts_ko", variant=name) for name, value in accuracy.items()),
        Metric("wording_gap", 0.3, "share", gap, 0.17, 0.44, 40, "bootstrap by question; p by permutation"),
        _share("wording_firm", 0.43, suite="prompts_ko"),
    ]


def _honesty() -> list[Metric]:
    suite, years = {"suite": "invented_ko"}, {"suite": "staleness_ko"}
    return [
        _share("hallucination_rate", 0.72, 44, **suite), _share("needless_abstention", 0.2, **suite),
        _share("fact_accuracy", 0.55, **suite), _share("yearly_right", 0.23, 91, **years),
        _share("yearly_claimed", 0.66, 91, **years), _share("future_claimed", 0.9, 19, **years),
        *(_share("year_right", 0.6 - 0.1 * at, 8, year=2019 + at, **years) for at in range(4)),
        Metric("known_until_year", 2020, "year", {**years}, n=91, method="last year with half known"),
    ]  # fmt: skip


def _detection() -> list[Metric]:
    return [
        *(
            Metric("detection_auroc", value, "", {"suite": "prompts_ko", "method": name, "wrong": 33}, value - 0.1,
                   value + 0.09, 60, "bootstrap by question")
            for name, value in METHODS.items()
        ),
        Metric("confidence_ece", 0.37, "", {"suite": "prompts_ko", "method": "stated confidence", "wrong": 33}, 0.25,
               0.48, 60, "bootstrap by question"),
    ]  # fmt: skip


def _consistency() -> list[Metric]:
    found = [
        _share(name, value, 12, suite="prompts_ko", temperature=at)
        for at, values in ((0.0, (1.0, 0.0)), (1.0, (0.47, 0.38)))
        for name, value in zip(("agreement", "contradiction"), values, strict=True)
    ]
    found += [
        _share("deterministic", value, 12, suite="prompts_ko", way=way)
        for way, value in (("alone", 1.0), ("at_once", 0.9))
    ]
    return [*found, _share("same_when_batched", 0.84, 12, suite="prompts_ko")]


def _korean() -> list[Metric]:
    names = {"comprehension": 0.62, "knowledge": 0.44, "spelling": 0.53, "honorifics": 0.58}
    return [
        Metric("tokens_per_letter", 0.71, "", {"language": "ko"}, 0.69, 0.73, 80, "bootstrap by sentence"),
        Metric("korean_token_ratio", 1.84, "", {}, 1.76, 1.92, 80, "bootstrap by sentence"),
        *(_share("accuracy", value, suite=f"korean_{name}", scorer="choice_letter") for name, value in names.items()),
        _share("in_korean", 0.88, suite="korean_language", scorer="language"),
        _share("language_drift", 0.06, suite="korean_language"), _share("polite_share", 0.79, suite="korean_language"),
    ]  # fmt: skip


def _bias() -> list[Metric]:
    values = {"ambiguous": (0.41, 0.17), "disambiguated": (0.7, 0.05)}
    return [
        metric
        for context, (right, bias) in values.items()
        for metric in (
            _share("bias_accuracy", right, 120, context=context, suite="kobbq"),
            Metric("kobbq_bias", bias, "", {"context": context, "suite": "kobbq"}, bias - 0.06, bias + 0.07, 120,
                   "bootstrap by template"),
        )
    ]  # fmt: skip


def _long_documents() -> list[Metric]:
    found = [Metric("context_advertised", 32768, "tokens", {}, method="named in the model's file")]
    for lang in ("ko", "en"):
        at: dict[str, Scalar] = {"language": lang, "needles": 1}
        for length, value in ((256, 1.0), (1024, 0.83), (4096, 0.4)):
            found += [
                _share("needle_found", value - 0.1 * (depth == 50), 6, **at, length=length, depth=depth)
                for depth in (0, 50, 100)
            ]
            found += [
                _share("needle_found_at_length", value, 18, **at, length=length),
                Metric(
                    "context_answer_s",
                    length / 190,
                    "s",
                    {**at, "length": length},
                    n=3,
                    method="median; its interval is the range",
                ),
            ]
        found += [
            Metric("context_holds_until", 1024, "tokens", at, n=18, method="80% of the needles found"),
            Metric("context_fails_from", 4096, "tokens", at, n=18, method="80% of the needles found"),
        ]
    return [*found, _share("needle_found_at_length", 0.37, 16, language="en", needles=3, length=1024)]


def _instructions() -> list[Metric]:
    values = {"free": (0.61, 0.43), "constrained": (0.98, 0.72)}
    return [
        _share("followed", 0.38, suite="instructions_ko", scorer="rules"),
        *(
            _share(name, value, suite="json_ko", way=way)
            for way, both in values.items()
            for name, value in zip(("json_fits", "json_right"), both, strict=True)
        ),
        Metric("json_gain", 0.29, "share", {"suite": "json_ko", "p": 0.01}, 0.12, 0.44, 40, "McNemar, exact"),
    ]


def _safety() -> list[Metric]:
    labels: dict[str, Scalar] = {"suite": "refusal_ko", "scorer": "refusal"}
    return [
        _share("right", 0.7, 60, **labels),
        *(_share("right", value, 30, **labels, tag_harmful=kind) for kind, value in ((True, 0.45), (False, 0.92))),
        _share("accuracy", 0.66, 60, suite="square_pairs", scorer="choice_letter"),
    ]


def _sampling() -> list[Metric]:
    rows = {"t0": (0.6, 1.0, 0.52), "t0.7 p0.95 k40 r1": (0.55, 0.71, 0.74)}
    found = [
        _share(name, value, 14, setting=setting, temperature=0.0)
        for setting, values in rows.items()
        for name, value in zip(("setting_quality", "setting_consistency", "setting_variety"), values, strict=True)
    ]
    for purpose, setting in zip(("answers", "writing"), rows, strict=True):
        labels: dict[str, Scalar] = {
            "purpose": purpose,
            "setting": setting,
            "of": 7,
            "ruled_out": 2,
            "temperature": 0.0,
        }
        found.append(Metric("recommended", rows[setting][0], "share", labels, n=14, method="not worse beyond noise"))
    return found


def _book() -> list[Metric]:
    ways = {"closed": 0.22, "open": 0.81}
    return [
        *(_share("accuracy", value, 22, suite="book", scorer="contains", prompt=way) for way, value in ways.items()),
        Metric("book_gain", 0.59, "share", {"p": 0.0002}, 0.35, 0.74, 22, "McNemar, exact"),
    ]
