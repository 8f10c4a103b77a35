"""The Scorer seam and the registry: a scorer turns a model's response to an item into a score.

Own scorers by name, and those that other packages add as entry points `inhouse.scorers`: functions
`(options, support) -> Scorer`. Knows no engine beyond what `Support` hands on, and nothing of how answers are kept.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Literal, Protocol

from inhouse.core.errors import BadSuite
from inhouse.core.records import Scalar
from inhouse.engines.base import Engine, TokenLogprob
from inhouse.quality.suite import Case, ScorerUse

GROUP = "inhouse.scorers"

Need = Literal["text", "letters", "continuations"]
"""What a scorer must be given: the answer's `text`, the log-probabilities of the choices' `letters` as the next
token, or those of the choices as full `continuations` of the prompt."""


@dataclass(frozen=True, slots=True)
class Response:
    """What came of one case. `letters` and `continuations` hold one natural-log probability a choice, where asked.

    `tokens` are the answer's tokens with their log-probabilities where the sampling asked for them;
    `continuation_tokens` says how many tokens each choice has.
    """

    text: str = ""
    finish_reason: str | None = None
    tokens: tuple[TokenLogprob, ...] = ()
    letters: tuple[float, ...] = ()
    continuations: tuple[float, ...] = ()
    continuation_tokens: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """A verdict: `value` from 0 (wrong) to 1 (right), None where the answer cannot be judged (it then counts for
    nothing, and how often that was is reported). `answer` is what was taken for the answer, `detail` why.
    """

    value: float | None
    answer: str = ""
    detail: Mapping[str, Scalar] = field(default_factory=dict)


class Scorer(Protocol):
    """Judges responses. Must not keep anything between two of them: they come in any order, several at once."""

    @property
    def needs(self) -> frozenset[Need]:
        """What the runner has to get from the model for it."""
        ...

    async def score(self, case: Case, response: Response) -> Score:
        """The verdict; EngineError where an engine that it asks fails."""
        ...


@dataclass(frozen=True, slots=True)
class Support:
    """What a scorer may call on: an engine that embeds texts, and a judge. None: there is none in this run."""

    embed_engine: Engine | None = None
    embed_model: str = ""
    judge_engine: Engine | None = None
    judge_model: str = ""


# Name: the function that makes it, as module:function.
OWN: dict[str, str] = {
    "exact": "inhouse.quality.text_scorers:exact",
    "contains": "inhouse.quality.text_scorers:contains",
    "regex": "inhouse.quality.text_scorers:regex",
    "f1": "inhouse.quality.text_scorers:f1",
    "choice_text": "inhouse.quality.choice_scorers:by_text",
    "choice_letter": "inhouse.quality.choice_scorers:by_letter",
    "choice_continuation": "inhouse.quality.choice_scorers:by_continuation",
    "rules": "inhouse.quality.rules:make",
    "embedding": "inhouse.quality.embedding_scorer:make",
    "judge": "inhouse.quality.judge:make",
    "honesty": "inhouse.quality.abstention:honesty",
    "refusal": "inhouse.quality.abstention:refusal",
    "language": "inhouse.quality.language:language",
    "json": "inhouse.quality.json_answers:make",
}

Make = Callable[[Mapping[str, Any], Support], Scorer]


def scorer_names() -> list[str]:
    """Every scorer that can be asked for."""
    return sorted({*OWN, *(point.name for point in entry_points(group=GROUP))})


def make_scorer(use: ScorerUse, support: Support | None = None) -> Scorer:
    """The scorer of that name with its options.

    Raises:
        BadSuite: there is no such scorer, its package cannot be loaded, or its options are wrong.
    """
    return _factory(use.name)(use.options, support or Support())


def _factory(name: str) -> Make:
    if name in OWN:
        module, _, function = OWN[name].partition(":")
        own: Make = getattr(import_module(module), function)
        return own
    for point in entry_points(group=GROUP, name=name):
        try:
            loaded: Make = point.load()
        except (ImportError, AttributeError) as error:
            raise BadSuite(
                f"The scorer {name!r} cannot be loaded", why=f"{point.value}: {error}", do="Mend or remove its package"
            ) from None
        return loaded
    near = difflib.get_close_matches(name, scorer_names(), n=3)
    raise BadSuite(
        f"There is no scorer {name!r}",
        why=f"did you mean {' or '.join(near)}?" if near else "",
        do=f"Choose of: {', '.join(scorer_names())}",
    )


def check_options(scorer: str, options: Mapping[str, Any], known: Mapping[str, type | tuple[type, ...]]) -> None:
    """BadSuite where an option is not known to the scorer or is of the wrong type."""
    for name, value in options.items():
        if name not in known:
            raise BadSuite(
                f"The scorer {scorer!r} has no option {name!r}", do=f"Its options: {', '.join(known) or 'none'}"
            )
        if not isinstance(value, known[name]) or (isinstance(value, bool) and known[name] in (int, float)):
            raise BadSuite(f"The option {name!r} of the scorer {scorer!r} cannot be {value!r}")
