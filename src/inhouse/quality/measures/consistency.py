"""Whether the same question gets the same answer: by temperature, and at temperature 0 also beside other requests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from inhouse.core.records import Metric, Scalar
from inhouse.quality.answers import Answer
from inhouse.quality.measures.base import Asking, scorers_of, share, shuffled, value_of
from inhouse.quality.suite import Case, Item, Prompt, Suite
from inhouse.quality.text_scorers import tight

TEMPERATURES = (0.0, 0.7, 1.0)
SAMPLES = 4


async def consistency(
    asking: Asking, suite: Suite, *, temperatures: Sequence[float] = TEMPERATURES, samples: int = SAMPLES
) -> tuple[list[Metric], list[Answer]]:
    """Each item so many times at each temperature; and at 0 once one by one, once all at once.

    The suite's first prompt is asked. Needs a session that does not take answers from the cache.
    """
    scorers = scorers_of(suite)
    prompt = suite.prompts[0]
    alone: dict[str, list[str]] = defaultdict(list)
    together: dict[str, list[str]] = defaultdict(list)

    async def one(item: Item) -> list[Answer]:
        found: list[Answer] = []
        for temperature in temperatures:
            # Each a case of its own: the answers of a run are told apart by prompt and repeat.
            named = replace(prompt, name=_name(prompt, temperature))
            sampling = replace(suite.sampling, temperature=temperature)
            cases = [Case(suite.name, item, named, sampling, repeat) for repeat in range(samples)]
            if temperature > 0:
                found += await asking.ask(cases, scorers)
                continue
            one_by_one = [await asking.session.answer(case, scorers) for case in cases]
            crowd = replace(prompt, name=f"{named.name}, at once")
            at_once = await asking.ask([replace(case, prompt=crowd) for case in cases], scorers)
            alone[item.id] += [answer.response.text for answer in one_by_one if answer.error is None]
            together[item.id] += [answer.response.text for answer in at_once if answer.error is None]
            found += one_by_one + at_once
        return found

    # One item after the other: what runs beside a request must be what this measure puts there.
    found: list[Answer] = []
    items = shuffled(suite.items, asking.seed)
    for place, item in enumerate(items):
        if place >= 2 and asking.over:
            break
        found += await one(item)
        asking.report(None, f"{place + 1} questions")
    return _metrics(suite, found, temperatures, prompt, alone, together), found


def _metrics(
    suite: Suite, answers: Sequence[Answer], temperatures: Sequence[float], prompt: Prompt,
    alone: dict[str, list[str]], together: dict[str, list[str]],
) -> list[Metric]:  # fmt: skip
    """`agreement`: of two answers to a question, how often they are the same; `contradiction`: questions answered both
    right and wrong; `deterministic`: questions whose answers at temperature 0 are the same to the letter.
    """
    scorer = suite.scorers[0].key
    found: list[Metric] = []
    for temperature in temperatures:
        groups: dict[str, list[Answer]] = defaultdict(list)
        for one in answers:
            if one.prompt == _name(prompt, temperature) and one.error is None:
                groups[one.item].append(one)
        labels: dict[str, Scalar] = {"suite": suite.name, "temperature": temperature}
        whole = [group for group in groups.values() if len(group) > 1]
        found += share("agreement", [agreement_of([one.response.text for one in group]) for group in whole], labels)
        verdicts = [{value for one in group if (value := value_of(one, scorer)) is not None} for group in whole]
        found += share("contradiction", [float(len(kinds) > 1) for kinds in verdicts], labels)
        found += share(
            "sampled_accuracy", [value for group in whole for one in group
                                 if (value := value_of(one, scorer)) is not None],
            labels, [one.item for group in whole for one in group if value_of(one, scorer) is not None],
        )  # fmt: skip
    for way, texts in (("alone", alone), ("at_once", together)):
        same = [float(len(set(group)) == 1) for group in texts.values() if len(group) > 1]
        found += share("deterministic", same, {"suite": suite.name, "way": way})
    both = [float(set(alone[name]) == set(together[name])) for name in alone if together.get(name)]
    return [*found, *share("same_when_batched", both, {"suite": suite.name})]


def agreement_of(texts: Sequence[str]) -> float:
    """Of all pairs of the texts, the share that says the same, but for case, spaces and punctuation."""
    pairs = list(combinations([tight(text) for text in texts], 2))
    return sum(one == other for one, other in pairs) / len(pairs) if pairs else 1.0


def _name(prompt: Prompt, temperature: float) -> str:
    return f"{prompt.name}, temperature {temperature:g}"
