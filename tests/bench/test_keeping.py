"""Samples reach the store in batches, and a run ends as its work ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from inhouse.bench.keeping import SampleWriter, ending, origin_of
from inhouse.core.environment import read_environment
from inhouse.core.errors import EngineCrashed, StoreError
from inhouse.core.records import Run, RunStatus, Sample
from inhouse.store.repository import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path / 'runs.db'}") as opened:
        yield opened


@pytest.fixture
def run(store: Store) -> Run:
    return store.create_run("bench", {}, seed=0, environment=read_environment())


def sample(index: int) -> Sample:
    return Sample(index, 0.0, 0.0, 1.0, tags={"stage": "s"})


def test_samples_are_in_the_store_soon_and_all_of_them_at_the_end(store: Store, run: Run) -> None:
    with SampleWriter(store, run.id) as writer:
        for index in range(50):
            writer.add(sample(index))
        deadline = time.monotonic() + 10
        while not store.samples(run.id) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(store.samples(run.id)) == 50
        writer.add(sample(50))
    assert [kept.index for kept in store.samples(run.id)] == list(range(51))


def test_a_store_that_cannot_keep_samples_ends_the_measuring(store: Store) -> None:
    with pytest.raises(StoreError), SampleWriter(store, "no such run") as writer:
        writer.add(sample(0))


def test_a_failure_of_the_measuring_is_not_hidden_by_one_of_the_store(store: Store) -> None:
    def measure() -> None:
        with SampleWriter(store, "no such run") as writer:
            writer.add(sample(0))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measure()


@pytest.mark.parametrize(
    ("error", "status", "kept"),
    [
        (None, RunStatus.DONE, None),
        (asyncio.CancelledError(), RunStatus.INTERRUPTED, None),
        (KeyboardInterrupt(), RunStatus.INTERRUPTED, None),
        (EngineCrashed("it broke", why="no memory"), RunStatus.FAILED, "it broke: no memory"),
        (ZeroDivisionError("oh"), RunStatus.FAILED, "unexpected ZeroDivisionError: oh"),
    ],
)
def test_a_run_ends_as_its_work_ends(
    store: Store, run: Run, error: BaseException | None, status: RunStatus, kept: str | None
) -> None:
    passes_on = pytest.raises(type(error)) if error is not None else nullcontext()
    with passes_on, ending(store, run):
        if error is not None:
            raise error
    ended = store.get_run(run.id)
    assert (ended.status, ended.error) == (status, kept)


def test_times_of_a_resumed_run_count_from_its_first_start(run: Run) -> None:
    time.sleep(0.05)
    assert 0.05 <= time.perf_counter() - origin_of(run) < 5
