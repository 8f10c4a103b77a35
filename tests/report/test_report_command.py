"""`inhouse report` writes a kept study again, in the language asked for; mistakes end in one clear line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from inhouse.report.document import Document

INHOUSE = str(Path(sys.executable).with_name("inhouse"))


@pytest.fixture
def report(study_database: Path, document: Document, tmp_path: Path):
    """Runs the command in an empty folder, on a store of its own."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("INHOUSE_", "LC_", "LANG"))
    }
    environment |= {"INHOUSE_DATA_DIR": str(study_database.parent), "INHOUSE_CACHE_DIR": str(tmp_path / "cache")}
    work = tmp_path / "work"
    work.mkdir()

    def run(*args: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [INHOUSE, "report", *args], capture_output=True, text=True, encoding="utf-8", timeout=60, check=False,
            cwd=work, env={**environment, **extra},
        )  # fmt: skip

    run.study = document.study.id
    run.part = document.runs[0].run.id
    (work / "notes.txt").write_text("a file, no folder")
    run.folder = work
    return run


def test_without_arguments_it_writes_the_newest_study_in_the_locales_language(report):
    done = report(LANG="ko_KR.UTF-8")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "report.html\nnotes/ (8 notes)\n"
    assert "이대로 운영하기에는 이릅니다" in (report.folder / "report.html").read_text(encoding="utf-8")
    assert (report.folder / "notes" / "phase1-memory-issue.md").exists()


def test_language_place_and_study_can_be_chosen_and_the_result_read_by_programs(report):
    done = report(report.study[:10], "--lang", "en", "-o", "x/r.html", "--notes", "x/n", "--json", LANG="ko_KR.UTF-8")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["study"] == report.study
    assert told["lang"] == "en"
    assert told["report"] == "x/r.html"
    assert "too early" in (report.folder / told["report"]).read_text(encoding="utf-8")
    assert all((report.folder / note).exists() for note in told["notes"])


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (("--lang", "fr"), "no report in the language 'fr'", 2),
        (("zzzz",), "zzzz", 2),
        (("-o", "notes.txt/report.html"), "cannot be written", 2),
    ],
)
def test_a_mistake_is_one_clear_error(report, arguments, says, code):
    done = report(*arguments)
    assert done.returncode == code
    assert done.stderr.startswith("error: ")
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_run_that_is_no_study_is_refused_with_the_way_to_find_one(report):
    done = report(report.part)
    assert done.returncode == 2
    assert "inhouse runs list --kind study" in done.stderr
