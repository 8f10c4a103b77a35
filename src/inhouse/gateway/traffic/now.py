"""What is going on now: the last second and minute by subject, and the machines; of one process, or of all together.

Knows sums; nothing of who looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import orjson

from inhouse.gateway.traffic.meter import BySubject
from inhouse.gateway.traffic.sums import Sums, add


@dataclass(frozen=True, slots=True)
class Now:
    """A moment `at` (seconds since 1970). `minute_s` is how long the last minute is: a few seconds less, or more."""

    at: float
    second: BySubject = field(default_factory=dict)
    minute: BySubject = field(default_factory=dict)
    minute_s: float = 1.0
    machines: dict[str, dict[str, float]] = field(default_factory=dict)
    """By name; see `Machine.read`."""

    def second_of(self, subject: str) -> Sums:
        """What the last second brought."""
        return self.second.get(subject, {})

    def minute_of(self, subject: str) -> Sums:
        """What the last minute brought."""
        return self.minute.get(subject, {})


def together(moments: Iterable[Now]) -> Now:
    """What several processes see, as one; of a machine the largest figure, since each reads it a little differently."""
    first, *others = moments
    second, minute, machines = _copied(first.second), _copied(first.minute), _copied(first.machines)
    for one in others:
        for whole, part in ((second, one.second), (minute, one.minute)):
            for subject, sums in part.items():
                add(whole.setdefault(subject, {}), sums)
        for name, read in one.machines.items():
            known = machines.setdefault(name, {})
            for figure, value in read.items():
                own = figure.startswith("own_")  # each process's own: those add up
                known[figure] = known.get(figure, 0.0) + value if own else max(known.get(figure, value), value)
    return Now(first.at, second, minute, max(first.minute_s, *(one.minute_s for one in others), 1.0), machines)


def to_json(now: Now) -> str:
    """What a process shows the others."""
    return orjson.dumps(now).decode()


def from_json(text: str) -> Now:
    """What `to_json` wrote."""
    return Now(**orjson.loads(text))


def _copied(by_name: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {name: dict(values) for name, values in by_name.items()}
