"""Times of steps that tell which of them followed a failure of another: `model/resuming.py` goes by them.

A step follows a failure if its number was drawn after the workflow had heard of that. Clocks alone do not tell: where
a step keeps the event loop busy, those gathered with it begin when it has failed. So what followed a failure begins at
the end of that at the earliest, and everything else before it, be it by a millisecond that never was.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from dbos.fields import NamedTuple
from dbos.runtime.operation import Operation
from dbos.store.records import Checkpoint, CheckpointDebounce, CheckpointSend, ReceiveMessage, Record, WriteStream

if TYPE_CHECKING:
    from dbos.runtime.context import Attempt

T = TypeVar("T")

_TIMES = "started_at_ms", "completed_at_ms"
_STEPS: dict[type[Record], tuple[str, str, str]] = {
    Checkpoint: ("step_id", *_TIMES),
    CheckpointDebounce: ("step_id", *_TIMES),
    CheckpointSend: ("step_id", *_TIMES),
    ReceiveMessage: ("step_id", *_TIMES),
    WriteStream: ("function_id", "written_at_ms", "written_at_ms"),
}
"""Records of steps: where their numbers are, and the times at which they began and ended."""


class _Heard(NamedTuple):
    """A failure that the workflow has heard of."""

    last_step_id: int  # that was drawn before
    ended_at_ms: int
    latest_end_ms: int  # of this one and those before


class Failures:
    """Those of the steps of one attempt."""

    __slots__ = ("_heard", "_unheard")

    def __init__(self) -> None:
        self._heard: list[_Heard] = []  # in this order
        self._unheard: list[int] = []  # ends of those that are yet to be recorded

    def place(self, step_id: int, begun_at_ms: int) -> int:
        """The time of a step that tells which of the failures it followed."""
        begun_at_ms = min([begun_at_ms, *(ended_at_ms - 1 for ended_at_ms in self._unheard)])
        for failure in reversed(self._heard):
            if step_id > failure.last_step_id:
                return max(begun_at_ms, failure.latest_end_ms)
            begun_at_ms = min(begun_at_ms, failure.ended_at_ms - 1)
        return begun_at_ms

    def during(self, ended_at_ms: int, recording: Operation[T], attempt: Attempt) -> Operation[T]:
        """Record a failure; when that is done, the workflow hears of it."""
        self._unheard.append(ended_at_ms)
        try:
            return (yield from recording)
        finally:
            self._unheard.remove(ended_at_ms)
            latest_end_ms = max([ended_at_ms, *(failure.latest_end_ms for failure in self._heard[-1:])])
            self._heard.append(_Heard(attempt.last_step_id, ended_at_ms, latest_end_ms))


_making = threading.Lock()


def recording_failure(attempt: Attempt, ended_at_ms: int, recording: Operation[T]) -> Operation[T]:
    """Record the failure of a step of an attempt."""
    if attempt.failures is None:
        with _making:  # by two threads that fail at the same time
            attempt.failures = attempt.failures or Failures()
    return attempt.failures.during(ended_at_ms, recording, attempt)


def placed(failures: Failures, records: Sequence[Record]) -> list[Record]:
    """The records; those of steps tell which failures they followed."""
    return [_placed(failures, record) if _is_step(record) else record for record in records]


def _is_step(record: Record) -> bool:
    """Not so the value of a stream that a step writes."""
    return not record.token if isinstance(record, WriteStream) else type(record) in _STEPS


def _placed(failures: Failures, record: Record) -> Record:
    number, beginning, end = _STEPS[type(record)]
    begun_at_ms: int | None = getattr(record, beginning)
    ended_at_ms: int | None = getattr(record, end)
    if begun_at_ms is None or ended_at_ms is None:
        return record
    begun_at_ms = failures.place(getattr(record, number), begun_at_ms)
    changes: dict[str, Any] = {end: max(begun_at_ms, ended_at_ms), beginning: begun_at_ms}
    return record._replace(**changes)
