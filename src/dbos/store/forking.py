"""Forking workflows: a new one begins with the steps, events and streams that another had before some step.

It is one transaction. The origin is marked first, which locks its row: a running origin records nothing between the
parts of the copy. Witnesses of transactions are not copied: they speak for steps whose record is missing, and such a
step the fork runs itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from dbos.error import DBOSConflictingWorkflowError, DBOSException, DBOSNonExistentWorkflowError
from dbos.fields import NamedTuple
from dbos.model.resuming import EndedStep, step_of_failure
from dbos.model.workflow import INTERNAL_QUEUE, Status
from dbos.store.pool import Run

Guard = tuple[str, int]
"""The attempt that asks, by workflow id and epoch: nothing happens unless it owns its workflow."""

FAILED = {Status.ERROR, Status.CANCELLED, Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED}


class Fork(NamedTuple):
    """What is asked of a fork. `workflow_id` and `token`, by which it is known, are given when it is made."""

    origin: str
    start_step: int | None  # the first step that it runs itself; None: the one at which the origin failed
    queue_name: str = INTERNAL_QUEUE
    queue_partition_key: str | None = None
    application_version: str | None = None
    timeout_ms: int | None = None
    replacement_children: Mapping[str, str] = MappingProxyType({})
    workflow_id: str = ""
    token: str = ""
    follows: bool = False  # the id follows from the step that asks: made by that step in a life before, it is the same


def fork(run: Run, forks: Sequence[Fork], guard: Guard | None) -> bool:
    """Make all of the forks or none. False: the guard does not hold.

    One that is there already, by a commit whose reply was lost, is left as it is. Raises DBOSNonExistentWorkflowError
    for an unknown origin, DBOSConflictingWorkflowError for an id that is taken, DBOSException for an origin that did
    not fail where a failure is looked for.
    """
    if guard is not None and not still_owned(run, guard):
        return False
    for each in sorted(forks, key=lambda each: each.origin):  # rows are locked in one order by everybody
        if not _exists(run, each):
            _copy(run, each)
    return True


def still_owned(run: Run, guard: Guard) -> bool:
    """Inside a transaction: does the attempt own its workflow, and until the end of this?"""
    return bool(run("still_owned", workflow_id=guard[0], epoch=guard[1]))


def _exists(run: Run, wanted: Fork) -> bool:
    """Did this very call make the fork before? Raises DBOSConflictingWorkflowError if another took its id."""
    rows = run("known_start", workflow_id=wanted.workflow_id)
    if rows and rows[0][0] != wanted.token and not (wanted.follows and rows[0][1] == wanted.origin):
        raise DBOSConflictingWorkflowError(
            wanted.workflow_id, f"A workflow of this ID exists already, so that {wanted.origin} cannot be forked to it"
        )
    return bool(rows)


def _copy(run: Run, wanted: Fork) -> None:
    origin = run("mark_forked", origin=wanted.origin)
    if not origin:
        raise DBOSNonExistentWorkflowError("target", wanted.origin)
    start_step = wanted.start_step
    if start_step is None:
        start_step = _step_of_failure(run, wanted.origin, origin[0][0])
    both = {"workflow_id": wanted.workflow_id, "origin": wanted.origin}
    inserted = run(
        "insert_fork",
        **both,
        token=wanted.token,
        application_version=wanted.application_version,
        queue_name=wanted.queue_name,
        queue_partition_key=wanted.queue_partition_key,
        timeout_ms=wanted.timeout_ms,
    )
    if not inserted:  # somebody was faster since we looked; it may have been this very call, on a lost connection
        _exists(run, wanted)
        return
    run("copy_steps", **both, start_step=start_step, replacements=json.dumps(dict(wanted.replacement_children)))
    run("copy_event_history", **both)
    run("restore_events", workflow_id=wanted.workflow_id)
    run("copy_streams", **both)


def _step_of_failure(run: Run, origin: str, status: str) -> int:
    if status not in FAILED:
        raise DBOSException(f"Workflow {origin} is {status} and has not failed: fork it with a start_step instead")
    return step_of_failure([EndedStep(*row) for row in run("ended_steps", workflow_id=origin)])
