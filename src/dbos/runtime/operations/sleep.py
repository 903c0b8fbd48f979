"""Durable sleep: the time to wake is recorded first, so that a restart sleeps only what is left of it."""

from __future__ import annotations

from math import isfinite

from dbos.error import DBOSException
from dbos.runtime.clock import wall_ms
from dbos.runtime.context import require_workflow_body
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Operation, Outcome
from dbos.runtime.step import encode, record, replay, wait_until

NAME = "DBOS.sleep"


def sleep(engine: Engine, seconds: float) -> Operation[None]:
    """Sleep durably inside a workflow.

    Args:
        seconds: How long. Zero or less returns at once, yet is recorded.

    The sleep is a step (`DBOS.sleep`) whose output is the wake-up time in epoch seconds, so it survives restarts and is
    not prolonged by them. A cancellation of the workflow ends it early. Raises DBOSException outside a workflow.
    """
    attempt = require_workflow_body("DBOS.sleep")
    if not isinstance(seconds, int | float) or not isfinite(seconds):
        raise DBOSException(f"DBOS.sleep() takes a finite number of seconds, not {seconds!r}")
    step_id = attempt.next_step_id()
    row = attempt.recorded(step_id, NAME)
    if row is not None:
        wake_at = float(replay(attempt, row).unwrap())
    else:
        if attempt.must_verify():
            yield from attempt.verify()
        wake_at = engine.clock.now_ms() / 1000 + max(0.0, seconds)
        yield from record(attempt, encode(attempt, step_id, NAME, Outcome(wake_at), wall_ms()))
    yield from wait_until(attempt, wake_at * 1000)
