"""Scores answers by rules that code can check: lengths, lists, words, patterns, formats. Pure functions of texts.

An item's field `rules` lists them: {"rule": "lines", "exactly": 3}. The score is 1 where all are kept; `kept` is
the share of them. (IFEval calls the two prompt-level and instruction-level accuracy.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from inhouse.core.errors import BadSuite
from inhouse.quality.language import polite
from inhouse.quality.scorers import Score, Support, check_options
from inhouse.quality.suite import Case
from inhouse.quality.text_scorers import TextScorer

Rule = Callable[[str, Mapping[str, Any]], bool]

_BULLET = re.compile(r"^\s*[-*•]\s+\S", re.MULTILINE)
_NUMBER = re.compile(r"^\s*(\d+)[.)]\s+\S", re.MULTILINE)
# A sentence ends with its mark and a space or the text's end, so that "3.5" and "U.S." within words end none.
_SENTENCE_END = re.compile(r"[.!?。？！…]+[\"'”’)\]]*(?=\s|$)")
_ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|e\.g|i\.e|vs|No)\.(?=\s)", re.IGNORECASE)
_TABLE_RULE = re.compile(r"^\s*\|?\s*:?-{1,}:?\s*(\|\s*:?-{1,}:?\s*)*\|?\s*$")
_BOUNDS = ("exactly", "at_least", "at_most")


def make(options: Mapping[str, Any], support: Support) -> TextScorer:
    """The scorer; it has no options."""
    check_options("rules", options, {})

    def judge(case: Case, text: str) -> Score:
        rules = case.item.fields.get("rules")
        if not isinstance(rules, list) or not rules:
            raise BadSuite(f"The item {case.item.id!r} has no rules", do='Give it "rules": [{"rule": "lines", …}]')
        kept = [follows(text, rule) for rule in rules]
        broken = ", ".join(rule["rule"] for rule, good in zip(rules, kept, strict=True) if not good)
        return Score(float(all(kept)), text.strip(), {"kept": sum(kept) / len(kept), "broken": broken})

    return TextScorer(judge)


def follows(text: str, rule: Mapping[str, Any]) -> bool:
    """Whether the text keeps the rule; BadSuite where there is no such rule, or it lacks a value."""
    name = rule.get("rule")
    if name not in RULES:
        raise BadSuite(f"There is no rule {name!r}", do=f"Choose of: {', '.join(sorted(RULES))}")
    try:
        return RULES[str(name)](text.strip(), rule)
    except (KeyError, TypeError, re.error) as error:
        raise BadSuite(f"The rule {dict(rule)!r} cannot be used", why=f"{type(error).__name__}: {error}") from None


def sentences(text: str) -> int:
    """How many sentences a text has; a last one without its mark counts."""
    marked = _ABBREVIATION.sub(lambda found: found[0][:-1], text.strip())
    ends = list(_SENTENCE_END.finditer(marked))
    rest = marked[ends[-1].end() :] if ends else marked
    return len(ends) + bool(rest.strip())


def _counted(count: Callable[[str], int]) -> Rule:
    """A rule on a number: exactly, at_least, at_most (one or more of them)."""

    def rule(text: str, values: Mapping[str, Any]) -> bool:
        if not any(bound in values for bound in _BOUNDS):
            raise KeyError("one of " + ", ".join(_BOUNDS))
        n = count(text)
        exactly, least, most = (values.get(bound, n) for bound in _BOUNDS)
        return bool(n == exactly and least <= n <= most)

    return rule


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def _count(text: str, values: Mapping[str, Any]) -> bool:
    wanted = str(values["text"])
    # A word counts where it stands alone in scripts with spaces; a sign, and a Korean word with its particle, anywhere.
    whole = wanted.isascii() and wanted.isalnum()
    pattern = rf"\b{re.escape(wanted)}\b" if whole else re.escape(wanted)
    return _counted(lambda one: len(re.findall(pattern, one, re.IGNORECASE)))(text, values)


def _numbered(text: str, values: Mapping[str, Any]) -> bool:
    numbers = [int(found[1]) for found in _NUMBER.finditer(text)]
    return numbers == list(range(1, len(numbers) + 1)) and _counted(lambda _: len(numbers))(text, values)


def _words_in(words: Sequence[str], text: str) -> list[bool]:
    return [word.lower() in text.lower() for word in words]


def _parsed(text: str) -> Any:
    """The JSON that the text is, a code fence around it let pass; None where it is none."""
    fenced = re.fullmatch(r"```(?:json)?\s*\n(.*?)\n?\s*```", text, re.DOTALL)
    try:
        return json.loads(fenced[1] if fenced else text)
    except ValueError:
        return None


def _json_array(text: str, values: Mapping[str, Any]) -> bool:
    found = _parsed(text)
    return isinstance(found, list) and _counted(lambda _: len(found))(text, values)


def _json_keys(text: str, values: Mapping[str, Any]) -> bool:
    found = _parsed(text)
    return isinstance(found, dict) and set(found) == set(values["keys"])


def _table(text: str, values: Mapping[str, Any]) -> bool:
    """A Markdown table of so many `rows` under its header, and `columns`."""
    lines = [line.strip() for line in text.splitlines() if "|" in line]
    if len(lines) < 2 or not _TABLE_RULE.match(lines[1]):
        return False
    columns = {len(line.strip("|").split("|")) for line in lines}
    return len(lines) - 2 == values["rows"] and columns == {values["columns"]}


def _starts(text: str, values: Mapping[str, Any]) -> bool:
    return text.startswith(values["text"])


def _ends(text: str, values: Mapping[str, Any]) -> bool:
    return text.rstrip("\"'”’").endswith(values["text"])


RULES: dict[str, Rule] = {
    "lines": _counted(lambda text: len(_lines(text))),
    "paragraphs": _counted(lambda text: len([one for one in re.split(r"\n\s*\n", text) if one.strip()])),
    "sentences": _counted(sentences),
    "words": _counted(lambda text: len(text.split())),
    "characters": _counted(len),
    "bullets": _counted(lambda text: len(_BULLET.findall(text))),
    "numbered": _numbered,
    "count": _count,
    "contains_all": lambda text, values: all(_words_in(values["words"], text)),
    "contains_any": lambda text, values: any(_words_in(values["words"], text)),
    "excludes": lambda text, values: not any(_words_in(values["words"], text)),
    "starts_with": _starts,
    "ends_with": _ends,
    "matches": lambda text, values: re.search(values["pattern"], text) is not None,
    "not_matches": lambda text, values: re.search(values["pattern"], text) is None,
    "json_array": _json_array,
    "json_keys": _json_keys,
    "table": _table,
    "polite": lambda text, values: polite(text),
}
