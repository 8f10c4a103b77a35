"""Cold starts by part, and the page cache they start from."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_engine import ScriptedEngine

from inhouse.bench.cold_start import run_cold_start
from inhouse.bench.page_cache import drop, mapped_models, resident_share
from inhouse.core.errors import UnsupportedFeature, UsageError
from inhouse.core.records import RunStatus
from inhouse.engines.base import Capabilities
from inhouse.engines.embedded import EmbeddedEngine
from inhouse.engines.launch import LaunchSpec
from inhouse.store.repository import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path / 'runs.db'}") as opened:
        yield opened


async def test_every_start_is_kept_by_part(store: Store) -> None:
    engine = ScriptedEngine(prefill_s=0.01)
    seen: list[tuple[int, int]] = []
    run = await run_cold_start(
        engine, store, model="scripted", repeats=3, drop_page_cache=False, on_progress=lambda *at: seen.append(at)
    )
    assert (run.kind, run.status) == ("cold_start", RunStatus.DONE)
    parts = {m.labels["part"]: m.value for m in store.metrics(run.id) if m.name == "cold_start_s"}
    assert parts["process"] == pytest.approx(0.004)
    assert parts["load"] == pytest.approx(0.006)
    assert parts["first_token"] == pytest.approx(0.01, abs=0.02)
    assert parts["total"] >= 0.02
    assert [s.tags["cache"] for s in store.samples(run.id)] == ["warm"] * 3
    assert seen[-1] == (3, 3)


async def test_an_engine_that_cannot_load_has_no_cold_start(store: Store) -> None:
    engine = ScriptedEngine()
    engine.capabilities = Capabilities(lifecycle=False)
    with pytest.raises(UnsupportedFeature):
        await run_cold_start(engine, store, model="scripted")
    with pytest.raises(UsageError):
        await run_cold_start(ScriptedEngine(), store, model="scripted", repeats=0)
    assert store.list_runs() == []


def test_a_file_is_put_out_of_the_page_cache(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(4_000_000))
    assert resident_share(path) == 1.0
    assert drop(path)
    if (share := resident_share(path)) == 1.0:
        pytest.skip("this file system keeps its files in memory")
    assert share is not None
    assert share < 0.05
    path.read_bytes()
    assert resident_share(path) == 1.0


def test_a_file_that_is_not_there_has_no_share(tmp_path: Path) -> None:
    assert resident_share(tmp_path / "none") is None
    assert not drop(tmp_path / "none")


async def test_a_real_model_starts_cold_and_warm(store: Store, tiny_model: Path, tmp_path: Path) -> None:
    # A file of its own: pages that another test's engine maps cannot be put out of the cache.
    tiny_model = Path(shutil.copy(tiny_model, tmp_path))
    engine = EmbeddedEngine(lambda name: LaunchSpec(name, tiny_model, context=512, slots=1, threads=1))
    try:
        await engine.load("tiny")
        (loaded,) = await engine.loaded()
        assert await asyncio.to_thread(mapped_models, loaded.pids) == (tiny_model.resolve(),)
        run = await run_cold_start(engine, store, model="tiny", repeats=1)
    finally:
        await engine.close()
    cold, warm = store.samples(run.id)
    assert warm.tags["cache"] == "warm"
    assert warm.tags["resident_share"] == 1.0
    if cold.tags["cache"] == "warm":
        pytest.skip("this file system keeps its files in memory")
    assert cold.tags["resident_share"] <= 0.05  # type: ignore[operator]
    for sample in (cold, warm):
        timings = sample.engine_timings
        assert sample.ttft_s == pytest.approx(
            timings["process_s"] + timings["load_s"] + timings["first_token_s"], abs=0.2
        )
