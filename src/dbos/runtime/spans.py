"""Spans around what runs here, if it is traced; where it is not, an operation is returned as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from dbos.model.workflow import Status
from dbos.runtime.operation import Operation, Outcome
from dbos.store.records import Checkpoint, CheckpointSend, UpdateAttributes
from dbos.telemetry import carrier

if TYPE_CHECKING:
    from dbos.runtime.context import Attempt
    from dbos.telemetry.tracing import Tracing

T = TypeVar("T")


def of_workflow(attempt: Attempt, running: Operation[Outcome[T] | None]) -> Operation[Outcome[T] | None]:
    """An execution of a workflow, by an operation that returns None if the workflow is not its own any more."""
    tracing = attempt.engine.tracing
    return running if tracing is None else _workflow(tracing, attempt, running)


def of_step(attempt: Attempt, name: str, running: Operation[Outcome[T]], kind: str = "step") -> Operation[Outcome[T]]:
    """A step or a transaction."""
    tracing = attempt.engine.tracing
    return running if tracing is None else _step(tracing, attempt, name, running, kind)


def of_call(attempt: Attempt, name: str, running: Operation[T]) -> Operation[T]:
    """Something else that a workflow does and that takes its time."""
    tracing = attempt.engine.tracing
    return running if tracing is None else _call(tracing, attempt, name, running)


def recorded(attempt: Attempt, step: Checkpoint | CheckpointSend) -> None:
    """A step is durable now. Of our own calls those that matter are told of here."""
    tracing = attempt.engine.tracing
    if tracing is not None:
        failed = isinstance(step, Checkpoint) and step.error is not None
        tracing.recorded(attempt, step.name, step.started_at_ms, failed)


def _workflow(
    tracing: Tracing, attempt: Attempt, running: Operation[Outcome[T] | None]
) -> Operation[Outcome[T] | None]:
    with tracing.workflow(attempt, attempt.carrier) as (span, following):
        if attempt.carrier is None and following is not None:
            ours = attempt.workflow_id, attempt.epoch
            change = UpdateAttributes(attempt.workflow_id, carrier.followed(following), True, *ours)
            attempt.luggage = (change,)
        outcome = yield from running
        if outcome is not None:
            tracing.settle(span, outcome.error)
        elif attempt.revoked is Status.CANCELLED:
            tracing.settle(span, attempt.revocation())
    return outcome


def _step(
    tracing: Tracing, attempt: Attempt, name: str, running: Operation[Outcome[T]], kind: str
) -> Operation[Outcome[T]]:
    with tracing.step(attempt, name, kind) as span:
        outcome = yield from running
        tracing.settle(span, outcome.error)
    return outcome


def _call(tracing: Tracing, attempt: Attempt, name: str, running: Operation[T]) -> Operation[T]:
    with tracing.call(attempt, name):
        return (yield from running)
