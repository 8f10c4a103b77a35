"""Temperature, top-p, top-k and repeat penalty: what each does to quality, consistency and variety of words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product

from inhouse.core.records import Metric, Scalar
from inhouse.quality.answers import Answer
from inhouse.quality.language import drift
from inhouse.quality.measures.base import Asking, scorers_of, share, shuffled, value_of
from inhouse.quality.measures.consistency import agreement_of
from inhouse.quality.statistics import paired_difference
from inhouse.quality.suite import Case, Item, Sampling, Suite
from inhouse.quality.text_scorers import plain


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to draw tokens. None leaves a value to the engine."""

    temperature: float
    top_p: float | None = None
    top_k: int | None = None
    repeat_penalty: float | None = None

    @property
    def name(self) -> str:
        """Such as "t0.7 p0.8 k20 r1.1"."""
        parts = (("t", self.temperature), ("p", self.top_p), ("k", self.top_k), ("r", self.repeat_penalty))
        return " ".join(f"{letter}{value:g}" for letter, value in parts if value is not None)

    def of(self, sampling: Sampling) -> Sampling:
        """The sampling with these values."""
        return replace(
            sampling, temperature=self.temperature, top_p=self.top_p, top_k=self.top_k,
            repeat_penalty=self.repeat_penalty,
        )  # fmt: skip


# Neighbours of what engines start with (temperature 0.7–0.8, top-p 0.95, top-k 40, no penalty), one value at a time.
QUICK = (
    Setting(0.0),
    Setting(0.7, 0.95, 40, 1.0),
    Setting(1.0, 0.95, 40, 1.0),
    Setting(1.5, 1.0, 0, 1.0),
    Setting(0.7, 0.5, 40, 1.0),
    Setting(0.7, 0.95, 5, 1.0),
    Setting(0.7, 0.95, 40, 1.3),
)
FULL = tuple(
    Setting(*values) for values in product((0.0, 0.3, 0.7, 1.0, 1.5), (0.5, 0.9, 1.0), (10, 40, 0), (1.0, 1.1, 1.3))
    if values[0] > 0 or values[1:3] == (1.0, 0)
)  # fmt: skip
"""Every combination; at temperature 0 top-p and top-k change nothing."""


async def sweep(
    asking: Asking, facts: Suite, open_: Suite, *, settings: Sequence[Setting] = QUICK, samples: int = 2
) -> tuple[list[Metric], list[Answer]]:
    """Questions with an answer (`facts`) and open ones (`open_`), each at every setting, until the time is up."""
    found: list[Answer] = []
    rows: dict[str, dict[str, list[Answer]]] = {setting.name: defaultdict(list) for setting in settings}
    pairs = list(zip(shuffled(facts.items, asking.seed), shuffled(open_.items, asking.seed), strict=False))
    judges = {facts.name: scorers_of(facts), open_.name: scorers_of(open_)}

    def cases(suite: Suite, item: Item, setting: Setting, cut: int | None) -> list[Case]:
        prompt = replace(suite.prompts[0], name=f"{suite.prompts[0].name}, {setting.name}")
        sampling = setting.of(suite.sampling if cut is None else replace(suite.sampling, max_tokens=cut))
        return [Case(suite.name, item, prompt, sampling, repeat) for repeat in range(samples)]

    for place, (fact, question) in enumerate(pairs):
        if place >= 1 and asking.over:
            break
        for setting in settings:
            for suite, item, cut in ((facts, fact, None), (open_, question, 32)):
                answers = await asking.ask(cases(suite, item, setting, cut), judges[suite.name])
                rows[setting.name][suite.name] += answers
                found += answers
        asking.report(None, f"{place + 1} questions at {len(settings)} settings")
    return sampling_metrics(facts, open_, settings, rows), found


def sampling_metrics(
    facts: Suite, open_: Suite, settings: Sequence[Setting], rows: dict[str, dict[str, list[Answer]]]
) -> list[Metric]:
    """Quality (right facts), consistency and variety of each setting, and two recommendations with their evidence.

    `recommended`, for answers: the most consistent of the settings whose quality is not worse than the best one's
    beyond noise. `recommended`, for writing: of those the one of the greatest variety. The label `setting` names it,
    `of` and `ruled_out` how many there were and how many were worse beyond noise.
    """
    scorer = facts.scorers[0].key
    found: list[Metric] = []
    quality: dict[str, dict[str, float]] = {}
    steady: dict[str, float] = {}
    varied: dict[str, float] = {}
    for setting in settings:
        labels: dict[str, Scalar] = {"setting": setting.name, "temperature": setting.temperature}
        by_item = _by_item(rows[setting.name][facts.name])
        quality[setting.name] = {
            name: sum(values) / len(values)
            for name, group in by_item.items()
            if (values := [value for one in group if (value := value_of(one, scorer)) is not None])
        }
        agreements = [agreement_of([one.response.text for one in group]) for group in by_item.values()]
        written = [one.response.text for one in rows[setting.name][open_.name] if one.error is None]
        texts = list(_by_item(rows[setting.name][open_.name]).values())
        variety = [distinct_pairs([one.response.text for one in group]) for group in texts]
        found += share("setting_quality", list(quality[setting.name].values()), labels)
        found += share("setting_consistency", agreements, labels)
        found += share("setting_variety", variety, labels)
        found += share("setting_drift", [float(drift(text)) for text in written], labels)
        steady[setting.name] = sum(agreements) / max(1, len(agreements))
        varied[setting.name] = sum(variety) / max(1, len(variety))
    return found + _recommended(settings, quality, steady, varied)


def _recommended(
    settings: Sequence[Setting],
    quality: dict[str, dict[str, float]],
    steady: dict[str, float],
    varied: dict[str, float],
) -> list[Metric]:
    if not any(quality.values()):
        return []
    means = {name: sum(values.values()) / max(1, len(values)) for name, values in quality.items()}
    best = max(means, key=lambda name: (means[name], steady[name]))
    common = set.intersection(*(set(values) for values in quality.values()))
    good = []
    for setting in settings:
        ours, top = ([quality[name][item] for item in sorted(common)] for name in (setting.name, best))
        gap = paired_difference(ours, top)
        if not (gap.beyond_noise and gap.value > 0):
            good.append(setting)
    found = []
    for purpose, by in (("answers", steady), ("writing", varied)):
        chosen = max(good, key=lambda setting: (by[setting.name], means[setting.name], -setting.temperature))
        labels: dict[str, Scalar] = {
            "purpose": purpose, "setting": chosen.name, "of": len(settings), "ruled_out": len(settings) - len(good),
            "temperature": chosen.temperature,
        }  # fmt: skip
        found.append(
            Metric("recommended", means[chosen.name], "share", labels, n=len(common), method="not worse beyond noise")
        )
    return found


def distinct_pairs(texts: Sequence[str]) -> float:
    """Of all pairs of neighbouring words, the share that are different ones (distinct-2, Li et al. 2016)."""
    pairs = [pair for text in texts for words in [plain(text).split()] for pair in pairwise(words)]
    return len(set(pairs)) / len(pairs) if pairs else 0.0


def _by_item(answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    groups: dict[str, list[Answer]] = defaultdict(list)
    for one in answers:
        if one.error is None:
            groups[one.item].append(one)
    return groups
