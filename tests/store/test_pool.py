"""Who waits for whom: slow listings of people hold up neither a lease, nor quick looks, nor the journal."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from dbos.store.database import Role, Session
from dbos.store.pool import MAX_READERS
from dbos.store.postgres.database import PostgresDatabase
from dbos.store.postgres.session import PostgresSession
from dbos.store.search import WorkflowFilter
from dbos.store.sqlite.database import SqliteDatabase, SqliteSession
from dbos.store.store import Store
from tests.store.conftest import OpenStore
from tests.store.records import owner, start
from tests.support.waiting import Gate

T = TypeVar("T")

PROMPTLY_SECONDS = 10.0  # on the busiest machine; whoever waits in line here waits for ever


def promptly(question: Callable[[], T]) -> T:
    """The answer, or a failure instead of a test that hangs."""
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(question).result(PROMPTLY_SECONDS)
    finally:
        pool.shutdown(wait=False)


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Every listing stops here, with its connection in hand."""
    gate = Gate()
    for session in (SqliteSession, PostgresSession):

        def run_within(self, *arguments, original=session.run_within):
            gate.pass_through()
            return original(self, *arguments)

        monkeypatch.setattr(session, "run_within", run_within)
    return gate


@pytest.mark.parametrize(("pool_size", "at_once"), [(20, 2), (5, 1), (4, 1)])
def test_slow_listings_leave_readers_to_everybody_else(
    open_store: OpenStore, listings: Gate, pool_size: int, at_once: int
) -> None:
    store = open_store(pool_size=pool_size)
    store.journal.write([start("w")])
    store.executors.register(owner(), "host", 1, "", 60)
    with ThreadPoolExecutor(MAX_READERS + 2) as people, listings:
        asked = [people.submit(store.workflows.search, WorkflowFilter()) for _ in range(MAX_READERS + 2)]
        listings.wait_for_arrival(at_once)
        assert promptly(lambda: store.workflows.standing("w")) == ("PENDING", 1)
        assert promptly(lambda: store.executors.look_around("host")[0]) == [("here", 1, "")]
        assert promptly(lambda: store.executors.renew("here", 60))
        assert listings.passes == at_once
        listings.open()
        assert [len(each.result(PROMPTLY_SECONDS)) for each in asked] == [1] * len(asked)


def test_what_is_read_quickly_shares_a_session(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the one that is there beats opening another, as long as that takes longer."""
    opened: list[Role] = []
    for database in (SqliteDatabase, PostgresDatabase):

        def connect(self, role: Role, original=database.connect) -> Session:
            opened.append(role)
            return original(self, role)

        monkeypatch.setattr(database, "connect", connect)
        monkeypatch.setattr(database, "opening_seconds", PROMPTLY_SECONDS)
    store = open_store()
    with ThreadPoolExecutor(2 * MAX_READERS) as people:
        assert all(people.map(lambda _: store.now_ms() > 0, range(10 * MAX_READERS)))
    assert opened.count(Role.READER) == 1


def test_a_listing_that_fails_makes_room_for_the_next(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(pool_size=4)
    for session in (SqliteSession, PostgresSession):

        def run_within(self, *arguments):
            raise ZeroDivisionError

        monkeypatch.setattr(session, "run_within", run_within)
    for _ in range(MAX_READERS):
        with pytest.raises(ZeroDivisionError):
            promptly(lambda: store.workflows.search(WorkflowFilter()))
    monkeypatch.undo()
    assert promptly(lambda: store.workflows.search(WorkflowFilter())) == []


def test_a_lease_is_renewed_while_every_reader_is_taken(store: Store) -> None:
    store.executors.register(owner(), "host", 1, "", 60)
    readers = store._pool._readers
    assert readers is not None
    taken = [readers.borrow() for _ in range(MAX_READERS)]
    try:
        assert promptly(lambda: store.executors.renew("here", 60))
        assert not promptly(lambda: store.executors.renew("nobody", 60))
    finally:
        for session in taken:
            readers.give_back(session, sound=True)
