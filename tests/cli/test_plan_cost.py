"""`inhouse plan cost` as a person or a script meets it."""

import json
import sys

import pytest

from inhouse.cli.main import _run
from inhouse.core.settings import get_settings


@pytest.fixture
def inhouse(tmp_path, monkeypatch, capsys):
    """Runs the program, in this process, with its data in a folder of the test's own: exit code, stdout, stderr."""
    monkeypatch.setenv("INHOUSE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("INHOUSE_STORE_URL", "")
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["inhouse", *arguments])
        capsys.readouterr()
        code = _run()
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    yield run
    get_settings.cache_clear()


def test_the_bills_printed_add_up_to_the_won(inhouse):
    code, out, _ = inhouse("plan", "cost", "--json")
    assert code == 0
    bills = json.loads(out)["comparison"]["bills"]
    assert [bill["option"]["way"] for bill in bills[:3]] == ["own", "cloud", "managed"]
    total = sum(bills[0]["lines"].values())
    _, table, _ = inhouse("plan", "cost", "--lang", "en")
    assert f"{total:,}" in table


def test_the_tables_speak_both_languages_and_name_the_assumptions(inhouse):
    _, korean, _ = inhouse("plan", "cost", "--lang", "ko", "--show-assumptions")
    assert "자체 서버" in korean
    assert "가정" in korean
    assert "power.krw_per_kwh" in korean
    _, english, told = inhouse("plan", "cost", "--lang", "en")
    assert "own machines" in english
    assert "assumptions without a source" in told


def test_a_comparison_is_kept_as_a_run_with_its_assumptions(inhouse):
    _, out, _ = inhouse("plan", "cost", "--users", "7", "--json")
    code, shown, _ = inhouse("runs", "show", json.loads(out)["run"], "--json")
    assert code == 0
    assert json.loads(shown)["run"]["config"]["amounts"]["demand.users"]["likely"] == 7


def test_the_file_is_written_once_and_read_back(inhouse):
    assert inhouse("plan", "cost", "--init", "costs.toml")[0] == 0
    assert inhouse("plan", "cost", "--assumptions", "costs.toml", "--json")[0] == 0
    code, _, told = inhouse("plan", "cost", "--init", "costs.toml")
    assert code == 2
    assert "there already" in told


@pytest.mark.parametrize(
    "arguments",
    [
        ("--set", "power.peu=1"), ("--set", "power.pue=0.5"), ("--set", "power.pue=x"), ("--assumptions", "none.toml"),
        ("--run", "01nothing"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_without_a_traceback(inhouse, arguments):
    code, out, told = inhouse("plan", "cost", *arguments)
    assert code == 2
    assert told.startswith("error: ")
    assert "Traceback" not in out + told
