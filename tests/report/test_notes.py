"""Notes are Markdown made from findings and runs: what was met, what was measured, what to do."""

import pytest
from kept_study import ENVIRONMENT

from inhouse.core.records import Evidence, Finding, Metric, RunStatus, Severity, Side
from inhouse.report.language import LANGUAGES, catalogue
from inhouse.report.notes import TOPICS, write_notes


def test_a_note_is_written_for_each_topic_that_has_something_to_tell(store, study, tmp_path):
    written = write_notes(store, study.id, tmp_path / "notes", "ko")
    assert [path.name for path in written] == [
        "phase1-download.md", "phase1-api-test.md", "phase1-cold-start.md", "phase1-prompt-length.md",
        "phase1-concurrency.md", "phase1-memory-issue.md", "phase1-hardware.md", "phase1-not-measured.md",
    ]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "notes").iterdir()) == sorted(path.name for path in written)


def test_a_note_tells_what_was_met_what_was_measured_and_what_to_do(store, study, tmp_path):
    write_notes(store, study.id, tmp_path, "ko")
    text = (tmp_path / "phase1-memory-issue.md").read_text(encoding="utf-8")
    headings = [line for line in text.splitlines() if line.startswith(("# ", "## "))]
    assert headings == [
        "# 1단계: 메모리 문제", "## 무엇을 만났나", "## 무엇을 해 보았나", "## 무엇으로 풀렸나", "## 무엇을 쟀나",
        "## 어떻게 할까", "## 다시 재려면",
    ]  # fmt: skip
    assert "| 4,096 | 4 | 1.21 | 1.18 |" in text
    assert "inhouse study --model qwen2.5-coder:0.5b --budget 10m" in text


def test_figures_stand_with_their_interval_and_run(store, study, tmp_path):
    write_notes(store, study.id, tmp_path, "en")
    text = (tmp_path / "phase1-concurrency.md").read_text(encoding="utf-8")
    run = next(r for r in store.list_runs(study_id=study.id) if r.config["name"] == "concurrency")
    assert "| 8 | 10.1 (9.59–10.7) | 12.4 (11.8–13.2) |" in text
    assert f"`{run.id[:10]}`" in text


def test_predictions_are_called_so(store, study, tmp_path):
    write_notes(store, study.id, tmp_path, "en")
    assert "| predicted: bandwidth roofline |" in (tmp_path / "phase1-hardware.md").read_text(encoding="utf-8")


def test_every_table_has_as_many_cells_in_each_row_as_in_its_head(store, study, tmp_path):
    for path in write_notes(store, study.id, tmp_path, "ko"):
        widths = [line.replace("\\|", "").count("|") for line in path.read_text().splitlines() if line.startswith("|")]
        blocks = [
            line.replace("\\|", "").count("|") for line in path.read_text().splitlines() if line.startswith("| ---")
        ]
        assert set(widths) <= set(blocks) or not widths, path.name


def test_what_is_stored_stays_text_in_markdown(empty_store, tmp_path):
    study = empty_store.create_run("study", {}, seed=0, environment=ENVIRONMENT, model="m_1*|<b>\n```\n# e")
    run = empty_store.create_run("bench", {}, seed=0, environment=ENVIRONMENT, model="m", study_id=study.id)
    metric = Metric("memory_measured_bytes", 1e9, "bytes", {"context": "a|b\n# c"})
    empty_store.set_metrics(run.id, [metric])
    empty_store.finish_run(run.id, RunStatus.DONE)
    reason = "`x` <script>alert(1)</script> | [a](http://b) *c*\n\n# d"
    empty_store.set_findings(study.id, 1, [
        Finding(1, Side.TECHNICAL, Severity.INFO, "phase1.not_run", {"part": "memory", "reason": reason}),
        Finding(1, Side.TECHNICAL, Severity.INFO, "phase1.memory_growth", {}, (Evidence(run.id, metric),)),
    ])  # fmt: skip
    text = "\n".join(path.read_text() for path in write_notes(empty_store, study.id, tmp_path, "en"))
    assert "<script>" not in text
    assert "\n# d" not in text
    assert "\n# c" not in text
    assert r"m\_1\*\|&lt;b&gt;" in text
    assert "\n```\n# e" not in text
    assert r"'x' &lt;script&gt;alert(1)&lt;/script&gt; \| \[a\](http://b) \*c\* \# d" in text


def test_a_finding_that_no_topic_names_still_gets_a_note(empty_store, tmp_path):
    study = empty_store.create_run("study", {}, seed=0, environment=ENVIRONMENT, model="m")
    evidence = (Evidence(study.id, Metric("x_s", 1.0, "s")),)
    empty_store.set_findings(
        study.id, 7, [Finding(7, Side.BUSINESS, Severity.GOOD, "phase7.news", {"gain_ratio": 2.0}, evidence)]
    )
    (written,) = write_notes(empty_store, study.id, tmp_path, "en")
    assert written.name == "phase7-other.md"
    assert "phase7.news" in written.read_text()
    assert "gain\\_ratio: 2×" in written.read_text()


def test_a_study_without_findings_leaves_no_notes(empty_store, tmp_path):
    study = empty_store.create_run("study", {}, seed=0, environment=ENVIRONMENT, model="m")
    assert write_notes(empty_store, study.id, tmp_path, "ko") == []


def test_the_topics_name_only_findings_that_there_are():
    told = {
        f"phase{phase}.{message}" for phase, topics in TOPICS.items() for topic in topics for message in topic.messages
    }
    assert told <= catalogue("en").keys()


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_topic_has_a_title(lang):
    assert all(f"note.{word}" in catalogue(lang) for word in ("phase", "study", "plan", "tried", "solved", "unsolved"))
    wanted = {f"note.{topic.name}" for topics in TOPICS.values() for topic in topics}
    assert wanted | {"note.other", "note.not-measured"} <= catalogue(lang).keys()
