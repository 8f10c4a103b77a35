"""Where a bench stands, for whoever watches it. Counts samples; prints nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from inhouse.bench.plan import Stage
from inhouse.core.records import Sample


@dataclass(frozen=True, slots=True)
class BenchProgress:
    """Where a run stands. `stage` is what is being done: number `number` of `of` (None: a sweep's end is open).

    `share` of that stage is done (0 to 1; None where its end cannot be told). `done` requests of `total`
    (None where time ends the stage) are answered.
    """

    run_id: str
    stage: str
    number: int = 0
    of: int | None = None
    done: int = 0
    total: int | None = None
    errors: int = 0
    share: float | None = None
    elapsed_s: float = 0.0
    output_tokens_s: float = 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds until the stage ends, as far as it can be told."""
        return self.elapsed_s * (1 - self.share) / self.share if self.share else None

    @property
    def run_share(self) -> float | None:
        """How much of the whole run is done (0 to 1), taking its stages for equally long."""
        return None if not self.of else min(1.0, (max(0, self.number - 1) + (self.share or 0.0)) / self.of)


Report = Callable[[BenchProgress], None]


class Tally:
    """Counts a stage's answers as they come."""

    def __init__(self, run_id: str, stage: Stage, number: int, of: int | None, total: int | None) -> None:
        self._run_id = run_id
        self._stage = stage
        self._number = number
        self._of = of
        self._total = total
        self._start: float | None = None
        self._done = self._errors = self._tokens = 0

    def start(self) -> None:
        """Marks the end of the warm-up."""
        self._start = time.perf_counter()

    def add(self, sample: Sample) -> None:
        """Counts an answer."""
        self._done += 1
        self._errors += sample.error is not None
        self._tokens += sample.completion_tokens or len(sample.token_times_s)

    def progress(self) -> BenchProgress:
        """Where the stage stands now."""
        elapsed = time.perf_counter() - self._start if self._start is not None else 0.0
        shares = [self._done / self._total] if self._total else []
        if self._stage.duration_s is not None:
            shares.append(elapsed / self._stage.duration_s)
        return BenchProgress(
            run_id=self._run_id,
            stage=self._stage.name,
            number=self._number,
            of=self._of,
            done=self._done,
            total=self._total,
            errors=self._errors,
            share=min(1.0, max(shares)) if shares else None,
            elapsed_s=elapsed,
            output_tokens_s=self._tokens / elapsed if elapsed > 0 else 0.0,
        )
