"""Forking and deleting, down in the tables: what is copied, what goes, and that it is all or nothing."""

from __future__ import annotations

from typing import Any

import pytest

from dbos.error import DBOSConflictingWorkflowError, DBOSException, DBOSNonExistentWorkflowError
from dbos.store.deleting import Deleted
from dbos.store.forking import Fork
from dbos.store.store import Store
from tests.store.conftest import OpenStore
from tests.store.records import attributes, checkpoint, event, finish, message, start, stream_end, stream_value
from tests.support.raw_sql import run_sql

TABLES = {
    "operation_outputs": "workflow_uuid",
    "notifications": "destination_uuid",
    "workflow_events": "workflow_uuid",
    "workflow_events_history": "workflow_uuid",
    "streams": "workflow_uuid",
    "transaction_outputs": "workflow_uuid",
}


def fork(start_step: int | None = 3, workflow_id: str = "fork", **fields: Any) -> Fork:
    plain: dict[str, Any] = {"origin": "w", "workflow_id": workflow_id, "token": f"token of {workflow_id}"}
    return Fork(**{**plain, "start_step": start_step, **fields})


@pytest.fixture
def origin(store: Store) -> Store:
    """A workflow of six steps: two values of an event, three of a stream, a child; it has a message, too."""
    store.journal.write([start("w", authenticated_user="ann", inputs="in", priority=3, timeout_ms=60_000)])
    store.journal.write([attributes("w", '{"a": 1}'), message("w", message_id="m")])
    store.journal.write([checkpoint("w", 1), *event("w", 1, '"old"')])
    store.journal.write([stream_value("w", 2)])
    store.journal.write([checkpoint("w", 3), *event("w", 3, '"new"'), *event("w", 3, '"other"', key="late")])
    store.journal.write([stream_value("w", 4)])
    store.journal.write([checkpoint("w", 5, child_workflow_id="child")])
    store.journal.write([stream_end("w", 6)])
    return store


def contents(url: str, table: str, workflow_id: str) -> list[tuple[Any, ...]]:
    columns = {
        "operation_outputs": "function_id, function_name, output, child_workflow_id",
        "workflow_events": "key, value",
        "workflow_events_history": "function_id, key, value",
        "streams": 'key, "offset", value, function_id',
    }
    chosen = columns[table]
    return run_sql(url, f"select {chosen} from {table} where {TABLES[table]} = ? order by 1, 2", workflow_id)


def counts(url: str, workflow_id: str) -> dict[str, int]:
    return {
        table: run_sql(url, f"select count(*) from {table} where {column} = ?", workflow_id)[0][0]
        for table, column in TABLES.items()
    }


def test_what_is_copied_tells_in_which_order_attempts_recorded_it(origin: Store, database_url: str) -> None:
    """The clock of a later one may have been behind: then the order is all that tells what came after a failure."""
    run_sql(database_url, "update workflow_status set epoch = 3 where workflow_uuid = 'w'")
    run_sql(database_url, "update operation_outputs set epoch = 3 where workflow_uuid = 'w' and function_id > 4")
    assert origin.workflows.fork([fork(7)])
    assert origin.workflows.fork([fork(7, "fork of the fork", origin="fork")])
    for copy in ("fork", "fork of the fork"):
        epochs = run_sql(
            database_url, "select epoch from operation_outputs where workflow_uuid = ? order by function_id", copy
        )
        assert [epoch for (epoch,) in epochs] == [-2, -2, -2, -2, 0, 0]


def test_a_fork_has_exactly_what_was_recorded_before_its_first_step(origin: Store, database_url: str) -> None:
    assert origin.workflows.fork([fork(3)])
    assert [row[0] for row in contents(database_url, "operation_outputs", "fork")] == [1, 2]
    assert contents(database_url, "workflow_events", "fork") == [("k", '"old"')]
    assert contents(database_url, "workflow_events_history", "fork") == [(1, "k", '"old"')]
    assert contents(database_url, "streams", "fork") == [("s", 0, "2", 2)]
    assert counts(database_url, "fork")["notifications"] == 0
    assert origin.workflows.fork([fork(100, "all")])
    for table in ("operation_outputs", "workflow_events", "workflow_events_history", "streams"):
        assert contents(database_url, table, "all") == contents(database_url, table, "w"), table
    assert origin.workflows.fork([fork(1, "nothing")])
    assert set(counts(database_url, "nothing").values()) == {0}


def test_the_row_of_a_fork_is_what_the_origin_was_asked(origin: Store) -> None:
    origin.workflows.fork([fork(queue_name="q", queue_partition_key="p", application_version="v9", timeout_ms=5)])
    row, of = origin.workflows.load("fork"), origin.workflows.load("w")
    assert row is not None
    assert of is not None
    same = ["name", "class_name", "config_name", "inputs", "serialization", "authenticated_user", "attributes"]
    assert [getattr(row, each) for each in same] == [getattr(of, each) for each in same]
    assert (row.status, row.epoch, row.recovery_attempts, row.priority) == ("ENQUEUED", 0, 0, 0)
    assert (row.queue_name, row.queue_partition_key, row.application_version) == ("q", "p", "v9")
    assert (row.workflow_timeout_ms, row.workflow_deadline_epoch_ms, row.forked_from) == (5, None, "w")
    assert (row.executor_id, row.parent_workflow_id, row.was_forked_from) == (None, None, False)


def test_the_origin_is_marked_and_otherwise_untouched(origin: Store, database_url: str) -> None:
    before, remains = origin.workflows.load("w"), counts(database_url, "w")
    origin.workflows.fork([fork()])
    assert before is not None
    assert origin.workflows.load("w") == before._replace(was_forked_from=True)
    assert counts(database_url, "w") == remains
    assert origin.journal.write([checkpoint("w", 7)]) == [()]  # it runs on


def test_a_fork_of_a_fork_and_values_without_gaps(origin: Store, database_url: str) -> None:
    run_sql(database_url, "delete from operation_outputs where workflow_uuid = 'w' and function_id = 2")
    origin.workflows.fork([fork(5)])  # step 2 was not recorded: the fork will write that value itself
    assert contents(database_url, "streams", "fork") == [("s", 0, "4", 4)]
    origin.workflows.fork([fork(4, "second", origin="fork")])
    assert [row[0] for row in contents(database_url, "operation_outputs", "second")] == [1, 3]
    assert contents(database_url, "streams", "second") == []


def test_children_of_copied_steps_can_be_replaced(origin: Store, database_url: str) -> None:
    origin.workflows.fork([fork(9, replacement_children={"child": "another", "x": "y"})])
    assert contents(database_url, "operation_outputs", "fork")[4][3] == "another"
    origin.workflows.fork([fork(9, "same")])
    assert contents(database_url, "operation_outputs", "same")[4][3] == "child"


def test_making_the_same_fork_again_changes_nothing(origin: Store, database_url: str) -> None:
    origin.workflows.fork([fork()])
    origin.journal.write([checkpoint("w", 7)])
    assert origin.workflows.fork([fork(9)])  # the token decides: the reply was lost
    assert len(contents(database_url, "operation_outputs", "fork")) == 2
    with pytest.raises(DBOSConflictingWorkflowError, match="exists already"):
        origin.workflows.fork([fork(token="another call")])


def test_all_forks_or_none(origin: Store) -> None:
    with pytest.raises(DBOSNonExistentWorkflowError, match="nobody"):
        origin.workflows.fork([fork(), fork(1, "second", origin="nobody")])
    row = origin.workflows.load("w")
    assert row is not None
    assert row.was_forked_from is False
    assert origin.workflows.load_many(["fork", "second"]) == {}


def gone(deleted: Deleted | None) -> list[str]:
    assert deleted is not None
    return deleted.ids


def test_only_who_owns_its_workflow_forks_and_deletes(origin: Store, database_url: str) -> None:
    origin.journal.write([start("caller")])
    assert origin.workflows.fork([fork()], ("caller", 0)) is False
    assert origin.workflows.load("fork") is None
    assert origin.workflows.fork([fork()], ("caller", 1)) is True
    assert origin.workflows.delete(["w"], False, ("caller", 2)) is None
    assert origin.workflows.load("w") is not None
    assert gone(origin.workflows.delete(["w"], False, ("caller", 1))) == ["w"]
    assert origin.workflows.load("w") is None


def test_a_fork_from_the_failure(store: Store, database_url: str) -> None:
    store.journal.write([start("w"), start("fine"), start("cancelled")])
    store.journal.write([checkpoint("w", 1, child_workflow_id="c"), checkpoint("w", 2)])
    store.journal.write([checkpoint("w", 3, output=None, error="boom", child_workflow_id="c")])
    store.journal.write([finish("w", status="ERROR", output=None, error="boom"), finish("fine")])
    store.journal.write([checkpoint("cancelled", 1)])
    store.workflows.cancel(["cancelled"])
    store.workflows.fork([fork(None), fork(None, "on", origin="cancelled")])
    assert contents(database_url, "operation_outputs", "fork") == []  # it starts its child anew
    assert [row[0] for row in contents(database_url, "operation_outputs", "on")] == [1]
    with pytest.raises(DBOSException, match="has not failed"):
        store.workflows.fork([fork(None, "third", origin="fine")])


def test_deleting_leaves_nothing_in_any_table(origin: Store, database_url: str) -> None:
    origin.workflows.fork([fork(9)])
    run_sql(
        database_url,
        "insert into transaction_outputs"
        " (workflow_uuid, function_id, function_name, life, epoch, txn_snapshot, created_at)"
        " values ('w', 1, 'f', 'l', 1, '', 0)",
    )
    kept = counts(database_url, "fork")
    assert all(counts(database_url, "w").values())
    assert gone(origin.workflows.delete(["w", "unknown"], False)) == ["w", "unknown"]
    assert set(counts(database_url, "w").values()) == {0}
    assert origin.workflows.load("w") is None
    assert counts(database_url, "fork") == kept
    assert origin.journal.write([checkpoint("w", 7)]) == [None]  # who ran it writes nothing more
    assert origin.journal.write([message("w")]) == [None]


def test_deleting_descendants_or_leaving_them(store: Store) -> None:
    def family(root: str) -> list[str]:
        child, grandchild = f"{root}-1", f"{root}-1-1"
        store.journal.write([start(root)])
        store.journal.write([start(child, parent_workflow_id=root)])
        store.journal.write([start(grandchild, parent_workflow_id=child)])
        return [root, child, grandchild]

    first, second = family("a"), family("b")
    assert gone(store.workflows.delete(["a"], True)) == first
    assert gone(store.workflows.delete(["b"], False)) == ["b"]
    assert sorted(store.workflows.load_many(first + second)) == ["b-1", "b-1-1"]


def test_what_an_unknown_id_has_in_the_tables_is_not_touched(store: Store, database_url: str) -> None:
    """Somebody may be about to start a workflow of the id: his steps are none of ours."""
    store.journal.write([start("w")])
    store.journal.write([checkpoint("w", 1)])
    run_sql(database_url, "update operation_outputs set workflow_uuid = 'soon'")
    store.workflows.delete(["soon"], False)
    assert counts(database_url, "soon")["operation_outputs"] == 1


def test_a_workflow_of_a_deleted_id_begins_anew(origin: Store, open_store: OpenStore) -> None:
    other = open_store()
    origin.workflows.delete(["w"], False)
    assert other.journal.write([start("w")]) == [(None, 3)]
    assert other.journal.write([checkpoint("w", 1, epoch=3)]) == [()]
    assert len(other.steps.list("w")) == 1


def test_statements_do_not_depend_on_the_length_of_the_history(origin: Store) -> None:
    """A fork and a deletion take a fixed number of statements, each in one transaction."""

    def queries() -> int:
        return origin.journal.counters.queries

    costs = []
    for step in (7, 100):
        origin.journal.write([stream_value("w", step + n, key="long") for n in range(step)])
        begun = queries()
        assert origin.workflows.fork([fork(1_000, f"fork {step}")])
        forked = queries()
        assert gone(origin.workflows.delete([f"fork {step}"], False)) == [f"fork {step}"]
        costs.append((forked - begun, queries() - forked))
    assert costs[0] == costs[1]
    assert 1 <= costs[0][0] <= 10
    assert 1 <= costs[0][1] <= 10
