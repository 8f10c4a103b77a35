"""`inhouse runs` as a user meets it: the real command on a real store."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from inhouse.cli.main import main
from inhouse.core.environment import read_environment
from inhouse.core.records import Finding, Metric, Run, RunStatus, Sample, SampleError, Series, Severity, Side
from inhouse.core.settings import get_settings
from inhouse.store.repository import Store

INHOUSE = str(Path(sys.executable).with_name("inhouse"))


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


class Kept:
    """A data folder with a study, its bench, and a bench that failed."""

    def __init__(self, folder: Path) -> None:
        self.env = {**os.environ, "INHOUSE_DATA_DIR": str(folder), "INHOUSE_STORE_URL": "", "COLUMNS": "200"}
        self.url = f"sqlite:///{folder / 'inhouse.db'}"
        environment = read_environment()
        with Store(self.url) as store:
            self.study: Run = store.create_run("study", {"phases": [1]}, seed=1, environment=environment, model="m:1")
            self.bench: Run = store.create_run(
                "bench",
                {"stages": [{"name": "one"}], "note": "부하"},
                seed=1,
                environment=environment,
                model="m:1",
                engine="embedded",
                study_id=self.study.id,
            )
            self.failed: Run = store.create_run("bench", {}, seed=2, environment=environment, model="n:2")
            store.add_samples(
                self.bench.id,
                [
                    Sample(
                        0, 0.0, 0.001, 1.0, 0.2, (0.2, 0.6, 1.0), 12, 3, finish_reason="stop", tags={"stage": "one"}
                    ),
                    Sample(1, 0.5, 0.5, 0.6, error=SampleError("crashed", "it ended"), tags={"stage": "one"}),
                ],
            )
            store.set_metrics(
                self.bench.id,
                [
                    Metric("ttft_s", 0.2, "s", {"stat": "p50"}, 0.15, 0.25, 40, "bootstrap p50"),
                    Metric("decode_tokens_s", 7.5, "tokens/s", method="roofline", predicted=True),
                    Metric("rss_bytes", 98_400_000, "bytes"),
                ],
            )
            store.add_series(self.bench.id, [Series("rss_bytes", "bytes", (0.0,), (1e9,))])
            store.set_findings(self.study.id, 1, [Finding(1, Side.TECHNICAL, Severity.INFO, "m", {"a": 1})])
            store.finish_run(self.bench.id, RunStatus.DONE)
            store.finish_run(self.study.id, RunStatus.DONE)
            store.finish_run(self.failed.id, RunStatus.FAILED, error="the engine is down")

    def runs(self, *args: str, stdin: str = "") -> Done:
        """The command as the shell would call it, but in this process, which spares half a second each."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.env.items():
                patch.setenv(name, value)
            patch.setattr("sys.argv", ["inhouse", "runs", *args])
            patch.setattr("sys.stdin", io.StringIO(stdin))
            patch.setattr("sys.stdout", out)
            patch.setattr("sys.stderr", err)
            on_terminate = signal.getsignal(signal.SIGTERM)
            get_settings.cache_clear()
            try:
                with pytest.raises(SystemExit) as ended:
                    main()
            finally:
                get_settings.cache_clear()
                signal.signal(signal.SIGTERM, on_terminate)
        return Done(ended.value.code, out.getvalue(), err.getvalue())

    def json(self, *args: str):
        done = self.runs(*args)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def ids(self, *args: str) -> list[str]:
        return [run["id"] for run in self.json("list", "--json", *args)]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_list_shows_runs_newest_first_with_ids_that_other_commands_take(kept):
    done = kept.runs("list")
    lines = [line.split() for line in done.stdout.splitlines() if line.strip().startswith("0")]
    assert [line[0] for line in lines] == [run.id[:10] for run in (kept.failed, kept.bench, kept.study)]
    assert [line[1] for line in lines] == ["bench", "bench", "study"]
    assert kept.json("show", lines[1][0], "--json")["run"]["id"] == kept.bench.id


def test_list_filters_and_says_when_there_is_more(kept):
    assert kept.ids("--kind", "bench", "--model", "m:1", "--engine", "embedded") == [kept.bench.id]
    assert kept.ids("--status", "failed") == [kept.failed.id]
    assert kept.ids("--study", kept.study.id[:10]) == [kept.bench.id]
    limited = kept.runs("list", "--json", "--limit", "1")
    assert [run["id"] for run in json.loads(limited.stdout)] == [kept.failed.id]
    assert "--limit" in limited.stderr
    nothing = kept.runs("list", "--kind", "pull")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "No run is kept that fits" in nothing.stderr


def test_show_prints_configuration_figures_with_intervals_and_errors_by_kind(kept):
    out = kept.runs("show", kept.bench.id).stdout
    for text in (
        kept.bench.id, "m:1", "부하", "200 ms", "150 ms … 250 ms", "stat=p50", "PREDICTED, roofline", "98.4 MB",
        "crashed=1", kept.study.id,
    ):  # fmt: skip
        assert text in out
    assert "it ended" not in out
    assert "it ended" in kept.runs("show", kept.bench.id, "--samples").stdout
    assert "the engine is down" in kept.runs("show").stdout, "without an id: the last"
    assert kept.bench.id[:10] in kept.runs("show", kept.study.id).stdout


def test_show_as_json_holds_metrics_and_counts(kept):
    shown = kept.json("show", kept.bench.id, "--json", "--samples")
    assert shown["metrics"][0]["low"] == 0.15
    assert {(count["error_kind"], count["count"]) for count in shown["samples"]} == {(None, 1), ("crashed", 1)}
    assert shown["samples_listed"][0]["token_times_s"] == [0.2, 0.6, 1.0]


def test_an_exported_study_can_be_removed_and_imported_again(kept, tmp_path):
    file = tmp_path / "study.json"
    before = kept.json("show", kept.bench.id, "--json", "--samples")
    assert kept.runs("export", kept.study.id, "-o", str(file)).returncode == 0
    assert kept.runs("rm", kept.study.id, kept.bench.id, "--yes").returncode == 0
    assert kept.ids() == [kept.failed.id]
    imported = kept.runs("import", str(file))
    assert imported.stdout.split() == [kept.study.id, kept.bench.id]
    assert kept.json("show", kept.bench.id, "--json", "--samples") == before
    again = kept.runs("import", str(file))
    assert again.returncode == 1
    assert "kept already" in again.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_export_as_csv_goes_to_stdout(kept):
    done = kept.runs("export", kept.bench.id, "--format", "csv")
    read = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["error_kind"] for row in read] == ["", "crashed"]
    assert done.stderr == ""


def test_rm_asks_first_and_removes_only_on_yes(kept):
    no = kept.runs("rm", "last", stdin="n\n")
    assert no.returncode == 1
    assert "Nothing was removed" in no.stderr
    assert kept.failed.id[:10] in no.stderr
    silent = kept.runs("rm", "last")
    assert silent.returncode == 2
    assert "--yes" in silent.stderr
    assert kept.failed.id in kept.ids()
    assert kept.runs("rm", "last", stdin="y\n").returncode == 0
    assert kept.failed.id not in kept.ids()


def test_rm_with_one_wrong_id_removes_nothing(kept):
    done = kept.runs("rm", kept.failed.id, "zzzz", "--yes")
    assert done.returncode == 2
    assert "'zzzz'" in done.stderr
    assert kept.failed.id in kept.ids()


def test_a_killed_run_is_listed_as_interrupted_and_a_live_one_cannot_be_removed(kept):
    script = """
import sys, time
from inhouse.core.environment import read_environment
from inhouse.store.repository import Store
run = Store(sys.argv[1]).create_run("bench", {}, seed=0, environment=read_environment())
print(run.id, flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", script, kept.url], stdout=subprocess.PIPE, text=True)
    run_id = process.stdout.readline().strip()
    refused = kept.runs("rm", run_id, "--yes")
    assert refused.returncode == 1
    assert f"process {process.pid} works on it" in refused.stderr
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert kept.ids("--status", "interrupted") == [run_id]
    assert kept.runs("rm", run_id, "--yes").returncode == 0


def test_a_fresh_store_is_empty_and_says_so(tmp_path):
    env = {**os.environ, "INHOUSE_DATA_DIR": str(tmp_path / "new"), "INHOUSE_STORE_URL": ""}

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([INHOUSE, "runs", *args], env=env, capture_output=True, text=True, check=False)

    assert "No run is kept yet" in run("list").stderr
    assert run("list", "--json").stdout == "[]\n"
    shown = run("show")
    assert shown.returncode == 2
    assert shown.stderr.startswith("error: There is no run yet")


def test_compare_says_what_became_slower_beyond_noise(kept):
    ids = []
    with Store(kept.url) as store:
        for slower in (1.0, 2.0):
            run = store.create_run("bench", {}, seed=1, environment=read_environment(), model="m:1", engine="embedded")
            samples = [
                Sample(
                    i, i, i, i + 1.0, i + slower * (0.1 + i % 7 / 100), (i + slower * (0.1 + i % 7 / 100), i + 1.0),
                    12, 2, finish_reason="stop", tags={"stage": "one", "streams": 1},
                )
                for i in range(40)
            ]  # fmt: skip
            store.add_samples(run.id, samples)
            ids.append(store.finish_run(run.id, RunStatus.DONE).id)
    compared = kept.json("compare", ids[0], "last", "--json")
    (ttft,) = [row for row in compared["rows"] if row["name"] == "ttft_s"]
    assert ttft["verdict"] == "worse"
    assert ttft["ratio"] == pytest.approx(2.0)
    assert ttft["low"] < 2.0 < ttft["high"]
    (e2e,) = [row for row in compared["rows"] if row["name"] == "e2e_from_intended_s"]
    assert e2e["verdict"] == "within noise"
    table = kept.runs("compare", ids[0][:10], ids[1][:10])
    (line,) = [line for line in table.stdout.splitlines() if "ttft_s" in line]
    for text in ("130 ms", "260 ms", "stage=one", "worse"):
        assert text in line
    other = kept.runs("compare", kept.failed.id, "last")
    assert "warning: The models differ" in other.stderr
    assert "no figure in common" in other.stderr


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("show", "nope"), 2, "No run goes by 'nope'"),
        (("show", ""), 2, "empty run id"),
        (("list", "--limit", "0"), 2, "--limit"),
        (("list", "--status", "flying"), 2, "--status"),
        (("export", "last", "--format", "xml"), 2, "--format"),
        (("export", "last", "-o", "/nowhere/run.json"), 2, "/nowhere/run.json cannot be written"),
        (("import", "/nowhere/run.json"), 2, "/nowhere/run.json cannot be read"),
        (("import", __file__), 2, "not an exported run"),
    ],
)
def test_bad_input_is_one_clear_line(kept, args, code, says):
    done = kept.runs(*args)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_store_that_cannot_be_opened_is_one_clear_line(kept):
    kept.env["INHOUSE_STORE_URL"] = "postgresql://user:pa55word@127.0.0.1:9/inhouse"
    done = kept.runs("list")
    assert done.returncode == 1
    assert done.stderr.startswith("error: The store at 127.0.0.1:9/inhouse cannot be used")
    assert "pa55word" not in done.stderr


def test_a_reader_that_leaves_early_causes_no_complaint(kept):
    done = subprocess.run(
        f"{INHOUSE} runs show --json {kept.bench.id} | head -c 5", shell=True, env=kept.env, capture_output=True
    )
    assert done.stderr == b""
