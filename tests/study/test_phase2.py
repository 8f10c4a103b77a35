"""Phase 2 on the small model: every part is measured, kept with its answers and said in both languages."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from inhouse.core.environment import read_environment
from inhouse.core.records import Metric, Severity
from inhouse.core.settings import Settings
from inhouse.quality.answers import Answers
from inhouse.quality.examples import clip, said
from inhouse.report.document import gather
from inhouse.report.html import render_html
from inhouse.report.language import word
from inhouse.report.message import render
from inhouse.report.notes import write_notes
from inhouse.store.repository import Store
from inhouse.study.base import StudyConfig, outcomes
from inhouse.study.book import book_suite
from inhouse.study.phase2 import PHASE2
from inhouse.study.phase2_data import Judged, weigh
from inhouse.study.phase2_findings import _honesty, _wordings, phase2_findings
from inhouse.study.phase2_skills import _bias, _long_documents, _safety
from inhouse.study.run import run_study
from inhouse.study.run_data import RunData


@pytest.mark.timeout(600)
async def test_phase_2_is_measured_and_said_with_evidence_and_real_answers(tiny_model, tmp_path):
    settings = Settings(model="smollm2:135m", threads=1)
    told = []
    with Store(f"sqlite:///{tmp_path / 'study.db'}") as store:
        study = await run_study(
            settings, store, StudyConfig("smollm2:135m", 2.0, "en", phases=(2,)), read_environment(),
            on_progress=told.append, on_outcome=lambda part, outcome: None,
        )  # fmt: skip
        done = outcomes(store, study.id)
        assert {name: done[name].reason for name in done if done[name].status == "failed"} == {}
        assert {part.name for part in PHASE2} <= done.keys()
        found = [finding for finding in store.findings(study.id) if finding.phase == 2]
        runs = {run.id: run for run in store.list_runs(study_id=study.id)}
        metrics = {run: store.metrics(run) for run in runs}
        answers = {run: Answers(store.database).of_run(run) for run in runs}
        assert found == phase2_findings(store, study.id), "findings can be derived again, examples included"
        document = gather(store, study.id)
        notes = {path.name: path.read_text() for path in write_notes(store, study.id, tmp_path / "notes", "ko")}
    parts = {runs[done[part.name].run].config["name"]: done[part.name].run for part in PHASE2}
    assert all(answers[run] or name == "korean" for name, run in parts.items()), "what was asked is kept"
    assert {progress.part for progress in told} >= parts.keys() - {"korean"}
    assert all(0 <= progress.fraction <= 1 for progress in told if progress.part in parts)
    messages = {finding.message.removeprefix("phase2.") for finding in found}
    assert {"korean_cost", "no_korean", "instructions"} <= messages
    assert messages & {"context_fails", "context_holds"}
    for finding in found:
        assert finding.evidence or finding.message == "phase2.no_korean"
        for item in finding.evidence:
            assert item.metric in metrics[item.run_id]
            real = {(clip(one.question, 320), clip(said(one), 260)) for one in answers[item.run_id]}
            for example in item.examples:
                if " / " not in example.answer:  # several answers to one question stand together
                    assert (example.question, example.answer) in real
        for lang in ("en", "ko"):
            text = render(finding, lang)
            assert not re.search(r"[{}\[\]]|–\s", text.title + text.text + text.do), text
            assert [e.metric.name for e in finding.evidence if not word(lang, f"metric.{e.metric.name}", "")] == []
            assert all(word(lang, f"verdict.{one.verdict}", "") for one in finding.examples if one.verdict)
    for lang in ("en", "ko"):
        page = render_html(document, lang)
        assert page.count('class="examples"') == sum(bool(finding.examples) for finding in found)
        assert word(lang, "chart.needles_en") in page
    assert {"phase2-korean.md", "phase2-context-limit.md", "phase2-instructions.md"} <= notes.keys()
    assert word("ko", "example.worst") in notes["phase2-instructions.md"]


@pytest.fixture
def run(tmp_path):
    with Store(f"sqlite:///{tmp_path / 's.db'}") as store:
        return store.create_run("eval", {"name": "part"}, seed=0, environment=read_environment(), model="m")


def judged(run, *metrics: Metric, answers=()) -> Judged:
    return Judged(RunData(run, metrics), answers)


def share(name: str, value: float, low: float, high: float, n: int = 40, **labels) -> Metric:
    return Metric(name, value, "share", labels, low, high, n, "Wilson")


def test_a_share_weighs_by_the_end_of_its_interval_and_nothing_on_few_answers():
    bad = [share("x", 0.5, low, 0.7) for low in (0.3, 0.1)]
    assert [weigh(one, 0.05, 0.25) for one in bad] == [Severity.SERIOUS, Severity.WARNING]
    assert weigh(share("x", 0.0, 0.0, 0.04, 90), 0.05, 0.25) is Severity.GOOD
    assert weigh(share("x", 1.0, 0.9, 1.0), 0.9, 0.6) is Severity.GOOD
    assert weigh(share("x", 0.4, 0.3, 0.5), 0.9, 0.6) is Severity.SERIOUS
    assert weigh(share("x", 0.0, 0.0, 0.5, n=4), 0.9, 0.6) is Severity.INFO


def test_claims_about_what_does_not_exist_are_serious_beyond_noise_only(run):
    others = [share(name, 0.1, 0.05, 0.2, suite="invented_en") for name in ("needless_abstention", "fact_accuracy")]

    def severity(low: float) -> Severity:
        return next(
            _honesty(judged(run, share("hallucination_rate", 0.4, low, 0.6, suite="invented_en"), *others))
        ).severity

    assert [severity(low) for low in (0.3, 0.2)] == [Severity.SERIOUS, Severity.WARNING]


def test_nothing_is_said_of_a_figure_without_an_interval_but_that_it_is_too_little(run, answer):
    gap = Metric(
        "wording_gap", 0.5, "share", {"suite": "s", "best": "plain", "worst": "typos", "p": 0.4, "wordings": 8}, n=2
    )
    (finding,) = _wordings(judged(run, gap, share("wording_firm", 0.5, 0.1, 0.9, 2), answers=[answer("a")]))
    assert finding.message == "phase2.too_few"
    assert finding.figures["answers"] == 1
    assert "too few" in render(finding, "en").text


def test_a_bias_is_told_only_where_its_interval_leaves_out_zero(run, answer):
    def said_of(low: float):
        rest = [share("bias_accuracy", 0.5, 0.4, 0.6, context=one) for one in ("ambiguous", "disambiguated")]
        scores = [
            Metric("kobbq_bias", 0.15, "", {"context": one}, low, 0.3, 100, "bootstrap by template")
            for one in ("ambiguous", "disambiguated")
        ]
        kept = [replace(answer("a", scorer="choice_letter"), suite="kobbq")]
        return next(_bias(judged(run, *scores, *rest, answers=kept)))

    assert [(said_of(low).message, said_of(low).severity) for low in (-0.01, 0.05, 0.12)] == [
        ("phase2.bias_unclear", Severity.INFO), ("phase2.bias", Severity.WARNING), ("phase2.bias", Severity.SERIOUS),
    ]  # fmt: skip


def test_the_length_that_fails_is_the_one_that_is_told(run):
    at = [
        share(
            "needle_found_at_length",
            value,
            value - 0.1,
            min(1.0, value + 0.1),
            12,
            language="ko",
            needles=1,
            length=length,
        )
        for length, value in ((256, 1.0), (512, 0.4), (1024, 0.3))
    ]
    limits = [
        Metric("context_holds_until", 256, "tokens", {"language": "ko", "needles": 1}, n=12),
        Metric("context_fails_from", 512, "tokens", {"language": "ko", "needles": 1}, n=12),
    ]
    (finding,) = _long_documents(judged(run, *at, *limits, Metric("context_advertised", 32768, "tokens")))
    assert (finding.message, finding.figures["length"], finding.severity) == (
        "phase2.context_fails",
        512,
        Severity.WARNING,
    )
    assert "512" in render(finding, "ko").text
    (finding,) = _long_documents(judged(run, at[0], limits[0]))
    assert (finding.message, finding.severity) == ("phase2.context_holds", Severity.INFO)


def test_refusing_everything_is_as_grave_as_refusing_nothing(run):
    def severity(harmful: tuple[float, float, float], harmless: tuple[float, float, float]) -> Severity:
        metrics = [
            share("right", *values, scorer="refusal", suite="refusal_en", tag_harmful=kind)
            for kind, values in ((True, harmful), (False, harmless))
        ]
        return next(_safety(judged(run, *metrics))).severity

    good, none = (1.0, 0.96, 1.0), (0.1, 0.03, 0.3)
    assert severity(good, good) is Severity.GOOD
    assert severity(good, none) is severity(none, good) is Severity.SERIOUS


def test_questions_on_the_users_documents_are_asked_with_the_passage_that_answers_them(tmp_path):
    (tmp_path / "handbook.md").write_text(
        "# Leave\n\n" + "Filler text. " * 300 + "Staff have 25 days of leave.\n", "utf-8"
    )
    (tmp_path / "q.jsonl").write_text(
        '{"question": "How many days of leave?", "answers": ["25"], "document": "handbook.md", "quote": "25 days"}\n'
        '{"question": "Who is the cook?", "answers": ["Ann"], "document": "handbook.md", "quote": "the cook is Ann"}\n',
        "utf-8",
    )
    config = StudyConfig("m", 1.0, "en", documents=str(tmp_path), questions=str(tmp_path / "q.jsonl"))
    suite = book_suite(config, "en")
    (item,) = suite.items
    assert "25 days of leave" in item.fields["passage"]
    assert len(item.fields["passage"]) < 1500
    closed, opened = (prompt.render(item) for prompt in suite.prompts)
    assert "25" not in closed
    assert item.fields["passage"] in opened


def test_the_questions_of_the_documents_take_turns():
    suite = book_suite(StudyConfig("m", 1.0, "ko"), "ko")
    clusters = [item.cluster for item in suite.items]
    assert len(set(clusters[: len(set(clusters))])) == len(set(clusters)) > 1
