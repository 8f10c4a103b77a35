"""What a list in pages needs of the store: runs before one, samples after some, answers that are not right."""

from __future__ import annotations

import pytest
from kept_runs import build_runs

from inhouse.quality.answers import Answers
from inhouse.quality.review import to_review, trust
from inhouse.store.repository import Store


@pytest.fixture
def store(tmp_path):
    with Store(f"sqlite:///{tmp_path}/s.db") as store:
        store.runs = build_runs(store)
        yield store


def test_runs_follow_on_the_last_of_the_page_before(store):
    every = [run.id for run in store.list_runs()]
    first = store.list_runs(limit=4)
    rest = store.list_runs(before=first[-1].id)
    assert [run.id for run in (*first, *rest)] == every
    kinds, models = store.kinds_and_models()
    assert {"bench", "docs_eval", "eval", "study"} <= set(kinds)
    assert models == sorted(set(models))
    assert "smollm2:135m" in models


def test_samples_follow_on_those_before(store):
    every = store.samples(store.runs.bench)
    assert store.samples(store.runs.bench, skip=10, limit=5) == every[10:15]
    assert store.samples(store.runs.bench, stage="closed 1", skip=58) == every[58:]


def test_a_store_over_an_open_database_leaves_it_open(store):
    other = Store.over(store.database)
    assert other.get_run(store.runs.eval) == store.get_run(store.runs.eval)


def test_answers_come_in_pages_and_the_wrong_ones_alone(store):
    answers = Answers(store.database)
    every = answers.of_run(store.runs.eval)
    page, of = answers.page(store.runs.eval, skip=3, limit=4)
    assert (page, of) == (every[3:7], 40)
    wrong, of = answers.page(store.runs.eval, suite="capitals", wrong=True)
    assert of == len(wrong) == 10
    assert all(one.scores["contains"].value == 0 for one in wrong)
    assert answers.suites(store.runs.eval) == {"capitals": 20, "invented": 20}


def test_all_reviewers_get_the_same_answers_without_verdicts(store):
    every = Answers(store.database).of_run(store.runs.eval)
    drawn = to_review(every, seed=3, limit=10)
    assert drawn == to_review(every, seed=3, limit=10)
    assert drawn != to_review(every, seed=4, limit=10)
    assert all(not one.scores for one in drawn)
    assert trust(every, []) == []
