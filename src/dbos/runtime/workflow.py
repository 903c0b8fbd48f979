"""One workflow attempt, from claim to outcome.

`execute` runs the body and writes the outcome, unless the attempt turns out not to own the workflow any more: whoever
waits for it then gets what the winner writes. `run_claimed` starts attempts for rows that this process has claimed:
recovered, resumed or dequeued ones.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any

from dbos.error import (
    DBOSSerializationError,
    DBOSWorkflowCancelledError,
    DBOSWorkflowConflictIDError,
)
from dbos.model.serialization import PORTABLE_JSON, WorkflowSerializationFormat
from dbos.model.workflow import Status, StepRow, WorkflowRow
from dbos.runtime import spans
from dbos.runtime.context import Attempt, inside
from dbos.runtime.executor import Executor
from dbos.runtime.identity import enter_identity
from dbos.runtime.interpreters import Hosted, run_async, run_blocking
from dbos.runtime.operation import Ask, Commit, Invoke, Operation, Outcome
from dbos.runtime.registry import StepSpec, Target
from dbos.runtime.roles import identity_of, reauthorize
from dbos.runtime.step import perform
from dbos.runtime.transaction import perform as perform_transaction
from dbos.store.records import FinishWorkflow
from dbos.telemetry.carrier import stored

logger = logging.getLogger("dbos")

SIGNALS = (DBOSWorkflowCancelledError, DBOSWorkflowConflictIDError)
"""What ends an attempt whose workflow was cancelled or taken over."""


def execute(attempt: Attempt, call: Callable[[], Any], awaited: bool) -> Operation[Outcome[Any] | None]:
    """Run the body and make its outcome durable. None: the attempt lost its workflow, whose outcome is the winner's."""
    engine = attempt.engine
    attempt.loop = asyncio._get_running_loop() if awaited else None
    engine.begin(attempt)
    engine.metrics.workflows_started.add(attempt.name)
    begun = time.monotonic()
    try:
        outcome = yield from spans.of_workflow(attempt, _run_body(attempt, call, awaited))
        if outcome is not None:
            outcome = yield from _finish(attempt, outcome)
        _count(attempt, outcome, begun)
        return outcome
    except BaseException as error:
        if not isinstance(error, (Exception, GeneratorExit)):  # user code was interrupted: that is no outcome
            yield from _give_back(attempt)
        raise
    finally:
        engine.end(attempt)


def _count(attempt: Attempt, outcome: Outcome[Any] | None, begun: float) -> None:
    """An execution is over. One that has lost its workflow to another execution has brought nothing to an end."""
    if outcome is not None:
        status = _status(outcome)
    elif attempt.revoked is Status.CANCELLED:
        status = Status.CANCELLED
    else:
        return
    attempt.engine.metrics.workflows_finished.add(attempt.name, status)
    attempt.engine.metrics.workflow_seconds.record(time.monotonic() - begun, attempt.name)


def _status(outcome: Outcome[Any]) -> Status:
    return Status.SUCCESS if outcome.error is None else Status.ERROR


def outcome_format(target: Target, codec: str | None) -> WorkflowSerializationFormat:
    """How the outcome is stored: as portable JSON if the function says so, or if its arguments came like that."""
    portable = codec == PORTABLE_JSON or target.names.serialization_type is WorkflowSerializationFormat.PORTABLE
    return WorkflowSerializationFormat.PORTABLE if portable else WorkflowSerializationFormat.DEFAULT


def _run_body(attempt: Attempt, call: Callable[[], Any], awaited: bool) -> Operation[Outcome[Any] | None]:
    """What the body came to. None: it ended because the attempt has lost its workflow."""
    with inside(attempt):
        try:
            if attempt.revoked is not None:
                raise attempt.revocation()
            outcome: Outcome[Any] = yield Invoke(call, awaited)
            return outcome
        except (*SIGNALS, BaseExceptionGroup):  # a group: raised in a task of an asyncio.TaskGroup
            if attempt.revoked is None and not attempt.engine.closed:  # of another workflow, let through by user code
                attempt.verified_at = 0.0
                try:
                    yield from attempt.verify()
                except SIGNALS:
                    pass
                else:
                    raise
            return None


def _finish(attempt: Attempt, outcome: Outcome[Any]) -> Operation[Outcome[Any] | None]:
    """Write the outcome, once, by the epoch that owns the workflow. None: it was not ours to write."""
    if attempt.revoked is not None:
        return None
    engine = attempt.engine
    outcome, record = _encode(attempt, outcome)
    while True:
        (written,) = yield Commit(record)
        if written is None:
            row = yield Ask(engine.standing, attempt.workflow_id)
            ours = row is not None and row[1] == attempt.epoch
            if ours and row[0] == Status.PENDING:
                continue  # neither written nor fenced: the commit was lost before it arrived
            if not ours or row[0] != record.status:
                attempt.lose(row)
                attempt.count_fenced()
                return None
        attempt.outcome = outcome
        engine.store.hints.publish("workflow", (attempt.workflow_id,))
        return outcome


def _give_back(attempt: Attempt) -> Operation[None]:
    """What was taken from a queue waits there again, and its slot is free at once. This attempt counts.

    Any other workflow stays ours, and is taken up again after a lease (services/recovery.py).
    """
    engine = attempt.engine
    if attempt.queue_name is None or attempt.revoked is not None or engine.closed:
        return
    yield Ask(engine.store.claims.give_back, attempt.workflow_id, attempt.epoch, engine.owner.instance, True)
    engine.announce_enqueued(attempt.queue_name)


def _encode(attempt: Attempt, outcome: Outcome[Any]) -> tuple[Outcome[Any], FinishWorkflow]:
    codec = attempt.engine.codec
    output = error = None
    if outcome.error is None:
        try:
            output, serialization = codec.encode(outcome.value, "result", attempt.format)
        except DBOSSerializationError as refusal:
            outcome = Outcome(error=refusal)
    if outcome.error is not None:
        error, serialization = codec.encode_error(outcome.error, attempt.format)
    return outcome, FinishWorkflow(attempt.workflow_id, attempt.epoch, _status(outcome), output, error, serialization)


def body(attempt: Attempt, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], Any]:
    """The call that runs a target as a workflow. A bare step or transaction is the only step of a temporary one."""
    function = target.function
    call = partial(function.body, *target.bind(args), **kwargs)
    if function.workflow is not None:
        return call
    if function.transaction is not None:
        transaction = function.transaction
        return lambda: run_blocking(attempt.engine, perform_transaction(attempt, transaction, call)).unwrap()
    spec = function.step or StepSpec(function.name)
    if function.is_async:

        async def run_step_async() -> Any:
            return (await run_async(attempt.engine, perform(attempt, spec, call, True))).unwrap()

        return run_step_async

    def run_step() -> Any:
        return run_blocking(attempt.engine, perform(attempt, spec, call, False)).unwrap()

    return run_step


@dataclass(slots=True)
class Run:
    """An attempt that is about to run in the background: its body, in its colour, and the context it runs in."""

    attempt: Attempt
    call: Callable[[], Any]
    awaited: bool
    context: Context


def run_in_background(attempt: Attempt, call: Callable[[], Any], awaited: bool) -> None:
    """Run an attempt on a host of ours, in a copy of this context."""
    run_all_in_background((Run(attempt, call, awaited, copy_context()),))


def run_all_in_background(runs: Sequence[Run]) -> None:
    """Run attempts on the hosts of ours: threads, and the event loop for coroutines. Their failures are logged."""
    for run in runs:
        run.attempt.engine.begin(run.attempt)  # from here on no sweep takes it for abandoned
    blocking = [run for run in runs if not run.awaited]
    if blocking:
        _run_on_threads(blocking)
    awaited = [run for run in runs if run.awaited]
    if awaited:
        _run_on_loop(awaited)


def _run_on_threads(runs: Sequence[Run]) -> None:
    engine = runs[0].attempt.engine
    try:
        engine.threads.submit(*[_hosted(run).begin for run in runs])  # at once, or each would fight for the host's lock
    except RuntimeError as error:  # no thread to be had, or the host has just stopped
        for run in runs:
            _log_refusal(run.attempt, error)


def _hosted(run: Run) -> Hosted[Outcome[Any] | None]:
    attempt, engine = run.attempt, run.attempt.engine

    def ended(outcome: Outcome[Any] | None, error: BaseException | None) -> None:
        if error is None:
            _log_failure(attempt, outcome)
        else:
            _log_interruption(attempt, error)

    return Hosted(engine, execute(attempt, run.call, False), run.context, engine.resuming.submit, ended)


def _run_on_loop(runs: Sequence[Run]) -> None:
    engine = runs[0].attempt.engine
    try:
        engine.loop.submit([(_run_hosted(run.attempt, run.call), run.context) for run in runs], engine.keep)
    except RuntimeError as error:
        for run in runs:
            _log_refusal(run.attempt, error)


def _log_refusal(attempt: Attempt, error: RuntimeError) -> None:
    attempt.engine.end(attempt)
    _log_interruption(attempt, error)


async def _run_hosted(attempt: Attempt, call: Callable[[], Any]) -> None:
    """On our own loop, what asks the program to end ends one attempt, as it does on our threads."""
    try:
        await run_logged_async(attempt, call)
    except (KeyboardInterrupt, SystemExit) as error:
        _log_interruption(attempt, error)


async def run_logged_async(attempt: Attempt, call: Callable[[], Any]) -> None:
    """Run an attempt as a task: its outcome is in the database, not in the task."""
    try:
        outcome = await run_async(attempt.engine, execute(attempt, call, True))
    except Exception as error:
        _log_interruption(attempt, error)
    else:
        _log_failure(attempt, outcome)


def _log_failure(attempt: Attempt, outcome: Outcome[Any] | None) -> None:
    if outcome is not None and outcome.error is not None:
        logger.error(
            "Exception encountered in background workflow %s (%s)",
            attempt.workflow_id,
            attempt.name,
            exc_info=outcome.error,
        )


def _log_interruption(attempt: Attempt, error: BaseException) -> None:
    if attempt.engine.closed:
        return  # destroyed meanwhile: the row stays PENDING, the next launch goes on
    logger.error(
        "Workflow %s (%s) was interrupted and will be recovered", attempt.workflow_id, attempt.name, exc_info=error
    )


def run_claimed(engine: Executor, rows: Sequence[WorkflowRow], in_slots: bool = False) -> list[str]:
    """Run workflows this process has claimed. One that cannot run is logged and set aside; it never stops the others.

    From a queue, it goes back there for whoever can run it. `in_slots`: their queue is limited, and wants to know when
    they end. Returns the ids that run now.
    """
    with_history = [row.workflow_uuid for row in rows if _may_have_history(row)]
    histories = engine.store.steps.history(with_history) if with_history else {}
    runs: list[Run] = []
    for row in rows:
        try:
            run = _prepare(engine, row, histories.get(row.workflow_uuid, ()), in_slots)
            if run is not None:
                runs.append(run)
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # stored values may raise anything when loaded
            _set_aside(engine, row, error)
    run_all_in_background(runs)
    return [run.attempt.workflow_id for run in runs]


def _set_aside(engine: Executor, row: WorkflowRow, error: BaseException) -> None:
    """Say why a workflow cannot be run here, and keep the sweeps from trying again. Its slot in a queue is free."""
    stays = row.status if row.queue_name is None else f"on queue {row.queue_name}"
    logger.error("Workflow %s (%s) cannot be run; it stays %s", row.workflow_uuid, row.name, stays, exc_info=error)
    engine.set_aside[row.workflow_uuid] = row.epoch
    if row.queue_name is not None:
        engine.set_aside[row.workflow_uuid] = row.epoch + 1
        engine.store.claims.give_back(row.workflow_uuid, row.epoch, engine.owner.instance, False)
        engine.announce_enqueued(row.queue_name)


def _may_have_history(row: WorkflowRow) -> bool:
    """Rows are enqueued at epoch 0, so epoch 1 is the first execution. Only a fork begins with steps it did not run."""
    return row.epoch > 1 or row.forked_from is not None


def _prepare(engine: Executor, row: WorkflowRow, history: Sequence[StepRow], in_slot: bool) -> Run | None:
    """The attempt of a claimed row; None if there have been too many, which ends the workflow."""
    target = engine.registry.find(row.name, row.class_name, row.config_name)
    spec = target.function.workflow
    attempt = Attempt(
        engine,
        row.workflow_uuid,
        row.name,
        row.epoch,
        row.workflow_deadline_epoch_ms,
        identity_of(row),
        {step.function_id: step for step in history},
        row.owner_xid or "",
        # A resume counts attempts anew, a claim adds one to both. (Whoever goes back to its queue adds one to the epoch
        # alone: what failed just before is then tried again, which is harmless, as it was taken back.)
        row.epoch - row.recovery_attempts,
    )
    attempt.format = outcome_format(target, row.serialization)
    attempt.queue_name = row.queue_name
    if engine.tracing is not None:
        attempt.carrier = stored(row.attributes)
    if in_slot and row.queue_name is not None:
        attempt.slot = row.queue_name, row.queue_partition_key
    limit = None if spec is None else spec.max_recovery_attempts
    if limit is not None and row.recovery_attempts > limit + 1:
        _give_up(attempt, limit)
        return None
    args, kwargs = engine.codec.decode_inputs(row.inputs or "", row.serialization)
    call = partial(_checked, attempt, target, args, kwargs)
    engine.expect_deadline(attempt.deadline_ms)
    return Run(attempt, call, target.function.is_async, Context())


def _checked(attempt: Attempt, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Whoever may not run it, and inputs that are not valid, fail the workflow, like anything its body raises."""
    function = target.function
    if function.required_roles:
        attempt.identity = reauthorize(function, attempt.identity)
        enter_identity(attempt.identity)
    return body(attempt, target, *target.validated(args, kwargs))()


def _give_up(attempt: Attempt, limit: int) -> None:
    """Too many attempts have died with this workflow: put it aside for good, until somebody resumes it."""
    status = Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED
    record = FinishWorkflow(attempt.workflow_id, attempt.epoch, status, None, None, None)
    (written,) = attempt.engine.store.journal.write((record,))
    if written is not None:
        attempt.engine.metrics.workflows_finished.add(attempt.name, status)
    attempt.engine.end(attempt)
    attempt.engine.store.hints.publish("workflow", (attempt.workflow_id,))
    logger.error(
        "Workflow %s (%s) exceeded its maximum of %d recovery attempts; DBOS.resume_workflow() runs it again",
        attempt.workflow_id,
        attempt.name,
        limit,
    )
