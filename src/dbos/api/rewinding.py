"""Rewinds as users ask for them."""

from __future__ import annotations

from dbos.api.forking import require_first_step, require_queue
from dbos.model.ids import validate_workflow_id
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Operation
from dbos.runtime.operations import rewinding
from dbos.store.rewinding import Rewind


def rewind_workflow(
    engine: Engine,
    workflow_id: str,
    *,
    start_step: int | None = None,
    application_version: str | None = None,
    queue_name: str | None = None,
    queue_partition_key: str | None = None,
) -> Operation[str]:
    """Run a finished workflow again from one of its steps on, under its own id; what it came to is taken back.

    Args:
        workflow_id: A workflow that succeeded, failed, was cancelled or put aside.
        start_step: The first step that runs again; by default all do. What was recorded from it on is forgotten:
            steps, the events and streams that they wrote, and that their transactions happened. Messages they
            received can be received again. Messages they sent are sent once more; children are found again, with
            what they came to.
        application_version: The version that shall run it; by default the one it has.
        queue_name: The queue to run it on; by default the internal one.
        queue_partition_key: The partition, if that queue has partitions.

    Raises DBOSNonExistentWorkflowError, and DBOSException for a workflow that is not finished (cancel it first) and
    for options that cannot be.
    """
    wanted = Rewind(
        validate_workflow_id(workflow_id),
        require_first_step(1 if start_step is None else start_step),
        queue_name=require_queue(engine, queue_name, queue_partition_key, application_version),
        queue_partition_key=queue_partition_key,
        application_version=application_version,
    )
    return rewinding.rewind(engine, wanted)
