"""A finding in words: its title, its sentence and what to do, from the catalogues, with its figures filled in.

Under a finding's message id M the catalogues hold `M.title`, `M` and `M.do`. Placeholders are named and
may be followed by an open Korean particle: `{model}을(를)`. A part in [square brackets] is left out where
one of its figures is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from inhouse.core.records import Finding, Scalar
from inhouse.report.figures import in_words
from inhouse.report.josa import PARTICLES, attach
from inhouse.report.language import catalogue

_PLACEHOLDER = re.compile(r"\{(\w+)\}(" + "|".join(map(re.escape, PARTICLES)) + ")?")
_OPTIONAL = re.compile(r"\[([^\]]*)\]")

ERRORS_IN = "en"
"""The language that errors are written in."""

OPEN, CLOSE = "\ue000", "\ue001"
"""Stand around a filled-in figure until a view gives it the form that it has there."""


def marked(figure: str) -> str:
    """The figure between the two marks."""
    return f"{OPEN}{figure}{CLOSE}"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A finding for a reader."""

    title: str
    text: str
    do: str


def render(finding: Finding, lang: str, *, mark: Callable[[str], str] = str) -> Rendered:
    """The finding in that language. `mark` wraps each filled-in figure of the text and of what to do (for emphasis).

    A message that this version has no words for (a record of another version) shows its id and its figures:
    nothing that was found may fall silent.
    """
    words = catalogue(lang)
    figures = _said_in(finding.figures, lang)
    if finding.message not in words:
        listed = ", ".join(f"{name}: {in_words(name, value, lang)}" for name, value in finding.figures.items())
        return Rendered(title=finding.message, text=listed, do="")
    title = words.get(f"{finding.message}.title", finding.message)
    return Rendered(
        title=fill(title, figures, lang),
        text=fill(words[finding.message], figures, lang, mark=mark),
        do=fill(words.get(f"{finding.message}.do", ""), figures, lang, mark=mark),
    )


def reason_in(reason: str, error: str, lang: str) -> str:
    """Why something failed. Errors speak English: elsewhere what kind of error it was goes before its own words.

    `error` is the name of its class in core/errors; empty where it is not known.
    """
    kind = catalogue(lang).get(f"error.{error}")
    return f"{kind} ({reason})" if kind and lang != ERRORS_IN else reason


def _said_in(figures: Mapping[str, Scalar], lang: str) -> Mapping[str, Scalar]:
    reason, error = figures.get("reason"), figures.get("error")
    if not isinstance(reason, str) or not isinstance(error, str):
        return figures
    return {**figures, "reason": reason_in(reason, error, lang)}


def fill(text: str, figures: Mapping[str, Scalar], lang: str, *, mark: Callable[[str], str] = str) -> str:
    """`text` with its placeholders replaced; a figure that is missing shows as a dash, never as a guess."""

    def replace(match: re.Match[str]) -> str:
        name, particle = match.groups()
        said = in_words(name, figures.get(name), lang)
        ending = attach(said, particle)[len(said) :] if particle else ""
        return mark(said) + ending

    def keep(match: re.Match[str]) -> str:
        inner = match.group(1)
        return inner if all(figures.get(name) is not None for name in placeholders(inner)) else ""

    return _PLACEHOLDER.sub(replace, _OPTIONAL.sub(keep, text))


def placeholders(text: str) -> frozenset[str]:
    """The names of the figures that a text needs."""
    return frozenset(match.group(1) for match in _PLACEHOLDER.finditer(text))
