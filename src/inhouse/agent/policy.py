"""Policies over calls that have an effect: whether they run, are asked about, or are refused. Know no tool.

What outsiders wrote (a page, a document, a mail) may hold instructions. A model that has read it may follow them, so
from then on only what the person wrote counts as the person's: every other value of an argument is taken to come
from the outside, whether or not it can be found there (a model can be told to translate or encode it).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from inhouse.agent.records import Decision
from inhouse.agent.tools.base import Tool
from inhouse.core.errors import UsageError

Rule = Literal["allow", "ask", "refuse", "tainted"]
"""What becomes of a tool's calls: run, asked about, refused, or asked about only where they may come from outside."""

RULES: tuple[Rule, ...] = ("allow", "ask", "refuse", "tainted")
# Addresses, numbers with their signs, file names and words: what an argument must have from the person, whole.
_PIECE = re.compile(r"[^\s\"'`()<>\[\]{},;!?]+")


@dataclass(frozen=True, slots=True)
class EffectPolicy:
    """See `records.Policy`. `rules` by tool's name; `effects` for the other tools with an effect.

    A tool without an effect runs, unless a rule says otherwise.
    """

    effects: Rule = "ask"
    rules: Mapping[str, Rule] = field(default_factory=dict)

    def decide(
        self, tool: Tool, arguments: Mapping[str, Any], tainted: Sequence[str], told: Sequence[str] = ()
    ) -> Decision:
        """See `records.Policy.decide`."""
        rule = self.rules.get(tool.name, self.effects if tool.effect == "effect" else "allow")
        if rule == "allow":
            return Decision("allow")
        if rule == "refuse":
            return Decision("refuse", f"the policy forbids {tool.name}")
        foreign = foreign_values(arguments, tool.parameters, told) if tainted else []
        if foreign:
            return Decision("ask", f"from untrusted text: {', '.join(map(_short, foreign[:3]))}")
        if rule == "tainted":
            return Decision("allow")
        return Decision("ask", f"{tool.name} has an effect")


class AskForEffects(EffectPolicy):
    """A person is asked about each call that has an effect."""


class AllowAll:
    """Runs everything unasked: for evaluations whose tools change nothing real."""

    def decide(
        self, tool: Tool, arguments: Mapping[str, Any], tainted: Sequence[str], told: Sequence[str] = ()
    ) -> Decision:
        """Allows."""
        return Decision("allow")


def foreign_values(arguments: Mapping[str, Any], schema: Mapping[str, Any], told: Sequence[str]) -> list[str]:
    """The values in the arguments that the person did not write: those with a piece that is in none of their words.

    A value that the schema itself offers (an enum, a truth value) is the tool's. Which of them is chosen, and
    whether a call is made at all, can still be an outsider's doing; a rule "ask" guards against that too.
    """
    known = {piece for text in told for piece in _pieces(text)}
    whole = [" ".join(text.split()).casefold() for text in told]
    found = []
    for value, part in _leaves(arguments, schema):
        if value is None or isinstance(value, bool) or value in part.get("enum", ()) or value == part.get("default"):
            continue
        text = " ".join(str(value).split())
        if not text or any(text.casefold() in one for one in whole if len(text) > 3) or _pieces(text) <= known:
            continue
        found.append(text)
    return found


def parse_rules(text: str) -> dict[str, Rule]:
    """Rules as written on a command line: ticket=allow,write_file=refuse. UsageError where they are not."""
    rules: dict[str, Rule] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        name, _, rule = part.partition("=")
        known = next((one for one in RULES if one == rule.strip()), None)
        if not name.strip() or known is None:
            raise UsageError(f"{part!r} is no rule", do=f"Write TOOL=RULE, with a rule of {', '.join(RULES)}")
        rules[name.strip()] = known
    return rules


def _pieces(text: str) -> set[str]:
    return {piece.strip(".:").casefold() for piece in _PIECE.findall(text)} - {""}


def _leaves(value: Any, schema: Mapping[str, Any]) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """Each plain value with its part of the schema; keys that the schema does not name count as values too."""
    if isinstance(value, Mapping):
        properties = schema.get("properties", {})
        for key, inner in value.items():
            if key not in properties:
                yield key, {}
            yield from _leaves(inner, properties.get(key, {}))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner, schema.get("items", {}) if isinstance(schema.get("items"), Mapping) else {})
    else:
        yield value, schema


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")
