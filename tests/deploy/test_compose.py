"""The Compose files: what the first user story starts with must be valid, local, healthy and keep its models."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
FILES = [DEPLOY / "compose.yaml", DEPLOY / "compose.gpu.yaml"]
SCHEMA = json.loads((Path(__file__).parent / "compose-spec.json").read_text())


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


@pytest.fixture(scope="module")
def ollama() -> dict[str, Any]:
    return read(DEPLOY / "compose.yaml")["services"]["ollama"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_file_keeps_to_the_compose_specification(path):
    jsonschema.Draft202012Validator(SCHEMA).validate(read(path))


def test_the_schema_refuses_what_is_wrong():
    broken = read(DEPLOY / "compose.yaml")
    broken["services"]["ollama"]["healthchek"] = broken["services"]["ollama"].pop("healthcheck")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(broken)


def test_the_port_is_published_on_the_loopback_interface_only(ollama):
    assert ollama["ports"] == ["127.0.0.1:${OLLAMA_PORT:-11434}:11434"]


def test_the_models_are_kept_in_a_named_volume(ollama):
    volume, _, target = ollama["volumes"][0].partition(":")
    assert volume in read(DEPLOY / "compose.yaml")["volumes"]
    assert target == "/root/.ollama"


def test_health_is_asked_of_the_server_with_what_the_image_has(ollama):
    """The image has no curl; `ollama list` fails when the server does not answer."""
    check = ollama["healthcheck"]
    assert check["test"] == ["CMD", "ollama", "list"]
    assert {"interval", "timeout", "retries", "start_period"} <= check.keys()


def test_the_image_is_of_a_version_that_can_be_changed(ollama):
    name, _, tag = ollama["image"].partition(":")
    assert name == "ollama/ollama"
    assert tag.startswith("${OLLAMA_VERSION:-")
    assert "latest" not in tag


def test_the_gpu_file_adds_every_nvidia_gpu_and_nothing_else():
    service = read(DEPLOY / "compose.gpu.yaml")["services"]["ollama"]
    assert service == {
        "deploy": {
            "resources": {"reservations": {"devices": [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]}}
        }
    }


@pytest.mark.skipif(
    not shutil.which("docker") or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode != 0,
    reason="docker compose is not installed",
)
@pytest.mark.parametrize("files", [FILES[:1], FILES], ids=["cpu", "gpu"])
def test_docker_compose_itself_reads_them(files):
    options = [option for path in files for option in ("-f", str(path))]
    environment = os.environ | {"OLLAMA_NUM_PARALLEL": "4", "OLLAMA_PORT": "11500"}
    done = subprocess.run(
        ["docker", "compose", *options, "config", "--format", "json"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    service = json.loads(done.stdout)["services"]["ollama"]
    assert service["ports"][0]["host_ip"] == "127.0.0.1"
    assert service["ports"][0]["published"] == "11500"
    assert service["environment"]["OLLAMA_NUM_PARALLEL"] == "4"
    assert ("deploy" in service) == (len(files) == 2)
