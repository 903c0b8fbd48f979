"""Streams: values that a workflow leaves behind in order, for whoever follows it.

A write from the body of a workflow is a step and happens once; one from inside a step belongs to that step and happens
as often as the step runs. Who reads them is in stream_reading.py.
"""

from __future__ import annotations

from typing import Any

from dbos.error import DBOSException, DBOSStepNondeterminismError, DBOSStreamClosedError
from dbos.model.mailbox import place, validate_key
from dbos.model.serialization import WorkflowSerializationFormat
from dbos.model.stream import CLOSED, CLOSED_SERIALIZATION, CLOSED_TEXT, closes
from dbos.runtime.clock import wall_ms
from dbos.runtime.context import Attempt, current_attempt, current_step, refuse_in_transaction
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Ask, Operation, Outcome
from dbos.runtime.step import commit, encode, record, replay
from dbos.store.records import WriteStream

WRITE = "DBOS.writeStream"
CLOSE = "DBOS.closeStream"


def write_stream(
    engine: Engine,
    key: str,
    value: Any,
    *,
    serialization_type: WorkflowSerializationFormat = WorkflowSerializationFormat.DEFAULT,
) -> Operation[None]:
    """Append a value to a stream of this workflow.

    Args:
        key: Names the stream.
        value: Anything that can be stored.
        serialization_type: How to store it; by default as the workflow's result will be.

    In the body of a workflow this is the step `DBOS.writeStream`, and the value is written exactly once. Inside a step
    it is part of that step: a step that runs again writes again. Raises DBOSException outside a workflow or for a key
    that cannot be stored, DBOSSerializationError for such a value, and DBOSStreamClosedError if the stream was closed.
    """
    attempt = _writer("DBOS.write_stream", key)
    text, codec = engine.codec.encode(value, f"a value of stream {key!r}", attempt.format_of(serialization_type))
    if closes(text, codec):
        raise DBOSException(f"The value {CLOSED!r} marks the end of a stream: call DBOS.close_stream() instead")
    if not (yield from _append(attempt, WRITE, key, text, codec)):
        raise DBOSStreamClosedError(attempt.workflow_id, key)


def close_stream(engine: Engine, key: str) -> Operation[None]:
    """Close a stream of this workflow: its readers come to an end, and nothing can be written to it any more.

    Args:
        key: Names the stream. One that is closed already is left as it is.

    In the body of a workflow this is the step `DBOS.closeStream`. Raises DBOSException outside a workflow.
    """
    attempt = _writer("DBOS.close_stream", key)
    yield from _append(attempt, CLOSE, key, CLOSED_TEXT, CLOSED_SERIALIZATION)


def _writer(call: str, key: str) -> Attempt:
    attempt = current_attempt()
    if attempt is None:
        raise DBOSException(f"{call}() must be called from within a workflow")
    refuse_in_transaction(call)
    validate_key("key of a stream", key)
    return attempt


def _append(attempt: Attempt, name: str, key: str, text: str, codec: str) -> Operation[bool]:
    """Write once, as a step of the body or as a part of the step that runs. False: the stream is closed."""
    status = current_step()
    if status is not None:
        token = attempt.engine.new_token()
        step = status.step_id, status.current_attempt, token, wall_ms()
        return (yield from _write(attempt, WriteStream(attempt.workflow_id, attempt.epoch, key, text, codec, *step)))
    step_id = attempt.next_step_id()
    row = attempt.recorded(step_id, name)
    if row is not None:
        replay(attempt, row).unwrap()
        return True
    now_ms = wall_ms()
    value = WriteStream(attempt.workflow_id, attempt.epoch, key, text, codec, step_id, None, "", now_ms)
    written = yield from _write(attempt, value)
    if not written:
        refusal = DBOSStreamClosedError(attempt.workflow_id, key) if name is WRITE else None
        yield from record(attempt, encode(attempt, step_id, name, Outcome(error=refusal), now_ms))
    return written


def _write(attempt: Attempt, value: WriteStream) -> Operation[bool]:
    """Commit a value, and find out what a refusal means. False: the stream is closed."""
    engine = attempt.engine
    while True:
        (written,) = yield from commit(attempt, value)
        if written is not None:
            attempt.confirm()
            break
        if (yield from _is_there(attempt, value)):
            break  # the commit whose reply was lost
        yield from attempt.verify_refused()
        if (yield Ask(engine.store.streams.is_closed, value.workflow_id, value.key)):
            return False
    identifier = place(value.workflow_id, value.key)
    engine.waiters.wake("stream", identifier)
    engine.store.hints.publish("stream", (identifier,))
    return True


def _is_there(attempt: Attempt, value: WriteStream) -> Operation[bool]:
    """Did this very write arrive before?"""
    store = attempt.engine.store
    if value.token:
        arrived: bool = yield Ask(store.streams.holds, value.token)
        return arrived
    row = yield Ask(store.steps.recorded, value.workflow_id, value.function_id)
    if row is None or row.epoch == attempt.epoch:
        return row is not None
    yield from attempt.verify_refused()
    raise DBOSStepNondeterminismError(value.workflow_id, value.function_id)
