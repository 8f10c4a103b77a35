"""A whole study on the small model: measured, stopped, resumed, reported; every figure leads to its run."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inhouse.core.records import RunStatus
from inhouse.store.repository import Store
from inhouse.study.base import StudyConfig, outcomes
from inhouse.study.effort import CLOSING
from inhouse.study.phase1 import PHASE1
from inhouse.study.phase2 import PHASE2
from inhouse.study.phase4 import PHASE4
from inhouse.study.phase5 import PHASE5
from inhouse.study.plan import PLAN_PARTS
from inhouse.study.run import PHASES, parts_of, seconds_of

INHOUSE = str(Path(sys.executable).with_name("inhouse"))


@pytest.fixture
def env(tmp_path: Path, tiny_model: Path) -> dict[str, str]:
    return {**os.environ, "INHOUSE_DATA_DIR": str(tmp_path / "data"), "INHOUSE_OLLAMA_URL": "http://127.0.0.1:9"}


def study(env: dict[str, str], *args: str) -> list[str]:
    return [INHOUSE, "study", "--model", "smollm2:135m", *args]


@pytest.mark.timeout(300)
def test_a_study_stopped_half_way_is_resumed_and_reported_with_evidence(env, tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen(
        study(env, "--phases", "1", "--budget", "30s", "--lang", "en", "--out", str(out)),
        env=env,
        stderr=subprocess.PIPE,
        text=True,
    )
    seen = ""
    for line in process.stderr:
        seen += line
        if "✓ cold_start" in line:
            time.sleep(2)  # well into the next part
            process.send_signal(signal.SIGINT)
            break
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130, seen + rest
    assert "inhouse study --resume" in rest
    assert "Traceback" not in seen + rest

    database = f"sqlite:///{tmp_path / 'data' / 'inhouse.db'}"
    with Store(database) as store:
        (stopped,) = store.list_runs(kind="study")
        assert stopped.status is RunStatus.INTERRUPTED
        before = {name: outcome.run for name, outcome in outcomes(store, stopped.id).items()}
        assert "cold_start" in before

    done = subprocess.run(
        study(env, "--resume", "last", "--out", str(out), "--json"),
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["study"] == stopped.id

    with Store(database) as store:
        after = outcomes(store, stopped.id)
        assert set(after) == {part.name for part in (*PHASE1, *PLAN_PARTS, *CLOSING)}
        assert {name: after[name].run for name in before} == before, "what was measured is not measured again"
        assert after["gpu"].status == "skipped" or store.get_run(stopped.id).environment.gpus
        assert after["ollama"].status == "skipped"
        assert [name for name, outcome in after.items() if outcome.status == "failed"] == []
        metrics = {}
        for run in store.list_runs(study_id=stopped.id):
            assert run.status is RunStatus.DONE, (run.kind, run.config.get("name"))
            metrics[run.id] = store.metrics(run.id)
        findings = store.findings(stopped.id)
        said = {finding.message for finding in findings}
        for message in (
            "ran",
            "prefill",
            "ttft_under_load",
            "memory",
            "llama2_prediction",
            "hardware_7b",
        ):
            assert f"phase1.{message}" in said, said
        # The model's file cannot be put out of memory while another process has it open.
        assert said & {"phase1.cold_start", "phase1.cold_start_warm_only"}
        for finding in findings:
            assert finding.evidence or finding.message in ("phase1.no_gpu", "phase1.no_ollama", "phase1.no_download")
            for evidence in finding.evidence:
                assert evidence.metric in metrics[evidence.run_id]

    html = (out / "report.html").read_text()
    assert stopped.id[:10] in html
    assert "<svg" in html
    assert not re.search(r'(?:src|href)="https?://', html), "the report loads nothing from the network"
    notes = {path.name for path in (out / "notes").iterdir()}
    assert {"phase1-memory-issue.md", "phase1-api-test.md"} <= notes


def test_the_plan_is_said_without_doing_anything(env, tmp_path):
    done = subprocess.run(
        study(env, "--plan", "--out", str(tmp_path)), env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for part in (*PHASE1, *PHASE2, *PHASE4, *PHASE5):
        assert part.name in done.stderr
    assert not (tmp_path / "report.html").exists()


def test_the_parts_share_the_whole_budget():
    for phases in ((1,), (2,), (3,), (4,), (5,), (1, 2, 3, 4, 5)):
        config = StudyConfig("m", 100.0, "en", phases=phases)
        assert sum(seconds_of(part, config) for part in parts_of(config)) == pytest.approx(100.0)
    for phase in PHASES.values():
        assert sum(part.share for part in phase.parts) == pytest.approx(1.0)


def test_phases_that_do_not_exist_are_refused_before_anything_is_done(env, tmp_path):
    done = subprocess.run(
        study(env, "--phases", "1,7", "--out", str(tmp_path)), env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--phases 1,4" in done.stderr
