"""Alerts: raised once by whichever process sees it first, over when it is, told to a webhook that may be told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address

import pytest
from aiohttp import web

from inhouse.core.errors import UsageError
from inhouse.gateway.failover import PoolStatus, ReplicaStatus
from inhouse.gateway.identity import Budget, Caller
from inhouse.gateway.logs import open_log
from inhouse.gateway.replica import Condition
from inhouse.gateway.settings import AlertSettings, load_gateway_settings
from inhouse.gateway.spending import Spent
from inhouse.gateway.traffic.alert_book import AlertBook, Reading
from inhouse.gateway.traffic.alerts import Alerts, may_be_told, read_budgets, read_disk, read_errors, read_latency
from inhouse.gateway.traffic.history import History
from inhouse.gateway.traffic.meter import Bin
from inhouse.gateway.web.alert_words import sayer
from inhouse.store.database import Database

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
HERE = ["127.0.0.0/8", "::1/128"]
ALICE = Caller("k1", "앨리스", budget=Budget(krw_per_month=Decimal(1000), tokens_per_day=100))


@dataclass
class Machine:
    """What the rules read: the history of a store, and figures of this test's own."""

    history: History
    conditions: list[Condition] = field(default_factory=lambda: [Condition.READY])
    disk: float = 0.5

    def pools(self):
        replicas = tuple(ReplicaStatus(f"r{n}", one, 0, 4, "") for n, one in enumerate(self.conditions))
        return (PoolStatus("parrot", 0, 0, 4, replicas),)

    @property
    def machine(self):
        return "box", {"disk": self.disk}


class Watch:
    """A process's watch over a store, its clock in hand."""

    def __init__(self, database, **settings):
        self.database = database
        self.settings = AlertSettings(**settings)
        self.machine = Machine(History(database, "w"))
        self.now = NOW.timestamp()
        self.spent = Spent()
        self.book = AlertBook(database, telling=bool(self.settings.webhook))
        self.alerts = Alerts(
            self.book, self.settings, self.machine, callers=lambda: [ALICE], spent=lambda: ({"k1": self.spent}, {}),
            say=sayer(self.settings.language, lambda: [ALICE]), log=open_log("error"), clock=lambda: self.now,
        )  # fmt: skip

    def rules(self) -> list[str]:
        return [alert.rule for alert in self.book.open()]

    def came(self, **sums: float) -> None:
        at = int(self.now // 10) * 10 - 10
        self.machine.history.write([Bin(10, at, subject, sums) for subject in ("all", "model:parrot")])


@pytest.fixture
def database(store_url):
    opened = Database(store_url)
    yield opened
    opened.close()


@asynccontextmanager
async def hook(*statuses: int) -> AsyncIterator[tuple[str, list]]:
    """A server that notes what it is sent and answers with these statuses, and then with 200."""
    came: list = []
    answers = list(statuses)

    async def take(request: web.Request) -> web.Response:
        came.append(await request.json())
        status = answers.pop(0) if answers else 200
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else {})

    application = web.Application()
    application.router.add_post("/hook", take)
    application.router.add_route("*", "/elsewhere", take)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/hook", came
    finally:
        await runner.cleanup()


def test_a_budgets_tightest_share_counts():
    spent = {"k1": Spent(month_micro_krw=500 * 10**6, day_tokens=85)}
    (reading,) = read_budgets(AlertSettings(), [ALICE, Caller("k2", "no budget")], spent, {})
    assert (reading.subject, reading.value, reading.raised) == ("key:k1", 0.85, True)


def test_few_requests_tell_nothing_of_errors_or_latency():
    slow = {"ttft:150": 10.0, "requests": 10}
    assert list(read_errors(AlertSettings(), {"requests": 10, "failed": 10})) == []
    assert list(read_latency(AlertSettings(), {"m": slow})) == []
    (errors,) = read_errors(AlertSettings(), {"requests": 100, "failed": 7, "refused": 50})
    assert (errors.value, errors.raised) == (0.07, True)
    (latency,) = read_latency(AlertSettings(), {"m": {"ttft:150": 100.0, "requests": 100}})
    assert latency.value > 5
    assert latency.raised


def test_a_machine_that_cannot_read_its_disk_raises_nothing():
    assert list(read_disk(AlertSettings(), "box", {})) == []


async def test_each_rule_raises_its_alert_and_ends_it(database):
    watch = Watch(database, window_s=60)
    await watch.alerts.look()
    assert watch.rules() == []
    watch.came(**{"requests": 100, "failed": 30, "ttft:140": 60, "e2e:150": 60})
    watch.machine.disk = 0.95
    watch.machine.conditions = [Condition.DOWN]
    watch.spent = Spent(month_micro_krw=900 * 10**6)
    await watch.alerts.look()
    assert sorted(watch.rules()) == ["budget", "disk", "errors", "latency"]  # down for a moment is no alert
    watch.now += 61
    await watch.alerts.look()
    assert "model" in watch.rules()
    watch.now += 120
    watch.machine.disk, watch.machine.conditions, watch.spent = 0.5, [Condition.READY], Spent()
    await watch.alerts.look()
    assert watch.rules() == []
    assert len(watch.book.ended(NOW)) == 5


def test_between_raised_and_calm_nothing_changes(database):
    book = AlertBook(database, telling=False)
    for minute, (value, lasts) in enumerate([(0.89, 0), (0.91, 1), (0.85, 1), (0.95, 1), (0.80, 0), (0.85, 0)]):
        book.settle([Reading("disk", "host:box", value, 0.9)], (), NOW + timedelta(minutes=minute))
        assert len(book.open()) == lasts, value
    (ended,) = book.ended(NOW)
    assert (ended.value, ended.until) == (0.95, NOW + timedelta(minutes=4))


def test_several_processes_open_an_alert_once_and_what_nobody_reads_any_more_is_over(database):
    one, other = AlertBook(database, telling=True), AlertBook(database, telling=True)
    reading = Reading("budget", "key:gone", 1.0, 0.8)
    disk = Reading("disk", "host:another", 1.0, 0.8)
    one.settle([reading, disk], (), NOW)
    other.settle([reading], (), NOW)
    assert len(one.open()) == 2
    assert len(one.take_due(NOW)) == 2
    assert other.take_due(NOW) == []  # one has them
    assert len(other.take_due(NOW + timedelta(minutes=3))) == 2  # and did not come back
    one.settle([], ("budget",), NOW)
    assert [alert.rule for alert in one.open()] == ["disk"]  # that machine's own to end


async def test_the_disk_of_a_machine_that_is_gone_is_no_alert_for_ever(database):
    watch = Watch(database)
    watch.book.settle([Reading("disk", "host:gone", 1.0, 0.9), Reading("disk", "host:there", 1.0, 0.9)], (), NOW)
    watch.machine.history.write([Bin(10, int(watch.now // 10) * 10 - 20, "host:there", {"samples": 1})])
    await watch.alerts.look()
    assert [alert.subject for alert in watch.book.open()] == ["host:there"]


async def test_the_webhook_is_told_of_the_beginning_and_the_end_in_its_readers_language(database):
    async with hook() as (url, came):
        watch = Watch(database, webhook=url, webhook_networks=HERE, language="ko")
        watch.spent = Spent(month_micro_krw=900 * 10**6)
        await watch.alerts.look()
        await watch.alerts.look()
        watch.spent = Spent()
        watch.now += 60
        await watch.alerts.look()
        await watch.alerts.look()
    assert [(one["rule"], one["state"]) for one in came] == [("budget", "open"), ("budget", "over")]
    assert came[0]["text"] == "경고: 키 앨리스: 예산의 90\u00a0%를 사용했습니다(기준 80\u00a0%)."
    assert came[1]["until"] == "2026-03-04T05:07:07+00:00"


async def test_a_webhook_that_fails_is_asked_again_later_and_later_and_the_page_says_why(database):
    async with hook(500, 503) as (url, came):
        watch = Watch(database, webhook=url, webhook_networks=HERE)
        watch.machine.disk = 0.95
        await watch.alerts.look()
        (alert,) = watch.book.open()
        assert "answered 500" in alert.problem
        assert url not in alert.problem
        await watch.alerts.look()
        assert len(came) == 1  # not yet
        watch.now += 11
        await watch.alerts.look()
        watch.now += 11
        await watch.alerts.look()
        assert len(came) == 2  # after twice as long
        watch.now += 11
        await watch.alerts.look()
        assert len(came) == 3
        (alert,) = watch.book.open()
        assert (alert.problem, alert.tell_at) == (None, None)


async def test_what_was_not_told_when_the_process_ended_is_told_by_the_next(database):
    watch = Watch(database, webhook="http://127.0.0.1:9/none", webhook_networks=HERE)
    watch.machine.disk = 0.95
    await watch.alerts.look()
    async with hook() as (url, came):
        after = Watch(database, webhook=url, webhook_networks=HERE)
        after.machine.disk, after.now = 0.95, watch.now + 60
        await after.alerts.look()
        assert [one["rule"] for one in came] == ["disk"]


async def test_two_processes_tell_once(database):
    async with hook() as (url, came):
        watches = [Watch(database, webhook=url, webhook_networks=HERE) for _ in range(4)]
        for one in watches:
            one.machine.disk = 0.95
        await asyncio.gather(*(one.alerts.look() for one in watches))
    assert len(came) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"])
async def test_an_inner_address_that_was_not_allowed_is_never_told(database, host):
    async with hook() as (url, came):
        watch = Watch(database, webhook=url.replace("127.0.0.1", host))
        watch.machine.disk = 0.95
        await watch.alerts.look()
        assert watch.book.open()[0].problem
    assert came == []


async def test_a_redirect_is_not_followed(database):
    async with hook(302) as (url, came):
        watch = Watch(database, webhook=url, webhook_networks=HERE)
        watch.machine.disk = 0.95
        await watch.alerts.look()
        assert "302" in watch.book.open()[0].problem
    assert len(came) == 1


def test_where_clouds_keep_credentials_is_never_allowed():
    allowed = may_be_told(AlertSettings(webhook_networks=["0.0.0.0/0", "::/0"]))
    for address in ("169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254"):
        assert not allowed(ip_address(address))
    assert allowed(ip_address("10.0.0.7"))
    assert not may_be_told(AlertSettings())(ip_address("10.0.0.7"))


@pytest.mark.parametrize("webhook", ["hooks.example/x", "ftp://hooks.example/x", "https://me:secret@hooks.example/x"])
def test_a_webhook_that_is_no_address_is_refused_when_the_settings_are_read(tmp_path, webhook):
    config = tmp_path / "g.toml"
    config.write_text(f'[alerts]\nwebhook = "{webhook}"\n')
    with pytest.raises(UsageError) as refused:
        load_gateway_settings(config)
    assert "alerts.webhook" in str(refused.value)
    assert "secret" not in str(refused.value)
