"""Starting workflows: direct calls, background starts, children.

An id is an idempotency key: starting it again attaches to the workflow that is there. A child's row and the step that
records it in the parent become durable in one commit, and only while the parent's attempt still owns its workflow.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dbos.error import (
    DBOSConflictingWorkflowError,
    DBOSException,
    DBOSNonExistentWorkflowError,
    DBOSWorkflowIDInUseError,
)
from dbos.model.ids import child_id, validate_workflow_id
from dbos.model.workflow import Status, WorkflowRow
from dbos.runtime.clock import wall_ms
from dbos.runtime.context import Attempt, current_attempt, current_identity, current_step, workflow_body
from dbos.runtime.executor import Executor
from dbos.runtime.operation import Ask, Commit, Operation, Outcome
from dbos.runtime.outcomes import GET_RESULT, await_outcome, get_result
from dbos.runtime.registry import Target, WorkflowSpec
from dbos.runtime.requests import Inherit, Requests, asking_nothing, current_requests
from dbos.runtime.step import encode, outcome_as_step, record
from dbos.runtime.workflow import body, execute, run_in_background, run_logged_async
from dbos.store.records import Checkpoint, StartWorkflow

logger = logging.getLogger("dbos")


@dataclass(frozen=True, slots=True)
class Started:
    """A workflow that exists now. `attempt` is set if this call created it and may run it."""

    workflow_id: str
    attempt: Attempt | None = None


def call(engine: Executor, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Operation[Outcome[Any]]:
    """Call a workflow directly: run it here and return its outcome, or wait for the one that is there already.

    A parent draws two numbers at once, for the child and for its result: so `gather` numbers them alike in a replay.
    """
    parent = workflow_body()
    numbers = (None, None) if parent is None else (parent.next_step_id(), parent.next_step_id())
    started = yield from start(engine, target, args, kwargs, numbers[0])
    attempt = started.attempt
    if attempt is None:
        return (yield from get_result(engine, started.workflow_id, step_id=numbers[1]))
    running = _run_here(attempt, body(attempt, target, args, kwargs), target.function.is_async)
    return (yield from outcome_as_step(GET_RESULT, running, started.workflow_id, numbers[1]))


def _run_here(attempt: Attempt, run: Callable[[], Any], awaited: bool) -> Operation[Outcome[Any]]:
    """Run an attempt for somebody who waits; if it loses its workflow, the outcome is the winner's."""
    with asking_nothing():
        outcome = yield from execute(attempt, run, awaited)
    if outcome is not None:
        return outcome
    return (yield from await_outcome(attempt.engine, attempt.workflow_id))


def start_in_background(
    engine: Executor, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any], on_callers_loop: bool
) -> Operation[Started]:
    """Start a workflow and return once it is durable; it runs on a host of ours, or on the caller's own event loop."""
    started = yield from start(engine, target, args, kwargs)
    attempt = started.attempt
    if attempt is None:
        return started
    run = body(attempt, target, args, kwargs)
    with asking_nothing():
        if target.function.is_async and on_callers_loop:
            engine.begin(attempt)
            engine.keep(asyncio.get_running_loop().create_task(run_logged_async(attempt, run)))
        else:
            run_in_background(attempt, run, target.function.is_async)
    return started


def start(
    engine: Executor, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any], step_id: int | None = None
) -> Operation[Started]:
    """Make a workflow row durable, as PENDING and owned by this process, unless its id is taken.

    `step_id` is the number of this step in the parent, if it was drawn before.
    """
    parent = current_attempt()
    if parent is not None and current_step() is not None:
        raise DBOSException(
            f"Cannot start workflow {target.function.workflow_name} from within a step "
            f"(of workflow {parent.name}): start it from the body of a workflow"
        )
    asked = current_requests()
    if parent is None:
        return (yield from _start_alone(engine, target, args, kwargs, asked))
    if step_id is None:
        step_id = parent.next_step_id()
    return (yield from _start_child(engine, parent, step_id, target, args, kwargs, asked))


def _start_alone(
    engine: Executor, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any], asked: Requests
) -> Operation[Started]:
    workflow_id, policy = _take_id(asked)
    row = _row(engine, target, args, kwargs, asked, workflow_id or engine.new_id(), None)
    (created,) = yield Commit(row)
    return (yield from _admit(engine, target, row, created, policy))


def _start_child(
    engine: Executor,
    parent: Attempt,
    step_id: int,
    target: Target,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    asked: Requests,
) -> Operation[Started]:
    """Start a child in one commit with the step that records it.

    Under an id of the user's the row comes first, because what the id turns out to be is what the step records. The
    row's token names the step: a replay after a crash between the two commits knows its own child.
    """
    name = target.function.workflow_name
    workflow_id, policy = _take_id(asked)
    recorded = parent.recorded(step_id, name)
    if recorded is not None:
        if recorded.error is not None:
            raise engine.codec.decode_error(recorded.error, recorded.serialization)
        return Started(recorded.child_workflow_id or "")
    if parent.must_verify():
        yield from parent.verify()
    child = workflow_id or child_id(parent.workflow_id, step_id)
    row = _row(engine, target, args, kwargs, asked, child, parent, step_id)
    now_ms = wall_ms()
    step = Checkpoint(parent.workflow_id, parent.epoch, step_id, name, None, None, None, child, now_ms, now_ms)
    if workflow_id is None:
        (created,) = yield from record(parent, step, row)
        return (yield from _admit(engine, target, row, created, policy))
    (created,) = yield Commit(row)
    if created is None:
        yield from parent.verify()  # it may have been the parent's guard that refused
    try:
        started = yield from _admit(engine, target, row, created, policy)
    except (DBOSConflictingWorkflowError, DBOSWorkflowIDInUseError) as refusal:
        yield from record(parent, encode(parent, step_id, name, Outcome(error=refusal), now_ms))
        raise
    yield from record(parent, step)
    return started


def _admit(
    engine: Executor, target: Target, row: StartWorkflow, created: tuple[Any, ...] | None, policy: str | None
) -> Operation[Started]:
    """What came of a start: a new workflow to run here, or the one that has the id already.

    Raises DBOSConflictingWorkflowError if that belongs to another function, class or instance, and
    DBOSWorkflowIDInUseError if an id in use was not wanted.
    """
    if created is not None:
        return _created(engine, row, created[-1])
    there: WorkflowRow | None = yield Ask(engine.store.workflows.load, row.workflow_id)
    if there is None:
        raise DBOSNonExistentWorkflowError("target", row.workflow_id)
    if there.owner_xid == row.token:  # our own start, whose reply was lost; others may have taken it over since
        untouched = there.epoch == 1 and there.status == Status.PENDING
        mine = there.executor_instance == engine.owner.instance  # not the child of an earlier attempt of the parent
        if untouched and mine and engine.attempt_of(row.workflow_id) is None:
            return _created(engine, row, there.workflow_deadline_epoch_ms)
        return Started(row.workflow_id)
    _require_same(there, target)
    if policy == "reject":
        raise DBOSWorkflowIDInUseError(there.workflow_uuid, there.status, there.name)
    return Started(row.workflow_id)


def _take_id(asked: Requests) -> tuple[str | None, str | None]:
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


def _row(
    engine: Executor,
    target: Target,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    asked: Requests,
    workflow_id: str,
    parent: Attempt | None,
    step_id: int = 0,
) -> StartWorkflow:
    target.check(args, kwargs)
    function = target.function
    spec = function.workflow or WorkflowSpec()
    inputs, serialization = engine.codec.encode_inputs(args, kwargs, spec.serialization_type)
    identity = current_identity()
    timeout_ms, deadline_ms = _time_limits(asked.timeout_seconds, parent)
    owner = engine.owner
    return StartWorkflow(
        workflow_id=workflow_id,
        token=engine.new_token() if parent is None else f"{parent.workflow_id}:{step_id}",
        status=Status.PENDING,
        name=function.workflow_name,
        class_name=target.class_name,
        config_name=target.config_name,
        inputs=inputs,
        serialization=serialization,
        application_name=owner.application_name,
        application_version=owner.application_version,
        application_id=engine.application_id,
        executor_id=owner.executor_id,
        executor_instance=owner.instance,
        authenticated_user=identity.user,
        assumed_role=identity.assumed_role,
        authenticated_roles=None if identity.roles is None else json.dumps(identity.roles),
        queue_name=None,
        timeout_ms=timeout_ms,
        deadline_ms=deadline_ms,
        delay_ms=None,
        deduplication_id=None,
        priority=0,
        queue_partition_key=None,
        parent_workflow_id=None if parent is None else parent.workflow_id,
        attributes=asked.attributes,
        guard_workflow_id=None if parent is None else parent.workflow_id,
        guard_epoch=None if parent is None else parent.epoch,
    )


def _time_limits(asked: float | Inherit | None, parent: Attempt | None) -> tuple[int | None, int | None]:
    """(own timeout, inherited deadline), in milliseconds."""
    if isinstance(asked, Inherit):
        return None, None if parent is None else parent.deadline_ms
    return (None if asked is None else int(asked * 1000)), None


def _created(engine: Executor, row: StartWorkflow, deadline_ms: int | None) -> Started:
    attempt = Attempt(engine, row.workflow_id, row.name, 1, deadline_ms, current_identity())
    engine.expect_deadline(deadline_ms)
    return Started(row.workflow_id, attempt)


def _require_same(there: WorkflowRow, target: Target) -> None:
    """Raises DBOSConflictingWorkflowError if the id belongs to another function, class or instance."""
    pairs = (
        ("function name", there.name, target.function.workflow_name),
        ("class name", there.class_name, target.class_name),
        ("config name", there.config_name, target.config_name),
    )
    for what, stored, wanted in pairs:
        if stored != wanted:
            raise DBOSConflictingWorkflowError(
                there.workflow_uuid,
                f"Workflow already exists with a different {what}: {stored}, but the provided {what} is: {wanted}",
            )
