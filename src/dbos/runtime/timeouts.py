"""When waits of workflows end: fixed once, by a step `DBOS.sleep`, so that no restart prolongs them."""

from __future__ import annotations

import sys
from typing import Any

from dbos.error import DBOSException
from dbos.runtime.clock import wall_ms
from dbos.runtime.context import Attempt
from dbos.runtime.operation import Operation, Outcome
from dbos.runtime.step import commit, encode, record, replay
from dbos.store.records import Checkpoint, Record

SLEEP = "DBOS.sleep"


def require_seconds(call: str, seconds: float) -> float:
    """The seconds. Raises DBOSException for anything but a finite number."""
    if not isinstance(seconds, int | float) or not abs(seconds) <= sys.float_info.max:  # an integer knows no end
        raise DBOSException(f"{call}() takes a finite number of seconds, not {seconds!r}")
    return float(seconds)


class TimeLimit:
    """The end of a wait on the database's clock: so many seconds from now, or what an earlier attempt has recorded."""

    __slots__ = ("_attempt", "due_ms", "unrecorded")

    def __init__(self, attempt: Attempt, seconds: float) -> None:
        """Draws the next number of the workflow."""
        self._attempt = attempt
        self.unrecorded: tuple[Checkpoint, ...] = ()  # the step, if it is yet to be recorded
        step_id = attempt.next_step_id()
        row = attempt.recorded(step_id, SLEEP)
        if row is None:
            wake_at = attempt.engine.clock.due_ms(seconds) / 1000
            self.unrecorded = (encode(attempt, step_id, SLEEP, Outcome(wake_at), wall_ms()),)
        else:
            wake_at = float(replay(attempt, row).unwrap())
        self.due_ms = wake_at * 1000

    def fix(self, *others: Record) -> Operation[list[Any]]:
        """Make the end durable, in one commit with other records of the attempt. The answers are those of `others`."""
        unrecorded, self.unrecorded = self.unrecorded, ()
        if unrecorded:
            return (yield from record(self._attempt, *unrecorded, *others))
        return (yield from commit(self._attempt, *others)) if others else []

    def remaining_seconds(self) -> float:
        """How long it is until then; zero or less afterwards."""
        return self._attempt.engine.clock.remaining_seconds(self.due_ms)
