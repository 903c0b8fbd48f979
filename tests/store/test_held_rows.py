"""Rows that somebody else's transaction holds keep waiting those who want the same, and nobody else (Postgres)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest

from dbos.store.database import JournalClosed, StoreSettings
from dbos.store.journal import MAX_ASIDE
from dbos.store.store import Store
from tests.store.records import checkpoint, start
from tests.store.test_journal import busy_writer
from tests.support.raw_sql import run_sql
from tests.support.waiting import PATIENCE_SECONDS, eventually, eventually_async

pytestmark = pytest.mark.own_session("a pooler's sessions wait for locks as long as their role says")

HELD = "select 1 from dbos.workflow_status where workflow_uuid like 'held%' for update"
WRITTEN = [()]


@pytest.fixture
def store(postgres_url: str) -> Iterator[Store]:
    with Store.open(StoreSettings(url=postgres_url)) as store:
        store.journal.write([start(f"held{number}") for number in range(MAX_ASIDE + 2)])
        store.journal.write([start("free")])
        yield store


@pytest.fixture
def other(postgres_url: str, store: Store) -> Iterator[psycopg.Connection]:
    """A transaction that holds rows, until it is rolled back."""
    with psycopg.connect(postgres_url) as connection:
        connection.execute(HELD)
        yield connection


def wait_for_a_wait(url: str) -> None:
    eventually(lambda: run_sql(url, "select 1 from pg_stat_activity where wait_event_type = 'Lock'"))


def wait_for_ends(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


@pytest.mark.parametrize("count", [1, MAX_ASIDE, MAX_ASIDE + 2])
def test_each_caller_of_a_batch_is_answered_when_what_he_wants_is_free(
    store: Store, other: psycopg.Connection, count: int
) -> None:
    async def write() -> None:
        loop, journal = asyncio.get_running_loop(), store.journal
        with busy_writer(store):  # all become one batch
            first = journal.write_soon([checkpoint("free", 1)], loop)
            with_held = [journal.write_soon([checkpoint(f"held{number}", 1)], loop) for number in range(count)]
            free = journal.write_soon([checkpoint("free", 2)], loop)
        assert await asyncio.wait_for(first, PATIENCE_SECONDS) == WRITTEN
        if count <= MAX_ASIDE:
            assert await asyncio.wait_for(free, PATIENCE_SECONDS) == WRITTEN
        assert not any(future.done() for future in with_held)
        other.rollback()
        assert await asyncio.gather(*with_held, free) == [WRITTEN] * (count + 1)
        await eventually_async(lambda: not journal._aside)

    asyncio.run(write())
    assert store.steps.recorded("held0", 1) is not None


def test_a_thread_that_commits_by_itself_holds_up_nobody(
    store: Store, other: psycopg.Connection, postgres_url: str
) -> None:
    answers: list[object] = []
    held = threading.Thread(target=lambda: answers.append(store.journal.write([checkpoint("held0", 1)])))
    held.start()
    wait_for_a_wait(postgres_url)
    free = [
        threading.Thread(target=lambda number=number: answers.append(store.journal.write([checkpoint("free", number)])))
        for number in range(4)
    ]
    for thread in free:
        thread.start()
    wait_for_ends(free)
    assert answers == [WRITTEN] * 4
    other.rollback()
    wait_for_ends([held])
    assert answers == [WRITTEN] * 5


def test_management_that_waits_leaves_connections_to_others(store: Store, other: psycopg.Connection) -> None:
    """More calls wait for rows than there are connections."""
    cancelling = [threading.Thread(target=store.workflows.cancel, args=([f"held{number}"],)) for number in range(6)]
    for thread in cancelling:
        thread.start()
    for _ in range(3):
        reading = threading.Thread(target=store.workflows.standing, args=("free",))
        reading.start()
        wait_for_ends([reading])
    assert store.workflows.standing("held0") == ("PENDING", 1)
    other.rollback()
    wait_for_ends(cancelling)
    assert store.workflows.standing("held0") == ("CANCELLED", 2)


@pytest.mark.parametrize("soon", [True, False], ids=["by the journal's thread", "by its own"])
def test_closing_ends_the_wait(store: Store, other: psycopg.Connection, postgres_url: str, soon: bool) -> None:
    failures: list[BaseException] = []

    async def write() -> None:
        await store.journal.write_soon([checkpoint("held0", 1)], asyncio.get_running_loop())

    def wait(call: Callable[[], object]) -> None:
        try:
            call()
        except JournalClosed as closed:
            failures.append(closed)

    call = (lambda: asyncio.run(write())) if soon else (lambda: store.journal.write([checkpoint("held0", 1)]))
    waiting = threading.Thread(target=wait, args=(call,))
    waiting.start()
    wait_for_a_wait(postgres_url)
    store.close()
    wait_for_ends([waiting])
    assert len(failures) == 1
