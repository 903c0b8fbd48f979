"""One workflow attempt, from its body to the outcome.

`execute` runs the body and writes the outcome, unless the attempt turns out not to own the workflow any more: whoever
waits for it then gets what the winner writes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from dbos.error import (
    DBOSSerializationError,
    DBOSWorkflowCancelledError,
    DBOSWorkflowConflictIDError,
)
from dbos.lazy import running_loop
from dbos.model.serialization import PORTABLE_JSON, WorkflowSerializationFormat
from dbos.model.workflow import Status
from dbos.runtime import spans
from dbos.runtime.context import Attempt, inside
from dbos.runtime.interpreters import run_async, run_blocking
from dbos.runtime.operation import Ask, Commit, Invoke, Operation, Outcome
from dbos.runtime.registry import StepSpec, Target
from dbos.runtime.step import perform
from dbos.runtime.transaction import perform as perform_transaction
from dbos.store.records import FinishWorkflow

SIGNALS = (DBOSWorkflowCancelledError, DBOSWorkflowConflictIDError)
"""What ends an attempt whose workflow was cancelled or taken over."""


def execute(attempt: Attempt, call: Callable[[], Any], awaited: bool) -> Operation[Outcome[Any] | None]:
    """Run the body and make its outcome durable. None: the attempt lost its workflow, whose outcome is the winner's."""
    engine = attempt.engine
    attempt.loop = running_loop() if awaited else None
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
    portable = codec == PORTABLE_JSON or target.function.serialization_type is WorkflowSerializationFormat.PORTABLE
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
