"""What became of a workflow: waiting for outcomes, by id, by handle, or for the first of many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dbos.error import (
    DBOSAwaitedWorkflowCancelledError,
    DBOSAwaitedWorkflowMaxRecoveryAttemptsExceeded,
    DBOSNonExistentWorkflowError,
)
from dbos.model.workflow import FINISHED, Status, WorkflowRow
from dbos.runtime.context import Attempt, workflow_body
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Ask, Operation, Outcome, Wait
from dbos.runtime.step import as_step, outcome_as_step
from dbos.runtime.waiters import Key

GET_RESULT = "DBOS.getResult"

POLLING_SECONDS = 1.0
"""How often a waiter's workflow is looked at with every notification lost: by the listener, for all waiters at once."""


def require_polling(seconds: object) -> None:
    """Raises ValueError for what is no interval between two looks."""
    if not isinstance(seconds, int | float) or not seconds > 0:
        raise ValueError(f"polling_interval_sec must be a positive number of seconds, not {seconds!r}")


def outcome_of(engine: Engine, row: WorkflowRow) -> Outcome[Any]:
    """The outcome of a finished workflow, as those who wait for it see it."""
    codec = engine.codec
    if row.status == Status.SUCCESS:
        return Outcome(None if row.output is None else codec.decode(row.output, row.outcome_serialization))
    if row.status == Status.ERROR:
        return Outcome(error=codec.decode_error(row.error or "", row.outcome_serialization))
    if row.status == Status.CANCELLED:
        return Outcome(error=DBOSAwaitedWorkflowCancelledError(row.workflow_uuid))
    return Outcome(error=DBOSAwaitedWorkflowMaxRecoveryAttemptsExceeded(row.workflow_uuid))


def await_outcome(
    engine: Engine,
    workflow_id: str,
    attempt: Attempt | None = None,
    polling_seconds: float = POLLING_SECONDS,
    must_exist: bool = True,
) -> Operation[Outcome[Any]]:
    """Wait for the outcome of a workflow.

    An attempt that runs in this process and owns the workflow to its end tells its outcome directly; in every other
    case the database has the last word. Raises DBOSNonExistentWorkflowError if the row does not exist, or disappears.
    """
    caller = workflow_body()
    with engine.waiters.register(*_keys(caller, workflow_id)) as registration:
        while True:
            ensure_going(engine, caller)
            if attempt is not None and attempt.outcome is not None:
                return attempt.outcome
            local = attempt is not None and attempt.engine is engine and not attempt.ended and attempt.revoked is None
            if not local:
                row: WorkflowRow | None = yield Ask(engine.load, workflow_id)
                if row is None and must_exist:
                    raise DBOSNonExistentWorkflowError("target", workflow_id)
                if row is not None and row.status in FINISHED:
                    return outcome_of(engine, row)
            yield Wait(registration, None if local or polling_seconds >= POLLING_SECONDS else polling_seconds)


def ensure_going(engine: Engine, caller: Attempt | None) -> None:
    """Raises what ends the calling workflow, or for plain code DBOSException, if there is no point in waiting."""
    if caller is None:
        engine.ensure_open()
    else:
        caller.ensure_going()


def _keys(caller: Attempt | None, *workflow_ids: str) -> list[Key]:
    keys = [("workflow", workflow_id) for workflow_id in workflow_ids]
    if caller is not None:
        keys.append(("attempt", caller.workflow_id))
    return keys


def get_result(
    engine: Engine,
    workflow_id: str,
    attempt: Attempt | None = None,
    polling_seconds: float = POLLING_SECONDS,
    must_exist: bool = True,
    step_id: int | None = None,
) -> Operation[Outcome[Any]]:
    """Wait for an outcome; inside a workflow the answer is the step `DBOS.getResult`."""
    waiting = await_outcome(engine, workflow_id, attempt, polling_seconds, must_exist)
    return outcome_as_step(GET_RESULT, waiting, workflow_id, step_id)


def wait_first(engine: Engine, workflow_ids: Sequence[str], polling_seconds: float = POLLING_SECONDS) -> Operation[str]:
    """Wait until one of the workflows has ended and return its id: the earliest in the list, if several have."""
    if not workflow_ids:
        raise ValueError("handles must not be empty")
    require_polling(polling_seconds)
    return as_step("DBOS.waitFirst", _first_finished(engine, list(workflow_ids), polling_seconds))


def _first_finished(engine: Engine, workflow_ids: list[str], polling_seconds: float) -> Operation[str]:
    caller = workflow_body()
    awaited = set(workflow_ids)  # not there so far: they may still come, whereas one that disappears has ended
    with engine.waiters.register(*_keys(caller, *dict.fromkeys(workflow_ids))) as registration:
        while True:
            ensure_going(engine, caller)
            ended: dict[str, bool] = dict((yield Ask(engine.store.workflows.ended, workflow_ids)))
            awaited = {each for each in awaited if ended.get(each) is False}
            for workflow_id in workflow_ids:
                if workflow_id in ended and workflow_id not in awaited:
                    return workflow_id
            yield Wait(registration, None if polling_seconds >= POLLING_SECONDS else polling_seconds)
