"""Requests made up from the gateway's own OpenAPI document, valid and not: none of them is answered with a 5xx."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

SECONDS = 25.0
"""For all operations together; what is left over when it is up is not tried."""
FAST = settings(
    max_examples=40,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def try_out(operation: Any, key: str, until: float) -> int:
    """Sends requests to an operation; how many it were."""
    sent = 0

    @FAST
    @given(case=operation.as_strategy())
    def ask(case: schemathesis.Case) -> None:
        nonlocal sent
        if sent and time.perf_counter() > until:
            return
        answer = case.call(headers={"Authorization": f"Bearer {key}"})
        sent += 1
        assert answer.status_code < 500, f"{case.as_curl_command()}\n{answer.status_code} {answer.text}"

    ask()
    return sent


@pytest.mark.timeout(90)
async def test_no_request_that_the_schema_leads_to_makes_the_gateway_fail(start):
    running = await start(settings={"deadline_s": 5.0})
    _, key = running.keys.create("root", role="admin")

    def fuzz() -> dict[str, int]:
        schema = schemathesis.openapi.from_url(f"{running.url}/openapi.json")
        schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
        operations = [result.ok() for result in schema.get_all_operations()]
        begin = time.perf_counter()
        return {
            operation.label: try_out(operation, key, begin + SECONDS * number / len(operations))
            for number, operation in enumerate(operations, 1)
        }

    tried = await asyncio.to_thread(fuzz)
    assert "POST /v1/chat/completions" in tried
    assert min(tried.values()) > 0
    assert sum(tried.values()) > 5 * len(tried)
    assert not [line for line in running.logged() if line["event"] == "defect"]
