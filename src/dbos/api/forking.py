"""Forks as users ask for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dbos.api.scopes import require_timeout
from dbos.error import DBOSException
from dbos.model.ids import validate_workflow_id
from dbos.model.placement import Placement
from dbos.model.workflow import INTERNAL_QUEUE
from dbos.runtime.arguments import require_ids
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Operation
from dbos.runtime.operations import forking
from dbos.runtime.queues import require_place, require_queue_name
from dbos.store.forking import Fork

LAST_STEP = 2**31 - 1  # the greatest number that the tables hold


def fork_workflow(
    engine: Engine,
    workflow_id: str,
    start_step: int,
    *,
    application_version: str | None = None,
    queue_name: str | None = None,
    queue_partition_key: str | None = None,
    replacement_children: Mapping[str, str] | None = None,
    timeout_seconds: float | None = None,
) -> Operation[str]:
    """Run a workflow once more from one of its steps on, as a new workflow; the old one stays as it is.

    Args:
        workflow_id: The workflow, in whatever state.
        start_step: The first step that the fork runs itself. What was recorded before it is copied: steps, and the
            events and streams that they wrote. Up to 1 copies nothing, beyond the last step everything.
        application_version: The version that shall run it; by default whichever comes first.
        queue_name: The queue to run it on; by default the internal one.
        queue_partition_key: The partition, if that queue has partitions.
        replacement_children: For children that the copied steps started: the id of whom to take instead.
        timeout_seconds: The timeout of the fork, from when it starts.

    Its id is that of the enclosing `SetWorkflowID`, or a new one. Raises DBOSNonExistentWorkflowError,
    DBOSConflictingWorkflowError if the id is taken, DBOSException for options that cannot be.
    """
    fork = Fork(
        validate_workflow_id(workflow_id),
        require_first_step(start_step),
        replacement_children=_checked(replacement_children),
        **_options(engine, application_version, queue_name, queue_partition_key, timeout_seconds),
    )
    return _first(forking.fork_workflows(engine, [fork]))


def _first(forks: Operation[list[str]]) -> Operation[str]:
    return (yield from forks)[0]


def require_first_step(start_step: int) -> int:
    """The number of a step, brought into the range of numbers that there are. Raises DBOSException for no number."""
    if not isinstance(start_step, int) or isinstance(start_step, bool):
        raise DBOSException(f"start_step must be the number of a step, from 1, not {start_step!r}")
    return min(max(start_step, 1), LAST_STEP)


def fork_from_failure(
    engine: Engine,
    workflow_ids: Sequence[str],
    *,
    application_version: str | None = None,
    queue_name: str | None = None,
    queue_partition_key: str | None = None,
    timeout_seconds: float | None = None,
) -> Operation[list[str]]:
    """Fork workflows at the step where each failed; all of them or none. See `fork_workflow`.

    If a step failed with what its child came to, the child is started anew. One that was cancelled or put aside
    goes on behind its last recorded step. Raises DBOSException for one that has not failed.
    """
    origins = [validate_workflow_id(each) for each in require_ids(workflow_ids)]
    options = _options(engine, application_version, queue_name, queue_partition_key, timeout_seconds)
    return forking.fork_workflows(engine, [Fork(origin, None, **options) for origin in origins])


def require_queue(
    engine: Engine, queue_name: str | None, queue_partition_key: str | None, application_version: str | None
) -> str:
    """The queue to run on, the internal one by default. Raises DBOSException for what cannot be."""
    placement = Placement(queue_partition_key=queue_partition_key, app_version=application_version)
    if queue_name is not None:
        require_place(engine, require_queue_name(queue_name), placement)
    elif queue_partition_key is not None:
        raise DBOSException("queue_partition_key names a part of a queue: give queue_name, too")
    return queue_name or INTERNAL_QUEUE


def _options(
    engine: Engine,
    application_version: str | None,
    queue_name: str | None,
    queue_partition_key: str | None,
    timeout_seconds: float | None,
) -> dict[str, Any]:
    """How the forks of a call shall run, as fields of a `Fork`. Raises DBOSException."""
    timeout = require_timeout(timeout_seconds)
    return {
        "queue_name": require_queue(engine, queue_name, queue_partition_key, application_version),
        "queue_partition_key": queue_partition_key,
        "application_version": application_version,
        "timeout_ms": None if timeout is None else int(timeout * 1000),
    }


def _checked(replacements: Mapping[str, str] | None) -> dict[str, str]:
    if replacements is None:
        return {}
    if not isinstance(replacements, Mapping):
        raise DBOSException(f"replacement_children must be a dict of workflow IDs, not {replacements!r}")
    return {validate_workflow_id(old): validate_workflow_id(new) for old, new in replacements.items()}
