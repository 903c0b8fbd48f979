"""Receiving messages, in the body of a workflow.

Nobody receives a message twice: it is taken, and becomes the outcome of the step that received it, in one commit.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from dbos.error import DBOSConcurrentReceiveError
from dbos.model.mailbox import place, validate_topic
from dbos.runtime.clock import wall_ms
from dbos.runtime.context import Attempt, require_workflow_body
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Operation, Outcome, Wait
from dbos.runtime.step import commit, encode, record, replay
from dbos.runtime.timeouts import TimeLimit, require_seconds
from dbos.store import records

RECV = "DBOS.recv"


def recv(engine: Engine, topic: str | None = None, timeout_seconds: float = 60) -> Operation[Any]:
    """Receive the next message for this workflow, waiting for one if none is there.

    Args:
        topic: Receive only messages of this topic; by default only those without one.
        timeout_seconds: How long to wait. Zero or less only looks.

    Returns the message, or None if none came in time. It takes two steps: `DBOS.recv`, and `DBOS.sleep` with the time
    at which the wait ends, so that restarts do not prolong it. A cancellation of the workflow ends it early.

    Raises DBOSException outside the body of a workflow and for bad arguments, DBOSConcurrentReceiveError if the
    workflow is waiting for a message of this topic already.
    """
    attempt = require_workflow_body("DBOS.recv")
    mailbox = validate_topic(topic)
    timeout_seconds = require_seconds("DBOS.recv", timeout_seconds)
    step_id, limit = attempt.next_step_id(), TimeLimit(attempt, timeout_seconds)
    row = attempt.recorded(step_id, RECV)
    if row is not None:
        return replay(attempt, row).unwrap()
    if attempt.must_verify():
        yield from attempt.verify()
    if mailbox in attempt.receiving:
        conflict = DBOSConcurrentReceiveError(attempt.workflow_id, topic)
        yield from record(attempt, encode(attempt, step_id, RECV, Outcome(error=conflict), wall_ms()))
        raise conflict
    with _receiving(attempt, mailbox):
        found = yield from _await_message(engine, attempt, step_id, mailbox, limit)
    return None if found is None else engine.codec.decode(*found)


@contextmanager
def _receiving(attempt: Attempt, mailbox: str) -> Generator[None]:
    attempt.receiving.add(mailbox)
    try:
        yield
    finally:
        attempt.receiving.discard(mailbox)


def _await_message(
    engine: Engine, attempt: Attempt, step_id: int, mailbox: str, limit: TimeLimit
) -> Operation[tuple[str, str | None] | None]:
    """Take a message as soon as there is one. None, and recorded as such, once the time is over.

    Whether it is over is said before each look, not after it: what came in time is found, however late the answer.
    """
    started_at_ms = wall_ms()

    def take() -> records.ReceiveMessage:
        owned = attempt.workflow_id, attempt.epoch, step_id
        return records.ReceiveMessage(*owned, RECV, mailbox, started_at_ms, wall_ms())

    mine = ("message", place(attempt.workflow_id, mailbox)), ("attempt", attempt.workflow_id)
    with engine.waiters.register(*mine) as registration:
        over = limit.remaining_seconds() <= 0
        (found,) = yield from limit.fix(take())
        while found is None:
            if over:
                yield from record(attempt, encode(attempt, step_id, RECV, Outcome(None), started_at_ms))
                return None
            yield Wait(registration, limit.remaining_seconds(), limit.due_ms)
            attempt.ensure_going()
            over = limit.remaining_seconds() <= 0
            (found,) = yield from commit(attempt, take())
    attempt.confirm()
    return found  # type: ignore[no-any-return]
