"""Tools are found by name, and the clock tells the time that it is given."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from inhouse.agent.tools.base import ToolContext
from inhouse.agent.tools.registry import tools
from inhouse.core.errors import ToolError, UsageError
from inhouse.core.settings import Settings

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def context() -> ToolContext:
    return ToolContext("c", 1, "key", lambda: NOON)


async def test_the_clock_tells_the_time_of_a_zone_and_how_far_a_date_is():
    clock = tools(["clock"], Settings())["clock"]
    result = await clock.run({"timezone": "Asia/Seoul", "date": "2026-03-08"}, context())

    assert result.content == "2026-03-01 21:00:00 KST, Sunday; 2026-03-08 is a Sunday, +7 days from today"
    assert result.data["days_from_today"] == 7


@pytest.mark.parametrize("arguments", [{"timezone": "Mars/Base"}, {"timezone": "../etc/passwd"}, {"date": "8 March"}])
async def test_the_clock_says_what_it_cannot_read(arguments):
    clock = tools(["clock"], Settings())["clock"]
    with pytest.raises(ToolError):
        await clock.run(arguments, context())


def test_an_unknown_tool_is_refused_with_near_names():
    with pytest.raises(UsageError, match="no tool 'clok'") as caught:
        tools(["clok"], Settings())
    assert "clock" in caught.value.why


def test_a_tool_named_twice_is_refused():
    with pytest.raises(UsageError, match="Two tools"):
        tools(["clock", "clock"], Settings())
