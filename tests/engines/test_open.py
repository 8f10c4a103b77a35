"""An engine is opened by name, with what the settings say."""

from __future__ import annotations

import pytest

from inhouse.core.errors import UsageError
from inhouse.core.settings import Settings
from inhouse.engines.launch import LaunchSpec
from inhouse.engines.open import open_engine


def resolve(name: str) -> LaunchSpec:
    raise AssertionError("nothing is launched on opening")


@pytest.mark.parametrize("kind", ["embedded", "ollama", "openai"])
async def test_each_engine_opens_under_its_name_without_touching_anything(kind):
    engine = open_engine(kind, Settings(base_url="http://127.0.0.1:9"), resolve)
    assert engine.name == kind
    await engine.close()


async def test_a_recording_opens_by_its_path(tmp_path):
    from inhouse.engines.recorded import Recorder

    path = tmp_path / "a:b.jsonl"
    await Recorder(open_engine("embedded", Settings(), resolve), path).close()

    assert open_engine(f"recorded:{path}", Settings(), resolve).name == "recorded"


@pytest.mark.parametrize("kind", ["", "vllm", "recorded", "recorded:", "embedded:x", "openai:"])
def test_an_unknown_engine_is_a_usage_error_that_names_the_known(kind):
    with pytest.raises(UsageError) as caught:
        open_engine(kind, Settings(), resolve)
    assert "ollama" in caught.value.do


def test_the_openai_engine_needs_an_address():
    with pytest.raises(UsageError) as caught:
        open_engine("openai", Settings(base_url=""), resolve)
    assert "INHOUSE_BASE_URL" in caught.value.do
