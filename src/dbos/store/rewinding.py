"""Rewinding workflows: a finished one forgets what it did from some step on, and runs on from there under its own id.

It is one transaction, and the row of the workflow is locked first. What the forgotten steps left goes with them: their
records, the events and streams they wrote, the witnesses of their transactions. What they received waits in the
mailbox again. What they did elsewhere stays: messages to others, and children, which are found again under their ids.

A rewound workflow begins another life: the token by which it was started changes, so that what it sends, and what its
transactions do, counts as done anew. By the token a second try of the same call is known.
"""

from __future__ import annotations

from dbos.error import DBOSException, DBOSNonExistentWorkflowError
from dbos.fields import NamedTuple
from dbos.model.workflow import FINISHED, INTERNAL_QUEUE
from dbos.store.forking import Guard, still_owned
from dbos.store.pool import Run

FORGET = (
    "forget_steps_from",
    "forget_event_history",
    "forget_events",
    "restore_events",
    "forget_stream_values",
    "renumber_streams",
    "settle_streams",
    "give_back_messages",
    "forget_witnesses",
    "keep_witnesses",
)


class Rewind(NamedTuple):
    """What is asked of a rewind."""

    workflow_id: str
    start_step: int  # the first step that runs again
    queue_name: str = INTERNAL_QUEUE
    queue_partition_key: str | None = None
    application_version: str | None = None  # None: the one it has


def rewind(run: Run, wanted: Rewind, token: str, guard: Guard | None) -> bool | None:
    """Rewind a workflow. False: this very call has done so before; None: the guard does not hold.

    `token` names the call, and the life that begins. Raises DBOSNonExistentWorkflowError, and DBOSException for a
    workflow that is not finished.
    """
    if guard is not None and not still_owned(run, guard):
        return None
    found = run("lock_to_rewind", workflow_id=wanted.workflow_id)
    if not found:
        raise DBOSNonExistentWorkflowError("target", wanted.workflow_id)
    status, life = found[0]
    if life == token:
        return False  # its reply was lost; by now the workflow may be running
    if status not in FINISHED:
        raise DBOSException(
            f"Workflow {wanted.workflow_id} is {status}: only a finished one is rewound. Cancel it first"
        )
    for statement in FORGET:
        run(statement, workflow_id=wanted.workflow_id, start_step=wanted.start_step, token=token)
    run(
        "rewind",
        workflow_id=wanted.workflow_id,
        token=token,
        queue_name=wanted.queue_name,
        queue_partition_key=wanted.queue_partition_key,
        application_version=wanted.application_version,
    )
    return True
