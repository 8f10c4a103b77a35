"""Topics that a company forbids or allows, by words and patterns of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from inhouse.core.errors import UsageError
from inhouse.gateway.guard.normalise import fold
from inhouse.gateway.guard.verdict import Action, Span

# A group that repeats and holds something that repeats, (a+)+ or (a|b*)*: the form that runs away.
_RUNAWAY = re.compile(r"\((?:[^()\\]|\\.)*[*+}](?:[^()\\]|\\.)*\)(?:[*+]|\{\d*,\d*\})")


@dataclass(frozen=True, slots=True)
class Topic:
    """A named topic and what to do when a message is about it."""

    name: str
    action: Action
    pattern: re.Pattern[str]


def make_topic(name: str, action: Action, words: Sequence[str], patterns: Sequence[str]) -> Topic:
    """A topic from words (whole words in Latin script, parts of words in Korean) and regular expressions.

    Raises:
        UsageError: there is nothing to look for, or a pattern is wrong or could run away on a long text.
    """
    parts = [_word(word) for word in words if word.strip()]
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise UsageError(f"The pattern {pattern!r} of topic {name!r} is wrong", why=str(error)) from None
        if _RUNAWAY.search(pattern):
            raise UsageError(
                f"The pattern {pattern!r} of topic {name!r} could take for ever on some texts",
                why="a repeated group holds a repetition",
                do="Write it without the inner or the outer repetition",
            )
        parts.append(f"(?:{pattern})")
    if not parts:
        raise UsageError(f"Topic {name!r} has neither words nor patterns", do='Add words = ["…"] to it')
    return Topic(name, action, re.compile("|".join(parts), re.IGNORECASE))


def _word(word: str) -> str:
    plain = re.escape(fold(word.strip()))
    return rf"\b{plain}\b" if plain.isascii() else plain


def find_topics(folded: str, topics: Sequence[Topic]) -> Iterator[tuple[Topic, Span]]:
    """Each topic that the folded text touches, with the first place where it does."""
    for topic in topics:
        match = topic.pattern.search(folded)
        if match is not None:
            yield topic, Span("topic", *match.span(), 1.0, topic.name)
