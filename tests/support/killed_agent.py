"""Runs one agent conversation again and again in processes that are killed at every point; prints what came of it.

Usage: killed_agent.py FOLDER SCENARIOS SEED URL EVERY. First a kill at each point in turn (or at every so manieth),
then SCENARIOS in which every process is killed at a random point until one gets through; all in the one store at URL.
Prints one JSON line: points, scenarios, deaths, faults.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection

from inhouse.agent.config import AgentConfig
from inhouse.agent.conversations import Conversations
from inhouse.agent.facts import Facts, insert_fact
from inhouse.agent.loop import Agent
from inhouse.agent.policy import AllowAll
from inhouse.agent.records import CallStatus, Status
from inhouse.agent.tools.base import Tool, ToolContext, ToolResult
from inhouse.agent.world import LiveWorld
from inhouse.engines.base import Capabilities, ChatRequest, DoneEvent, Event, TextEvent, ToolCall, ToolCallEvent
from inhouse.store.database import Database

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONFIG = AgentConfig("scripted", tools=("look", "pay", "note", "post"))
PLAN: list[list[tuple[str, dict[str, object]]]] = [
    [("look", {"at": 1}), ("pay", {"won": 10})],
    [("note", {"text": "paid"}), ("post", {"text": "hello"})],
    [("pay", {"won": 20})],
    [],
]
_NUMBER = {"type": "object", "properties": {}}


class Fuse:
    """Kills this process the n-th time that it is passed; None never does."""

    def __init__(self, left: int | None) -> None:
        self.left = left
        self.passed = 0

    def passes(self) -> None:
        self.passed += 1
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


class KilledDatabase(Database):
    """The store, with a place to be killed before, inside and after every transaction that writes."""

    def __init__(self, url: str, fuse: Fuse) -> None:
        super().__init__(url)
        self._fuse = fuse

    @contextmanager
    def write(self) -> Iterator[Connection]:
        self._fuse.passes()
        with super().write() as connection:
            yield connection
            self._fuse.passes()
        self._fuse.passes()


class ScriptedModel:
    """Follows PLAN by how many of its answers the request holds; can be killed in the middle of an answer."""

    name = "scripted"
    capabilities = Capabilities(tools=True)

    def __init__(self, fuse: Fuse) -> None:
        self._fuse = fuse

    async def chat(self, request: ChatRequest) -> AsyncIterator[Event]:
        done = sum(message.role == "assistant" for message in request.messages)
        self._fuse.passes()
        for number, (name, arguments) in enumerate(PLAN[done]):
            yield ToolCallEvent(0.0, ToolCall(str(number), name, json.dumps(arguments)))
        self._fuse.passes()
        if not PLAN[done]:
            yield TextEvent(0.0, "All done.")
        yield DoneEvent(0.0, "stop")


def make_tools(outside: Path, person: str, fuse: Fuse) -> dict[str, Tool]:
    """One tool of each kind; `outside` is the world that effects are had in."""

    def append(line: str) -> None:
        fuse.passes()
        with outside.open("a") as file:
            file.write(line + "\n")
        fuse.passes()

    async def look(arguments: object, context: ToolContext) -> ToolResult:
        fuse.passes()
        return ToolResult("nothing new")

    async def pay(arguments: dict[str, int], context: ToolContext) -> ToolResult:
        # As a payment service does: a key that it knows is answered without paying again.
        if not outside.exists() or context.idempotency_key not in outside.read_text():
            append(f"pay {context.idempotency_key} {arguments['won']}")
        return ToolResult("paid")

    async def note(arguments: dict[str, str], context: ToolContext) -> ToolResult:
        return ToolResult("noted", commit=lambda connection: insert_fact(connection, person, arguments["text"], NOON))

    async def post(arguments: dict[str, str], context: ToolContext) -> ToolResult:
        append(f"post {arguments['text']}")
        return ToolResult("posted")

    return {
        "look": Tool("look", "Looks", _NUMBER, look),
        "pay": Tool("pay", "Pays", _NUMBER, pay, effect="effect"),
        "note": Tool("note", "Notes", _NUMBER, note, effect="effect"),
        "post": Tool("post", "Posts", _NUMBER, post, effect="effect", keyed=False),
    }


def drive(url: str, outside: Path, conversation: str, fuse: Fuse) -> None:
    """What each process does: takes the conversation where it stands, to its end."""
    database = KilledDatabase(url, fuse)
    database_kept = Conversations(database, clock=lambda: NOON)
    journal = database_kept.drive(conversation)
    agent = Agent(
        CONFIG,
        make_tools(outside, conversation, fuse),
        LiveWorld(ScriptedModel(fuse), "scripted", clock=lambda: NOON),  # type: ignore[arg-type]
        policy=AllowAll(),
    )
    turn = asyncio.run(agent.run(journal, None if journal.steps else "Do it."))
    journal.release(turn.status)
    database.close()


def in_child(url: str, outside: Path, conversation: str, left: int | None) -> tuple[bool, int]:
    """Drives it in a process of its own; whether that was killed, and how many points it passed if not."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            fuse = Fuse(left)
            drive(url, outside, conversation, fuse)
            os.write(write, str(fuse.passed).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    passed = os.read(read, 16)
    os.close(read)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True, 0
    if os.WEXITSTATUS(status):
        raise SystemExit("a driver failed")
    return False, int(passed)


def faults(database: Database, outside: Path, conversation: str) -> list[str]:
    """What is wrong with how it ended: an effect had twice or lost, a step that differs."""
    found = []
    kept = Conversations(database)
    steps = kept.steps(conversation)
    if kept.get(conversation).status is not Status.IDLE or steps[-1].text != "All done.":
        found.append("not ended")
    course = [[(call.name, dict(call.arguments)) for call in step.calls] for step in steps[1:]]
    if course != PLAN:
        found.append(f"another course: {course}")
    lines = outside.read_text().splitlines()
    if sorted(line.split()[2] for line in lines if line.startswith("pay")) != ["10", "20"]:
        found.append(f"paid wrongly: {lines}")
    posted = sum(line.startswith("post") for line in lines)
    post = next(call for step in steps for call in step.calls if call.name == "post")
    if posted > 1 or (post.status is CallStatus.DONE and posted != 1):
        found.append(f"posted {posted} times, kept as {post.status}")
    if any(call.status not in (CallStatus.DONE, CallStatus.UNKNOWN) for step in steps for call in step.calls):
        found.append("a call has not ended")
    if len(Facts(database).of(conversation)) != 1:
        found.append("a fact lost or doubled")
    return found


def warm_up(root: Path, url: str) -> None:
    """One drive in this process, so that each child finds loaded and compiled what it would else load again."""
    with closing(Database(url)) as database:
        conversation = Conversations(database, clock=lambda: NOON).create(CONFIG.to_dict(), title="warm up").id
    drive(url, root / "warm-up.log", conversation, Fuse(None))
    gc.collect()
    gc.freeze()  # what is here stays: a child's collector need not touch, and so copy, it


def main(root: Path, scenarios: int, seed: int, url: str, every: int) -> None:
    deaths = 0
    warm_up(root, url)
    wrong: list[str] = []

    def scenario(name: str, fuses: Iterator[int | None]) -> int:
        nonlocal deaths
        with closing(Database(url)) as database:  # no connection is open while a child is forked
            conversation = Conversations(database, clock=lambda: NOON).create(CONFIG.to_dict(), title=name).id
        outside = root / f"{name}.log"
        killed, passed = True, 0
        while killed:
            killed, passed = in_child(url, outside, conversation, next(fuses))
            deaths += killed
        with closing(Database(url)) as database:
            wrong.extend(f"{name}: {fault}" for fault in faults(database, outside, conversation))
        outside.unlink()
        return passed

    points = scenario("undisturbed", iter([None]))
    for point in range(1, points + 1, every):
        scenario(f"killed-at-{point}", iter([point, None]))
    chance = random.Random(seed)
    for number in range(scenarios):
        scenario(f"random-{number}", iter(lambda: chance.randint(4, points // 2), None))
    sys.stdout.write(json.dumps({"points": points, "scenarios": scenarios, "deaths": deaths, "faults": wrong[:20]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
