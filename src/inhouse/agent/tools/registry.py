"""Finds tools by name: the program's own, and those that other packages add as entry points `inhouse.tools`.

An entry is a Tool, or a function from the settings to one; its module is imported only when the tool is asked for.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from inhouse.agent.tools.base import Tool
from inhouse.core.errors import UsageError
from inhouse.core.settings import Settings

GROUP = "inhouse.tools"

# Name: the function that makes it, as module:function.
OWN: dict[str, str] = {
    "calculator": "inhouse.agent.tools.calculator:make",
    "calendar_add": "inhouse.agent.tools.calendar:make_add",
    "calendar_events": "inhouse.agent.tools.calendar:make_events",
    "clock": "inhouse.agent.tools.clock:make",
    "email_draft": "inhouse.agent.tools.outbox:make_draft",
    "list_files": "inhouse.agent.tools.files:make_list",
    "read_file": "inhouse.agent.tools.files:make_read",
    "read_more": "inhouse.agent.tools.notes:make_read_more",
    "read_page": "inhouse.agent.tools.page:make",
    "remember": "inhouse.agent.tools.notes:make_remember",
    "ticket": "inhouse.agent.tools.outbox:make_ticket",
    "weather": "inhouse.agent.tools.weather:make",
    "web_search": "inhouse.agent.tools.search:make",
    "write_file": "inhouse.agent.tools.files:make_write",
}


def tool_names() -> list[str]:
    """Every tool that can be asked for."""
    return sorted({*OWN, *(point.name for point in entry_points(group=GROUP))})


def tools(names: Iterable[str], settings: Settings) -> dict[str, Tool]:
    """The tools of those names, in that order, by the name that each gives itself.

    Raises:
        UsageError: there is no such tool, its package cannot be loaded, or two go by one name.
    """
    found: dict[str, Tool] = {}
    for name in names:
        tool = _factory(name)(settings)
        if tool.name in found:
            raise UsageError(f"Two tools go by the name {tool.name!r}", do="Name each tool once")
        found[tool.name] = tool
    return found


def _factory(name: str) -> Callable[[Settings], Tool]:
    if name in OWN:
        module, _, function = OWN[name].partition(":")
        own: Callable[[Settings], Tool] = getattr(import_module(module), function)
        return own
    for point in entry_points(group=GROUP, name=name):
        return _load(point)
    known = tool_names()
    near = difflib.get_close_matches(name, known, n=3)
    raise UsageError(
        f"There is no tool {name!r}",
        why=f"did you mean {' or '.join(near)}?" if near else "",
        do=f"Choose of: {', '.join(known)}",
    )


def _load(point: EntryPoint) -> Callable[[Settings], Tool]:
    try:
        loaded = point.load()
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"The tool {point.name!r} cannot be loaded", why=f"{point.value}: {error}", do="Mend or remove its package"
        ) from None
    return _always(loaded) if isinstance(loaded, Tool) else loaded


def _always(tool: Tool) -> Callable[[Settings], Tool]:
    return lambda settings: tool
