"""Scores answers that must be JSON of a schema: does it parse, does it fit, are the values right? Knows no engine."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inhouse.core.errors import MissingExtra
from inhouse.core.records import Scalar
from inhouse.quality.scorers import Need, Response, Score, Support, check_options
from inhouse.quality.suite import Case

_FENCE = re.compile(r"^\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class JsonAnswer:
    """1 where the answer is JSON that fits the item's `schema` and holds its `values`.

    A code fence around the JSON is let pass, any other word is not: a program would stumble over it. `valid` says
    whether it parsed, `fits` whether it is of the schema, `stage` what came of it in one word.
    """

    @property
    def needs(self) -> frozenset[Need]:
        """The text."""
        return frozenset({"text"})

    async def score(self, case: Case, response: Response) -> Score:
        """See `Scorer.score`."""
        stage = judged(response.text, case.item.fields["schema"], case.item.fields.get("values", {}))
        detail: dict[str, Scalar] = {"valid": stage != "no JSON", "fits": stage in ("right", "wrong values")}
        return Score(float(stage == "right"), response.text.strip(), {**detail, "stage": stage})


def judged(text: str, schema: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """What came of an answer: no JSON, misfit, wrong values, or right. MissingExtra without jsonschema."""
    try:
        import jsonschema
    except ImportError:
        raise MissingExtra(
            "Answers in JSON cannot be checked", why="not installed: jsonschema", do="pip install 'inhouse[quality]'"
        ) from None
    fenced = _FENCE.match(text)
    try:
        found = json.loads(fenced[1] if fenced else text)
    except ValueError:
        return "no JSON"
    try:
        jsonschema.validate(found, schema)
    except jsonschema.ValidationError:
        return "misfit"
    return "right" if all(found.get(name) == value for name, value in values.items()) else "wrong values"


def make(options: Mapping[str, Any], support: Support) -> JsonAnswer:
    """See JsonAnswer."""
    check_options("json", options, {})
    return JsonAnswer()
