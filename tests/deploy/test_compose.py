"""The Compose files: what the first user story starts with must be valid, local, healthy and keep its models."""

from __future__ import annotations

import json
import os
import re
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


def started_by(*profiles: str) -> set[str]:
    """The services that `docker compose up` starts with these profiles."""
    services = read(DEPLOY / "compose.yaml")["services"]
    return {name for name, one in services.items() if not one.get("profiles") or set(one["profiles"]) & set(profiles)}


def test_alone_it_starts_ollama_and_the_profiles_add_the_rest():
    assert started_by() == {"ollama"}
    assert started_by("gateway") == {"ollama", "gateway", "postgres", "redis"}
    assert started_by("full") == {"ollama", "gateway", "postgres", "redis", "prometheus", "grafana"}


def test_nothing_that_only_a_profile_needs_is_asked_of_who_starts_ollama_alone():
    """Compose reads the whole file whatever is started: a variable that must be set, or a file, would stop it."""
    text = (DEPLOY / "compose.yaml").read_text()
    assert ":?" not in text
    assert not re.search(r"\$\{\w+\?", text)
    files = [file for one in read(DEPLOY / "compose.yaml")["services"].values() for file in one.get("env_file", ())]
    assert files
    assert not any(file["required"] for file in files)


def test_what_a_service_waits_for_is_started_with_it_and_can_tell_its_health():
    services = read(DEPLOY / "compose.yaml")["services"]
    for profile in ("gateway", "full"):
        started = started_by(profile)
        for name in started:
            assert set(services[name].get("depends_on", ())) <= started, name
    built = (DEPLOY / "Dockerfile").read_text()
    assert all("healthcheck" in one or (name == "gateway" and "HEALTHCHECK" in built) for name, one in services.items())


def test_only_the_gateway_can_be_published_beyond_this_machine():
    for name, service in read(DEPLOY / "compose.yaml")["services"].items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:") or (name == "gateway" and ":-127.0.0.1}:" in port)


def test_what_must_outlive_a_container_is_in_a_named_volume_and_no_secret_is_in_the_files():
    composed = read(DEPLOY / "compose.yaml")
    named = {mount.partition(":")[0] for one in composed["services"].values() for mount in one.get("volumes", ())}
    assert set(composed["volumes"]) <= named
    for service in composed["services"].values():
        assert not [name for name in service.get("environment", {}) if re.search("PASSWORD|KEY|SECRET", name)]
    example = dict(
        line.split("=", 1) for line in (DEPLOY / "gateway.env.example").read_text().splitlines() if line[:1].isupper()
    )
    assert example["POSTGRES_PASSWORD"] == example["GF_SECURITY_ADMIN_PASSWORD"] == ""
    ignored = (DEPLOY.parent / ".gitignore").read_text().split()
    assert {"/deploy/gateway.env", "/deploy/metrics.key"} <= set(ignored)


def test_the_files_that_are_mounted_are_there():
    for service in read(DEPLOY / "compose.yaml")["services"].values():
        for mount in service.get("volumes", ()):
            if mount.startswith("./"):
                assert (DEPLOY / mount.partition(":")[0]).is_dir()


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
    services = json.loads(done.stdout)["services"]
    assert set(services) == {"ollama"}
    service = services["ollama"]
    assert service["ports"][0]["host_ip"] == "127.0.0.1"
    assert service["ports"][0]["published"] == "11500"
    assert service["environment"]["OLLAMA_NUM_PARALLEL"] == "4"
    assert ("deploy" in service) == (len(files) == 2)
