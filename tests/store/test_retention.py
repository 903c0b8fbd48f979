"""What retention deletes and what it keeps (I44), a batch at a time."""

from __future__ import annotations

from functools import partial
from typing import Any

import psycopg
import pytest

from dbos.store.database import Row
from dbos.store.pool import Run
from dbos.store.retention import BEGINNING, Bounds, Place, collect
from dbos.store.store import Store
from tests.store.conftest import OpenStore
from tests.store.records import APPLICATION, checkpoint, event, finish, message, start, stream_value
from tests.support.raw_sql import run_sql

EVER = Bounds(2**62, 2**62, APPLICATION)
PER_WORKFLOW = {
    "workflow_status": "workflow_uuid",
    "operation_outputs": "workflow_uuid",
    "notifications": "destination_uuid",
    "workflow_events": "workflow_uuid",
    "workflow_events_history": "workflow_uuid",
    "streams": "workflow_uuid",
}


def run(store: Store, workflow_id: str, ends: bool = True, steps: int = 1, **fields: Any) -> None:
    store.journal.write([start(workflow_id, **fields)])
    for number in range(1, steps + 1):
        store.journal.write([checkpoint(workflow_id, number)])
    if ends:
        store.journal.write([finish(workflow_id)])


def sweep(store: Store, bounds: Bounds = EVER, limit: int = 2) -> list[str]:
    """One whole sweep; in the order of deletion."""
    deleted: list[str] = []
    place: Place | None = BEGINNING
    while place is not None:
        batch = store.workflows.collect(bounds, place, limit)
        deleted += [workflow_id for workflow_id, _ in batch.deleted]
        place = batch.reached
    return deleted


def remaining(url: str) -> set[str]:
    return {row[0] for row in run_sql(url, "select workflow_uuid from workflow_status")}


def test_everything_of_what_has_ended_goes_and_everything_else_stays(store: Store, database_url: str) -> None:
    for number in range(5):
        run(store, f"done{number}")
        store.journal.write([message(f"done{number}")])
    run(store, "runs", ends=False)
    store.journal.write([*event("runs", 1, '"x"'), stream_value("runs", 2), message("runs")])
    run(store, "waits", ends=False, steps=0, status="ENQUEUED", queue_name="q")
    run(store, "foreign", application_name="another")
    run(store, "nobodys", application_name=None)
    assert set(sweep(store)) == {*(f"done{number}" for number in range(5)), "nobodys"}
    assert remaining(database_url) == {"runs", "waits", "foreign"}
    for table, column in PER_WORKFLOW.items():
        kept = {row[0] for row in run_sql(database_url, f"select {column} from {table}")}
        assert kept <= {"runs", "waits", "foreign"}, table
        assert "runs" in kept, table
    assert sweep(store, Bounds(2**62, 2**62)) == ["foreign"]


def test_what_an_unfinished_workflow_needs_is_kept(store: Store, database_url: str) -> None:
    run(store, "parent", ends=False)
    run(store, "child", parent_workflow_id="parent")
    run(store, "elsewhere")  # nobody's child, but the parent recorded that it started it
    store.journal.write([checkpoint("parent", 2, child_workflow_id="elsewhere")])
    run(store, "ended parent")
    run(store, "running child", ends=False, parent_workflow_id="ended parent")
    run(store, "origin")
    run_sql(database_url, "update workflow_status set forked_from = 'origin' where workflow_uuid = 'running child'")
    run(store, "free")
    assert sweep(store) == ["free"]
    assert sweep(store) == []
    for workflow_id in ("parent", "running child"):
        store.journal.write([finish(workflow_id)])
    assert set(sweep(store)) == {"parent", "child", "elsewhere", "ended parent", "running child", "origin"}


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)  # SQLite has one writer
@pytest.mark.parametrize("moment", range(4))
def test_a_parent_reopened_during_a_batch_keeps_its_child(
    open_store: OpenStore, database_url: str, moment: int
) -> None:
    """It may do so until it is locked, and from then on waits: nothing is deleted under it in between."""
    store, elsewhere = open_store(), open_store()
    run(store, "parent", ends=False)
    run(store, "child", parent_workflow_id="parent")
    store.workflows.cancel(["parent"])
    run_sql(database_url, "update workflow_status set completed_at = 1 where workflow_uuid = 'child'")
    statements: list[str] = []

    def reopening(work: Run, name: str, /, **values: object) -> list[Row]:
        rows = work(name, **values)
        if len(statements) == moment:
            elsewhere.workflows.resume(["parent"])
        statements.append(name)
        return rows

    batch = store._pool.transact(lambda work: collect(partial(reopening, work), Bounds(2**62, 2), BEGINNING, 10))
    assert (
        statements == ["old_workflows", "relatives", "lock_finished", "relatives", "lock_finished"][: len(statements)]
    )
    assert (batch.deleted, remaining(database_url)) == ([], {"parent", "child"})


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_parent_waits_with_being_reopened_until_its_child_is_deleted(store: Store, database_url: str) -> None:
    run(store, "parent")
    run(store, "child", parent_workflow_id="parent")
    run_sql(database_url, "update workflow_status set completed_at = 1 where workflow_uuid = 'child'")

    def reopening(work: Run, name: str, /, **values: object) -> list[Row]:
        if name == "delete_workflows":
            with psycopg.connect(database_url) as connection, pytest.raises(psycopg.errors.LockNotAvailable):
                connection.execute(
                    "select 1 from dbos.workflow_status where workflow_uuid = 'parent' for update nowait"
                )
        return work(name, **values)

    batch = store._pool.transact(lambda work: collect(partial(reopening, work), Bounds(2**62, 2), BEGINNING, 10))
    assert [workflow_id for workflow_id, _ in batch.deleted] == ["child"]


def test_bounds_of_creation_and_end(store: Store, database_url: str) -> None:
    for number in range(1, 5):
        run(store, f"w{number}")
        run_sql(
            database_url,
            "update workflow_status set created_at = ?, completed_at = ? where workflow_uuid = ?",
            number * 10,
            number * 10 + 5,
            f"w{number}",
        )
    assert store.workflows.nth_newest(2, APPLICATION) == 30
    assert store.workflows.nth_newest(5, APPLICATION) is None
    assert store.workflows.nth_newest(1, "another") is None
    assert store.workflows.nth_newest(4, None) == 10
    assert sweep(store, Bounds(30, 25, APPLICATION)) == ["w1"]
    assert sweep(store, Bounds(30, 26, APPLICATION)) == ["w2"]
    assert remaining(database_url) == {"w3", "w4"}


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_batches_go_on_behind_what_stays_and_behind_equal_times(store: Store, database_url: str, limit: int) -> None:
    for number in range(6):
        run(store, f"w{number}", ends=number % 2 == 0)
    run_sql(database_url, "update workflow_status set created_at = 7")
    assert set(sweep(store, limit=limit)) == {"w0", "w2", "w4"}
    assert remaining(database_url) == {"w1", "w3", "w5"}


def test_unfinished_before(store: Store, database_url: str) -> None:
    for name in ("a", "b", "c", "d"):
        run(store, name, ends=name == "c")
    run_sql(database_url, "update workflow_status set created_at = 10 where workflow_uuid <> 'd'")
    assert store.workflows.unfinished_before(11, APPLICATION, "", 10) == ["a", "b"]
    assert store.workflows.unfinished_before(11, APPLICATION, "a", 10) == ["b"]
    assert store.workflows.unfinished_before(11, None, "", 1) == ["a"]
    assert store.workflows.unfinished_before(10, APPLICATION, "", 10) == []
