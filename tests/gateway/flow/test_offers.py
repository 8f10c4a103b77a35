"""What a gateway offers by its settings: engines, replicas and slots, and what is refused with a reason."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from switchable_server import switchable

from inhouse.core.errors import EngineUnavailable, UsageError
from inhouse.core.settings import Settings
from inhouse.gateway.offers import open_offers
from inhouse.gateway.pool import Offer
from inhouse.gateway.settings import GatewaySettings, load_gateway_settings

TINY = "smollm2:135m"


def configured(tmp_path: Path, text: str) -> GatewaySettings:
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    return load_gateway_settings(path)


async def offered(settings: Settings, gateway_settings: GatewaySettings) -> dict[str, Offer]:
    offers = await open_offers(settings, gateway_settings)
    for offer in offers.values():
        await asyncio.gather(*(replica.engine.close() for replica in offer.replicas))
    return offers


async def test_two_embedded_replicas_are_two_processes_with_the_slots_asked_for(tmp_path, tiny_model):
    text = f"""
        [[models]]
        name = "small"
        replicas = [
            {{ engine = "embedded", model = "{TINY}", slots = 2 }},
            {{ engine = "embedded", model = "{TINY}", slots = 3 }},
        ]
    """
    offers = await offered(Settings(context=512), configured(tmp_path, text))
    one, other = offers["small"].replicas
    assert one.engine is not other.engine
    assert (one.name, other.name) == ("embedded 1", "embedded 2")
    assert (one.slots, other.slots) == (2, 3)


async def test_replicas_on_one_server_share_its_connections(tmp_path):
    text = """
        [[models]]
        name = "a"
        fallback = "b"
        max_waiting = 7
        replicas = [{ url = "http://127.0.0.1:1/v1", model = "x" }, { url = "http://127.0.0.1:2/v1", slots = 5 }]
        [[models]]
        name = "b"
        replicas = [{ url = "http://127.0.0.1:1/v1" }, { engine = "ollama" }]
    """
    offers = await offered(Settings(), configured(tmp_path, text))
    assert offers["a"].replicas[0].engine is offers["b"].replicas[0].engine
    assert [replica.model for replica in offers["a"].replicas] == ["x", "a"]
    assert offers["a"].replicas[1].slots == 5
    assert (offers["a"].fallback, offers["a"].max_waiting) == ("b", 7)
    assert offers["b"].replicas[1].name == "ollama"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[[models]]\nname = "a"\nfallback = "none"\nreplicas = [{ url = "http://h:1" }]', "fallback none"),
        (
            '[[models]]\nname = "a"\nreplicas = [{ url = "http://h:1" }]\n'
            '[[models]]\nname = "a"\nreplicas = [{ url = "http://h:2" }]',
            "twice",
        ),
        ('[[models]]\nname = "a"\nreplicas = [{ engine = "openai" }]', "address"),
        ('[[models]]\nname = "a"\nreplicas = [{ url = "http://h:1", key_env = "NO_SUCH_KEY" }]', "NO_SUCH_KEY"),
    ],
)
async def test_settings_that_cannot_be_served_are_refused_with_the_reason(tmp_path, text, reason):
    with pytest.raises(UsageError, match=reason):
        await open_offers(Settings(base_url=""), configured(tmp_path, text))


async def test_without_configured_models_the_programs_own_engine_is_offered():
    async with switchable("a") as server:
        named = await offered(Settings(engine="openai", base_url=server.url, model="m"), GatewaySettings())
        assert named["m"].preload
        every = await offered(Settings(engine="openai", base_url=server.url), GatewaySettings())
        assert list(every) == ["m"]
        assert not every["m"].preload


async def test_the_embedded_model_is_offered_with_its_slots(tiny_model):
    offers = await offered(Settings(model=TINY, context=512, slots=3), GatewaySettings())
    (replica,) = offers[TINY].replicas
    assert (replica.slots, replica.engine.name, offers[TINY].preload) == (3, "embedded", True)


async def test_a_server_that_does_not_answer_is_named():
    with pytest.raises(EngineUnavailable, match=r"127\.0\.0\.1:9"):
        await open_offers(Settings(engine="openai", base_url="http://127.0.0.1:9"), GatewaySettings())


async def test_a_recording_can_be_served(tmp_path):
    with pytest.raises(Exception, match="nothing-here") as refused:
        await open_offers(Settings(engine=f"recorded:{tmp_path}/nothing-here.jsonl"), GatewaySettings())
    assert type(refused.value).__module__ == "inhouse.core.errors"
