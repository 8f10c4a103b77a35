"""The command line as a person meets it: help, version, mistakes, and the form of every error."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

INHOUSE = str(Path(sys.executable).with_name("inhouse"))


def run(*args: str, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [INHOUSE, *args], input=stdin, capture_output=True, timeout=60, env={**os.environ, **env}, check=False
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An empty home: no database, no pulled model."""
    return {"INHOUSE_DATA_DIR": str(tmp_path / "data"), "INHOUSE_CACHE_DIR": str(tmp_path / "cache")}


def test_help_lists_every_command_and_an_example():
    done = run("--help")
    assert done.returncode == 0
    assert "inhouse study" in done.stdout
    for command in ("ask", "chat", "models", "doctor", "bench", "runs", "report"):
        assert f"\n  {command} " in done.stdout


@pytest.mark.parametrize("command", ["study", "ask", "chat", "models", "doctor", "bench", "runs", "report"])
def test_every_command_explains_itself(command: str):
    done = run(command, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_help_imports_no_heavy_package():
    """The reason that help is fast; the time itself is measured in benchmarks/startup.py."""
    code = (
        "import sys; sys.argv = ['inhouse', '--help']; from inhouse.cli import main\n"
        "try: main.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'rich', 'numpy', 'sqlalchemy', 'aiohttp', 'xllamacpp', 'pydantic', 'altair'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_version_is_the_packages():
    from inhouse import __version__

    assert run("--version").stdout.strip() == f"inhouse {__version__}"


def test_an_unknown_command_is_one_line_and_exit_code_2():
    done = run("frobnicate")
    assert done.returncode == 2
    assert "No such command 'frobnicate'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_setting_that_cannot_be_used_is_named():
    done = run("ask", "hello", INHOUSE_THREADS="-3")
    assert done.returncode == 2
    assert "INHOUSE_THREADS" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("args", "stdin", "says"),
    [
        (("ask", ""), b"", "empty"),
        (("ask", "-"), b"   \n", "empty"),
        (("ask", "-"), b"\xb0\xa1\xff", "not UTF-8"),
        (("ask", "hello", "--max-tokens", "0"), b"", "max-tokens"),
        (("ask", "hello", "--max-tokens", "-5"), b"", "max-tokens"),
        (("ask", "hello", "--engine", "frobnicator"), b"", "frobnicator"),
        (("ask", "hello", "--model", "no-such-model"), b"", "no-such-model"),
        (("ask", "hello", "--engine", "openai", "--model", "m"), b"", "INHOUSE_BASE_URL"),
        (("ask", "hello", "--schema", "/no/such/file"), b"", "/no/such/file"),
        (("chat", "--resume", "never-kept"), b"", "never-kept"),
        (("chat", "--resume", "../../etc/passwd"), b"", "cannot name"),
        (("runs", "show", "nope"), b"", "nope"),
        (("models", "pull", "no-such-model"), b"", "no-such-model"),
        (("bench", "run", "--streams", "0"), b"", "streams"),
        (("study", "--budget", "-3m"), b"", "budget"),
        (("study", "--budget", "soon"), b"", "budget"),
    ],
)
def test_bad_input_is_refused_with_what_and_why(args, stdin, says, home):
    done = run(*args, stdin=stdin, **home)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_model_that_is_not_pulled_says_how_to_pull_it(home):
    done = run("ask", "hello", "--model", "smollm2:135m", **home)
    assert done.returncode == 1
    assert "inhouse models pull smollm2:135m" in done.stderr


def test_a_server_that_is_down_says_so(home):
    done = run("ask", "hi", "--engine", "openai", "--model", "m", INHOUSE_BASE_URL="http://127.0.0.1:9", **home)
    assert done.returncode == 1
    assert "127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr
