"""Which suites hold tasks of several turns, and where each is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inhouse.agent.evaluation import bfcl_turns, tau2
from inhouse.agent.evaluation.dialogue import Dialogue
from inhouse.agent.evaluation.rows import draw
from inhouse.core.errors import UsageError

CONTEXT = 16_384
"""Tokens that these tasks take: many tools, long rules, several turns."""


def categories_of(suite: str) -> tuple[str, ...]:
    """The suite's categories of several turns; none of most."""
    return {"bfcl": bfcl_turns.CATEGORIES, "tau2": tau2.DOMAINS}.get(suite, ())


def load_dialogues(suite: str, folder: Path, categories: Sequence[str], limit: int | None, seed: int) -> list[Dialogue]:
    """The tasks of the categories, of each at most `limit`, drawn by the seed.

    Raises:
        UsageError: there is no such category, or its files are not there.
        MissingExtra: the package that holds its services is not installed.
    """
    tasks: list[Dialogue] = []
    for category in categories:
        if category not in categories_of(suite):
            raise UsageError(f"{suite} has no category {category!r}", do=f"Choose of {', '.join(categories_of(suite))}")
        load = bfcl_turns.load_turns if suite == "bfcl" else tau2.load_domain
        try:
            found = list(load(folder, category))
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise UsageError(
                f"{suite}'s files cannot be read in {folder}", why=str(error), do="Name the folder: --data PATH"
            ) from None
        tasks += draw(found, limit, seed, category)
    return tasks
