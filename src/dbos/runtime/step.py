"""A step: recorded already? -> attempts with retries -> checkpoint.

Also what every other recorded call shares: `record` writes a checkpoint and finds out what a refused write means, and
`as_step` turns an operation of ours into a recorded step when it is called from a workflow.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from dbos.error import (
    DBOSMaxStepRetriesExceeded,
    DBOSStepNondeterminismError,
    DBOSStepTimeoutError,
)
from dbos.model.resuming import LATE_MS
from dbos.model.workflow import StepRow
from dbos.runtime import spans
from dbos.runtime.callables import is_coroutine_function
from dbos.runtime.clock import wall_ms
from dbos.runtime.consequences import placed, recording_failure
from dbos.runtime.context import Attempt, StepStatus, inside_step, refuse_in_transaction, workflow_body
from dbos.runtime.operation import Ask, Commit, Invoke, Operation, Outcome, Wait
from dbos.runtime.registry import StepSpec
from dbos.store.database import JournalClosed
from dbos.store.records import Checkpoint, CheckpointSend, Record
from dbos.telemetry.metrics import ERROR, SUCCESS

logger = logging.getLogger("dbos")
T = TypeVar("T")


def perform(attempt: Attempt, spec: StepSpec, call: Callable[[], Any], awaited: bool) -> Operation[Outcome[Any]]:
    """Run a step of a workflow under the next number."""
    return perform_numbered(attempt, attempt.next_step_id(), spec, call, awaited)


def perform_numbered(
    attempt: Attempt, step_id: int, spec: StepSpec, call: Callable[[], Any], awaited: bool
) -> Operation[Outcome[Any]]:
    """Run a step under a number drawn before."""
    if spec.retry is None:
        running = _run_once(attempt, StepStatus(step_id), spec, call, awaited)
    else:
        running = _run_with_retries(attempt, step_id, spec, call, awaited)
    return recorded(attempt, step_id, spec.name, spans.of_step(attempt, spec.name, running), counted=True)


def recorded(
    attempt: Attempt,
    step_id: int,
    name: str,
    operation: Operation[Outcome[T]],
    child: str | None = None,
    *,
    counted: bool = False,
) -> Operation[Outcome[T]]:
    """Replay what is recorded under a number, else perform the operation and checkpoint its outcome.

    `counted`: it is code of the user's, and who watches wants to know what came of it.
    """
    row = attempt.recorded(step_id, name)
    if row is not None:
        operation.close()
        return replay(attempt, row)
    if attempt.must_verify():
        yield from attempt.verify()
    started_at_ms, begun = wall_ms(), time.monotonic()
    outcome = yield from operation
    yield from record(attempt, encode(attempt, step_id, name, outcome, started_at_ms, child))
    if counted:
        metrics = attempt.engine.metrics
        metrics.steps_finished.add(name, SUCCESS if outcome.error is None else ERROR)
        metrics.step_seconds.record(time.monotonic() - begun, name)
    return outcome


def _run_once(
    attempt: Attempt, status: StepStatus, spec: StepSpec, call: Callable[[], Any], awaited: bool
) -> Operation[Outcome[Any]]:
    timeout = spec.timeout_seconds
    on_timeout = None if timeout is None else lambda: DBOSStepTimeoutError(spec.name, timeout)
    with inside_step(status):
        if not spec.preemptible:
            outcome: Outcome[Any] = yield Invoke(call, awaited, timeout, on_timeout)
            return outcome
        with attempt.engine.waiters.register(("attempt", attempt.workflow_id)) as watch:
            preempted = lambda: attempt.revoked is not None  # noqa: E731
            answer: Outcome[Any] | None = yield Invoke(call, awaited, timeout, on_timeout, watch, preempted)
        if answer is None:
            raise attempt.revocation()
        return answer


def _run_with_retries(
    attempt: Attempt, step_id: int, spec: StepSpec, call: Callable[[], Any], awaited: bool
) -> Operation[Outcome[Any]]:
    assert spec.retry is not None
    errors: list[Exception] = []
    limit = spec.retry.max_attempts
    for number in range(limit):
        if number > 0:
            yield from pause(attempt, spec.retry.delay_before(number))
            if attempt.must_verify():
                yield from attempt.verify()
            attempt.engine.metrics.steps_retried.add(spec.name)
        outcome = yield from _run_once(attempt, StepStatus(step_id, number, limit), spec, call, awaited)
        error = outcome.error
        if not isinstance(error, Exception):
            return outcome
        if spec.should_retry is not None and not (yield from _wants_retry(spec, error)):
            return outcome
        errors.append(error)
        if attempt.engine.tracing is not None:
            attempt.engine.tracing.tried_in_vain(number, error)
        logger.warning(
            "Step %s of workflow %s failed, attempt %d of %d: %r",
            spec.name,
            attempt.workflow_id,
            number + 1,
            limit,
            error,
        )
    return Outcome(error=DBOSMaxStepRetriesExceeded(spec.name, limit, errors))


def _wants_retry(spec: StepSpec, error: Exception) -> Operation[bool]:
    assert spec.should_retry is not None
    predicate = spec.should_retry
    verdict: Outcome[Any] = yield Invoke(lambda: predicate(error), awaited=is_coroutine_function(predicate))
    return bool(verdict.unwrap())


def pause(attempt: Attempt, seconds: float) -> Operation[None]:
    """Wait inside a workflow; ends early, with the fitting exception, if the attempt is over."""
    yield from wait_until(attempt, attempt.engine.clock.due_ms(seconds))


def wait_until(attempt: Attempt, due_ms: float) -> Operation[None]:
    """Wait inside a workflow until the database's clock shows `due_ms`."""
    engine = attempt.engine
    with engine.waiters.register(("attempt", attempt.workflow_id)) as registration:
        while True:
            attempt.ensure_going()
            remaining_seconds = engine.clock.remaining_seconds(due_ms)
            if remaining_seconds <= 0:
                return
            yield Wait(registration, remaining_seconds, due_ms)


def encode(
    attempt: Attempt, step_id: int, name: str, outcome: Outcome[Any], started_at_ms: int, child: str | None = None
) -> Checkpoint:
    """The checkpoint of an outcome. Raises DBOSSerializationError for a value that cannot be stored."""
    codec = attempt.engine.codec
    output = error = None
    if outcome.error is None:
        output, serialization = codec.encode(outcome.value, "result")
    else:
        error, serialization = codec.encode_error(outcome.error)
    ended_at_ms = wall_ms() if error is None else wall_ms() + LATE_MS
    owned = attempt.workflow_id, attempt.epoch
    return Checkpoint(*owned, step_id, name, output, error, serialization, child, started_at_ms, ended_at_ms)


def replay(attempt: Attempt, row: StepRow) -> Outcome[Any]:
    """The outcome that was recorded."""
    codec = attempt.engine.codec
    if row.error is not None:
        return Outcome(error=codec.decode_error(row.error, row.serialization))
    return Outcome(None if row.output is None else codec.decode(row.output, row.serialization))


def commit(attempt: Attempt, *records: Record) -> Operation[list[Any]]:
    """Commit what an attempt writes. A journal that closes is no failure of the workflow: the next launch goes on."""
    try:
        results: list[Any] = yield Commit(*(placed(attempt.failures, records) if attempt.failures else records))
    except JournalClosed:
        raise attempt.revocation() from None
    return results


def record(
    attempt: Attempt,
    checkpoint: Checkpoint | CheckpointSend,
    *others: Record,
    otherwise: Callable[[], Operation[Any]] | None = None,
) -> Operation[list[Any]]:
    """Write a checkpoint, and what must become durable with it, in one transaction.

    The answers are those of `others`. If the checkpoint is refused, the store is asked why: this attempt is over, which
    raises what ends it, or the checkpoint is there after all (by the commit whose reply was lost). `otherwise` looks
    into whatever else may have refused it, and raises or lets it be tried again.
    """
    recording = _record(attempt, checkpoint, others, otherwise)
    if type(checkpoint) is Checkpoint and checkpoint.error is not None:
        assert checkpoint.completed_at_ms is not None
        return recording_failure(attempt, checkpoint.completed_at_ms, recording)
    return recording


def _record(
    attempt: Attempt,
    checkpoint: Checkpoint | CheckpointSend,
    others: tuple[Record, ...],
    otherwise: Callable[[], Operation[Any]] | None,
) -> Operation[list[Any]]:
    while True:
        results = yield from commit(attempt, checkpoint, *others, *attempt.luggage)
        if results[0] is not None:
            attempt.confirm()
            attempt.luggage = ()
            spans.recorded(attempt, checkpoint)
            return results[1 : len(others) + 1]
        yield from attempt.verify_refused()
        row = yield Ask(attempt.engine.store.steps.recorded, attempt.workflow_id, checkpoint.step_id)
        if row is not None and row.epoch == attempt.epoch:
            return results[1 : len(others) + 1]
        if row is not None:
            raise DBOSStepNondeterminismError(attempt.workflow_id, checkpoint.step_id)
        if otherwise is not None:
            yield from otherwise()


def commit_as_step(attempt: Attempt, name: str, *changes: Record, step_id: int | None = None) -> Operation[None]:
    """Commit changes together with the step that records them; `step_id` is its number if it was drawn before."""
    if step_id is None:
        step_id = attempt.next_step_id()
    if attempt.recorded(step_id, name) is None:
        if attempt.must_verify():
            yield from attempt.verify()
        yield from record(attempt, encode(attempt, step_id, name, Outcome(None), wall_ms()), *changes)


def outcome_as_step(
    name: str, operation: Operation[Outcome[T]], child: str | None = None, step_id: int | None = None
) -> Operation[Outcome[T]]:
    """Perform one of our own operations; called from a workflow body, its outcome is a recorded step.

    `step_id` is the step's number if it was drawn before.
    """
    refuse_in_transaction(name)
    attempt = workflow_body()
    if attempt is None:
        return (yield from operation)
    if step_id is None:
        step_id = attempt.next_step_id()
    return (yield from recorded(attempt, step_id, name, _caught(operation), child))


def _caught(operation: Operation[Outcome[T]]) -> Operation[Outcome[T]]:
    try:
        return (yield from operation)
    except Exception as error:
        return Outcome(error=error)


def as_step(name: str, operation: Operation[T]) -> Operation[T]:
    """The same for an operation that answers with a plain value and raises its errors."""
    outcome = yield from outcome_as_step(name, _boxed(operation))
    return outcome.unwrap()


def _boxed(operation: Operation[T]) -> Operation[Outcome[T]]:
    return Outcome((yield from operation))
