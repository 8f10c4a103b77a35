"""What the special measures share: they ask through a session, item by item, until their time is up."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from inhouse.bench.statistics import Estimate
from inhouse.core.records import Metric, Scalar
from inhouse.quality.answers import Answer
from inhouse.quality.scorers import Scorer, make_scorer
from inhouse.quality.session import Session
from inhouse.quality.statistics import Interval, mean_interval
from inhouse.quality.suite import Case, Item, Suite, cases_of

T = TypeVar("T")
R = TypeVar("R")


@dataclass(slots=True)
class Asking:
    """A measure under way: its session, when its time is up (on time.perf_counter()), and whom it tells of it."""

    session: Session
    until: float
    report: Callable[[float | None, str], None] = lambda fraction, detail: None
    seed: int = 0

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.perf_counter() >= self.until

    def within(self, share: float) -> Asking:
        """The same with that share of the time that is left."""
        now = time.perf_counter()
        return Asking(self.session, now + max(0.0, self.until - now) * share, self.report, self.seed)

    async def each(
        self, things: Sequence[T], work: Callable[[T], Awaitable[R]], *, least: int = 1, what: str = "questions"
    ) -> list[R]:
        """What `work` makes of each thing, several at once, in order; at least so many however long it takes."""
        waiting: Iterator[tuple[int, T]] = iter(enumerate(things))
        found: dict[int, R] = {}

        async def worker() -> None:
            for place, thing in waiting:
                if place >= least and self.over:
                    return
                found[place] = await work(thing)
                self.report(len(found) / len(things), f"{len(found)} of {len(things)} {what}")

        async with asyncio.TaskGroup() as group:
            for _ in range(self.session.concurrency):
                group.create_task(worker())
        return [found[place] for place in sorted(found)]

    async def suite(self, suite: Suite, items: Sequence[Item], *, least: int = 1) -> list[Answer]:
        """The answers to those items, by every prompt of the suite and judged by its scorers; whole items only."""
        scorers = scorers_of(suite)

        async def one(item: Item) -> list[Answer]:
            return [await self.session.answer(case, scorers) for case in cases_of(suite.with_(items=(item,)))]

        found = await self.each(items, one, least=least)
        return [answer for answers in found for answer in answers]

    async def ask(self, cases: Sequence[Case], scorers: Mapping[str, Scorer]) -> list[Answer]:
        """The answers to all cases, whatever the time, as many at once as the session allows."""
        return await self.session.answer_all(cases, scorers)


def scorers_of(suite: Suite) -> dict[str, Scorer]:
    """The suite's scorers by their keys."""
    return {use.key: make_scorer(use) for use in suite.scorers}


def in_turn(items: Sequence[Item], tag: str, seed: int) -> list[Item]:
    """The items in an order by lot in which the values of the tag take turns: any beginning has all of them."""
    groups: dict[Scalar, list[Item]] = defaultdict(list)
    for item in items:
        groups[item.tags.get(tag)].append(item)
    dice = random.Random(seed)
    for group in groups.values():
        dice.shuffle(group)
    found: list[Item] = []
    while any(groups.values()):
        found += [group.pop() for group in groups.values() if group]
    return found


def by_cluster_in_turn(items: Sequence[Item], tag: str, seed: int) -> list[list[Item]]:
    """Whole clusters of items, the tag's values taking turns."""
    clusters: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        clusters[item.cluster].append(item)
    heads = in_turn([group[0] for group in clusters.values()], tag, seed)
    return [clusters[head.cluster] for head in heads]


def shuffled(items: Sequence[Item], seed: int) -> list[Item]:
    """The items in an order by lot."""
    return random.Random(seed).sample(list(items), len(items))


def value_of(answer: Answer, scorer: str) -> float | None:
    """What the scorer said; None where the request failed or could not be judged."""
    return answer.scores[scorer].value if scorer in answer.scores else None


def share(
    name: str, values: Sequence[float], labels: Mapping[str, Scalar] | None = None,
    clusters: Sequence[Hashable] | None = None,
) -> list[Metric]:  # fmt: skip
    """The mean of values from 0 to 1 as a figure with its interval; nothing where there is no value."""
    return [of_interval(name, mean_interval(values, clusters), labels)] if values else []


def of_interval(name: str, interval: Interval, labels: Mapping[str, Scalar] | None = None) -> Metric:
    """A share from an interval."""
    return Metric(
        name, interval.value, "share", dict(labels or {}), interval.low, interval.high, interval.n, interval.method
    )


def of_estimate(
    name: str, found: Estimate, labels: Mapping[str, Scalar] | None = None, method: str = "bootstrap", unit: str = ""
) -> Metric:
    """A figure from a bootstrap's estimate."""
    return Metric(name, found.value, unit, dict(labels or {}), found.low, found.high, found.n, method)


def rng(seed: int) -> np.random.Generator:
    """The dice of a bootstrap."""
    return np.random.default_rng(seed)
