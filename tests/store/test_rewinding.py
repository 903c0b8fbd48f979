"""Rewinding, down in the tables: what is forgotten, what stays, and that a call counts once."""

from __future__ import annotations

from typing import Any

import pytest

from dbos.error import DBOSException, DBOSNonExistentWorkflowError
from dbos.store.rewinding import Rewind
from dbos.store.store import Store
from tests.store.records import checkpoint, event, finish, message, receive, start, stream_end, stream_value
from tests.support.raw_sql import run_sql


def to(start_step: int, **fields: Any) -> Rewind:
    return Rewind("w", start_step, **fields)


@pytest.fixture
def finished(store: Store, database_url: str) -> Store:
    """A workflow of seven steps: an event twice, a stream with an end, a message received, two transactions."""
    store.journal.write([start("w", inputs="in", timeout_ms=60_000, token="first life")])
    store.journal.write([checkpoint("w", 1), *event("w", 1, '"old"')])
    store.journal.write([stream_value("w", 2)])
    store.journal.write([message("w", '"one"', message_id="m1"), message("w", '"two"', message_id="m2")])
    store.journal.write([receive("w", 3)])
    store.journal.write([checkpoint("w", 4), *event("w", 4, '"new"'), *event("w", 4, '"other"', key="late")])
    store.journal.write([receive("w", 5)])
    store.journal.write([stream_value("w", 6)])
    store.journal.write([stream_end("w", 7)])
    for step in (2, 4):
        run_sql(
            database_url,
            "insert into transaction_outputs (workflow_uuid, function_id, function_name, life, epoch, txn_snapshot,"
            " created_at) values ('w', ?, 'tx', 'first life', 1, '', 0)",
            step,
        )
    store.journal.write([finish("w")])
    return store


def rows(url: str, columns: str, table: str, where: str = "workflow_uuid = 'w'") -> list[tuple[Any, ...]]:
    return run_sql(url, f"select {columns} from {table} where {where} order by 1, 2")


def test_what_was_recorded_from_the_step_on_is_forgotten(finished: Store, database_url: str) -> None:
    assert finished.workflows.rewind(to(4), "t")
    assert [step.function_id for step in finished.steps.list("w")] == [1, 2, 3]
    assert rows(database_url, "key, value", "workflow_events") == [("k", '"old"')]
    assert rows(database_url, "function_id, key", "workflow_events_history") == [(1, "k")]
    assert rows(database_url, '"offset", value', "streams") == [(0, "2")]
    assert rows(database_url, "function_id, life", "transaction_outputs") == [(2, "t")]
    messages = rows(database_url, "message_uuid, consumed_by_function_id", "notifications", "destination_uuid = 'w'")
    assert messages == [("m1", 3), ("m2", None)]


def test_the_row_begins_another_life(finished: Store) -> None:
    before = finished.workflows.load("w")
    finished.workflows.rewind(to(1, queue_name="q", queue_partition_key="p"), "t")
    row = finished.workflows.load("w")
    assert before is not None
    assert row is not None
    assert (row.status, row.epoch, row.owner_xid, row.recovery_attempts) == ("ENQUEUED", before.epoch + 1, "t", 0)
    assert (row.queue_name, row.queue_partition_key, row.application_version) == ("q", "p", "v1")
    assert (row.output, row.error, row.completed_at, row.executor_id, row.executor_instance) == (None,) * 5
    assert (row.inputs, row.created_at, row.workflow_timeout_ms) == ("in", before.created_at, 60_000)
    assert finished.steps.list("w") == []
    finished.workflows.cancel(["w"])
    finished.workflows.rewind(to(1, application_version="v2"), "u")
    again = finished.workflows.load("w")
    assert again is not None
    assert (again.application_version, again.queue_partition_key, again.owner_xid) == ("v2", None, "u")


def test_values_of_steps_that_are_not_recorded_leave_no_gap(finished: Store, database_url: str) -> None:
    run_sql(database_url, "delete from operation_outputs where workflow_uuid = 'w' and function_id = 2")
    finished.workflows.rewind(to(100), "t")
    assert rows(database_url, '"offset", function_id', "streams") == [(0, 6), (1, 7)]
    assert len(rows(database_url, "function_id, key", "workflow_events_history")) == 3


def test_a_call_counts_once_and_only_for_what_is_finished(finished: Store) -> None:
    assert finished.workflows.rewind(to(3), "t")
    assert finished.workflows.rewind(to(1), "t") is False  # the same call, whose reply was lost
    assert len(finished.steps.list("w")) == 2
    with pytest.raises(DBOSException, match=r"w is ENQUEUED.* Cancel it first"):
        finished.workflows.rewind(to(1), "another")
    with pytest.raises(DBOSNonExistentWorkflowError, match="nobody"):
        finished.workflows.rewind(Rewind("nobody", 1), "t")


def test_whoever_lost_its_workflow_rewinds_nothing(finished: Store) -> None:
    finished.journal.write([start("caller")])
    assert finished.workflows.rewind(to(1), "t", ("caller", 2)) is None
    assert len(finished.steps.list("w")) == 7
    assert finished.workflows.rewind(to(1), "t", ("caller", 1))
