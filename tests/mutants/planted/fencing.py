"""Epochs, the moves between statuses, and what is counted on the way."""

from __future__ import annotations

from tests.mutants.killers import LOST_REPLIES, POINTS, PROMISES
from tests.mutants.mutant import Mutant

STATUS_MACHINE = "tests/crash/test_status_machine.py::test_every_sequence_of_verbs_ends_as_the_model_says[sqlite]"
FINISHED = "tests/crash/test_status_machine.py::test_what_is_finished_takes_nothing_more[sqlite-SUCCESS]"
FENCED = "tests/crash/test_status_machine.py::test_whoever_lost_its_workflow_writes_nothing_more[sqlite]"
REUSED = "tests/store/test_deleted_ids.py::test_who_ran_the_deleted_workflow_writes_nothing_into_the_next[sqlite-{}]"
HELD = "tests/store/test_held_rows.py::{}"

MUTANTS = (
    Mutant(
        "a checkpoint of any epoch is taken",
        "store/sql/journal.sql",
        "    where w.workflow_uuid = i.workflow_id and w.epoch = i.epoch and w.completed_at is null\n",
        "    where w.workflow_uuid = i.workflow_id and w.completed_at is null\n",
        FENCED,
    ),
    Mutant(
        "a checkpoint is taken after the end",
        "store/sql/journal.sql",
        "    where w.workflow_uuid = i.workflow_id and w.epoch = i.epoch and w.completed_at is null\n",
        "    where w.workflow_uuid = i.workflow_id and w.epoch = i.epoch\n",
        FINISHED,
    ),
    Mutant(
        "an outcome of any epoch is taken",
        "store/sql/journal.sql",
        "workflow_status.workflow_uuid = i.workflow_id and workflow_status.epoch = i.epoch\n",
        "workflow_status.workflow_uuid = i.workflow_id\n",
        FENCED,
    ),
    Mutant(
        "an outcome is written twice",
        "store/sql/journal.sql",
        "    and workflow_status.completed_at is null\n",
        "",
        FINISHED,
    ),
    Mutant(
        "a stale parent starts children",
        "store/sql/journal.sql",
        "    i.guard_workflow_id is null or exists (\n",
        "    i.guard_workflow_id is not null or i.guard_workflow_id is null or exists (\n",
        PROMISES.format("test_a_workflow_cancelled_elsewhere_starts_no_child"),
    ),
    Mutant(
        "a deleted workflow leaves no epoch",
        "store/deleting.py",
        '    run("keep_epochs", ids=json.dumps(doomed), kept_ms=EPOCHS_KEPT_MS)\n',
        "",
        REUSED.format("started"),
    ),
    Mutant(
        "a workflow begins at the epoch of a deleted one",
        "store/sql/deleting.sql",
        "select w.workflow_uuid, w.epoch + 1, {now_ms}",
        "select w.workflow_uuid, w.epoch, {now_ms}",
        REUSED.format("enqueued"),
    ),
    Mutant(
        "a new workflow does not mind who was deleted",
        "store/sql/journal.sql",
        "as d where d.workflow_uuid = i.workflow_id), 0)",
        "as d where d.workflow_uuid = i.workflow_id and false), 0)",
        REUSED.format("debounced"),
    ),
    Mutant(
        "a fork does not mind who was deleted",
        "store/sql/forking.sql",
        "as d where d.workflow_uuid = :workflow_id), 0)",
        "as d where d.workflow_uuid = :workflow_id and false), 0)",
        REUSED.format("forked"),
    ),
    Mutant(
        "an import does not mind who was deleted",
        "store/sql/transfer.sql",
        "d.next_epoch > :epoch",
        "d.next_epoch > :epoch and false",
        REUSED.format("imported"),
    ),
    Mutant(
        "a start waits for a deletion, and does not see its epoch",
        "store/sql/journal.sql",
        "(select w.epoch from {schema}.workflow_status as w where w.workflow_uuid = i.workflow_id) is null",
        "true",
        "tests/store/test_deleted_ids.py::test_whoever_starts_while_the_workflow_is_being_deleted_finds_it_still_there",
    ),
    Mutant(
        "epochs of deleted workflows are kept for ever",
        "store/deleting.py",
        '        run("forget_epochs", kept_ms=EPOCHS_KEPT_MS, limit=EPOCHS_FORGOTTEN)\n',
        "",
        "tests/store/test_deleted_ids.py::test_epochs_are_forgotten_by_later_deletions[sqlite]",
    ),
    Mutant(
        "cancelling keeps the epoch",
        "store/sql/workflows.sql",
        "status = 'CANCELLED', epoch = epoch + 1, ",
        "status = 'CANCELLED', ",
        FENCED,
    ),
    Mutant(
        "adopting keeps the epoch",
        "store/sql/workflows.sql",
        "status = 'PENDING', epoch = epoch + 1, recovery_attempts",
        "status = 'PENDING', recovery_attempts",
        FENCED,
    ),
    Mutant(
        "the living are adopted as well",
        "store/sql/workflows.sql",
        "    w.status = 'PENDING' and e.lease_expires_at_ms < {lease_now_ms} and w.executor_instance <> :instance",
        "    w.status = 'PENDING' and w.executor_instance <> :instance",
        FENCED,
    ),
    Mutant(
        "a success is reopened",
        "store/sql/workflows.sql",
        "where workflow_uuid in ({each:ids}) and status <> 'SUCCESS'\n",
        "where workflow_uuid in ({each:ids})\n",
        FINISHED,
    ),
    Mutant(
        "a finished workflow is cancelled",
        "store/sql/workflows.sql",
        "(w.completed_at is null or w.status = 'MAX_RECOVERY_ATTEMPTS_EXCEEDED')\n",
        "w.status <> 'CANCELLED'\n",
        FINISHED,
    ),
    Mutant(
        "recoveries are not counted",
        "store/sql/workflows.sql",
        "recovery_attempts = recovery_attempts + 1,",
        "recovery_attempts = recovery_attempts,",
        POINTS.format("blocking-sequence"),
    ),
    Mutant(
        "a retry is counted twice",
        "runtime/step.py",
        "    for number in range(limit):\n",
        "    for number in range(0, limit, 2):\n",
        POINTS.format("blocking-retries"),
    ),
    Mutant(
        "a deadline of the past is overlooked",
        "store/sql/workflows.sql",
        "and w.workflow_deadline_epoch_ms < {now_ms}\n",
        "and w.workflow_deadline_epoch_ms > {now_ms}\n",
        STATUS_MACHINE,
    ),
    Mutant(
        "the journal waits for what somebody else holds",
        "store/postgres/pooler.py",
        "Role.WRITER: \"'250ms'\", ",
        "",
        HELD.format("test_a_thread_that_commits_by_itself_holds_up_nobody"),
    ),
    Mutant(
        "management keeps every connection while it waits",
        "store/postgres/pooler.py",
        ", Role.READER: \"'1s'\"",
        "",
        HELD.format("test_management_that_waits_leaves_connections_to_others"),
    ),
    Mutant(
        "whoever was put aside is answered with his batch",
        "store/journal.py",
        "                self._put_aside(*entries)\n                return\n",
        "                self._put_aside(*entries)\n",
        HELD.format("test_each_caller_of_a_batch_is_answered_when_what_he_wants_is_free[1]"),
    ),
    Mutant(
        "what is held is refused to a thread that commits by itself",
        "store/journal.py",
        "            except RowsHeld:\n                return self._write_aside(records)\n",
        "",
        HELD.format("test_a_thread_that_commits_by_itself_holds_up_nobody"),
    ),
    Mutant(
        "a workflow that is always busy is never cancelled",
        "store/workflows.py",
        '                self._pool.write("cancel_one", id=each)\n',
        '                self._pool.write("cancel", ids=json.dumps([each]))\n'
        '                __import__("time").sleep(1)\n',
        "tests/acceptance/test_cancel_of_a_busy_workflow.py::test_it_is_cancelled_soon",
    ),
    Mutant(
        "who cancels many waits for rows while he holds others",
        "store/sql/workflows.sql",
        "(w.completed_at is null or w.status = 'MAX_RECOVERY_ATTEMPTS_EXCEEDED')\n    {lock_free_rows}\n",
        "(w.completed_at is null or w.status = 'MAX_RECOVERY_ATTEMPTS_EXCEEDED')\n",
        "tests/store/test_workflows.py::test_a_bulk_cancel_waits_for_no_row_while_it_holds_another",
    ),
    Mutant(
        "whoever did not hear that it ended its workflow has lost it",
        "runtime/workflow.py",
        "            if not ours or row[0] != record.status:",
        "            if True:",
        LOST_REPLIES.format("blocking-sequence"),
    ),
)
