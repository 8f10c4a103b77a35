"""The tools' runtime limits time, tries again with growing pauses, and lets a tool that keeps failing rest."""

from __future__ import annotations

import asyncio
import random

from tool_calls_made import context

from inhouse.agent.records import CallStatus
from inhouse.agent.tools.base import Tool, ToolResult
from inhouse.agent.tools.runtime import ToolRuntime
from inhouse.core.errors import ToolError

BUSY, WRONG = ToolError("busy", retryable=True), ToolError("wrong")


class Flaky:
    """A tool that fails as it is told, then works; and the runtime around it, on a clock of its own."""

    def __init__(self, *errors: Exception | float, **options) -> None:
        self.errors = list(errors)
        self.calls = 0
        self.pauses: list[float] = []
        self.now = 0.0
        self.tool = Tool("flaky", "", {}, self.run, **({"retries": 2, "timeout_s": 0.02} | options))
        self.runtime = ToolRuntime(chance=random.Random(1), clock=lambda: self.now, sleep=self.sleep)

    async def run(self, arguments, context):
        self.calls += 1
        error = self.errors.pop(0) if self.errors else None
        if isinstance(error, float):
            await asyncio.sleep(error)
        elif error is not None:
            raise error
        return ToolResult("well")

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    async def make(self):
        return await self.runtime(self.tool, {}, context())


async def test_a_passing_failure_is_tried_again_with_growing_pauses():
    flaky = Flaky(BUSY, BUSY)
    end = await flaky.make()

    assert (end.status, end.content, end.attempts) == (CallStatus.DONE, "well", 3)
    assert 0.1 <= flaky.pauses[0] <= 0.2 <= flaky.pauses[1] <= 0.4


async def test_a_wrong_call_is_not_tried_again():
    flaky = Flaky(WRONG)
    end = await flaky.make()

    assert (end.status, end.attempts, flaky.pauses) == (CallStatus.FAILED, 1, [])


async def test_a_tool_that_hangs_is_cut_off_and_tried_again():
    end = await Flaky(5.0).make()

    assert (end.status, end.attempts) == (CallStatus.DONE, 2)


async def test_a_tool_that_breaks_is_told_and_not_passed_on():
    end = await Flaky(ZeroDivisionError("oops")).make()

    assert "ZeroDivisionError: oops" in end.content


async def test_an_effect_that_is_not_keyed_is_never_tried_again():
    flaky = Flaky(BUSY, effect="effect", keyed=False)
    await flaky.make()

    assert flaky.calls == 1


async def test_a_tool_that_keeps_failing_rests_and_is_tried_again_later():
    flaky = Flaky(BUSY, BUSY, BUSY)
    await flaky.make()
    resting = await flaky.make()
    assert flaky.calls == 3
    assert (resting.status, resting.attempts) == (CallStatus.FAILED, 0)
    assert "rests" in resting.content

    flaky.now += 6.0
    assert (await flaky.make()).status is CallStatus.DONE


async def test_what_an_untrusted_tool_returns_is_tainted():
    assert (await Flaky(trusted=False).make()).tainted
    assert not (await Flaky().make()).tainted
