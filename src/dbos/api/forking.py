"""Forks as users ask for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dbos.api.scopes import require_timeout
from dbos.error import DBOSException
from dbos.model.ids import validate_workflow_id
from dbos.model.placement import Placement
from dbos.model.workflow import INTERNAL_QUEUE
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Operation
from dbos.runtime.operations import forking
from dbos.runtime.operations.management import require_ids
from dbos.runtime.queues import require_place, require_queue_name
from dbos.store.forking import Fork

LAST_STEP = 2**31 - 1  # the greatest number that the tables hold


def fork(engine: Engine, workflow_id: str, start_step: int, **options: Any) -> Operation[list[str]]:
    """Fork one workflow at a step; see `DBOS.fork_workflow`."""
    step = require_first_step(start_step)
    return forking.fork_workflows(engine, [_fork(engine, validate_workflow_id(workflow_id), step, **options)])


def require_first_step(start_step: int) -> int:
    """The number of a step, brought into the range of numbers that there are. Raises DBOSException for no number."""
    if not isinstance(start_step, int) or isinstance(start_step, bool):
        raise DBOSException(f"start_step must be the number of a step, from 1, not {start_step!r}")
    return min(max(start_step, 1), LAST_STEP)


def fork_from_failure(engine: Engine, workflow_ids: Sequence[str], **options: Any) -> Operation[list[str]]:
    """Fork workflows at the step where each failed; see `DBOS.fork_from_failure`."""
    ids = require_ids(workflow_ids)
    return forking.fork_workflows(engine, [_fork(engine, validate_workflow_id(each), None, **options) for each in ids])


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


def _fork(
    engine: Engine,
    workflow_id: str,
    start_step: int | None,
    *,
    application_version: str | None = None,
    queue_name: str | None = None,
    queue_partition_key: str | None = None,
    replacement_children: Mapping[str, str] | None = None,
    timeout_seconds: float | None = None,
) -> Fork:
    """Check what is asked. Raises DBOSException."""
    queue_name = require_queue(engine, queue_name, queue_partition_key, application_version)
    if timeout_seconds is not None:
        require_timeout(timeout_seconds)
    return Fork(
        origin=workflow_id,
        start_step=start_step,
        queue_name=queue_name,
        queue_partition_key=queue_partition_key,
        application_version=application_version,
        timeout_ms=None if timeout_seconds is None else int(timeout_seconds * 1000),
        replacement_children=_checked(replacement_children),
    )


def _checked(replacements: Mapping[str, str] | None) -> dict[str, str]:
    if replacements is None:
        return {}
    if not isinstance(replacements, Mapping):
        raise DBOSException(f"replacement_children must be a dict of workflow IDs, not {replacements!r}")
    return {validate_workflow_id(old): validate_workflow_id(new) for old, new in replacements.items()}
