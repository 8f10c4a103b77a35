"""`inhouse bench` as a user meets it: the real command, a real model, a real store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from inhouse.core.records import RunStatus
from inhouse.store.repository import Store

INHOUSE = str(Path(sys.executable).with_name("inhouse"))
TRACE = Path(__file__).parents[1] / "fixtures" / "traces" / "azure_conv_excerpt.csv"
SHORT = ("--prompt-tokens", "64", "--output-tokens", "4")

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "INHOUSE_DATA_DIR": str(tmp_path),
        "INHOUSE_STORE_URL": "",
        "INHOUSE_ENGINE": "embedded",
        "INHOUSE_MODEL": "",
        "INHOUSE_THREADS": "1",  # two threads that wait for each other crawl where tests run side by side
        "COLUMNS": "200",
    }


@pytest.fixture
def bench(env: dict[str, str]) -> Command:
    def run(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([INHOUSE, "bench", *args], env=env, capture_output=True, text=True, timeout=100)

    return run


def store_of(env: dict[str, str]) -> Store:
    return Store(f"sqlite:///{env['INHOUSE_DATA_DIR']}/inhouse.db")


def figures(metrics: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [metric for metric in metrics if metric["name"] == name]


def test_a_bench_of_a_real_model_is_measured_kept_and_compared(
    bench: Command, env: dict[str, str], tiny_model: Path
) -> None:
    ends = ("--count", "6", "--objective", "ttft=60s")
    first = bench("run", "--model", str(tiny_model), "--streams", "1,2", *SHORT, *ends, "--json", "--lang-text", "ko")
    assert first.returncode == 0, first.stderr
    done = json.loads(first.stdout)
    assert done["run"]["status"] == "done"
    metrics = done["metrics"]
    assert [m["value"] for m in figures(metrics, "requests")] == [6, 6]
    for name, exact in (("actual_prompt_tokens", 64), ("actual_output_tokens", 4)):
        found = {m["value"] for m in figures(metrics, name)}
        assert found == {exact}, name
    assert {m["value"] for m in figures(metrics, "cached_share")} == {0.0}
    assert all(m["value"] > 0 for m in figures(metrics, "output_tokens_s"))
    assert {m["value"] for m in figures(metrics, "goodput_share")} == {1.0}
    assert max(m["value"] for m in figures(metrics, "rss_bytes")) > tiny_model.stat().st_size
    queue = next(m for m in figures(metrics, "queue_s") if m["labels"]["stat"] == "p50")
    ttft = next(m for m in figures(metrics, "ttft_s") if m["labels"]["stat"] == "p50")
    assert 0 <= queue["value"] < ttft["value"]

    second = bench("run", "--model", str(tiny_model), "--streams", "1", *SHORT, "--count", "6")
    assert second.returncode == 0, second.stderr
    assert "1 stream, 64/4 tokens" in second.stdout
    assert "kept as" in second.stderr

    compared = bench("compare", done["run"]["id"], "last", "--json")
    assert compared.returncode == 0, compared.stderr
    rows = json.loads(compared.stdout)["rows"]
    assert {row["labels"]["stage"] for row in rows} == {"1 stream, 64/4 tokens"}
    assert {"ttft_s", "tpot_s", "output_tokens_s"} <= {row["name"] for row in rows}


def test_ctrl_c_keeps_the_run_leaves_no_worker_and_says_how_to_go_on(
    bench: Command, env: dict[str, str], tiny_model: Path
) -> None:
    args = ["run", "--model", str(tiny_model), "--streams", "1,2", "--count", "5", *SHORT]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([INHOUSE, "bench", *args], env=env, **pipes)
    deadline = time.monotonic() + 60
    done: list[str] = []
    while not done and time.monotonic() < deadline:
        time.sleep(0.1)
        if Path(env["INHOUSE_DATA_DIR"], "inhouse.db").exists():
            with store_of(env) as store:
                done = [stage for run in store.list_runs() for stage in store.progress(run.id).get("done_stages", [])]
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert not alive
    with store_of(env) as store:
        stopped = store.get_run("last")
        kept = [sample for sample in store.samples(stopped.id, stage=done[0]) if not sample.tags.get("warmup")]
    if stopped.status is RunStatus.DONE:
        pytest.skip("the second stage was over before the signal came")
    assert stopped.status is RunStatus.INTERRUPTED
    assert f"inhouse bench run --resume {stopped.id[:10]}" in stderr

    resumed = bench("run", "--resume", stopped.id[:10], "--json")
    assert resumed.returncode == 0, resumed.stderr
    with store_of(env) as store:
        assert store.get_run(stopped.id).status is RunStatus.DONE
        again = [sample for sample in store.samples(stopped.id, stage=done[0]) if not sample.tags.get("warmup")]
    assert again == kept
    assert [m["value"] for m in figures(json.loads(resumed.stdout)["metrics"], "requests")] == [5, 5]

    twice = bench("run", "--resume", stopped.id[:10])
    assert twice.returncode != 0
    assert "error:" in twice.stderr


def test_a_trace_is_replayed_and_says_what_was_cut(bench: Command, tiny_model: Path, tmp_path: Path) -> None:
    trace = tmp_path / "mine.jsonl"
    trace.write_text(
        '{"timestamp": 0, "input_length": 60, "output_length": 3}\n'
        '{"timestamp": 900, "input_length": 9000, "output_length": 2}\n'
        '{"timestamp": 99000, "input_length": 60, "output_length": 2}\n'
    )
    args = (
        "--trace",
        str(trace),
        "--speed",
        "3",
        "--duration",
        "2s",
        "--context",
        "256",
        "--slots",
        "1",
        "--warmup",
        "0",
    )
    done = bench("run", "--model", str(tiny_model), *args)
    assert done.returncode == 0, done.stderr
    assert "trace mine ×3" in done.stdout
    assert "1 of 2 requests were cut to fit the context" in done.stderr


def test_memory_is_measured_beside_its_estimate(bench: Command, tiny_model: Path) -> None:
    done = bench("memory", "--model", str(tiny_model), "--contexts", "256,1024", "--slots", "1", "--json")
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)["metrics"]
    measured = {m["labels"]["context"]: m["value"] for m in figures(metrics, "memory_measured_bytes")}
    estimates = figures(metrics, "memory_estimate_bytes")
    assert measured[1024] > measured[256] > tiny_model.stat().st_size
    assert all(estimate["predicted"] for estimate in estimates)
    for estimate in estimates:
        assert estimate["value"] == pytest.approx(measured[estimate["labels"]["context"]], rel=0.15)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("run", "--streams", "0"), "above zero"),
        (("run", "--streams", "-2"), "above zero"),
        (("run", "--streams", "many"), "no list of numbers"),
        (("run", "--streams", "1,1"), "twice"),
        (("run", "--streams", ""), "no list of numbers"),
        (("run", "--rate", "0"), "above zero"),
        (("run", "--rate", "nan"), "above zero"),
        (("run", "--rate", "1", "--arrival", "bursty"), "bursty"),
        (("run", "--prompt-tokens", "0"), "above zero"),
        (("run", "--output-tokens", "-1"), "above zero"),
        (("run", "--count", "0"), "above zero"),
        (("run", "--duration", "0s"), "duration"),
        (("run", "--duration", "soon"), "duration"),
        (("run", "--shared-prefix", "300"), "leaves nothing"),
        (("run", "--objective", "speed=2"), "speed=2"),
        (("run", "--objective", "ttft=fast"), "fast"),
        (("run", "--warmup", "-1"), "negative"),
        (("run", "--lang-text", "fr"), "fr"),
        (("run", "--sweep", "--gain", "0"), "gain"),
        (("run", "--sweep", "--trace", str(TRACE)), "trace"),
        (("run", "--trace", "/nowhere.csv"), "/nowhere.csv"),
        (("run", "--trace", __file__), "no known format"),
        (("run", "--trace", str(TRACE), "--speed", "0"), "speed"),
        (("run", "--context", "0"), "above zero"),
        (("run", "--slots", "-1"), "above zero"),
        (("run", "--resume", "nothing"), "nothing"),
        (("run", "--resume", "last", "--streams", "1"), "own plan"),
        (("cold", "--repeats", "0"), "above zero"),
        (("memory", "--contexts", "0"), "above zero"),
        (("memory", "--contexts", "999999999"), "context"),
        (("compare", "a", "b"), "a"),
    ],
)
def test_bad_input_is_one_clear_line(
    args: tuple[str, ...], told: str, env: dict[str, str], tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from inhouse.cli.main import main
    from inhouse.core.settings import get_settings

    for name, value in env.items():
        monkeypatch.setenv(name, value)
    model = ("--model", str(tiny_model)) if args[0] in ("run", "cold", "memory") else ()
    monkeypatch.setattr(sys, "argv", ["inhouse", "bench", *args, *model])
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # the test runner keeps its own handlers
    get_settings.cache_clear()
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        get_settings.cache_clear()
    captured = capsys.readouterr()
    assert ended.value.code == 2, captured.err
    error = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1, captured.err
    assert told in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
