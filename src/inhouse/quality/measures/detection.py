"""Finding the wrong answers without knowing the right ones: self-consistency, SelfCheck, semantic entropy, confidence.

Each method gives an answer a sureness; its AUROC is the chance that a right answer gets more of it than a wrong one.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from inhouse.core.errors import UnsupportedFeature
from inhouse.core.records import Metric, Scalar
from inhouse.quality.agreement import auroc, ece
from inhouse.quality.answers import Answer
from inhouse.quality.measures.base import Asking, of_estimate, rng, scorers_of, shuffled, value_of
from inhouse.quality.suite import Case, Item, Prompt, Sampling, Suite
from inhouse.quality.text_scorers import overlap, tight

SAMPLES = 5
BASELINES = ("chance", "answer length", "token probability")
"""What a method must beat: a coin, short answers being surer, and the model's own probability of what it wrote."""

_ASK = {
    "p_true": {
        "en": "Question: {question}\nProposed answer: {answer}\nIs the proposed answer right? Write one letter only.\n"
        "{choices}\nAnswer:",
        "ko": "질문: {question}\n제안된 답: {answer}\n제안된 답이 맞습니까? 알파벳 하나로만 답하시오.\n"
        "{choices}\n정답:",
    },
    "selfcheck": {
        "en": "Question: {question}\nText: {other}\nStatement: {answer}\nDoes the text support the statement as the "
        "answer? Write one letter only.\n{choices}\nAnswer:",
        "ko": "질문: {question}\n글: {other}\n진술: {answer}\n글이 진술을 답으로서 뒷받침합니까? "
        "알파벳 하나로만 답하시오.\n{choices}\n정답:",
    },
    "same": {
        "en": "Question: {question}\nFirst answer: {answer}\nSecond answer: {other}\nDo the two answers mean the same? "
        "Write one letter only.\n{choices}\nAnswer:",
        "ko": "질문: {question}\n첫째 답: {answer}\n둘째 답: {other}\n두 답은 같은 뜻입니까? "
        "알파벳 하나로만 답하시오.\n{choices}\n정답:",
    },
    "stated": {
        "en": "Question: {question}\nProposed answer: {answer}\nHow sure are you, from 0 to 100, that the proposed "
        "answer is right? Write the number only.",
        "ko": "질문: {question}\n제안된 답: {answer}\n제안된 답이 맞다고 0부터 100까지 얼마나 확신합니까? "
        "숫자만 쓰시오.",
    },
}  # fmt: skip
_YES_NO = {"en": ("yes", "no"), "ko": ("예", "아니요")}
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(slots=True)
class Judged:
    """An answer with the surenesses that the methods gave it, and whether it is right."""

    item: Item
    answer: Answer
    right: bool
    sureness: dict[str, float] = field(default_factory=dict)


async def detection(
    asking: Asking, suite: Suite, *, samples: int = SAMPLES, costly: bool = True
) -> tuple[list[Metric], list[Judged]]:
    """Answers the suite's items once surely and several times by lot, and sees which method finds the wrong ones.

    The suite's first prompt is asked. Without `costly` the methods that ask about each pair of answers are left out.
    """
    judged = await asking.each(
        shuffled(suite.items, asking.seed), lambda item: _judge(asking, suite, item, samples, costly), least=2
    )
    whole = [one for one in judged if one is not None]
    return detection_metrics(suite.name, whole, seed=asking.seed), whole


def detection_metrics(name: str, judged: Sequence[Judged], *, seed: int = 0) -> list[Metric]:
    """The AUROC of each method over the answers that it is sure of to some degree; the ECE of what is a probability."""
    methods = list(dict.fromkeys(method for one in judged for method in one.sureness))
    found: list[Metric] = []
    for method in methods:
        own = [one for one in judged if method in one.sureness]
        sure, right = [one.sureness[method] for one in own], [one.right for one in own]
        if len(set(right)) < 2:
            continue
        area = auroc(sure, right, rng(seed), [one.item.cluster for one in own])
        labels: dict[str, Scalar] = {"suite": name, "method": method, "wrong": sum(not one for one in right)}
        found.append(of_estimate("detection_auroc", area, labels, "bootstrap by question"))
        if method in ("stated confidence", "p(true)", "token probability", "self-consistency"):
            error = ece(sure, [float(one) for one in right], rng(seed), bins=min(10, max(1, len(own) // 10)))
            found.append(of_estimate("confidence_ece", error, labels, "bootstrap by question"))
    return found


async def _judge(asking: Asking, suite: Suite, item: Item, samples: int, costly: bool) -> Judged | None:
    scorers, prompt = scorers_of(suite), suite.prompts[0]
    logprobs = asking.session.engine.capabilities.logprobs
    sure = replace(suite.sampling, temperature=0.0, logprobs=logprobs)
    main = await asking.session.answer(Case(suite.name, item, replace(prompt, name="sure"), sure), scorers)
    value = value_of(main, suite.scorers[0].key)
    if value is None:
        return None
    drawn = replace(suite.sampling, temperature=1.0, top_p=1.0, top_k=0)
    by_lot = replace(prompt, name="by lot")
    others = await asking.ask([Case(suite.name, item, by_lot, drawn, one) for one in range(samples)], scorers)
    texts = [one.response.text.strip() for one in others if one.error is None]
    text = main.response.text.strip()
    found = Judged(item, main, value == 1.0)
    found.sureness["chance"] = random.Random(f"{asking.seed}:{item.id}").random()
    found.sureness["answer length"] = -float(len(text))
    if main.response.tokens:
        each = [one.logprob for one in main.response.tokens]
        found.sureness["token probability"] = math.exp(sum(each) / len(each))
        found.sureness["least likely token"] = min(each)
    if texts:
        found.sureness["self-consistency"] = sum(_alike(text, other) for other in texts) / len(texts)
        found.sureness["selfcheck (words)"] = sum(_words(text, other) for other in texts) / len(texts)
        found.sureness["semantic entropy (words)"] = -entropy(clustered(texts, _alike))
    found.sureness |= await _asked(asking, suite, item, text, texts, costly)
    return found


async def _asked(
    asking: Asking, suite: Suite, item: Item, text: str, texts: Sequence[str], costly: bool
) -> dict[str, float]:
    """What the model itself says of its answer, and of how its answers relate."""
    about = _About(asking, suite, item)
    found: dict[str, float] = {}
    if (stated := await about.number("stated", text)) is not None:
        found["stated confidence"] = stated
    try:
        if (true := await about.yes("p_true", text)) is not None:
            found["p(true)"] = true
        if not costly or not texts:
            return found
        backed = [one for other in texts if (one := await about.yes("selfcheck", text, other)) is not None]
        if backed:
            found["selfcheck (prompt)"] = sum(backed) / len(backed)
        kinds = list(dict.fromkeys(texts))
        same = {
            (one, other): (await about.yes("same", one, other) or 0.0) > 0.5
            for place, one in enumerate(kinds) for other in kinds[place + 1 :]
        }  # fmt: skip
        groups = clustered(
            texts, lambda one, other: one == other or same.get((one, other), same.get((other, one), False))
        )
        found["semantic entropy (model)"] = -entropy(groups)
    except UnsupportedFeature:
        pass  # an engine without log-probabilities: what needs none was said above
    return found


class _About:
    """Questions to the model about its own answers to one item. They are kept like every other, without a score."""

    def __init__(self, asking: Asking, suite: Suite, item: Item) -> None:
        self._asking = asking
        self._suite = suite
        self._item = item
        self._lang = suite.language if suite.language in _YES_NO else "en"
        self._asked = 0

    async def yes(self, what: str, answer: str, other: str = "") -> float | None:
        """The probability of "yes" beside "no" as the next token."""
        case = self._case(what, answer, other, _YES_NO[self._lang])
        kept = await self._asking.session.answer(case, {}, frozenset({"letters"}))
        if kept.error is not None or len(kept.response.letters) != 2:
            return None
        yes, no = (math.exp(one) for one in kept.response.letters)
        return yes / (yes + no) if yes + no > 0 else None

    async def number(self, what: str, answer: str) -> float | None:
        """The number from 0 to 100 that the model writes, as a share."""
        kept = await self._asking.session.answer(self._case(what, answer, "", ()), {}, frozenset({"text"}))
        written = _NUMBER.search(kept.response.text)
        return min(1.0, float(written[0]) / 100) if written else None

    def _case(self, what: str, answer: str, other: str, choices: tuple[str, ...]) -> Case:
        fields = {"question": self._item.fields["question"], "answer": answer, "other": other}
        self._asked += 1
        prompt = Prompt(f"about: {what} {self._asked}", _ASK[what][self._lang])
        return Case(
            self._suite.name, replace(self._item, fields=fields, choices=choices), prompt, Sampling(max_tokens=6)
        )


def clustered(texts: Sequence[str], same: Callable[[str, str], bool]) -> list[int]:
    """The sizes of the groups of texts that mean the same: each joins the first group whose first member it matches."""
    heads: list[str] = []
    sizes: list[int] = []
    for text in texts:
        for place, head in enumerate(heads):
            if same(head, text):
                sizes[place] += 1
                break
        else:
            heads.append(text)
            sizes.append(1)
    return sizes


def entropy(sizes: Sequence[int]) -> float:
    """Semantic entropy in nats, from the share of each meaning (Farquhar et al. 2024, the discrete estimate)."""
    total = sum(sizes)
    return -sum(size / total * math.log(size / total) for size in sizes)


def _alike(one: str, other: str) -> bool:
    """Whether two short answers are the same but for case, spaces and punctuation, or one holds the other."""
    a, b = tight(one), tight(other)
    return a == b or (min(len(a), len(b)) > 1 and (a in b or b in a))


def _words(one: str, other: str) -> float:
    """F1 of two letters in a row, which serves Korean and English alike."""
    a, b = tight(one), tight(other)
    return overlap(
        [a[at : at + 2] for at in range(len(a) - 1)] or [a], [b[at : at + 2] for at in range(len(b) - 1)] or [b]
    )


def summary(metrics: Sequence[Metric]) -> Mapping[str, Metric]:
    """The AUROC of each method by its name."""
    return {str(one.labels["method"]): one for one in metrics if one.name == "detection_auroc"}
