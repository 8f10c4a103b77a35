"""The ledger: a row for each request, kept before the answer ends, whatever ends the process."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from inhouse.core.errors import EngineUnavailable
from inhouse.gateway.ledger import Ledger, UsageRow, utc_day
from inhouse.gateway.prices import load_prices
from inhouse.gateway.usage import sum_usage
from inhouse.store.database import Database
from inhouse.store.gateway_tables import usage, usage_days

URL = "/v1/chat/completions"


def body(text: str = "one two", **options) -> dict:
    return {"model": "parrot", "messages": [{"role": "user", "content": text}], **options}


def row(number: int, **changes) -> UsageRow:
    values = dict.fromkeys(UsageRow._fields)
    counts = ("prompt_tokens", "completion_tokens", "cached_tokens", "nano_usd", "micro_krw", "saved_micro_krw")
    values |= dict.fromkeys(counts, 1) | {"tokens_estimated": False, "retries": 0, "e2e_s": 0.1, "status": 200}
    values |= {"id": f"{number:020d}", "at": 1e9, "day": utc_day(1e9), "key_id": "k", "api": "a", "model": "m"}
    return UsageRow(**(values | changes))


async def test_each_request_leaves_one_row(running, tmp_path):
    async with httpx.AsyncClient(base_url=running.url) as http:
        answer = await http.post(URL, json=body(stream=False))
        streamed = await http.post(URL, json=body(stream=True))
        running.engine.fails = EngineUnavailable("gone")
        failed = await http.post(URL, json=body(), headers={"x-deadline-seconds": "0.2"})
    assert failed.status_code == 503
    await asyncio.sleep(0.1)
    first, second, third = running.rows()
    assert (first["id"], second["id"]) == (answer.headers["x-request-id"], streamed.headers["x-request-id"])
    assert (first["api"], first["model"], first["replica"]) == ("openai.chat", "parrot", "talking")
    assert (first["prompt_tokens"], first["completion_tokens"], first["status"]) == (2, 2, 200)
    assert (first["prefill_s"], first["decode_s"], first["finish_reason"]) == (0.25, 0.125, "stop")
    assert 0 < first["ttft_s"] <= first["e2e_s"] < 5
    assert third["status"] == 503
    assert (third["prompt_tokens"], third["completion_tokens"]) == (0, 0)


async def test_the_row_is_there_before_the_answer_ends(running):
    rows_then = None
    async with httpx.AsyncClient(base_url=running.url) as http:  # noqa: SIM117
        async with http.stream("POST", URL, json=body(stream=True)) as answer:
            async for line in answer.aiter_lines():
                if '"finish_reason":"stop"' in line:
                    rows_then = len(running.rows())
    assert rows_then == 1


async def test_an_answer_that_nobody_waited_for_is_billed_for_what_was_made(running):
    running.engine.word_s = 0.05
    with suppress(httpx.ReadTimeout):
        async with httpx.AsyncClient(base_url=running.url, timeout=0.3) as http:
            await http.post(URL, json=body(" ".join(["word"] * 100)))
    for _ in range(100):
        if running.rows():
            break
        await asyncio.sleep(0.02)
    (left,) = running.rows()
    assert (left["status"], left["error"]) == (499, "client_left")
    assert 0 < left["completion_tokens"] < 30
    assert left["tokens_estimated"]
    assert running.engine.left_early == 1  # the engine was stopped too


async def test_costs_are_by_the_price_table_in_both_currencies(start, tmp_path):
    table = tmp_path / "prices.toml"
    table.write_text(
        'krw_per_usd = 1400\n[models.parrot]\ncurrency = "USD"\ninput = 0.15\noutput = 0.6\n'
        '[models.raven]\ncurrency = "KRW"\ninput = 700\ncached_input = 70\noutput = 1400\n'
    )
    prices = load_prices(table)
    running = await start(prices=prices)
    async with httpx.AsyncClient(base_url=running.url) as http:
        await http.post(URL, json=body("a b c d"))
    (paid,) = running.rows()
    assert (paid["nano_usd"], paid["micro_krw"]) == (4 * 150 + 4 * 600, 4 * 210 + 4 * 840)
    assert prices["raven"].cost(1_000_000, 1_000_000, 500_000) == (1_275_000_000, 1_785_000_000)


async def test_many_rows_share_a_commit_and_the_days_add_up(store_url):
    database = Database(store_url)
    ledger = Ledger(database)
    ledger.start()
    days = [{"day": f"2026-01-{1 + number % 3:02d}", "model": f"m{number % 2}"} for number in range(600)]
    await asyncio.gather(*(ledger.record(row(number, **day)) for number, day in enumerate(days)))
    assert ledger.rows == 600
    assert ledger.commits <= 20
    assert [one.requests for one in sum_usage(database, ["day"])] == [200, 200, 200]
    by_model = sum_usage(database, ["model"], since="2026-01-02")
    assert [(one.group["model"], one.requests, one.prompt_tokens) for one in by_model] == [
        ("m0", 200, 200),
        ("m1", 200, 200),
    ]
    await ledger.close()


@pytest.mark.parametrize("sync", ["process", "disk"])
async def test_rows_taken_before_the_end_are_written(store_url, sync):
    database = Database(store_url)
    ledger = Ledger(database, sync=sync)
    ledger.start()
    for number in range(50):
        ledger.note(row(number))
    await ledger.close()
    assert sum_usage(database, ["key"])[0].requests == 50


async def test_a_store_that_fails_ends_the_request_with_an_error_and_is_seen(running):
    with running.database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE usage RENAME TO gone")
    async with httpx.AsyncClient(base_url=running.url) as http:
        answer = await http.post(URL, json=body())
        assert answer.status_code == 503
        assert "ledger" in answer.json()["error"]["message"]
        streamed = await http.post(URL, json=body(stream=True))
        assert "[DONE]" not in streamed.text
        assert "ledger" in streamed.text
        assert (await http.get("/readyz")).status_code == 503
        with running.database.write() as connection:
            connection.exec_driver_sql("ALTER TABLE gone RENAME TO usage")
        assert (await http.post(URL, json=body())).status_code == 200
        assert (await http.get("/readyz")).status_code == 200


async def test_the_ledger_on_postgresql_survives_a_broken_connection(fresh_postgres_url):
    database = Database(fresh_postgres_url)
    ledger = Ledger(database)
    ledger.start()
    await ledger.record(row(1))
    with database.write() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    await ledger.record(row(2))
    await ledger.close()
    assert sum_usage(database, ["key"])[0].requests == 2
    database.close()


@pytest.mark.timeout(300)  # fifty starts of a gateway, on a machine with other work
def test_a_gateway_killed_at_any_moment_has_lost_no_answer_that_a_client_saw_the_end_of(store_url):
    script = Path(__file__).parents[1] / "support" / "killed_gateway.py"
    ended = subprocess.run([sys.executable, script, store_url, "50"], capture_output=True, text=True, timeout=290)
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert result["kills"] == 50
    assert result["answers"] > 500
    assert result["lost"] == []
    database = Database(store_url)
    with database.read() as connection:
        rows = connection.scalar(select(func.count()).select_from(usage))
        days = connection.scalar(select(func.sum(usage_days.c.requests)))
    database.close()
    assert rows == days >= result["answers"]
