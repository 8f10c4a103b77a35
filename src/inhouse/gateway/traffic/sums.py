"""What a number of requests came to, as sums: of the same or other requests they add up, in any order and grain.

Durations are counted in buckets that grow by 9 %, so that a percentile of any sum of them is known to within 5 %.
Knows usage rows; nothing of when, whose or where they are kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
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
    sums: Sums = {}
    for one in every:
        add(sums, one)
    return sums


def parts(sums: Mapping[str, float], name: str) -> dict[str, float]:
    """The sums called `name:…`, by what stands there."""
    beginning = f"{name}:"
    return {key.removeprefix(beginning): value for key, value in sums.items() if key.startswith(beginning)}


def percentiles(sums: Mapping[str, float], duration: str, shares: Iterable[float]) -> list[float | None]:
    """Of one of DURATIONS, in seconds: what that share of the requests stayed under; None where there were none."""
    counts = sorted((int(bucket), count) for bucket, count in parts(sums, duration).items())
    number = sum(count for _, count in counts)
    if not number:
        return [None for _ in shares]
    return [_percentile(counts, share * number) for share in shares]


def figures(sums: Mapping[str, float]) -> dict[str, Any]:
    """All that a reader of sums may want to see: counts as they are, percentiles (50, 95, 99) by duration."""
    plain = {name: value for name, value in sums.items() if ":" not in name}
    found: dict[str, Any] = {**plain}
    for name in ("cache", "guard", "error"):
        found[name] = parts(sums, name)
    for name in DURATIONS:
        found[name] = percentiles(sums, name, (0.5, 0.95, 0.99))
    return found


def _percentile(counts: list[tuple[int, float]], rank: float) -> float:
    seen = 0.0
    for bucket, count in counts:
        if seen + count >= rank:
            # Within a bucket as if its requests were spread evenly over the logarithm.
            return float(_LEAST_S * _GROWTH ** (bucket + (rank - seen) / count))
        seen += count
    return float(_LEAST_S * _GROWTH ** (counts[-1][0] + 1))


def _bucket(seconds: float) -> int:
    if seconds <= _LEAST_S:
        return 0
    return min(_MOST_BUCKETS, int(math.log2(seconds / _LEAST_S) * _A_DOUBLING))


def _add(sums: Sums, name: str, value: float) -> None:
    sums[name] = sums.get(name, 0) + value
