"""`inhouse eval import, export, show, review` as a user meets them: the real commands on a real store."""

import io
import json
from pathlib import Path

import pytest

from inhouse.cli.main import main
from inhouse.core.settings import get_settings
from inhouse.quality.answers import Answer
from inhouse.quality.exchange.base import Exchanged, keep
from inhouse.quality.scorers import Response, Score
from inhouse.store.repository import Store

FILES = Path(__file__).parents[1] / "fixtures" / "exchange"


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'inhouse.db'}"


@pytest.fixture
def inhouse(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("INHOUSE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("INHOUSE_STORE_URL", "")
    monkeypatch.setenv("COLUMNS", "200")

    def call(*args, stdin=""):
        get_settings.cache_clear()
        monkeypatch.setattr("sys.argv", ["inhouse", "eval", *map(str, args)])
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        capsys.readouterr()
        try:
            code = main() or 0
        except SystemExit as end:
            code = end.code or 0
        said = capsys.readouterr()
        return code, said.out, said.err

    yield call
    get_settings.cache_clear()


def test_a_log_is_imported_shown_and_exported_again(inhouse, tmp_path):
    code, out, err = inhouse("import", FILES / "sums.eval")
    assert code == 0
    assert "75.0%" in out
    assert "kept: inhouse eval show" in err
    code, out, _ = inhouse("show", "last", "--answers", "1", "--json")
    assert json.loads(out)["run"]["config"]["imported"]["by"] == "inspect 0.3.285"
    code, out, _ = inhouse("export", "last", "--format", "csv", "-o", tmp_path / "a.csv")
    assert (code, out.strip()) == (0, str(tmp_path / "a.csv"))
    assert inhouse("import", tmp_path / "a.csv")[0] == 0


def test_two_reviewers_see_how_far_they_and_the_scorers_agree(inhouse):
    inhouse("import", FILES / "sums.eval")
    code, out, err = inhouse("review", "last", "--as", "mina", stdin="y\nn too long\nwhat\ny\nn\ny\ny\nq\n")
    assert code == 0
    assert "match:" not in out  # the scorers' verdicts would lead the reviewer
    assert "6 answers labelled by mina" in err
    code, out, err = inhouse("review", "last", "--as", "juno", stdin="y\nn\ny\ny\ny\ny\nq\n")
    lines = {line.strip().split("  ")[0]: line for line in out.splitlines()}
    assert "83%" in lines["people among themselves"]
    assert "match and people" in lines


def test_a_models_verdicts_without_labels_are_warned_of(inhouse, url):
    score = Score(1.0, "yes", {"judge": "m:1", "verdict": "PASS"})
    with Store(url) as store:
        answer = Answer("s", "1", "p", 0, "", "?", Response("yes"), scores={"judge": score})
        keep(store, Exchanged((answer,), "rows", "m:1"), file="a.jsonl", sha256="")
    assert "not held against people's yet" in inhouse("show", "last")[2]


def test_what_is_no_evaluation_is_refused(inhouse, tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    code, _, err = inhouse("import", tmp_path / "a.csv")
    assert code != 0
    assert "has no suite and no item and no question" in err
    assert inhouse("import", tmp_path / "none.csv")[0] != 0
