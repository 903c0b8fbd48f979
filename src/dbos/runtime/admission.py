"""How a new workflow comes into being: its id, its row, the step of the parent that records it.

Shared by what starts and what enqueues workflows. An id is an idempotency key: asking for it again attaches to the
workflow that is there. A child's row and the step that records it in the parent become durable only while the parent's
attempt still owns its workflow. Why a row was refused is asked afterwards; a row that is taken costs no question.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

from dbos.error import (
    DBOSConflictingWorkflowError,
    DBOSException,
    DBOSQueueDeduplicatedError,
    DBOSWorkflowIDInUseError,
)
from dbos.fields import NamedTuple
from dbos.model.ids import child_id, validate_workflow_id
from dbos.model.placement import NO_PLACEMENT
from dbos.model.workflow import Status, WorkflowRow
from dbos.runtime.clock import wall_ms
from dbos.runtime.context import Attempt, current_attempt, current_step
from dbos.runtime.engine import Engine
from dbos.runtime.identity import current_identity
from dbos.runtime.operation import Ask, Commit, Operation, Outcome
from dbos.runtime.registry import Names
from dbos.runtime.requests import Inherit, Requests
from dbos.runtime.step import encode, record
from dbos.store.database import Row
from dbos.store.executors import Owner
from dbos.store.records import Checkpoint, Debounce, StartWorkflow
from dbos.telemetry import carrier

logger = logging.getLogger("dbos")

REFUSALS = (DBOSConflictingWorkflowError, DBOSWorkflowIDInUseError, DBOSQueueDeduplicatedError)
"""What a workflow that asks for another one may be answered; recorded, so that a replay is answered the same."""


class Started(NamedTuple):
    """A workflow that exists now. `attempt` and `run` are set if this call created it and may run it."""

    workflow_id: str
    attempt: Attempt | None = None
    run: Callable[[], Any] | None = None


class Ticket(NamedTuple):
    """By which a new row is known: its id, the token of this call, and the workflow that asks for it."""

    workflow_id: str
    token: str
    parent: Attempt | None = None


class Admitted(NamedTuple):
    """A workflow that exists now. `row` is set if this call wrote it and nobody has taken it up since."""

    workflow_id: str
    row: StartWorkflow | None = None
    deadline_ms: int | None = None
    epoch: int | None = None


MakeRow = Callable[[Ticket], StartWorkflow]
"""Checks the request and makes the row; called once its id is known, and not at all in a replay."""


def admit(
    engine: Engine, what: str, names: Names, asked: Requests, make_row: MakeRow, step_id: int | None = None
) -> Operation[Admitted]:
    """Make a workflow row durable, unless its id (or its place in a queue) is taken.

    `step_id` is the number of this step in the parent, if it was drawn before. Raises DBOSException inside a step, and
    the `REFUSALS`.
    """
    parent = asking_parent(engine, what, names)
    if parent is None:
        workflow_id, policy = take_id(asked)
        row = make_row(Ticket(workflow_id or engine.new_id(), engine.new_token()))
        (created,) = yield Commit(row)
        return (yield from _settle(engine, None, row, created, asked, policy))
    if step_id is None:
        step_id = parent.next_step_id()
    return (yield from _admit_child(engine, parent, step_id, names, asked, make_row))


def asking_parent(engine: Engine, what: str, names: Names) -> Attempt | None:
    """The workflow in whose body this is asked, if it runs on this engine. Raises DBOSException inside a step."""
    parent = current_attempt()
    if parent is None or parent.engine is not engine:
        return None
    if current_step() is not None:
        raise DBOSException(
            f"Cannot {what} workflow {names.workflow} from within a step "
            f"(of workflow {parent.name}): {what} it from the body of a workflow"
        )
    return parent


def admit_many(engine: Engine, entries: Sequence[tuple[Requests, MakeRow]]) -> Operation[list[Admitted]]:
    """The same for many at once, in one commit. Nobody's children: called outside of workflows.

    What the `REFUSALS` are raised for is found out when everything else is durable.
    """
    rows, policies = [], []
    for asked, make_row in entries:
        workflow_id, policy = take_id(asked)
        rows.append(make_row(Ticket(workflow_id or engine.new_id(), engine.new_token())))
        policies.append(policy)
    if not rows:
        return []
    answers = yield Commit(*rows)
    admitted = []
    for (asked, _), row, policy, created in zip(entries, rows, policies, answers, strict=True):
        admitted.append((yield from _settle(engine, None, row, created, asked, policy)))
    return admitted


def _admit_child(
    engine: Engine, parent: Attempt, step_id: int, names: Names, asked: Requests, make_row: MakeRow
) -> Operation[Admitted]:
    """Admit a child in one commit with the step that records it.

    Where it may turn out to be another workflow, under an id of the user's or beside a deduplication id, the row comes
    first, because what becomes of it is what the step records. The row's token names the step: a replay after a crash
    between the two commits knows its own child.
    """
    name = names.workflow
    workflow_id, policy = take_id(asked)
    recorded = parent.recorded(step_id, name)
    if recorded is not None:
        if recorded.error is not None:
            raise engine.codec.decode_error(recorded.error, recorded.serialization)
        return Admitted(recorded.child_workflow_id or "")
    if parent.must_verify():
        yield from parent.verify()
    ticket = Ticket(workflow_id or child_id(parent.workflow_id, step_id), parent.token_of(step_id), parent)
    row = make_row(ticket)
    now_ms = wall_ms()

    def step(child: str) -> Checkpoint:
        return Checkpoint(parent.workflow_id, parent.epoch, step_id, name, None, None, None, child, now_ms, now_ms)

    if workflow_id is None and row.deduplication_id is None:
        (created,) = yield from record(parent, step(row.workflow_id), row)
        return (yield from _settle(engine, parent, row, created, asked, policy))
    (created,) = yield Commit(row)
    try:
        admitted = yield from _settle(engine, parent, row, created, asked, policy)
    except REFUSALS as refusal:
        yield from record(parent, encode(parent, step_id, name, Outcome(error=refusal), now_ms))
        raise
    yield from record(parent, step(admitted.workflow_id))
    return admitted


def _settle(
    engine: Engine, parent: Attempt | None, row: StartWorkflow, created: Row | None, asked: Requests, policy: str | None
) -> Operation[Admitted]:
    """What comes of a row: it was `created`, or somebody is in its way. If he has gone since, there is room again."""
    while created is None:
        if parent is not None:
            yield from parent.verify_refused()  # it may have been the parent's guard that refused
        found = yield from _attach(engine, row, asked, policy)
        if found is not None:
            return found
        (created,) = yield Commit(row)
    return Admitted(row.workflow_id, row, *created)


def _attach(engine: Engine, row: StartWorkflow, asked: Requests, policy: str | None) -> Operation[Admitted | None]:
    """The workflow that made the database refuse a row: the one of its id, else that of its deduplication id."""
    there: WorkflowRow | None = yield Ask(engine.load, row.workflow_id)
    if there is not None:
        if there.owner_xid == row.token:
            return _own(engine, row, there)
        require_same(there, row)
        if policy == "reject":
            raise DBOSWorkflowIDInUseError(there.workflow_uuid, there.status, there.name)
        return Admitted(row.workflow_id)
    if row.queue_name is None or row.deduplication_id is None:
        return None
    holder: str | None = yield Ask(engine.store.workflows.deduplicated, row.queue_name, row.deduplication_id)
    if holder is None:
        return None
    if not asked.placement.returns_existing:
        raise DBOSQueueDeduplicatedError(row.workflow_id, row.queue_name, row.deduplication_id)
    return Admitted(holder)


def _own(engine: Engine, row: StartWorkflow, there: WorkflowRow) -> Admitted:
    """Our own row, whose reply was lost. Others may have taken it up since; then it is theirs to run.

    So it is if an earlier attempt of the parent wrote it: what that one started runs elsewhere, or is to be adopted.
    """
    as_written = row.status, 1 if row.status == Status.PENDING else 0, row.executor_instance, there.created_at
    untouched = as_written == (there.status, there.recovery_attempts, there.executor_instance, there.updated_at)
    if untouched and engine.attempt_of(row.workflow_id) is None:
        return Admitted(row.workflow_id, row, there.workflow_deadline_epoch_ms, there.epoch)
    return Admitted(row.workflow_id)


def take_id(asked: Requests) -> tuple[str | None, str | None]:
    """The id that was asked for, if it is still free for this start, and what to do if it exists."""
    wanted = asked.identity
    if wanted is None:
        return None, None
    if not wanted.take():
        logger.warning(
            "SetWorkflowID(%r) was used by an earlier workflow of its block; this one gets an id of its own",
            wanted.workflow_id,
        )
        return None, None
    validate_workflow_id(wanted.workflow_id)
    return wanted.workflow_id, wanted.policy


def new_row(
    engine: Engine,
    ticket: Ticket,
    names: Names,
    inputs: tuple[str, str],
    asked: Requests,
    app_version: str | None,
    *,
    owner: Owner | None = None,
    queue_name: str | None = None,
) -> StartWorkflow:
    """The row of a workflow that its owner runs at once, or that waits in a queue. `inputs` are encoded, with codec."""
    identity = asked.on_behalf_of or current_identity()
    timeout_ms, deadline_ms = _time_limits(asked.timeout_seconds, ticket.parent)
    placement = asked.placement
    if queue_name is None:
        status, placement = Status.PENDING, NO_PLACEMENT
    else:
        status = Status.ENQUEUED if placement.delay_ms is None else Status.DELAYED
    return StartWorkflow(
        workflow_id=ticket.workflow_id,
        token=ticket.token,
        status=status,
        name=names.workflow,
        class_name=names.class_name,
        config_name=names.config_name,
        inputs=inputs[0],
        serialization=inputs[1],
        application_name=names.application or engine.application_name,
        application_version=app_version,
        application_id=engine.application_id,
        executor_id=None if owner is None else owner.executor_id,
        executor_instance=None if owner is None else owner.instance,
        authenticated_user=identity.user,
        assumed_role=identity.assumed_role,
        authenticated_roles=None if identity.roles is None else json.dumps(identity.roles),
        queue_name=queue_name,
        timeout_ms=timeout_ms,
        deadline_ms=deadline_ms,
        delay_ms=placement.delay_ms,
        deduplication_id=placement.deduplication_id,
        priority=placement.priority or 0,
        queue_partition_key=placement.queue_partition_key,
        parent_workflow_id=None if ticket.parent is None else ticket.parent.workflow_id,
        attributes=asked.attributes if asked.trace is None else _in_trace(asked),
        guard_workflow_id=None if ticket.parent is None else ticket.parent.workflow_id,
        guard_epoch=None if ticket.parent is None else ticket.parent.epoch,
    )


def _in_trace(asked: Requests) -> str | None:
    """The attributes of a workflow that shall belong to a trace; nothing is added if there is no active span."""
    context = None if asked.trace == "active" else asked.trace
    return carrier.with_asked(asked.attributes, carrier.active(context))


def _time_limits(asked: float | Inherit | None, parent: Attempt | None) -> tuple[int | None, int | None]:
    """(own timeout, inherited deadline), in milliseconds."""
    if isinstance(asked, Inherit):
        return None, None if parent is None else parent.deadline_ms
    return (None if asked is None else int(asked * 1000)), None


def require_same(there: WorkflowRow, row: StartWorkflow | Debounce) -> None:
    """Raises DBOSConflictingWorkflowError if the id belongs to another function, class or instance."""
    pairs = (
        ("function name", there.name, row.name),
        ("class name", there.class_name, row.class_name),
        ("config name", there.config_name, row.config_name),
    )
    for what, stored, wanted in pairs:
        if stored != wanted:
            raise DBOSConflictingWorkflowError(
                there.workflow_uuid,
                f"Workflow already exists with a different {what}: {stored}, but the provided {what} is: {wanted}",
            )
