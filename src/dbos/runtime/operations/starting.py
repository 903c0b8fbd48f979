"""Starting workflows here and now: direct calls, and starts in the background."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dbos.error import DBOSException
from dbos.lazy import asyncio
from dbos.runtime.admission import Started, Ticket, admit, new_row
from dbos.runtime.background import run_in_background, run_logged_async
from dbos.runtime.context import Attempt, workflow_body
from dbos.runtime.executor import Executor
from dbos.runtime.operation import Operation, Outcome
from dbos.runtime.outcomes import GET_RESULT, await_outcome, get_result
from dbos.runtime.registry import Target
from dbos.runtime.requests import asking_nothing, current_requests
from dbos.runtime.roles import identity_of, on_behalf
from dbos.runtime.step import outcome_as_step
from dbos.runtime.workflow import body, execute, outcome_format
from dbos.store.records import StartWorkflow
from dbos.telemetry.carrier import stored


def call(engine: Executor, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Operation[Outcome[Any]]:
    """Call a workflow directly: run it here and return its outcome, or wait for the one that is there already.

    A parent draws two numbers at once, for the child and for its result: so `gather` numbers them alike in a replay.
    """
    parent = workflow_body()
    numbers = (None, None) if parent is None else (parent.next_step_id(), parent.next_step_id())
    started = yield from start(engine, target, args, kwargs, numbers[0])
    attempt, run = started.attempt, started.run
    if attempt is None or run is None:
        return (yield from get_result(engine, started.workflow_id, step_id=numbers[1]))
    running = _run_here(attempt, run, target.function.is_async)
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
    misplaced = current_requests().placement.asked_of_a_queue()
    if misplaced:
        raise DBOSException(
            f"{', '.join(misplaced)} can only be asked of a queue: enqueue {target.names.workflow}, "
            "or start it outside the SetEnqueueOptions block"
        )
    started = yield from start(engine, target, args, kwargs)
    attempt, run = started.attempt, started.run
    if attempt is None or run is None:
        return started
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
    asked = current_requests()
    names = target.names
    arguments = args, kwargs

    def make_row(ticket: Ticket) -> StartWorkflow:
        nonlocal arguments
        target.check(args, kwargs)
        permitted = on_behalf(asked, target)
        arguments = target.validated_at_call(args, kwargs)
        inputs = engine.codec.encode_inputs(args, kwargs, names.serialization_type)
        version = asked.placement.app_version or engine.application_version
        return new_row(engine, ticket, names, inputs, permitted, version, owner=engine.owner)

    admitted = yield from admit(engine, "start", names, asked, make_row, step_id)
    row, epoch = admitted.row, admitted.epoch
    if row is None or epoch is None:
        return Started(admitted.workflow_id)
    attempt = Attempt(engine, row.workflow_id, row.name, epoch, admitted.deadline_ms, identity_of(row), life=row.token)
    attempt.format = outcome_format(target, row.serialization)
    if engine.tracing is not None:
        attempt.carrier = stored(row.attributes)
    engine.expect_deadline(admitted.deadline_ms)
    return Started(admitted.workflow_id, attempt, body(attempt, target, *arguments))
