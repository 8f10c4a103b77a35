"""What a suite is: items with their right answers, the prompts that ask them, the scorers that judge the answers.

Pure data and the rendering of prompts; reading files is suite_files' part, asking a model is the runner's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from string import ascii_uppercase
from typing import Any, Literal

from inhouse.core.errors import BadSuite
from inhouse.core.records import Scalar
from inhouse.engines.base import ChatRequest, Message

Task = Literal["choice", "text"]
"""`choice`: one of the item's choices is right. `text`: a free answer, judged by the scorers."""

_FIELD = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Item:
    """One question. `fields` fill the prompt's template; `targets` are the answers that count as right.

    Of a choice task the one target is a member of `choices`. Items of one `cluster` (one passage, one template) are
    alike and are not taken for independent. `tags` are what figures are broken down by.
    """

    id: str
    fields: Mapping[str, Any]
    targets: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    cluster: str = ""
    tags: Mapping[str, Scalar] = field(default_factory=dict)

    @property
    def right(self) -> int | None:
        """The place of the right choice; None where there is none."""
        return self.choices.index(self.targets[0]) if self.choices and self.targets else None


@dataclass(frozen=True, slots=True)
class Prompt:
    """One way to ask the items. `{field}` stands for an item's field, `{choices}` for its lettered choices.

    `raw`: the text goes to the model as it is, without the model's chat template (as lm-evaluation-harness does);
    only engines that give the log-probability of a continuation take it.
    """

    name: str
    template: str
    system: str = ""
    raw: bool = False
    choice_format: str = "{letter}. {choice}"
    delimiter: str = " "
    """What stands between a raw prompt and each choice that is scored as its continuation."""
    tags: Mapping[str, Scalar] = field(default_factory=dict)

    def render(self, item: Item) -> str:
        """The text of the question; BadSuite where the item lacks a field."""
        lettered = "\n".join(
            self.choice_format.replace("{letter}", letter).replace("{choice}", choice)
            for letter, choice in zip(ascii_uppercase, item.choices, strict=False)
        )
        known = {"choices": lettered, **item.fields}

        def filled(found: re.Match[str]) -> str:
            try:
                return str(known[found[1]])
            except KeyError:
                raise BadSuite(
                    f"The item {item.id!r} has no field {found[1]!r}",
                    why=f"the prompt {self.name!r} asks for it",
                    do="Give the item that field, or take it out of the template",
                ) from None

        return _FIELD.sub(filled, self.template)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are drawn: `samples` of each item and prompt, at most `max_tokens` long. None leaves it open."""

    temperature: float = 0.0
    samples: int = 1
    max_tokens: int = 64
    top_p: float | None = None
    top_k: int | None = None
    repeat_penalty: float | None = None
    stop: tuple[str, ...] = ()
    json_schema: Mapping[str, Any] | None = None
    logprobs: bool = False
    """Whether the log-probability of each token of the answer is asked for (calibration, entropy)."""


@dataclass(frozen=True, slots=True)
class ScorerUse:
    """A scorer by its name, with its options."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    """What its figures are called where a suite uses one scorer twice; the name, if empty."""

    @property
    def key(self) -> str:
        """What its scores are kept under."""
        return self.label or self.name


@dataclass(frozen=True, slots=True)
class Suite:
    """Items, prompts and scorers under one name. The first scorer gives the suite's headline figure, `metric`."""

    name: str
    title: Mapping[str, str]
    language: str
    licence: str
    source: str
    task: Task
    prompts: tuple[Prompt, ...]
    scorers: tuple[ScorerUse, ...]
    items: tuple[Item, ...]
    metric: str = "accuracy"
    sampling: Sampling = Sampling()
    about: str = ""
    seed: int = 0
    """Fixes the order in which items are drawn when there is no time for all of them."""

    def with_(self, **changes: Any) -> Suite:
        """A copy with other values."""
        return replace(self, **changes)

    def heading(self, lang: str = "en") -> str:
        """The title in that language, else in English, else the name."""
        return self.title.get(lang) or self.title.get("en") or self.name


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to ask: an item by one prompt, the `repeat`-th time, drawn as `sampling` says."""

    suite: str
    item: Item
    prompt: Prompt
    sampling: Sampling
    repeat: int = 0

    @property
    def text(self) -> str:
        """The question as the model gets it."""
        return self.prompt.render(self.item)

    def request(self, model: str, seed: int) -> ChatRequest:
        """The request that asks it. Each repeat has a seed of its own."""
        system = (Message("system", self.prompt.system),) if self.prompt.system else ()
        how = self.sampling
        return ChatRequest(
            model,
            (*system, Message("user", self.text)),
            max_tokens=how.max_tokens,
            temperature=how.temperature,
            top_p=how.top_p,
            top_k=how.top_k,
            repeat_penalty=how.repeat_penalty,
            seed=seed + self.repeat,
            stop=how.stop,
            json_schema=how.json_schema,
            # One alternative: llama.cpp's server takes none for no log-probabilities at all.
            top_logprobs=1 if how.logprobs else None,
        )


def cases_of(suite: Suite, *, samples: int | None = None) -> list[Case]:
    """Every case of the suite, item by item: all prompts and repeats of an item stand together."""
    return [
        Case(suite.name, item, prompt, suite.sampling, repeat)
        for item in suite.items
        for prompt in suite.prompts
        for repeat in range(samples or suite.sampling.samples)
    ]
