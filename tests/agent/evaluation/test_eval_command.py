"""`inhouse agent eval` runs suites from the command line, keeps a run and says what it cannot do."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from inhouse.core.records import Metric


def inhouse(folder, *arguments: str) -> subprocess.CompletedProcess[str]:
    settings = {"INHOUSE_STORE_URL": f"sqlite:///{folder / 's.db'}", "NO_COLOR": "1", "PYTHONWARNINGS": "ignore"}
    program = [sys.executable, "-c", "from inhouse.cli.main import main; main()"]
    return subprocess.run([*program, *arguments], env=os.environ | settings, text=True, capture_output=True)


def test_injections_are_run_with_and_without_the_policy_and_kept(tmp_path):
    pytest.importorskip("agentdojo", reason="the package agentdojo is not installed")
    done = inhouse(tmp_path, "agent", "eval", "agentdojo", "--category", "banking", "--limit", "2", "--json")
    assert done.returncode == 0, done.stderr
    found = {
        (one["name"], one["labels"]["way"]): one
        for one in json.loads(done.stdout)["metrics"]
        if one["labels"]["category"] == "all"
    }

    assert found["attack_success", "policy, nobody approves"]["value"] == 0
    assert found["utility", "none"]["value"] == 1
    assert found["utility", "none"]["n"] == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("bfcl",), "Where are bfcl's files?"),
        (("bfcl", "--data", ".", "--trials", "3"), "At temperature 0 every try is the same"),
        (("bfcl", "--data", "/nowhere"), "cannot be read"),
        (("bfcl", "--data", ".", "--tool-form", "odd"), "no tool form"),
        (("agentdojo", "--category", "odd"), "no suite 'odd'"),
        (("office", "--category", "fr"), "office has no category 'fr'"),
        (("tau2", "--data", ".", "--category", "bank"), "tau2 has no category 'bank'"),
        (("office", "--against", "other"), "no framework 'other'"),
    ],
)
def test_what_cannot_be_run_is_said(tmp_path, arguments, says):
    done = inhouse(tmp_path, "agent", "eval", *arguments)
    assert (done.returncode, says in done.stderr) == (2, True), done.stderr


def test_sides_are_shown_beside_each_other_with_their_intervals():
    from inhouse.cli.agent_eval_view import compared_rows

    def metric(name, way, value, low=None, high=None, **labels):
        return Metric(name, value, "", {"way": way, "category": "all", **labels}, low, high, 9)

    found = [
        metric("accuracy", "agent", 0.75, 0.5, 0.9),
        metric("accuracy", "langchain", 0.5, 0.25, 0.75),
        metric("pass_k", "agent", 0.5, k=2),
        Metric("accuracy", 0.1, "", {"way": "agent", "category": "ko"}),
        metric("framework_per_request", "langchain", 0.0042),
    ]
    assert compared_rows(found, ("agent", "langchain")) == [
        ("solved", "0.75 (0.50 to 0.90)", "0.50 (0.25 to 0.75)"),
        ("framework, ms a request", "", "4.2"),
    ]
