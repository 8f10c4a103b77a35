"""Evaluations from other programs' files, as those programs wrote them, and back."""

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from inhouse.core.errors import BadSuite, QualityError, UsageError
from inhouse.core.records import RunStatus
from inhouse.quality.answers import Answer, Answers, Label
from inhouse.quality.compare import compare_evals
from inhouse.quality.exchange.base import Exchanged, keep, of_run
from inhouse.quality.exchange.files import Format, read, write
from inhouse.quality.exchange.lm_eval_tasks import to_suite
from inhouse.quality.gate import headlines
from inhouse.quality.scorers import Response, Score, make_scorer
from inhouse.quality.suite import cases_of
from inhouse.quality.suite_files import read_suite
from inhouse.store.repository import Store

FILES = Path(__file__).parents[1] / "fixtures" / "exchange"
RESULTS = next((FILES / "lm_eval").glob("results_*.json"))


@pytest.fixture
def store(tmp_path):
    with Store(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


def kept(store, path):
    found, sha256 = read(path)
    return keep(store, found, file=path.name, sha256=sha256)


def without_ids(answers):
    return [replace(one, id=None, run_id="", digest="", cached_from=None) for one in answers]


def made():
    score = Score(0.25, "서울", {"reason": 'a, "b"\nc'})
    answer = Answer(
        "quiz", "1", "default", 0, "", "수도는?\n도시만", Response("서울, 한국", "stop"), 3, 7, 2, 0.5,
        scores={"f1": score, "judge": Score(None, "", {})}, targets=("서울", "서울시"), cluster="asia",
    )  # fmt: skip
    chosen = Answer(
        "pick", "x", "default", 1, "", "A or B?", Response(continuations=(-0.5, -math.inf)), choices=("A", "B"),
        targets=("B",), scores={"acc": Score(0.0, "A")}, cluster="x",
    )  # fmt: skip
    failed = replace(chosen, item="y", cluster="y", error="it ended", scores={}, response=Response())
    return Exchanged((answer, chosen, failed), "rows", "m:1", labels=((answer.key, Label(0, "mina", 1.0)),))


def test_the_harness_results_keep_its_scores_and_get_intervals(store):
    run = kept(store, RESULTS)
    assert run.status is RunStatus.DONE
    assert run.engine == "lm-eval 0.4.13"
    assert run.model == "SmolLM2-135M-Instruct.Q4_1.gguf"
    theirs = json.loads(RESULTS.read_text())["results"]["capitals"]
    ours = headlines(store.metrics(run.id), {"capitals": "acc_norm", "sums": "exact_match,first_number"})
    assert ours["capitals"].value == theirs["acc_norm,none"]
    assert ours["capitals"].low < ours["capitals"].value < ours["capitals"].high
    first = Answers(store.database).of_run(run.id, suite="capitals")[0]
    assert (first.choices, first.targets) == (("Seoul", "Tokyo", "Hanoi"), ("Seoul",))
    assert first.response.continuations[0] == pytest.approx(-6.207, abs=1e-3)
    said = Answers(store.database).of_run(run.id, suite="sums")[0]
    assert (said.response.text, said.targets) == (" 2 + 3 = 5", ("5",))
    assert said.scores["exact_match,first_number"].answer == "2"


def test_inspects_logs_are_read_in_both_forms(store):
    sums = kept(store, FILES / "sums.eval")
    answers = Answers(store.database).of_run(sums.id)
    assert {(one.item, one.repeat) for one in answers} == {
        (f"sum-{pair}", epoch) for pair in ("2-3", "4-4", "20-5", "31-12") for epoch in (0, 1)
    }
    by_key = {(one.item, one.repeat): one for one in answers}
    assert by_key["sum-4-4", 0].response.text == "It is 9."
    assert [by_key["sum-4-4", epoch].scores["match"].value for epoch in (0, 1)] == [0.0, 1.0]
    assert sums.engine == "inspect 0.3.285"
    capitals = kept(store, FILES / "capitals.json")
    paris = Answers(store.database).of_run(capitals.id)[1]
    assert (paris.targets, paris.scores["choice"].value) == (("Paris",), 0.0)


@pytest.mark.parametrize("form", [Format.JSONL, Format.CSV])
def test_rows_come_back_as_they_went(tmp_path, form):
    (path,) = write(made(), tmp_path / f"a.{form.value}", form)
    back, _ = read(path)
    assert back.model == "m:1"
    assert without_ids(back.answers) == without_ids(made().answers)
    assert back.labels == made().labels
    if form is Format.CSV:
        first = next(csv.DictReader(io.StringIO(path.read_text())))
        assert (first["answer"], first["score.f1"], first["score.judge"]) == ("서울, 한국", "0.25", "not judged")


@pytest.mark.parametrize("form", [Format.INSPECT, Format.INSPECT_JSON, Format.LM_EVAL])
def test_a_run_goes_through_another_programs_form_without_losing_a_score(store, tmp_path, form):
    run = kept(store, RESULTS)
    files = write(of_run(store, run), tmp_path / "out", form)
    back = [answer for path in files if not path.name.startswith("samples_") for answer in read(path)[0].answers]
    before = Answers(store.database).of_run(run.id)
    assert [(one.suite, one.targets, one.choices, one.question) for one in back] == [
        (one.suite, one.targets, one.choices, one.question) for one in before
    ]
    values = [[{key: score.value for key, score in one.scores.items()} for one in rows] for rows in (back, before)]
    if form is Format.LM_EVAL:  # its own notation for filters is the key
        values = [[{key.split(",")[0]: value for key, value in one.items()} for one in rows] for rows in values]
    assert values[0] == values[1]


def test_an_imported_run_is_compared_with_another(store):
    a, b = kept(store, RESULTS), kept(store, RESULTS)
    rows = compare_evals(store, a.id, b.id).rows
    assert {(row.suite, row.verdict) for row in rows} == {("capitals", "within noise"), ("sums", "within noise")}
    assert Answers(store.database).find([one.digest for one in Answers(store.database).of_run(a.id)])
    digests = [{one.digest for one in Answers(store.database).of_run(run.id)} for run in (a, b)]
    assert not digests[0] & digests[1]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.jsonl", '{"suite": "s", "item": "1"}\n', "Line 1 has no question"),
        ("a.jsonl", '{"suite": "s", "item": "1", "question": "?", "score.x": 7}\n', "scores go from 0 to 1"),
        ("a.jsonl", '{"suite": "s", "item": "1", "question": "?"}\n' * 2, "answers the item '1' of 's' twice"),
        ("a.json", '{"no": "log"}', "is no log of Inspect"),
        ("results_1.json", '{"results": {}}', "no samples beside"),
        ("samples_t_1.jsonl", '{"doc_id": 0}\n', "line 1 is no sample of lm-eval"),
        ("a.eval", "PK", "is no log of Inspect"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(store, tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(QualityError, match=said):
        kept(store, tmp_path / name)
    assert store.list_runs() == []


def test_a_file_of_no_known_kind_must_say_what_it_is(tmp_path):
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(UsageError, match="does not show what wrote it"):
        read(tmp_path / "a.txt")


@pytest.mark.parametrize("task", ["capitals", "sums"])
async def test_a_task_of_the_harness_asks_the_same_and_judges_the_same(tmp_path, task):
    suite = read_suite(to_suite(FILES / "lm_eval" / f"{task}.yaml", tmp_path))
    theirs = [one for one in read(RESULTS)[0].answers if one.suite == task]
    for case, answer in zip(cases_of(suite), theirs, strict=True):
        assert (case.suite, case.item.id, case.text) == (answer.suite, answer.item, answer.question)
        assert (case.item.targets, case.item.choices) == (answer.targets, answer.choices)
        scored = {use.key: await make_scorer(use).score(case, answer.response) for use in suite.scorers}
        assert {key: score.value for key, score in scored.items()} == {
            key: score.value for key, score in answer.scores.items()
        }


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"doc_to_text": "!function code.text"}, "needs Python code"),
        ({"dataset_path": "ai2_arc"}, "the data is not local"),
        ({"output_type": "loglikelihood_rolling"}, "no counterpart"),
        ({"doc_to_text": "'{{ nothing }}'"}, "cannot be rendered"),
        ({"num_fewshot": "5"}, "not taken over"),
    ],
)
def test_a_task_that_cannot_become_a_suite_says_why(tmp_path, changed, said):
    source = FILES / "lm_eval"
    (tmp_path / "capitals.jsonl").write_text((source / "capitals.jsonl").read_text())
    lines = [line for line in (source / "capitals.yaml").read_text().splitlines() if line.split(":")[0] not in changed]
    (tmp_path / "t.yaml").write_text("\n".join([*lines, *(f"{key}: {value}" for key, value in changed.items())]))
    with pytest.raises(BadSuite, match=said):
        to_suite(tmp_path / "t.yaml", tmp_path / "made")
