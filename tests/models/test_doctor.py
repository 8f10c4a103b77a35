"""The examination of the machine: measured bandwidth, engines that run, models that fit, calibrated predictions."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from inhouse.core.environment import Environment, read_environment
from inhouse.core.records import Metric, RunStatus
from inhouse.core.settings import Settings
from inhouse.models.bandwidth import bandwidth, kept_bandwidth, measure_bandwidth
from inhouse.models.calibration import points_from
from inhouse.models.catalogue import find_entry
from inhouse.models.doctor import examine
from inhouse.models.roofline import DecodePoint
from inhouse.store.repository import Store


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        cache_dir=tmp_path / "cache", data_dir=tmp_path / "data", ollama_url="http://127.0.0.1:9", base_url=""
    )


def test_a_measured_bandwidth_is_that_of_memory_not_of_a_cache_or_a_disk():
    measured = measure_bandwidth(0.3)
    assert 0.5e9 < measured < 2e12


def test_a_bandwidth_is_measured_once_a_machine(settings: Settings):
    first = bandwidth(settings, seconds=0.1)
    assert bandwidth(settings, seconds=0.1) == first
    assert bandwidth(settings, fresh=True, seconds=0.1).bytes_s != first.bytes_s


def test_a_note_of_another_machine_is_not_used(settings: Settings):
    bandwidth(settings, seconds=0.1)
    path = settings.data_dir / "bandwidth.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "fingerprint": "another"}))
    assert kept_bandwidth(settings) is None
    path.write_text("broken")
    assert kept_bandwidth(settings) is None


async def test_the_machine_is_examined_and_llama2_is_judged_though_it_is_not_here(settings: Settings):
    found = await examine(settings, seconds=0.1)
    assert found.environment.memory_bandwidth_bytes_s == found.bandwidth.bytes_s
    assert found.disk_free_bytes > 0
    llama = next(model for model in found.models if model.name == "llama2:7b")
    assert not llama.pulled
    assert llama.memory_bytes < llama.resident_bytes
    assert 0 < llama.decode.low < llama.decode.tokens_s < llama.decode.high
    assert not any(engine.running for engine in found.engines if engine.name == "Ollama")


async def test_a_running_ollama_is_found_with_its_models(settings: Settings):
    async def version(request: web.Request) -> web.Response:
        return web.json_response({"version": "0.9.1"})

    async def tags(request: web.Request) -> web.Response:
        return web.json_response({"models": [{"name": "llama2:7b", "model": "llama2:7b", "size": 3825819519}]})

    app = web.Application()
    app.router.add_get("/api/version", version)
    app.router.add_get("/api/tags", tags)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        found = await examine(settings.model_copy(update={"ollama_url": url}), seconds=0.1)
    finally:
        await runner.cleanup()
    ollama = next(engine for engine in found.engines if engine.name == "Ollama")
    assert (ollama.running, ollama.version, ollama.models) == (True, "0.9.1", ("llama2:7b",))


async def test_measured_points_move_the_predictions(settings: Settings):
    bare = await examine(settings, seconds=0.1)
    info = find_entry("smollm2:135m", settings.data_dir).layout
    assert info is not None
    speed = next(model.decode.tokens_s for model in bare.models if model.name == "smollm2:135m")
    point = DecodePoint(info, bare.bandwidth.bytes_s, speed / 3)
    found = await examine(settings, points=[point])
    for before, after in zip(bare.models, found.models, strict=True):
        assert after.decode.tokens_s == pytest.approx(before.decode.tokens_s / 3, rel=0.01)


async def test_passwords_of_the_store_are_not_shown(settings: Settings):
    secret = settings.model_copy(update={"store_url": "postgresql://me:hunter2@db/inhouse"})
    found = await examine(secret, seconds=0.1, store_failure="refused")
    assert found.store == "postgresql://me@db/inhouse"
    assert not found.store_ok


def keep(
    store: Store, environment: Environment, speed: float, *, streams: int = 1, model: str = "smollm2:135m"
) -> None:
    run = store.create_run("bench", {}, seed=0, environment=environment, model=model, engine="embedded")
    labels = {"streams": streams, "prompt_tokens": 128}
    store.set_metrics(run.id, [Metric("decode_tokens_s", speed, "tokens/s", labels)])
    store.finish_run(run.id, RunStatus.DONE)


def test_points_are_this_machines_single_stream_runs_the_fastest_of_each_model(settings: Settings, tmp_path: Path):
    here = read_environment()
    with Store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        keep(store, here, 90.0)
        keep(store, here, 110.0)
        keep(store, here, 400.0, streams=8)
        keep(store, replace(here, cpu="another"), 999.0)
        keep(store, here, 5.0, model="nobody-knows:1b")
        (point,) = points_from(store, settings, here, 40e9)
    assert (point.tokens_s, point.bandwidth_bytes_s, point.context_tokens) == (110.0, 40e9, 128)
    assert point.info.layers == 30
