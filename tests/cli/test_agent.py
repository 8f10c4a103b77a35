"""`inhouse agent` on a real tiny model: every run is kept, traced and replayed to the byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def inhouse(tmp_path_factory, tiny_model):
    folder = tmp_path_factory.mktemp("agent")

    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from inhouse.cli.main import main; main()", "agent", *arguments]
        env = os.environ | {"INHOUSE_DATA_DIR": str(folder), "INHOUSE_MODEL": "smollm2:135m"}
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=100, check=False)
        assert done.returncode == code, done.stderr
        return done

    run("facts", "add", "likes tea")
    done = run("run", "Say hello.", "--context", "1024", "--max-steps", "2", "--json", "--tools", "clock", code=0)
    run.first = json.loads(done.stdout)
    return run


def test_a_run_is_kept_listed_and_traced(inhouse, tmp_path):
    assert inhouse.first["status"] == "idle"
    assert inhouse.first["answer"]
    assert inhouse.first["usage"]["completion_tokens"] > 0
    (kept,) = json.loads(inhouse("ls", "--json").stdout)
    assert kept["id"] == inhouse.first["conversation"]
    assert "user: Say hello." in inhouse("trace").stdout
    inhouse("trace", "--html", str(tmp_path / "trace.html"))
    assert "Say hello." in (tmp_path / "trace.html").read_text()
    request = json.loads(inhouse("trace", "--json").stdout)["steps"][1]["data"]["request"]
    assert "likes tea" in request["messages"][0]["content"]


def test_a_replay_needs_no_model_and_is_equal_to_the_byte(inhouse):
    assert "equal to the byte" in inhouse("replay").stderr


def test_a_branch_runs_live_from_a_step_on_and_shows_the_difference(inhouse):
    done = inhouse("replay", inhouse.first["conversation"], "--from", "0", "--text", "Say goodbye.")

    assert "+  0 user: Say goodbye." in done.stdout
    assert len(json.loads(inhouse("ls", "--json").stdout)) == 2


def test_an_estimate_says_what_a_task_may_cost_and_does_nothing(inhouse, tmp_path):
    prices = tmp_path / "prices.toml"
    prices.write_text('krw_per_usd = 1400\n[models."smollm2:135m"]\ninput = 1000\noutput = 2000\ncurrency = "KRW"\n')
    kept = inhouse("ls", "--json").stdout
    told = json.loads(
        inhouse("run", "What is 1 + 2?", "--tools", "clock", "--estimate", "--prices", str(prices), "--json").stdout
    )

    assert told["usual_from_turns"] >= 1
    once, usual, most = (told["estimate"][case] for case in ("answered at once", "usual", "up to the limit"))
    assert once["requests"] == usual["requests"] == 1
    assert most["requests"] == 12
    assert most["prompt_tokens"] > 12 * once["prompt_tokens"]
    assert once["won"] == pytest.approx((once["prompt_tokens"] * 1000 + once["completion_tokens"] * 2000) / 1e6)
    assert inhouse("ls", "--json").stdout == kept


def test_an_answer_is_said_once(inhouse):
    done = inhouse("run", "Say hello.", "--context", "1024", "--max-steps", "2", "--tools", "clock")
    assert done.stdout.strip() == inhouse.first["answer"].strip()


def test_facts_are_shown_and_forgotten(inhouse):
    assert "likes tea" in inhouse("facts", "ls").stdout
    inhouse("facts", "rm", "--all")
    assert "likes tea" not in inhouse("facts", "ls").stdout


def test_the_tools_are_listed_for_programs_too(inhouse):
    found = {tool["tool"]: tool for tool in json.loads(inhouse("tools", "--json").stdout)}
    assert found["calculator"]["effect"] == "none"
    assert found["ticket"]["effect"] == "effect"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run",), "nothing to do"),
        (("run", "x", "--tools", "clok"), "There is no tool 'clok'"),
        (("run", "x", "--tool-form", "magic"), "no tool form"),
        (("run", "--resume", "last", "--max-steps", "3"), "goes on as it began"),
        (("trace", "zzzz"), "No conversation goes by"),
        (("replay", "last", "--system", "x"), "needs --from"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(inhouse, arguments, says):
    done = inhouse(*arguments, code=2)

    assert says in done.stderr
    assert "Traceback" not in done.stderr
