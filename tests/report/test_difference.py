"""Two studies are compared by decision, by finding and by what differs beyond noise."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from kept_study import build_study

from inhouse.core.errors import UsageError
from inhouse.core.records import Severity
from inhouse.report.difference import compare_studies
from inhouse.store.repository import Store


@pytest.fixture
def two(store: Store, study):
    """The study, and another in which one finding weighs more, one less, one is gone and one is new."""
    other = build_study(store)
    kept = store.findings(other.id)
    graver = {"phase1.cold_start": Severity.SERIOUS, "phase1.ttft_under_load": Severity.WARNING}
    changed = [replace(f, severity=graver.get(f.message, f.severity)) for f in kept if f.message != "phase1.knee"]
    new = replace(next(f for f in kept if f.message == "phase1.knee"), message="phase1.no_knee")
    store.set_findings(other.id, 1, [*changed, new])
    return study.id, other.id


def test_each_finding_is_told_by_how_it_changed(store, two):
    kinds = {(c.before or c.after).message: c.kind for c in compare_studies(store, *two).changes}
    changed = {message: kind for message, kind in kinds.items() if kind != "same"}
    assert changed == {
        "phase1.cold_start": "graver", "phase1.ttft_under_load": "milder", "phase1.knee": "gone",
        "phase1.no_knee": "new",
    }  # fmt: skip


def test_the_parts_that_both_have_measured_are_compared(store, two):
    difference = compare_studies(store, *two)
    assert set(difference.parts) == {"pull", "cold_start", "prompt_length", "concurrency", "memory", "llama2"}
    assert difference.parts["memory"].rows


def test_a_run_that_is_no_study_is_refused(store, study, document):
    with pytest.raises(UsageError, match="no study"):
        compare_studies(store, study.id, document.runs[0].run.id)


@pytest.mark.parametrize(("lang", "graver"), [("ko", "B에서 더 무거움"), ("en", "graver in B")])
def test_the_command_says_what_changed_and_the_same_to_programs(store, two, study_database, lang, graver):
    inhouse = str(Path(sys.executable).with_name("inhouse"))
    env = {**os.environ, "INHOUSE_DATA_DIR": str(study_database.parent)}
    command = [inhouse, "report", "diff", *two, "--lang", lang]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert graver in done.stdout
    told = json.loads(subprocess.run([*command, "--json"], capture_output=True, env=env, check=True, timeout=60).stdout)
    assert [told["a"], told["b"]] == list(two)
    assert sum(change["kind"] != "same" for change in told["findings"]) == 4
