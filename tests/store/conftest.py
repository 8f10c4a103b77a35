"""A fresh database on each kind of server, and real records to keep in it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inhouse.core.environment import Environment, Gpu
from inhouse.core.records import Sample, SampleError
from inhouse.store.repository import Store


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'inhouse.db'}"
    return request.getfixturevalue("fresh_postgres_url")


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with Store(database_url) as opened:
        yield opened


@pytest.fixture
def environment() -> Environment:
    return Environment(
        cpu="A CPU",
        cores=2,
        threads=4,
        instruction_sets=("avx2", "fma"),
        ram_bytes=16_000_000_000,
        os="Linux",
        python="3.11.7",
        gpus=(Gpu("A GPU", 24_000_000_000, "550.1", 936.2e9),),
        memory_bandwidth_bytes_s=21.5e9,
        engine="embedded",
        engine_version="2026.1",
        model_sha256="ab" * 32,
        versions={"xllamacpp": "2026.1"},
    )


@pytest.fixture
def make_run(store: Store, environment: Environment) -> Callable[..., str]:
    """Begins a run and gives its id."""

    def make(kind: str = "bench", **options: object) -> str:
        return store.create_run(kind, {"n": 3}, seed=7, environment=environment, **options).id  # type: ignore[arg-type]

    return make


@pytest.fixture
def ok_sample() -> Sample:
    return Sample(
        index=0,
        intended_start_s=0.1,
        start_s=0.1 + 1e-9,
        end_s=2.5,
        first_token_s=0.7,
        token_times_s=(0.7, 0.9000000000000001, 2.4999),
        prompt_tokens=12,
        completion_tokens=3,
        cached_tokens=4,
        finish_reason="stop",
        tags={"stage": "streams-2", "streams": 2, "rate": 1.5, "shared": True, "note": None},
        engine_timings={"prompt_s": 0.5, "decode_s": 1.8},
        prompt="왜 하늘은 파란가?",
        answer="빛의 산란 때문입니다. 🌈",
    )


@pytest.fixture
def failed_sample() -> Sample:
    return Sample(
        index=1,
        intended_start_s=0.2,
        start_s=0.25,
        end_s=0.3,
        error=SampleError("crashed", "the worker ended"),
        tags={"stage": "streams-2"},
    )
