"""Reopening: everything but a success runs again, and a failure is forgotten exactly as far as it has to be."""

from __future__ import annotations

import pytest

from dbos.error import DBOSNonExistentWorkflowError
from dbos.model.queue import QueueSpec
from dbos.model.workflow import INTERNAL_QUEUE, WorkflowRow
from dbos.store.store import Store
from tests.store.records import RUNNABLE, checkpoint, finish, owner, start


def load(store: Store, workflow_id: str) -> WorkflowRow:
    row = store.workflows.load(workflow_id)
    assert row is not None
    return row


@pytest.mark.parametrize("status", ["PENDING", "ENQUEUED", "DELAYED", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"])
def test_everything_unfinished_cancelled_or_given_up_is_reopened(store: Store, status: str) -> None:
    initial = status if status in ("ENQUEUED", "DELAYED") else "PENDING"
    store.journal.write(
        [
            start("w", status=initial, queue_name="q", timeout_ms=60_000, deduplication_id="d", delay_ms=9_000)
            if initial == "DELAYED"
            else start("w", status=initial, queue_name="q", timeout_ms=60_000, queue_partition_key="p")
        ]
    )
    if initial == "PENDING":
        store.journal.write([checkpoint("w", 1)])
    if status == "CANCELLED":
        store.workflows.cancel(["w"])
    elif status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED":
        store.journal.write([finish("w", status=status, error="too often")])
    before = load(store, "w")

    assert store.workflows.resume(["w"]) == ["w"]
    row = load(store, "w")
    assert (row.status, row.epoch, row.recovery_attempts) == ("ENQUEUED", before.epoch + 1, 0)
    assert (row.queue_name, row.deduplication_id) == (INTERNAL_QUEUE, None)
    assert row.queue_partition_key == before.queue_partition_key == (None if initial == "DELAYED" else "p")
    assert (row.executor_instance, row.completed_at, row.started_at_epoch_ms) == (None, None, None)
    assert (row.workflow_deadline_epoch_ms, row.delay_until_epoch_ms) == (None, None)
    assert (row.output, row.error, row.outcome_serialization) == (None, None, None)
    assert (row.workflow_timeout_ms, row.created_at) == (60_000, before.created_at)
    assert len(store.steps.list("w")) == (initial == "PENDING")

    (claimed,) = store.claims.claim(QueueSpec(INTERNAL_QUEUE), owner(), RUNNABLE, 1).rows
    assert (claimed.recovery_attempts, claimed.epoch) == (1, before.epoch + 2)
    assert claimed.workflow_deadline_epoch_ms is not None


def test_a_success_is_never_left(store: Store) -> None:
    store.journal.write([start("w")])
    store.journal.write([finish("w")])
    before = load(store, "w")
    assert store.workflows.resume(["w"]) == []
    assert load(store, "w") == before


def test_a_named_queue(store: Store) -> None:
    store.journal.write([start("w")])
    assert store.workflows.resume(["w"], "fast") == ["w"]
    assert load(store, "w").queue_name == "fast"
    assert store.workflows.resume([]) == []


def test_one_unknown_id_and_nothing_changes(store: Store) -> None:
    store.journal.write([start("w")])
    store.workflows.cancel(["w"])
    before = load(store, "w")
    with pytest.raises(DBOSNonExistentWorkflowError, match="nobody"):
        store.workflows.resume(["w", "nobody"])
    assert load(store, "w") == before


# ------------------------------------------------------------ failures


def test_a_failed_workflow_runs_on_from_its_last_completed_step(store: Store) -> None:
    store.journal.write([start("w")])
    store.journal.write([checkpoint("w", 1), checkpoint("w", 2, output=None, error="boom")])
    store.journal.write([finish("w", status="ERROR", error="boom")])
    assert store.workflows.resume(["w"]) == ["w"]
    assert [each.function_id for each in store.steps.list("w")] == [1]
    row = load(store, "w")
    assert (row.status, row.error, row.epoch) == ("ENQUEUED", None, 2)


def test_a_failure_that_was_handled_is_kept(store: Store) -> None:
    """`try: primary() except: fallback()`, and then the body raised: what followed was built upon the failure."""
    store.journal.write([start("w")])
    store.journal.write(
        [
            checkpoint("w", 1, name="primary", output=None, error="down", started_at_ms=1, completed_at_ms=2),
            checkpoint("w", 2, name="fallback", started_at_ms=2, completed_at_ms=3),
        ]
    )
    store.journal.write([finish("w", status="ERROR", error="a bug")])
    assert store.workflows.resume(["w"]) == ["w"]
    assert [each.function_id for each in store.steps.list("w")] == [1, 2]


def test_a_failure_beside_what_completed_is_forgotten(store: Store) -> None:
    store.journal.write([start("w")])
    store.journal.write(
        [
            checkpoint("w", 1, output=None, error="down", started_at_ms=1, completed_at_ms=3),
            checkpoint("w", 2, started_at_ms=1, completed_at_ms=9),
        ]
    )
    store.journal.write([finish("w", status="ERROR", error="down")])
    assert store.workflows.resume(["w"]) == ["w"]
    assert [each.function_id for each in store.steps.list("w")] == [2]


def test_failed_children_are_reopened_with_their_parent(store: Store) -> None:
    """grandparent -> parent -> child, failed from the bottom up; the second child succeeded and stays."""
    store.journal.write([start(each) for each in ("grandparent", "parent", "child", "good child")])
    result = {"name": "DBOS.getResult", "output": None, "error": "boom"}
    store.journal.write(
        [
            checkpoint("child", 1, output=None, error="boom"),
            checkpoint("parent", 1, output=None, child_workflow_id="good child"),
            checkpoint("parent", 2, name="DBOS.getResult", child_workflow_id="good child"),
            checkpoint("parent", 3, output=None, child_workflow_id="child"),
            checkpoint("parent", 4, child_workflow_id="child", **result),
            checkpoint("grandparent", 1, output=None, child_workflow_id="parent"),
            checkpoint("grandparent", 2, child_workflow_id="parent", **result),
        ]
    )
    store.journal.write([finish(each, status="ERROR", error="boom") for each in ("child", "parent", "grandparent")])
    store.journal.write([finish("good child")])
    assert sorted(store.workflows.resume(["grandparent"])) == ["child", "grandparent", "parent"]
    recorded = {
        each: [step.function_id for step in store.steps.list(each)] for each in ("grandparent", "parent", "child")
    }
    assert recorded == {"grandparent": [1], "parent": [1, 2, 3], "child": []}
    assert load(store, "good child").status == "SUCCESS"
    assert {load(store, each).queue_name for each in recorded} == {INTERNAL_QUEUE}


def test_a_cancelled_child_stays_cancelled(store: Store) -> None:
    store.journal.write([start("parent"), start("child")])
    store.workflows.cancel(["child"])
    store.journal.write(
        [checkpoint("parent", 1, name="DBOS.getResult", output=None, error="cancelled", child_workflow_id="child")]
    )
    store.journal.write([finish("parent", status="ERROR", error="cancelled")])
    assert store.workflows.resume(["parent"]) == ["parent"]
    assert load(store, "child").status == "CANCELLED"
    assert store.steps.list("parent") == []
