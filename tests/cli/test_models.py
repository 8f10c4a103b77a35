"""`inhouse models` and `inhouse doctor` as a person meets them: pulls, lists, checks, mistakes, Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

INHOUSE = str(Path(sys.executable).with_name("inhouse"))


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An empty home whose only source of models would be a server that nobody runs."""
    return {
        **os.environ,
        "INHOUSE_DATA_DIR": str(tmp_path / "data"),
        "INHOUSE_CACHE_DIR": str(tmp_path / "cache"),
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "INHOUSE_OLLAMA_URL": "http://127.0.0.1:9",
    }


def run(home: dict[str, str], *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([INHOUSE, *args], capture_output=True, text=True, timeout=60, env=home, check=False)


def pull(home: dict[str, str], tiny_model: Path) -> subprocess.CompletedProcess[str]:
    return run(home, "models", "pull", "smollm2:135m", "--source", f"folder:{tiny_model.parent}", "--json")


def test_a_pulled_model_is_listed_shown_verified_and_removed(home: dict[str, str], tiny_model: Path):
    done = pull(home, tiny_model)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["source"] == "folder"

    listed = {row["name"]: row for row in json.loads(run(home, "models", "list", "--json").stdout)}
    assert listed["smollm2:135m"]["pulled"]
    assert not listed["llama2:7b"]["pulled"]
    assert listed["llama2:7b"]["licence"].startswith("Llama 2")

    shown = json.loads(run(home, "models", "show", "smollm2:135m", "--json").stdout)
    assert shown["gguf"]["layers"] == 30
    assert {(m["context"], m["slots"]) for m in shown["memory"]} >= {(4096, 1), (4096, 4)}

    assert run(home, "models", "verify").returncode == 0
    freed = json.loads(run(home, "models", "rm", "smollm2:135m", "--json").stdout)
    assert freed["freed_bytes"] >= 98_362_432
    assert tiny_model.exists()
    assert run(home, "models", "verify", "smollm2:135m").returncode == 1


def test_a_download_is_kept_as_a_run_and_a_second_pull_is_not(home: dict[str, str], tiny_model: Path):
    pull(home, tiny_model)
    again = pull(home, tiny_model)
    assert json.loads(again.stdout)["already_there"]
    runs = json.loads(run(home, "runs", "list", "--kind", "pull", "--json").stdout)
    assert [(kept["model"], kept["status"]) for kept in runs] == [("smollm2:135m", "done")]


def test_a_pull_that_fails_names_every_source_and_is_kept_as_failed(home: dict[str, str]):
    home["INHOUSE_SOURCES"] = "hugging_face"
    done = run(home, "models", "pull", "smollm2:135m")
    assert done.returncode == 1
    assert "hugging_face: 127.0.0.1 cannot be reached" in done.stderr
    assert "--source folder:PATH" in done.stderr
    (kept,) = json.loads(run(home, "runs", "list", "--kind", "pull", "--json").stdout)
    assert kept["status"] == "failed"


def test_a_changed_file_is_found_and_the_way_out_named(home: dict[str, str], tiny_model: Path, tmp_path: Path):
    pull(home, tiny_model)
    path = tmp_path / "cache" / "models" / tiny_model.name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.unlink()  # it is a hard link to the fixture's file
    path.write_bytes(data)
    done = run(home, "models", "verify")
    assert done.returncode == 1
    assert "CHANGED" in done.stdout
    assert "inhouse models rm smollm2:135m" in done.stderr


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("pull", "smollm3"), 2, "Did you mean"),
        (("pull", "smollm2:135m", "--source", "ftp"), 2, "has no source 'ftp'"),
        (("pull", "smollm2:135m", "--source", "folder:/nowhere"), 1, "There is no folder /nowhere"),
        (("pull", "smollm2:135m", "--engine", "vllm"), 2, "cannot download models"),
        (("pull", "llama2:7b", "--engine", "ollama"), 1, "127.0.0.1:9"),
        (("show", "/nowhere/x.gguf"), 2, "There is no model file"),
        (("rm", "smollm2:135m"), 1, "nothing to remove"),
        (("verify", "nope"), 2, "no model 'nope'"),
    ],
)
def test_a_mistake_is_one_clear_line_and_the_next_step(
    home: dict[str, str], args: tuple[str, ...], code: int, message: str
):
    done = run(home, "models", *args)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_corrupt_file_is_refused_by_show(home: dict[str, str], tmp_path: Path):
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(100))
    done = run(home, "models", "show", str(tmp_path / "broken.gguf"))
    assert done.returncode == 1
    assert "no readable GGUF model" in done.stderr


def test_ctrl_c_in_a_pull_ends_at_once_and_the_run_says_interrupted(home: dict[str, str], tmp_path: Path):
    listener = subprocess.Popen(
        [sys.executable, "-c", "import socket, time\ns = socket.create_server(('127.0.0.1', 0))\n"
         "print(s.getsockname()[1], flush=True)\ntime.sleep(60)"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert listener.stdout is not None
        home |= {"HF_ENDPOINT": f"http://127.0.0.1:{listener.stdout.readline().strip()}"}
        process = subprocess.Popen([INHOUSE, "models", "pull", "smollm2:135m"], env=home, stderr=subprocess.PIPE)
        lock = tmp_path / "cache" / "models" / ".SmolLM2-135M-Instruct.Q4_1.gguf.lock"
        deadline = time.monotonic() + 20
        while not lock.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
    finally:
        listener.kill()
        listener.wait()
    (kept,) = json.loads(run(home, "runs", "list", "--kind", "pull", "--json").stdout)
    assert kept["status"] == "interrupted"


def test_doctor_says_what_the_machine_is_and_calls_its_speeds_predictions(home: dict[str, str]):
    done = run(home, "doctor")
    assert done.returncode == 0, done.stderr
    assert "tokens/s, predicted" in done.stdout
    assert "llama2:7b" in done.stdout
    found = json.loads(run(home, "doctor", "--json").stdout)
    assert found["environment"]["cores"] >= 1
    assert found["bandwidth"]["bytes_s"] > 0
    assert found["store_ok"]


def test_doctor_survives_a_store_that_cannot_be_opened(home: dict[str, str]):
    home["INHOUSE_STORE_URL"] = "postgresql://me:hunter2@127.0.0.1:9/none"
    done = run(home, "doctor", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not found["store_ok"]
    assert "hunter2" not in done.stdout
