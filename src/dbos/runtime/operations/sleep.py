"""Durable sleep: the time to wake is recorded first, so that a restart sleeps only what is left of it."""

from __future__ import annotations

from dbos.runtime.context import Attempt, require_workflow_body
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Operation
from dbos.runtime.spans import of_call
from dbos.runtime.step import wait_until
from dbos.runtime.timeouts import TimeLimit, require_seconds


def sleep(engine: Engine, seconds: float) -> Operation[None]:
    """Sleep durably inside a workflow.

    Args:
        seconds: How long. Zero or less returns at once, yet is recorded.

    The sleep is a step (`DBOS.sleep`) whose output is the wake-up time in epoch seconds, so it survives restarts and is
    not prolonged by them. A cancellation of the workflow ends it early. Raises DBOSException outside a workflow.
    """
    attempt = require_workflow_body("DBOS.sleep")
    limit = TimeLimit(attempt, require_seconds("DBOS.sleep", seconds))
    if not limit.unrecorded and limit.remaining_seconds() <= 0:
        attempt.ensure_going()
        return
    yield from of_call(attempt, "sleep", _sleep(attempt, limit))


def _sleep(attempt: Attempt, limit: TimeLimit) -> Operation[None]:
    if limit.unrecorded:
        if attempt.must_verify():
            yield from attempt.verify()
        yield from limit.fix()
    yield from wait_until(attempt, limit.due_ms)
