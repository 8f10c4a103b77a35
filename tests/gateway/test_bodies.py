"""Kept prompts and answers are sealed, expire, and go when they must."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from inhouse.core.errors import StoreError, UsageError
from inhouse.gateway.bodies import BodyStore
from inhouse.store.database import Database

KEY = bytes(range(32))
REQUEST = {"messages": [{"role": "user", "content": "제 번호는 010-1234-5678"}]}
ANSWER = {"text": "확인했습니다"}


class Clock:
    def __init__(self):
        self.now = datetime(2026, 5, 1, 12, tzinfo=UTC)

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


on_both = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def database(request, store_url):
    server = getattr(request, "param", "sqlite")
    opened = Database(store_url if server == "sqlite" else request.getfixturevalue("fresh_postgres_url"))
    yield opened
    opened.close()


@pytest.fixture
def bodies(database, clock):
    return BodyStore(database, KEY, timedelta(days=30), clock=clock)


@on_both
def test_a_body_comes_back_as_it_was(bodies, clock):
    bodies.keep("r1", "key-1", REQUEST, ANSWER, person="kim@corp.example")
    body = bodies.get("r1")
    assert (body.request, body.answer, body.key_id) == (REQUEST, ANSWER, "key-1")
    assert (body.at, body.expires_at) == (clock.now, clock.now + timedelta(days=30))


def test_nothing_in_the_database_can_be_read(bodies, database):
    bodies.keep("r1", "key-1", REQUEST, ANSWER, person="kim@corp.example")
    with database.read() as connection:
        row = connection.execute(text("SELECT * FROM bodies")).one()
    for part in row:
        raw = bytes(part) if isinstance(part, (bytes, memoryview)) else str(part).encode()
        assert b"010-1234" not in raw
        assert b"kim" not in raw


def test_another_key_a_change_or_a_swap_cannot_be_opened(bodies, database, clock):
    bodies.keep("r1", "key-1", REQUEST, ANSWER)
    with pytest.raises(StoreError, match="cannot be opened"):
        BodyStore(database, bytes(32), timedelta(days=1), clock=clock).get("r1")
    with database.write() as connection:
        connection.execute(text("UPDATE bodies SET key_id = 'key-2'"))
    with pytest.raises(StoreError, match="cannot be opened"):
        bodies.get("r1")


def test_what_is_over_is_not_shown_and_is_purged(bodies, clock):
    bodies.keep("old", "key-1", REQUEST, ANSWER)
    clock.now += timedelta(days=29)
    bodies.keep("new", "key-1", REQUEST, ANSWER)
    clock.now += timedelta(days=1)
    with pytest.raises(StoreError, match="No body is kept"):
        bodies.get("old")
    assert [body.id for body in bodies.export()] == ["new"]
    assert bodies.count().count == 2
    assert bodies.purge() == 1
    assert bodies.count().count == 1


@on_both
def test_a_key_a_person_or_a_request_is_removed_and_nothing_else(bodies):
    for number, (key, person) in enumerate([("a", "kim"), ("a", "lee"), ("b", "kim"), ("b", None)]):
        bodies.keep(f"r{number}", key, REQUEST, ANSWER, person=person)
    assert [body.id for body in bodies.export(person="kim")] == ["r0", "r2"]
    assert [body.id for body in bodies.export(key_id="b")] == ["r2", "r3"]
    assert bodies.delete(person="kim") == 2
    assert bodies.delete(key_id="a") == 1
    assert bodies.delete(body_id="r3") == 1
    assert bodies.count().count == 0


def test_removing_without_saying_what_is_refused(bodies):
    with pytest.raises(UsageError):
        bodies.delete()


def test_the_same_request_again_replaces_its_body(bodies):
    bodies.keep("r1", "a", REQUEST, ANSWER)
    bodies.keep("r1", "a", REQUEST, {"text": "다시"})
    assert bodies.get("r1").answer == {"text": "다시"}
    assert bodies.count().count == 1


def test_a_retention_of_nothing_is_refused(database):
    with pytest.raises(UsageError):
        BodyStore(database, KEY, timedelta(0))
