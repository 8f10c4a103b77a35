"""Counts one process's requests by whose they are and when they ended, at several grains at once.

Knows usage rows and sums; where the grains are kept is history.py's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from inhouse.gateway.ledger import UsageRow
from inhouse.gateway.traffic.sums import Sums, add, add_row, total

ALL = "all"
STEPS_S = (10, 60, 600, 3600, 86400)
"""The grains, each a multiple of the one before."""
WINDOW_BINS = 6
"""Of the finest grain, those that the last minute is made of (the newest is still being filled)."""

BySubject = dict[str, Sums]


class Bin(NamedTuple):
    """What came of one subject in the step that began `at` (seconds since 1970)."""

    step_s: int
    at: int
    subject: str
    sums: Sums


class Meter:
    """One process's counts. `note` is called for each request; all else once a second."""

    def __init__(self, now: float) -> None:
        self.rows: deque[UsageRow] = deque()
        """Requests that have ended and are not counted yet; appending is all that they pay."""
        self.second: BySubject = {}
        """What the last turn of a second brought."""
        self._recent: deque[tuple[int, BySubject]] = deque(maxlen=WINDOW_BINS)
        self._coarse: dict[int, tuple[int, BySubject]] = {}
        self._changed: dict[int, set[str]] = {step: set() for step in STEPS_S[1:]}
        self._groups: dict[tuple[str, str | None, str], Sums] = {}
        self._recent.append((_floor(now, STEPS_S[0]), {}))
        for step in STEPS_S[1:]:
            self._coarse[step] = _floor(now, step), {}

    def count(self, most: int) -> bool:
        """Counts at most so many of the requests that wait for it; whether there are more."""
        groups = self._groups
        for _ in range(min(most, len(self.rows))):
            row = self.rows.popleft()
            key = row.model, row.team, row.key_id
            sums = groups.get(key)
            if sums is None:
                sums = groups[key] = {}
            add_row(sums, row)
        return bool(self.rows)

    def turn(self, now: float, measured: Mapping[str, Mapping[str, float]]) -> list[Bin]:
        """Ends a second, with what was measured beside (by subject); the bins of the history that are now due.

        Every fine bin is due once, when it is complete; of the coarse ones what there is so far, each minute, and
        the rest when they are complete.
        """
        self.second = {subject: dict(sums) for subject, sums in measured.items()}
        for (model, team, key_id), sums in self._groups.items():
            for subject in _subjects(model, team, key_id):
                add(self.second.setdefault(subject, {}), sums)
        self._groups = {}
        due: list[Bin] = []
        at, current = self._recent[-1]
        if now >= at + STEPS_S[0]:
            due += self._end_fine(now)
            at, current = self._recent[-1]
        for subject, sums in self.second.items():
            add(current.setdefault(subject, {}), sums)
        return due

    def rest(self) -> list[Bin]:
        """All that is not in the history yet; for the end."""
        at, current = self._recent[-1]
        self._pass_on(at, current)
        fine = [Bin(STEPS_S[0], at, subject, sums) for subject, sums in current.items()]
        return [*fine, *(one for step in STEPS_S[1:] for one in self._take(step))]

    def window(self, subject: str) -> Sums:
        """The subject's last minute, within a few seconds."""
        return total(found[subject] for _, found in self._recent if subject in found)

    def window_s(self, now: float) -> float:
        """How long the time of `window` is."""
        return max(1.0, now - self._recent[0][0])

    def recent_subjects(self) -> set[str]:
        """The subjects of the last minute."""
        return {subject for _, found in self._recent for subject in found}

    def _end_fine(self, now: float) -> list[Bin]:
        """Ends the fine bin, adds it to the coarse ones, and begins the one of now."""
        at, ended = self._recent[-1]
        due = [Bin(STEPS_S[0], at, subject, sums) for subject, sums in ended.items()]
        self._pass_on(at, ended)
        minute_over = now >= self._coarse[STEPS_S[1]][0] + STEPS_S[1]
        for step in STEPS_S[1:]:
            began, _ = self._coarse[step]
            complete = now >= began + step
            if minute_over:
                due += self._take(step)
            if complete:
                self._coarse[step] = _floor(now, step), {}
        self._recent.append((_floor(now, STEPS_S[0]), {}))
        return due

    def _pass_on(self, at: int, ended: BySubject) -> None:
        for step in STEPS_S[1:]:
            _, held = self._coarse[step]
            for subject, sums in ended.items():
                add(held.setdefault(subject, {}), sums)
            self._changed[step].update(ended)

    def _take(self, step: int) -> Iterator[Bin]:
        began, held = self._coarse[step]
        changed, self._changed[step] = self._changed[step], set()
        return (Bin(step, began, subject, dict(held[subject])) for subject in sorted(changed))


def _subjects(model: str, team: str | None, key_id: str) -> tuple[str, ...]:
    named = (ALL, f"model:{model}", f"key:{key_id}")
    return named if team is None else (*named, f"team:{team}")


def _floor(now: float, step: int) -> int:
    return int(now // step) * step
