"""I6: nothing of an attempt is written once someone else may write, however narrow the window.

The window is between the check of a guard and the commit of the write. A takeover that commits inside it must either be
seen by the write, or wait for it; only the lock on the workflow's row does that. The last test takes the lock away and
shows that the others would notice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import psycopg
import pytest

from dbos.store.database import StoreSettings
from dbos.store.records import Record
from dbos.store.store import Store
from tests.store.records import (
    RUNNABLE,
    attributes,
    checkpoint,
    event,
    finish,
    message,
    owner,
    receive,
    sent,
    start,
    stream_value,
)
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually

GUARDED: list[Callable[[str], Record]] = [
    lambda workflow_id: checkpoint(workflow_id, 1),
    finish,
    lambda workflow_id: start(f"child of {workflow_id}", guard_workflow_id=workflow_id, guard_epoch=1),
    lambda workflow_id: attributes(workflow_id, '{"stale": 1}', guard=(workflow_id, 1)),
    lambda workflow_id: message("third", f'"from {workflow_id}"', guard=(workflow_id, 1)),
    lambda workflow_id: sent(workflow_id, 1, message("third", message_id="known")),
    lambda workflow_id: receive(workflow_id, 1),
    lambda workflow_id: event(workflow_id, 1, "1")[0],
    lambda workflow_id: event(workflow_id, 1, "1")[1],
    lambda workflow_id: stream_value(workflow_id, 1),
    lambda workflow_id: stream_value(workflow_id, 1, token=f"inside a step of {workflow_id}"),
]
MAILED = [start("third"), message("third", message_id="known"), message("w"), message("other")]
"""What some of them need to be written at all."""
TAKEOVERS: list[Callable[[Store], object]] = [
    lambda store: store.workflows.cancel(["w"]),
    lambda store: store.workflows.resume(["w"]),
    lambda store: store.workflows.take_over(owner("there"), ["local"], RUNNABLE, 10),
    lambda store: store.workflows.adopt_orphans(owner(), ["w"]),
]


@pytest.mark.parametrize("takeover", TAKEOVERS)
@pytest.mark.parametrize("record", GUARDED)
def test_after_a_takeover_the_stale_attempt_writes_nothing(
    store: Store, database_url: str, record: Callable[[str], Record], takeover: Callable[[Store], object]
) -> None:
    store.journal.write([start("w"), start("other"), *MAILED])
    assert takeover(store)

    def everything() -> list[object]:
        tables = (
            "workflow_status",
            "operation_outputs",
            "notifications",
            "workflow_events",
            "workflow_events_history",
            "streams",
        )
        return [run_sql(database_url, f"select * from {table} order by 1, 2") for table in tables]

    before = everything()
    assert store.journal.write([record("w")]) == [None]
    assert everything() == before


def test_an_adopted_workflow_obeys_its_new_owner_only(store: Store) -> None:
    store.executors.register(owner("dead"), "host", 1, "then", lease_seconds=30)
    store.journal.write([start("w", executor_instance="dead")])
    store.executors.declare_dead(["dead"])
    (row,) = store.workflows.adopt(owner("heir"), RUNNABLE, 10)
    assert (row.epoch, row.recovery_attempts, row.executor_instance, row.status) == (2, 2, "heir", "PENDING")
    assert store.journal.write([checkpoint("w", 1, epoch=1), checkpoint("w", 1, epoch=2)]) == [None, ()]
    step = store.steps.recorded("w", 1)
    assert step is not None
    assert step.epoch == 2


def test_an_expired_workflow_is_fenced(store: Store) -> None:
    store.journal.write([start("w", timeout_ms=-1_000)])
    assert store.workflows.expire() == ["w"]
    assert store.journal.write([checkpoint("w", 1), finish("w")]) == [None, None]


# ------------------------------------------------------------ inside the window (Postgres: SQLite has one writer)


def open_takeover(url: str) -> psycopg.Connection[tuple[object, ...]]:
    """A takeover that has changed the row and not yet committed."""
    connection = psycopg.connect(url)
    connection.execute("update dbos.workflow_status set epoch = epoch + 1 where workflow_uuid = 'w'")
    return connection


def waits_for_a_row(url: str) -> bool:
    return bool(run_sql(url, "select 1 from pg_stat_activity where wait_event_type = 'Lock'"))


def write_during(store: Store, url: str, records: list[Record]) -> list[object]:
    """Write while a takeover is about to commit; it commits once the write waits for it (or is through, unfenced)."""
    results: list[object] = []
    with open_takeover(url) as takeover:
        thread = threading.Thread(target=lambda: results.extend(store.journal.write(records)))
        thread.start()
        eventually(lambda: waits_for_a_row(url) or not thread.is_alive())
        takeover.commit()
    thread.join()
    return results


@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("record", GUARDED)
def test_a_takeover_that_commits_first_is_seen(postgres_url: str, record: Callable[[str], Record], copies: int) -> None:
    with Store.open(StoreSettings(url=postgres_url)) as store:
        store.journal.write([start("w"), start("other"), *MAILED])
        neighbours = [record("other")] * (copies - 1)
        results = write_during(store, postgres_url, [record("w"), *neighbours])
        assert [result is not None for result in results] == [False] + [True] * len(neighbours)


def test_a_takeover_that_comes_second_waits(postgres_url: str) -> None:
    """The write holds the row until it commits: checked with a write that stays uncommitted for a while."""
    with Store.open(StoreSettings(url=postgres_url)) as store:
        store.journal.write([start("w")])
        statement = store._pool.database.statements["Checkpoint"]
        with psycopg.connect(postgres_url) as slow:
            psycopg.RawCursor(slow).execute(statement.sql, list(checkpoint("w", 1)))
            taken: list[object] = []
            thread = threading.Thread(
                target=lambda: taken.extend(store.workflows.take_over(owner("there"), ["local"], RUNNABLE, 10))
            )
            thread.start()
            eventually(lambda: waits_for_a_row(postgres_url))
            assert not taken
            slow.commit()
        thread.join()
        assert len(taken) == 1
        assert store.steps.recorded("w", 1) is not None


@pytest.mark.parametrize("name", ["Checkpoint", "Checkpoint_many"])
def test_without_the_lock_a_stale_attempt_would_write(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The proof that the tests above look at the right thing."""
    with Store.open(StoreSettings(url=postgres_url)) as store:
        statements = store._pool.database.statements
        unlocked = statements[name].sql.replace("for no key update", "")
        assert unlocked != statements[name].sql
        monkeypatch.setitem(statements._by_name, name, statements[name]._replace(sql=unlocked))
        store.journal.write([start("w")])
        records: list[Record] = [checkpoint("w", 1), checkpoint("w", 2)][: 2 if name.endswith("many") else 1]
        assert write_during(store, postgres_url, records) == [()] * len(records)
