"""Steering workflows: cancel, resume, delete, attributes. Called from a workflow body, each is a recorded step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dbos.error import DBOSException
from dbos.model.ids import validate_workflow_id
from dbos.model.workflow import Status
from dbos.runtime.announcing import announce_cancelled, announce_deleted, running_here
from dbos.runtime.arguments import encode_attributes, require_ids
from dbos.runtime.context import current_attempt, refuse_in_transaction, workflow_body
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Ask, Commit, Operation
from dbos.runtime.queues import require_queue_name, require_unpartitioned
from dbos.runtime.step import as_step, commit_as_step
from dbos.store.deleting import Deleted
from dbos.store.records import UpdateAttributes

UPDATE_ATTRIBUTES = "DBOS.updateWorkflowAttributes"


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
    refuse_in_transaction(UPDATE_ATTRIBUTES)
    attempt = workflow_body()
    if attempt is None:
        yield Commit(UpdateAttributes(workflow_id, text, merge, None, None))
    else:
        change = UpdateAttributes(workflow_id, text, merge, attempt.workflow_id, attempt.epoch)
        yield from commit_as_step(attempt, UPDATE_ATTRIBUTES, change)
