"""Looking at workflows and steering them: status, listings, cancel, resume, delete, attributes.

Called from a workflow body, each is a recorded step. Listings never fail because one value cannot be decoded: such a
value is shown as the stored text, with a warning.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from dbos.error import DBOSException, DBOSNonExistentWorkflowError
from dbos.model.ids import validate_workflow_id
from dbos.model.status import StepInfo, WorkflowStatus
from dbos.model.workflow import Status, StepRow, WorkflowRow
from dbos.runtime.announcing import announce_cancelled, announce_deleted, running_here
from dbos.runtime.context import current_attempt, workflow_body
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Ask, Commit, Operation
from dbos.runtime.queues import require_queue_name, require_unpartitioned
from dbos.runtime.step import as_step, commit_as_step
from dbos.store.deleting import Deleted
from dbos.store.records import UpdateAttributes
from dbos.store.search import WorkflowFilter
from dbos.telemetry import carrier

logger = logging.getLogger("dbos")

MAX_PAGE = 2**63 - 1  # what both databases take as a number of rows

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
    return None if row is None else asdict(row)


def _restored(kind: type[R], recorded: dict[str, Any]) -> R:
    """The row of recorded fields. Those that an older release did not have are None."""
    values: dict[str, Any] = {name: recorded.get(name) for name in kind.__dataclass_fields__}
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
    return [asdict(row) for row in rows]


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
    return [asdict(row) for row in rows]


def cancel_workflow(engine: Engine, workflow_id: str, *, cancel_children: bool = False) -> Operation[None]:
    """Cancel a workflow that is not finished: it leaves its queue, or stops before its next step.

    Args:
        workflow_id: One that is unknown or finished is left as it is.
        cancel_children: Cancel its children too, and theirs.
    """
    return cancel_workflows(engine, [workflow_id], cancel_children=cancel_children)


def cancel_workflows(engine: Engine, workflow_ids: Sequence[str], *, cancel_children: bool = False) -> Operation[None]:
    """Cancel several workflows; see `cancel_workflow`."""
    return as_step("DBOS.cancelWorkflow", _cancel(engine, require_ids(workflow_ids), cancel_children))


def require_ids(workflow_ids: Sequence[str]) -> list[str]:
    """The ids as a list. Raises DBOSException for anything but a sequence of strings."""
    ids = None if isinstance(workflow_ids, (str, bytes)) or not isinstance(workflow_ids, Iterable) else [*workflow_ids]
    if ids is None or not all(isinstance(each, str) for each in ids):
        raise DBOSException(f"Workflow IDs must be given as a list of strings, not {workflow_ids!r}")
    return require_storable(ids)


def require_page(limit: int | None, offset: int | None) -> None:
    """Raises DBOSException for numbers that no database takes, or that mean something else to each."""
    for what, number in (("limit", limit), ("offset", offset)):
        if number is not None and (not _is_int(number) or not 0 <= number <= MAX_PAGE):
            raise DBOSException(f"{what} must be an integer of at least 0 that fits into 64 bits, not {number!r}")


def require_storable(texts: Sequence[str]) -> list[str]:
    """The texts as a list. Raises DBOSException for one that no database can hold, so that nothing can match it."""
    for text in texts:
        if "\0" in text or (not text.isascii() and _has_lone_surrogate(text)):
            raise DBOSException(f"{text!r} holds a NUL character or a lone surrogate, which is never stored")
    return list(texts)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _cancel(engine: Engine, workflow_ids: list[str], cancel_children: bool) -> Operation[None]:
    before = running_here(engine, workflow_ids)
    changed: list[str] = yield Ask(engine.store.workflows.cancel, workflow_ids)
    announce_cancelled(engine, changed, before)
    reached = set(workflow_ids)
    while cancel_children:
        # Parents first: a cancelled one starts nothing more, so whoever is not found now is found the next time round.
        children: list[str] = yield Ask(engine.store.workflows.children, workflow_ids)
        late = [each for each in children if each not in reached]
        if not late:
            return
        before = running_here(engine, late)
        changed = yield Ask(engine.store.workflows.cancel, late)
        announce_cancelled(engine, changed, before)
        reached.update(late)


def resume_workflow(engine: Engine, workflow_id: str, *, queue_name: str | None = None) -> Operation[str]:
    """Run a workflow on from its last completed step.

    Args:
        workflow_id: A cancelled, failed, or put-aside workflow; one that waits in a queue jumps it. A failed one is
            reopened, and the steps that recorded its failure run again. A successful one is left as it is.
        queue_name: The queue to run it on; by default the internal one.

    Raises DBOSNonExistentWorkflowError, and DBOSException in the workflow itself: its successor would resume itself as
    well, and so on for ever.
    """
    (resumed,) = yield from resume_workflows(engine, [workflow_id], queue_name=queue_name)
    return resumed


def resume_workflows(
    engine: Engine, workflow_ids: Sequence[str], *, queue_name: str | None = None
) -> Operation[list[str]]:
    """Run several workflows on; none if one of them does not exist. See `resume_workflow`."""
    ids = require_ids(workflow_ids)
    caller = current_attempt()
    if caller is not None and caller.workflow_id in ids:
        raise DBOSException(f"Workflow {caller.workflow_id} cannot resume itself: it is running")
    if queue_name is not None:
        require_unpartitioned(engine, require_queue_name(queue_name))
    yield from as_step("DBOS.resumeWorkflow", _resume(engine, ids, queue_name))
    return ids


def _resume(engine: Engine, workflow_ids: list[str], queue_name: str | None) -> Operation[None]:
    arguments = (workflow_ids,) if queue_name is None else (workflow_ids, queue_name)
    before = running_here(engine, workflow_ids)
    changed: list[str] = yield Ask(engine.store.workflows.resume, *arguments)
    for workflow_id in changed:
        engine.supersede(workflow_id, Status.PENDING, before.get(workflow_id))
    engine.announce_enqueued(None)  # they wait on one queue, and may have left slots of any other


def delete_workflow(engine: Engine, workflow_id: str, *, delete_children: bool = False) -> Operation[None]:
    """Delete a workflow with its steps, messages, events and streams, whatever its state.

    Args:
        workflow_id: One that is unknown changes nothing. One that runs stops before its next step; who waits for it
            gets DBOSNonExistentWorkflowError.
        delete_children: Delete its children too, and theirs; otherwise they stay.
    """
    return delete_workflows(engine, [workflow_id], delete_children=delete_children)


def delete_workflows(engine: Engine, workflow_ids: Sequence[str], *, delete_children: bool = False) -> Operation[None]:
    """Delete several workflows, all of them at once; see `delete_workflow`."""
    return as_step("DBOS.deleteWorkflow", _delete(engine, require_ids(workflow_ids), delete_children))


def _delete(engine: Engine, workflow_ids: list[str], with_children: bool) -> Operation[None]:
    caller = workflow_body()
    guard = None if caller is None else (caller.workflow_id, caller.epoch)
    while True:
        before = engine.active()  # whoever begins after the deletion has an id that was free
        deleted: Deleted | None = yield Ask(engine.store.workflows.delete, workflow_ids, with_children, guard)
        if deleted is not None:
            break
        if caller is not None:
            yield from caller.verify_refused()
    announce_deleted(engine, deleted.ids, before)
    yield Ask(engine.forget_workflows, deleted.lives)


def update_workflow_attributes(
    engine: Engine, workflow_id: str, attributes: dict[str, Any] | None, *, merge: bool = False
) -> Operation[None]:
    """Replace the attributes of a workflow.

    Args:
        workflow_id: Any workflow; an unknown id changes nothing.
        attributes: The new attributes, of JSON values; None clears them.
        merge: Overwrite the given top-level keys only, and keep the others.

    Raises DBOSException for attributes that are not a dict of JSON values.
    """
    validate_workflow_id(workflow_id)
    if merge and attributes is None:
        raise DBOSException("update_workflow_attributes(merge=True) takes a dict of attributes, not None")
    text = None if attributes is None else encode_attributes(attributes)
    attempt = workflow_body()
    if attempt is None:
        yield Commit(UpdateAttributes(workflow_id, text, merge, None, None))
    else:
        change = UpdateAttributes(workflow_id, text, merge, attempt.workflow_id, attempt.epoch)
        yield from commit_as_step(attempt, "DBOS.updateWorkflowAttributes", change)


RESERVED_ATTRIBUTES = carrier.ASKED, carrier.FOLLOWED


def encode_attributes(attributes: Any) -> str:
    """Attributes as JSON text. Raises DBOSException for anything JSON or the database cannot hold."""
    if not isinstance(attributes, dict) or not all(isinstance(key, str) for key in attributes):
        raise DBOSException(f"Workflow attributes must be a dict with str keys, not {attributes!r}")
    for name in RESERVED_ATTRIBUTES:
        if name in attributes:
            raise DBOSException(f"The workflow attribute {name!r} is reserved")
    try:
        text = json.dumps(attributes, allow_nan=False)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DBOSException(f"Workflow attributes must be JSON values: {error}") from error
    if "\\u0000" in text or ("\\ud" in text.lower() and _has_lone_surrogate(attributes)):
        raise DBOSException("Workflow attributes must not contain NUL characters or lone surrogates")
    return text


def _has_lone_surrogate(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


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
