"""The image: what it is built from, who it runs as, how its health is asked."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "deploy/Dockerfile").read_text().replace("\\\n", " ").splitlines()


def instructions(name: str) -> list[str]:
    return [line.split(None, 1)[1].strip() for line in LINES if line.startswith(f"{name} ")]


def last_stage(name: str) -> list[str]:
    start = max(number for number, line in enumerate(LINES) if line.startswith("FROM "))
    return [line.split(None, 1)[1].strip() for line in LINES[start:] if line.startswith(f"{name} ")]


def test_it_is_built_in_a_stage_of_which_only_the_environment_stays():
    build, final = instructions("FROM")
    assert build.endswith("-slim AS build")
    assert final == build.removesuffix(" AS build")
    assert last_stage("COPY") == ["--from=build /venv /venv"]


def test_it_does_not_run_as_root():
    (user,) = last_stage("USER")
    assert int(user) > 0
    assert any(f"--uid {user}" in line for line in last_stage("RUN"))


def test_health_is_asked_of_a_route_that_there_is_with_what_the_image_has():
    (check,) = last_stage("HEALTHCHECK")
    command = re.search(r'CMD \["python", "-c", "(.+)"\]', check)
    assert command
    compile(command[1], "healthcheck", "exec")
    assert ":8000/livez" in command[1]
    assert last_stage("EXPOSE") == ["8000"]


def test_its_command_is_one_that_the_program_has():
    (entry,), (command,) = last_stage("ENTRYPOINT"), last_stage("CMD")
    assert entry == '["inhouse"]'
    arguments = re.findall(r'"([^"]+)"', command)
    done = subprocess.run(
        [Path(sys.executable).with_name("inhouse"), arguments[0], "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert arguments[1] in done.stdout


def test_the_extras_that_it_installs_are_declared():
    import tomllib

    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (extras,) = re.findall(r'"\.\[([\w,-]+)\]"', "".join(LINES))
    assert set(extras.split(",")) <= set(declared)
    assert {"gateway", "redis", "postgres", "otlp"} <= set(extras.split(","))


def test_the_builder_gets_only_what_it_copies():
    allowed = (ROOT / "deploy/Dockerfile.dockerignore").read_text().split("\n")
    assert "*" in allowed
    let_in = {line[1:] for line in allowed if line.startswith("!")}
    copied = {name for line in instructions("COPY") if "--from" not in line for name in line.split()[:-1]}
    assert let_in == copied
    assert all((ROOT / name).exists() for name in let_in)
