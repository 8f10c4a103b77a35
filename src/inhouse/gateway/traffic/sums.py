"""What a number of requests came to, as sums: of the same or other requests they add up, in any order and grain.

Durations are counted in buckets that grow by 9 %, so that a percentile of any sum of them is known to within 5 %.
Knows usage rows; nothing of when, whose or where they are kept.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

from inhouse.gateway.http_errors import CLIENT_LEFT
from inhouse.gateway.ledger import UsageRow

Sums = dict[str, float]
"""By name: `requests`, `failed` (by our fault, 5xx), `refused` (4xx), `left` (the client did), tokens (`prompt`,
`completion`, `cached`), `micro_krw`, `saved_micro_krw`, `retries`; `cache:<how>`, `guard:<action>`, `error:<code>`;
`<duration>:<bucket>` of `ttft`, `itl`, `e2e`, `queue`. `waiting_s` and `running_s` are requests times seconds. Of a
machine: `samples`, and the sums of what was read. What is 0 is left out."""

DURATIONS = ("ttft", "itl", "e2e", "queue")
"""First token, time a token after it (a request's mean), the whole, the wait for a slot."""

PERCENTILES = (0.5, 0.95, 0.99)

_LEAST_S = 1e-4
_A_DOUBLING = 8
_GROWTH = 2 ** (1 / _A_DOUBLING)
_MOST_BUCKETS = 255  # over four days; whatever took longer counts there


def add_row(sums: Sums, row: UsageRow) -> None:
    """Counts a request. Times are those of answers: a refusal is quick, and would flatter them."""
    _add(sums, "requests", 1)
    status = row.status
    if status >= 400:
        _add(sums, "left" if status == CLIENT_LEFT else "failed" if status >= 500 else "refused", 1)
        _add(sums, f"error:{row.error or status}", 1)
    for name, value in (
        ("prompt", row.prompt_tokens),
        ("completion", row.completion_tokens),
        ("cached", row.cached_tokens),
        ("micro_krw", row.micro_krw),
        ("saved_micro_krw", row.saved_micro_krw),
        ("retries", row.retries),
    ):
        if value:
            _add(sums, name, value)
    if row.cache is not None:
        _add(sums, f"cache:{row.cache}", 1)
    if row.guard is not None:
        _add(sums, f"guard:{row.guard}", 1)
    if row.queue_s is not None:
        _add(sums, f"queue:{_bucket(row.queue_s)}", 1)
    if status >= 400:
        return
    _add(sums, f"e2e:{_bucket(row.e2e_s)}", 1)
    if row.ttft_s is not None:
        _add(sums, f"ttft:{_bucket(row.ttft_s)}", 1)
        if row.completion_tokens > 1:
            _add(sums, f"itl:{_bucket((row.e2e_s - row.ttft_s) / (row.completion_tokens - 1))}", 1)


def add(sums: Sums, others: Mapping[str, float]) -> None:
    """Adds other sums to these."""
    for name, value in others.items():
        sums[name] = sums.get(name, 0) + value


def total(every: Iterable[Mapping[str, float]]) -> Sums:
    """All of them together."""
    sums: Sums | None = None
    for one in every:
        if sums is None:
            sums = dict(one)
        else:
            add(sums, one)
    return sums or {}


def parts(sums: Mapping[str, float], name: str) -> dict[str, float]:
    """The sums called `name:…`, by what stands there."""
    beginning = f"{name}:"
    return {key.removeprefix(beginning): value for key, value in sums.items() if key.startswith(beginning)}


def percentiles(sums: Mapping[str, float], duration: str, shares: Sequence[float]) -> list[float | None]:
    """Of one of DURATIONS, in seconds: what that share of the requests stayed under; None where there were none."""
    return _percentiles([(int(bucket), count) for bucket, count in parts(sums, duration).items()], shares)


def all_percentiles(sums: Mapping[str, float]) -> dict[str, list[float | None]]:
    """The percentiles 50, 95 and 99 of each of DURATIONS, in one go: a chart asks for hundreds of them."""
    counts: dict[str, list[tuple[int, float]]] = {name: [] for name in DURATIONS}
    for key, count in sums.items():
        split = _split(key)
        if split is not None:
            counts[split[0]].append((split[1], count))
    return {name: _percentiles(those, PERCENTILES) for name, those in counts.items()}


def figures(sums: Mapping[str, float]) -> dict[str, Any]:
    """All that a reader of sums may want to see: counts as they are, percentiles (50, 95, 99) by duration."""
    found: dict[str, Any] = {name: value for name, value in sums.items() if ":" not in name}
    for name in ("cache", "guard", "error"):
        found[name] = parts(sums, name)
    return found | all_percentiles(sums)


def _percentiles(counts: list[tuple[int, float]], shares: Sequence[float]) -> list[float | None]:
    if not counts:
        return [None] * len(shares)
    counts.sort()
    until = list(accumulate(count for _, count in counts))
    found: list[float | None] = []
    for share in shares:
        rank = share * until[-1]
        index = min(bisect_left(until, rank), len(until) - 1)
        bucket, count = counts[index]
        # Within a bucket as if its requests were spread evenly over the logarithm.
        found.append(float(_LEAST_S * _GROWTH ** (bucket + (rank - until[index] + count) / count)))
    return found


@lru_cache(maxsize=4096)
def _split(key: str) -> tuple[str, int] | None:
    """The duration and the bucket that a key names; None of any other key."""
    name, _, bucket = key.partition(":")
    return (name, int(bucket)) if name in DURATIONS else None


def _bucket(seconds: float) -> int:
    if seconds <= _LEAST_S:
        return 0
    return min(_MOST_BUCKETS, int(math.log2(seconds / _LEAST_S) * _A_DOUBLING))


def _add(sums: Sums, name: str, value: float) -> None:
    sums[name] = sums.get(name, 0) + value
