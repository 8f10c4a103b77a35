"""Rates of requests and tokens by key and team: what is let in, what is refused, and what the client is told."""

from __future__ import annotations

import pytest

from inhouse.core.errors import RateLimited
from inhouse.gateway.identity import Caller, KeyLimits
from inhouse.gateway.limits import RateLimits


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limits(clock: Clock) -> RateLimits:
    return RateLimits(clock)


def caller(key: str = "k", team: str | None = None, *, of_team: KeyLimits | None = None, **own: int) -> Caller:
    return Caller(key, key, team=team, limits=KeyLimits(**own), team_limits=of_team or KeyLimits())


async def test_as_many_requests_as_a_minute_allows_may_come_at_once_and_no_more(limits):
    who = caller(requests_per_minute=6)
    for _ in range(6):
        await limits.take(who, "m", 1)
    with pytest.raises(RateLimited) as refused:
        await limits.take(who, "m", 1)
    assert refused.value.retry_after_s == pytest.approx(10.0)


async def test_a_refused_request_may_come_when_it_was_told_to(limits, clock):
    who = caller(requests_per_minute=6)
    for _ in range(6):
        await limits.take(who, "m", 1)
    with pytest.raises(RateLimited) as refused:
        await limits.take(who, "m", 1)
    clock.now += refused.value.retry_after_s - 0.01
    with pytest.raises(RateLimited):
        await limits.take(who, "m", 1)
    clock.now += 0.011
    await limits.take(who, "m", 1)


async def test_over_a_long_time_no_more_pass_than_the_rate_and_one_bucket(limits, clock):
    who = caller(requests_per_minute=30)
    passed = 0
    for _ in range(6000):  # ten minutes, ten tries a second
        try:
            await limits.take(who, "m", 1)
            passed += 1
        except RateLimited:
            pass
        clock.now += 0.1
    assert 300 + 30 - 1 <= passed <= 300 + 30 + 1


async def test_tokens_are_limited_apart_from_requests(limits, clock):
    who = caller(tokens_per_minute=1000)
    await limits.take(who, "m", 700)
    with pytest.raises(RateLimited, match="1,000 tokens a minute"):
        await limits.take(who, "m", 400)
    await limits.take(who, "m", 300)
    clock.now += 24
    await limits.take(who, "m", 400)


async def test_what_a_request_did_not_use_is_given_back(limits):
    who = caller(tokens_per_minute=1000)
    await limits.take(who, "m", 1000)
    await limits.settle(who, "m", 1000, 100)
    await limits.take(who, "m", 900)
    with pytest.raises(RateLimited):
        await limits.take(who, "m", 1)


async def test_what_a_request_used_beyond_its_estimate_is_owed(limits, clock):
    who = caller(tokens_per_minute=600)
    await limits.take(who, "m", 100)
    await limits.settle(who, "m", 100, 1200)
    with pytest.raises(RateLimited) as refused:
        await limits.take(who, "m", 1)
    assert refused.value.retry_after_s == pytest.approx(60.1)


async def test_a_request_larger_than_a_minute_is_let_in_when_the_bucket_is_full(limits, clock):
    who = caller(tokens_per_minute=100)
    await limits.take(who, "m", 50)
    with pytest.raises(RateLimited) as refused:
        await limits.take(who, "m", 5000)
    clock.now += refused.value.retry_after_s
    await limits.take(who, "m", 5000)


async def test_only_so_many_requests_run_at_once(limits):
    who = caller(max_concurrent=2)
    await limits.take(who, "m", 1)
    await limits.take(who, "m", 1)
    with pytest.raises(RateLimited, match="2 requests under way"):
        await limits.take(who, "m", 1)
    await limits.settle(who, "m", 1, 1)
    await limits.take(who, "m", 1)


async def test_the_keys_of_a_team_share_its_rate(limits):
    of_team = KeyLimits(requests_per_minute=3)
    one, other = caller("one", "t", of_team=of_team), caller("other", "t", of_team=of_team)
    await limits.take(one, "m", 1)
    await limits.take(one, "m", 1)
    await limits.take(other, "m", 1)
    with pytest.raises(RateLimited, match="This team"):
        await limits.take(other, "m", 1)
    await limits.take(caller("third", "u", of_team=of_team), "m", 1)


async def test_what_the_team_refuses_does_not_count_for_the_key(limits, clock):
    who = caller("one", "t", of_team=KeyLimits(max_concurrent=1), requests_per_minute=2, tokens_per_minute=100)
    await limits.take(who, "m", 10)
    for _ in range(5):
        with pytest.raises(RateLimited, match="This team"):
            await limits.take(who, "m", 10)
    await limits.settle(who, "m", 10, 10)
    state = await limits.take(who, "m", 10)
    assert state.requests is not None
    assert (state.requests.remaining, state.tokens.remaining) == (0, 80)


async def test_a_limit_that_changes_holds_from_then_on(limits):
    await limits.take(caller(requests_per_minute=2), "m", 1)
    await limits.take(caller(requests_per_minute=2), "m", 1)
    with pytest.raises(RateLimited):
        await limits.take(caller(requests_per_minute=2), "m", 1)
    with pytest.raises(RateLimited):  # what was used of the old limit is the same part of the new one
        await limits.take(caller(requests_per_minute=4), "m", 1)
    await limits.take(caller(), "m", 1)


async def test_a_limit_of_nothing_lets_nothing_in(limits):
    with pytest.raises(RateLimited):
        await limits.take(caller(requests_per_minute=0), "m", 1)


async def test_the_headers_are_those_that_openai_clients_read(limits, clock):
    who = caller(requests_per_minute=60, tokens_per_minute=600)
    await limits.take(who, "m", 100)
    state = await limits.take(who, "m", 100)
    assert dict(state.headers()) == {
        b"x-ratelimit-limit-requests": b"60",
        b"x-ratelimit-remaining-requests": b"58",
        b"x-ratelimit-reset-requests": b"2s",
        b"x-ratelimit-limit-tokens": b"600",
        b"x-ratelimit-remaining-tokens": b"400",
        b"x-ratelimit-reset-tokens": b"20s",
    }


async def test_a_refusal_carries_the_headers_too(limits):
    who = caller(requests_per_minute=1)
    await limits.take(who, "m", 1)
    with pytest.raises(RateLimited) as refused:
        await limits.take(who, "m", 1)
    assert dict(refused.value.headers)[b"x-ratelimit-remaining-requests"] == b"0"
    assert dict(refused.value.headers)[b"x-ratelimit-reset-requests"] == b"1m0s"


async def test_the_headers_tell_of_the_tighter_limit(limits):
    who = caller("one", "t", of_team=KeyLimits(requests_per_minute=5), requests_per_minute=100)
    state = await limits.take(who, "m", 1)
    assert dict(state.headers())[b"x-ratelimit-limit-requests"] == b"5"


async def test_a_caller_without_limits_gets_no_headers(limits):
    for _ in range(1000):
        state = await limits.take(Caller("free", "free"), "m", 10**6)
    assert state.headers() == []
