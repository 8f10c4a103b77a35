"""Asking and talking with the real small model, through the real command."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

INHOUSE = str(Path(sys.executable).with_name("inhouse"))


@pytest.fixture
def env(tmp_path: Path, tiny_model: Path) -> dict[str, str]:
    """The user's own cache (the model is there), a data folder of the test's own."""
    return {**os.environ, "INHOUSE_DATA_DIR": str(tmp_path), "INHOUSE_MODEL": str(tiny_model)}


def run(env, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [INHOUSE, *args], input=stdin, capture_output=True, text=True, timeout=100, env=env, check=False
    )


def workers() -> set[int]:
    return {
        p.pid for p in psutil.process_iter(["cmdline"]) if "inhouse.engines.worker" in " ".join(p.info["cmdline"] or ())
    }


def test_a_piped_answer_is_plain_text_and_the_figures_go_to_stderr(env):
    done = run(env, "ask", "Say hello.", "--max-tokens", "12", "--temperature", "0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert "\x1b" not in done.stdout
    assert "TTFT" not in done.stdout
    for figure in ("TTFT", "tokens/s", "tokens", "memory"):
        assert figure in done.stderr


def test_dash_reads_the_question_from_stdin(env):
    done = run(env, "ask", "-", "--max-tokens", "8", "--json", stdin="What is 2 + 2?\n")
    answer = json.loads(done.stdout)
    assert answer["prompt_tokens"] > 5
    assert 0 < answer["completion_tokens"] <= 8
    assert answer["ttft_s"] > 0


def test_an_answer_is_kept_as_a_run(env):
    asked = json.loads(run(env, "ask", "Hello", "--max-tokens", "4", "--json").stdout)
    kept = json.loads(run(env, "runs", "show", asked["run"], "--json").stdout)
    assert kept["run"]["kind"] == "ask"
    assert run(env, "ask", "Hello", "--max-tokens", "4", "--no-keep", "--json").stdout.find('"run": null') > 0


def test_a_schema_makes_the_answer_json_of_that_form(env, tmp_path):
    schema = tmp_path / "schema.json"
    schema.write_text('{"type":"object","properties":{"colour":{"enum":["red","green"]}},"required":["colour"]}')
    done = run(env, "ask", "Name a colour.", "--schema", str(schema), "--max-tokens", "40")
    assert json.loads(done.stdout)["colour"] in ("red", "green")


def test_a_prompt_over_the_context_is_refused_with_both_lengths(env):
    done = run(env, "ask", "word " * 3000, "--context", "256")
    assert done.returncode == 1
    assert "256" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_stops_the_answer_and_leaves_no_worker(env):
    process = subprocess.Popen(
        [INHOUSE, "ask", "Write a very long story.", "--max-tokens", "1500"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
    )
    assert process.stdout.read(1)  # the answer has begun
    own = workers() & {child.pid for child in psutil.Process(process.pid).children(recursive=True)}
    assert own
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=15) == 130
    assert b"Traceback" not in process.stderr.read()
    deadline = time.monotonic() + 5
    while own & workers() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not own & workers()


def test_a_conversation_remembers_and_is_resumed(env):
    first = run(env, "chat", "--name", "kept", "--max-tokens", "16", stdin="My name is Mina.\n/quit\n")
    assert first.returncode == 0, first.stderr
    again = run(env, "chat", "--resume", "last", "--max-tokens", "16", stdin="/history\nWhat is my name?\n")
    assert again.returncode == 0, again.stderr
    assert "My name is Mina." in again.stderr
    kept = json.loads((Path(env["INHOUSE_DATA_DIR"]) / "chats" / "kept.json").read_text())
    assert [m["role"] for m in kept["messages"]] == ["user", "assistant", "user", "assistant"]


def test_several_lines_are_one_turn_and_reset_forgets(env):
    talk = '"""one\ntwo"""\n/reset\nthree \\\nfour\n'
    done = run(env, "chat", "--name", "lines", "--max-tokens", "4", stdin=talk)
    assert done.returncode == 0, done.stderr
    kept = json.loads((Path(env["INHOUSE_DATA_DIR"]) / "chats" / "lines.json").read_text())
    assert [m["content"] for m in kept["messages"] if m["role"] == "user"] == ["three \nfour"]


def test_ctrl_c_in_a_conversation_stops_the_answer_not_the_conversation(env):
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(INHOUSE, [INHOUSE, "chat", "--name", "pty", "--max-tokens", "1500"], env)
    terminal = Terminal(fd)
    terminal.wait_for(b">>> ")
    os.write(fd, b"Write a very long story about a river.\n")
    terminal.wait_for(b"river.\r\n")
    terminal.wait_for(b" ")  # the answer has begun
    os.write(fd, b"\x03")
    terminal.wait_for(b"(stopped)")
    terminal.wait_for(b">>> ")
    os.write(fd, b"/quit\n")
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


class Terminal:
    """What a command writes to its terminal, read up to what is waited for."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._seen = b""

    def wait_for(self, text: bytes, limit_s: float = 60) -> None:
        deadline = time.monotonic() + limit_s
        while text not in self._seen:
            ready, _, _ = select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{text!r} did not come: {self._seen!r}"
            self._seen += os.read(self._fd, 4096)
        self._seen = self._seen.partition(text)[2]
