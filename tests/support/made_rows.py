"""Usage rows as requests leave them."""

from __future__ import annotations

import itertools

from inhouse.gateway.ledger import UsageRow, utc_day

_numbers = itertools.count()


def made_row(**values) -> UsageRow:
    """A row of a request that was answered well; `values` replace its fields."""
    at = values.pop("at", 1_700_006_400.0)
    row = UsageRow(
        id=f"row-{next(_numbers):08}", at=at, day=utc_day(at), key_id="key", team="team", api="openai.chat", model="m",
        replica=None, prompt_tokens=10, completion_tokens=20, cached_tokens=0, tokens_estimated=False, nano_usd=0,
        micro_krw=0, saved_micro_krw=0, queue_s=0.0, prefill_s=None, decode_s=None, ttft_s=0.1, e2e_s=0.5, status=200,
        error=None, finish_reason="stop", cache=None, guard=None, retries=0,
    )  # fmt: skip
    return row._replace(**values)
