"""Events: values that a workflow publishes under keys, for anybody to read and to wait for."""

from __future__ import annotations

from typing import Any

from dbos.error import DBOSException
from dbos.model.ids import validate_workflow_id
from dbos.model.mailbox import place, validate_key
from dbos.model.serialization import WorkflowSerializationFormat
from dbos.runtime.clock import wall_ms
from dbos.runtime.context import Attempt, current_attempt, current_step, refuse_in_transaction, workflow_body
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Ask, Operation, Wait
from dbos.runtime.outcomes import ensure_going
from dbos.runtime.step import as_step, commit, commit_as_step, record, replay
from dbos.runtime.timeouts import TimeLimit, require_seconds
from dbos.runtime.waiters import Key
from dbos.store.records import Checkpoint, KeepEvent, SetEvent

SET_EVENT = "DBOS.setEvent"
GET_EVENT = "DBOS.getEvent"

Stored = tuple[str, str | None]  # the text of a value and its codec


def set_event(
    engine: Engine,
    key: str,
    value: Any,
    *,
    serialization_type: WorkflowSerializationFormat = WorkflowSerializationFormat.DEFAULT,
) -> Operation[None]:
    """Publish a value under a key of this workflow, in place of the one before.

    Args:
        key: Its name within the workflow.
        value: Any value that can be stored.
        serialization_type: How the value is stored; by default as the workflow's result will be.

    In the body of a workflow it is a step (`DBOS.setEvent`). In a step it happens again if the step does. The event
    stays when the workflow has ended. Raises DBOSException outside a workflow, DBOSSerializationError for a value that
    cannot be stored.
    """
    attempt, step = current_attempt(), current_step()
    if attempt is None:
        raise DBOSException("DBOS.set_event() must be called from within a workflow")
    refuse_in_transaction(SET_EVENT)
    validate_key("key of an event", key)
    text, codec = engine.codec.encode(value, f"event {key!r}", attempt.format_of(serialization_type))
    step_id = attempt.next_step_id() if step is None else step.step_id
    event = attempt.workflow_id, attempt.epoch, step_id, key, text, codec
    changes = SetEvent(*event), KeepEvent(*event)
    if step is None:
        yield from commit_as_step(attempt, SET_EVENT, *changes, step_id=step_id)
    else:
        while None in (yield from commit(attempt, *changes)):
            yield from attempt.verify_refused()
    announce_event(engine, attempt.workflow_id, key)


def announce_event(engine: Engine, workflow_id: str, key: str) -> None:
    """Wake whoever waits for this event, here and elsewhere."""
    event = place(workflow_id, key)
    engine.waiters.wake("event", event)
    engine.store.hints.publish("event", (event,))


def get_event(engine: Engine, workflow_id: str, key: str, timeout_seconds: float = 60) -> Operation[Any]:
    """The value of an event, waiting for it to be set.

    Args:
        workflow_id: The workflow that sets it. It need not exist yet.
        key: The name of the event.
        timeout_seconds: How long to wait. Zero or less only looks.

    Returns the latest value, or None if none was set in time. In the body of a workflow it takes two steps:
    `DBOS.getEvent`, and `DBOS.sleep` with the time at which the wait ends, so that restarts do not prolong it.
    Raises DBOSException for bad arguments.
    """
    validate_workflow_id(workflow_id)
    validate_key("key of an event", key)
    timeout_seconds = require_seconds("DBOS.get_event", timeout_seconds)
    attempt = workflow_body()
    if attempt is None:
        found = yield from _await_event(engine, workflow_id, key, engine.clock.due_ms(timeout_seconds))
    else:
        step_id, limit = attempt.next_step_id(), TimeLimit(attempt, timeout_seconds)
        row = attempt.recorded(step_id, GET_EVENT)
        if row is not None:
            return replay(attempt, row).unwrap()
        if attempt.must_verify():
            yield from attempt.verify()
        found = yield from _record_event(engine, attempt, step_id, limit, workflow_id, key)
    return None if found is None else engine.codec.decode(*found)


def _record_event(
    engine: Engine, attempt: Attempt, step_id: int, limit: TimeLimit, workflow_id: str, key: str
) -> Operation[Stored | None]:
    """The event as a step. If it is set already, one commit records it together with the end of the wait."""
    started_at_ms = wall_ms()
    found = yield from _await_event(engine, workflow_id, key, limit.due_ms, limit)
    text, codec = found or engine.codec.encode(None, "result")
    owned = attempt.workflow_id, attempt.epoch, step_id
    step = Checkpoint(*owned, GET_EVENT, text, None, codec, None, started_at_ms, wall_ms())
    yield from record(attempt, step, *limit.unrecorded)
    return found


def _await_event(
    engine: Engine, workflow_id: str, key: str, due_ms: float, limit: TimeLimit | None = None
) -> Operation[Stored | None]:
    """The event as soon as it is set; None once the time was over before a look. A limit is fixed before the wait."""
    caller = current_attempt()
    event = place(workflow_id, key)
    keys: list[Key] = [("event", event)]
    if caller is not None:
        keys.append(("attempt", caller.workflow_id))
    with engine.waiters.register(*keys) as registration:
        while True:
            ensure_going(engine, caller)
            over = engine.clock.remaining_seconds(due_ms) <= 0
            found: Stored | None = yield Ask(engine.event, event)
            if found is not None or over:
                return found
            if limit is not None:
                yield from limit.fix()
            yield Wait(registration, engine.clock.remaining_seconds(due_ms), due_ms)


def get_all_events(engine: Engine, workflow_id: str) -> Operation[dict[str, Any]]:
    """All events of a workflow by key; {} if it has none or does not exist. In a workflow, the step `DBOS.get_events`.

    Args:
        workflow_id: The workflow that set them.

    Raises DBOSDeserializationError for a value that cannot be read here.
    """
    validate_workflow_id(workflow_id)
    return as_step("DBOS.get_events", _all_events(engine, workflow_id))


def _all_events(engine: Engine, workflow_id: str) -> Operation[dict[str, Any]]:
    rows: list[tuple[str, str, str | None]] = yield Ask(engine.store.events.all, workflow_id)
    return {key: engine.codec.decode(text, codec) for key, text, codec in rows}
