"""Looking at workflows: status, listings, steps.

Called from a workflow body, each is a recorded step. Listings never fail because one value cannot be decoded: such a
value is shown as the stored text, with a warning.
"""

from __future__ import annotations

import json
import logging
from typing import Any, TypeVar

from dbos.error import DBOSNonExistentWorkflowError
from dbos.model.ids import validate_workflow_id
from dbos.model.status import StepInfo, WorkflowStatus
from dbos.model.workflow import StepRow, WorkflowRow
from dbos.runtime.arguments import require_page
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Ask, Operation
from dbos.runtime.step import as_step
from dbos.store.search import WorkflowFilter
from dbos.telemetry import carrier

logger = logging.getLogger("dbos")

R = TypeVar("R", WorkflowRow, StepRow)


def check_connection(engine: Engine) -> Operation[None]:
    """Raises DBOSException at once if the system database cannot be used just now."""
    yield Ask(engine.store.check)


def get_workflow_status(engine: Engine, workflow_id: str) -> Operation[WorkflowStatus | None]:
    """The status of one workflow, or None if there is none of that id."""
    validate_workflow_id(workflow_id)
    row = yield from as_step("DBOS.getStatus", _row(engine, workflow_id))
    return None if row is None else present(engine, _restored(WorkflowRow, row))


# What a step records of rows is their fields as stored: plain data, whatever serializer is configured.


def _row(engine: Engine, workflow_id: str) -> Operation[dict[str, Any] | None]:
    row: WorkflowRow | None = yield Ask(engine.load, workflow_id)
    return None if row is None else row._asdict()


def _restored(kind: type[R], recorded: dict[str, Any]) -> R:
    """The row of recorded fields. Those that an older release did not have are None."""
    values: dict[str, Any] = {name: recorded.get(name) for name in kind._fields}
    return kind(**values)


def require_status(engine: Engine, workflow_id: str) -> Operation[WorkflowStatus]:
    """The same. Raises DBOSNonExistentWorkflowError."""
    status = yield from get_workflow_status(engine, workflow_id)
    if status is None:
        raise DBOSNonExistentWorkflowError("target", workflow_id)
    return status


def list_workflows(engine: Engine, wanted: WorkflowFilter, step: str) -> Operation[list[WorkflowStatus]]:
    """The workflows that fit a filter; in a workflow recorded under that step's name."""
    rows = yield from as_step(step, _rows(engine, wanted))
    return [present(engine, _restored(WorkflowRow, row)) for row in rows]


def _rows(engine: Engine, wanted: WorkflowFilter) -> Operation[list[dict[str, Any]]]:
    rows: list[WorkflowRow] = yield Ask(engine.store.workflows.search, wanted)
    return [row._asdict() for row in rows]


def list_workflow_steps(
    engine: Engine, workflow_id: str, *, load_output: bool = True, limit: int | None = None, offset: int | None = None
) -> Operation[list[StepInfo]]:
    """The recorded steps of a workflow, by number."""
    validate_workflow_id(workflow_id)
    require_page(limit, offset)
    rows = yield from as_step("DBOS.listWorkflowSteps", _steps(engine, workflow_id, load_output, limit, offset))
    return [_present_step(engine, _restored(StepRow, row)) for row in rows]


def _steps(
    engine: Engine, workflow_id: str, load_output: bool, limit: int | None, offset: int | None
) -> Operation[list[dict[str, Any]]]:
    rows: list[StepRow] = yield Ask(engine.store.steps.list, workflow_id, limit, offset, load_output)
    return [row._asdict() for row in rows]


def present(engine: Engine, row: WorkflowRow) -> WorkflowStatus:
    """A row as users see it."""
    codec = engine.codec
    inputs, bad_inputs = (None, False) if row.inputs is None else codec.describe_inputs(row.inputs, row.serialization)
    output, bad_output = (None, False) if row.output is None else codec.describe(row.output, row.outcome_serialization)
    error, bad_error = (
        (None, False) if row.error is None else codec.describe_error(row.error, row.outcome_serialization)
    )
    if bad_inputs or bad_output or bad_error:
        logger.warning("A stored value of workflow %s cannot be decoded and is shown as text", row.workflow_uuid)
    return WorkflowStatus(
        workflow_id=row.workflow_uuid,
        status=row.status,
        name=row.name,
        class_name=row.class_name,
        config_name=row.config_name,
        authenticated_user=row.authenticated_user,
        assumed_role=row.assumed_role,
        authenticated_roles=_loads(row.authenticated_roles),
        input=inputs,
        output=output,
        error=error,
        created_at=row.created_at,
        updated_at=row.updated_at,
        queue_name=row.queue_name,
        executor_id=row.executor_id,
        app_version=row.application_version,
        workflow_timeout_ms=row.workflow_timeout_ms,
        workflow_deadline_epoch_ms=row.workflow_deadline_epoch_ms,
        deduplication_id=row.deduplication_id,
        priority=row.priority,
        queue_partition_key=row.queue_partition_key,
        forked_from=row.forked_from,
        app_id=row.application_id or "",
        recovery_attempts=row.recovery_attempts,
        was_forked_from=row.was_forked_from,
        parent_workflow_id=row.parent_workflow_id,
        dequeued_at=row.started_at_epoch_ms if row.queue_name is not None else None,
        delay_until_epoch_ms=row.delay_until_epoch_ms,
        completed_at=row.completed_at,
        attributes=carrier.without_followed(_loads(row.attributes)),
        schedule_name=row.schedule_name,
        application_name=row.application_name,
    )


def _loads(text: str | None) -> Any:
    """Stored JSON, or the text itself if it is none: a listing never fails because of one value."""
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text


def _present_step(engine: Engine, row: StepRow) -> StepInfo:
    codec = engine.codec
    output, bad_output = (None, False) if row.output is None else codec.describe(row.output, row.serialization)
    error, bad_error = (None, False) if row.error is None else codec.describe_error(row.error, row.serialization)
    if bad_output or bad_error:
        logger.warning("The value of step %d of workflow %s cannot be decoded", row.function_id, row.workflow_uuid)
    return StepInfo(
        function_id=row.function_id,
        function_name=row.function_name,
        output=output,
        error=error,
        child_workflow_id=row.child_workflow_id,
        started_at_epoch_ms=row.started_at_epoch_ms,
        completed_at_epoch_ms=row.completed_at_epoch_ms,
        child_shard_key=None,
    )
