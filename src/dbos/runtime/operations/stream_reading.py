"""Reading streams: value by value, in order, to their end.

A `StreamReader` fetches whole pages and hands out value by value; in the body of a workflow each of them is a recorded
step, so that a replay reads the same.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

from dbos.error import DBOSNonExistentWorkflowError, DBOSStreamNondeterminismError, DBOSStreamTimeoutError
from dbos.model.ids import validate_workflow_id
from dbos.model.mailbox import place, validate_key
from dbos.model.seconds import is_seconds
from dbos.model.stream import (
    CLOSED_SERIALIZATION,
    CLOSED_TEXT,
    MAX_OFFSET,
    StreamPage,
    StreamValue,
    position_id,
)
from dbos.runtime.clock import wall_ms
from dbos.runtime.context import Attempt, workflow_body
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Ask, Operation, Outcome, Wait
from dbos.runtime.outcomes import POLLING_SECONDS, ensure_going
from dbos.runtime.step import encode, record, replay
from dbos.runtime.waiters import Key
from dbos.store.records import Checkpoint

READ = "DBOS.readStream"
READ_OFFSET = "DBOS.readStreamOffset"

FIRST_PAGE = 16  # values fetched at first; a page that was full and light is followed by one of twice as many
LARGEST_PAGE = 1_000
# A look costs about as much as a write: who has caught up looks again after a while for each value that it found.
GATHERING_SECONDS_PER_VALUE = 0.0005
LONGEST_GATHERING_SECONDS = 0.004
HEAVY_CHARACTERS = 1_000_000  # of a page: the next one has half as many values

END: Final = object()
"""What a reader answers when there are no more values."""


class StreamReader:
    """A place in a stream, and what was fetched from there on and not handed out yet.

    Between two values it holds nothing: no place among the waiters, no connection. It can be dropped at any time.
    """

    __slots__ = (
        "_fetched", "_next_look", "_over", "_page_size", "_polling_seconds", "_timeout_seconds", "engine", "key",
        "offset", "workflow_id",
    )  # fmt: skip

    def __init__(
        self,
        engine: Engine,
        workflow_id: str,
        key: str,
        offset: int = 0,
        polling_interval_sec: float | None = None,
        timeout_seconds: float | None = None,
        page_size: int = FIRST_PAGE,
    ) -> None:
        """Raises DBOSException for an id or a key, and ValueError for a number, that makes no sense."""
        self.engine = engine
        self.workflow_id = validate_workflow_id(workflow_id)
        self.key = validate_key("key of a stream", key)
        self.offset = _require_offset(offset)
        self._polling_seconds = _require_seconds("polling_interval_sec", polling_interval_sec, 0.001)
        self._timeout_seconds = _require_seconds("timeout_seconds", timeout_seconds, 0)
        self._page_size = page_size
        self._fetched: deque[StreamValue] = deque()
        self._next_look = 0.0  # by the monotonic clock: not before
        self._over = False

    def next(self, step_name: str = READ) -> Operation[Any]:
        """The next value, as soon as it is there; END behind the last one.

        Called from the body of a workflow it is the step of the given name. Raises DBOSNonExistentWorkflowError,
        DBOSStreamTimeoutError if nothing comes in time, and DBOSStreamNondeterminismError if the body reads a stream
        already at this moment. A reader that has raised is at its end.
        """
        if self._over:
            return END
        self._over = True  # unless it comes to a value
        attempt = workflow_body()
        if attempt is None:
            value = yield from self._take()
        else:
            with self._reading_alone(attempt):
                value = yield from self._take_as_step(attempt, step_name)
        if value.closes:
            return END
        self.offset += 1
        self._over = False
        return self.engine.codec.decode(value.value, value.serialization)

    @contextmanager
    def _reading_alone(self, attempt: Attempt) -> Generator[None]:
        if attempt.reads_stream:
            raise DBOSStreamNondeterminismError(attempt.workflow_id, self.key)
        attempt.reads_stream = True
        try:
            yield
        finally:
            attempt.reads_stream = False

    def _take_as_step(self, attempt: Attempt, name: str) -> Operation[StreamValue]:
        """The same as a recorded step. What it records is the value as stored, or the sentinel for the end."""
        step_id = attempt.next_step_id()
        row = attempt.recorded(step_id, name)
        if row is not None:
            with self.engine.waiters.register() as nothing:
                yield Wait(nothing, 0)  # lets a second read of the same moment be noticed as it was the first time
            if row.error is not None:
                replay(attempt, row).unwrap()
            return StreamValue(self.offset, row.output or "", row.serialization)
        if attempt.must_verify():
            yield from attempt.verify()
        started_at_ms = wall_ms()
        try:
            value = yield from self._take()
        except Exception as error:
            yield from record(attempt, encode(attempt, step_id, name, Outcome(error=error), started_at_ms))
            raise
        outcome = value.value, None, value.serialization, None, started_at_ms, wall_ms()
        yield from record(attempt, Checkpoint(attempt.workflow_id, attempt.epoch, step_id, name, *outcome))
        return value

    def _take(self) -> Operation[StreamValue]:
        """The next value from the page, or from the next page; the sentinel at the end."""
        if not self._fetched:
            yield from self._gather()
            page = yield from self._fetch()
            if len(page.values) < self._page_size:  # it was all that there is
                gathering_seconds = len(page.values) * GATHERING_SECONDS_PER_VALUE
                self._next_look = time.monotonic() + min(gathering_seconds, LONGEST_GATHERING_SECONDS)
            self._fetched.extend(page.values)
            self._adapt_page_size(page)
        if self._fetched:
            return self._fetched.popleft()
        return StreamValue(self.offset, CLOSED_TEXT, CLOSED_SERIALIZATION)

    def _gather(self) -> Operation[None]:
        """Let what is written right behind the last page come together: one look finds it all."""
        rest = self._next_look - time.monotonic()
        if rest > 0:
            with self.engine.waiters.register() as nothing:
                yield Wait(nothing, rest)

    def _fetch(self) -> Operation[StreamPage]:
        """A page with values, as soon as there are some; one without if there will never be any more.

        A page says in one breath what there is and whether the workflow has ended, so no value that was written right
        before the end is missed: had it been committed by then, it would be on the page.
        """
        engine, caller = self.engine, workflow_body()
        due_ms = None if self._timeout_seconds is None else engine.clock.due_ms(self._timeout_seconds)
        with engine.waiters.register(*self._keys(caller)) as registration:
            while True:
                ensure_going(engine, caller)
                over = due_ms is not None and engine.clock.remaining_seconds(due_ms) <= 0  # before the look at a page
                page: StreamPage | None = yield Ask(
                    engine.store.streams.page, self.workflow_id, self.key, self.offset, self._page_size
                )
                if page is None:
                    raise DBOSNonExistentWorkflowError("target", self.workflow_id)
                if page.values or page.over:
                    return page
                if over:
                    raise DBOSStreamTimeoutError(self.workflow_id, self.key, self._timeout_seconds)
                rest = None if due_ms is None else engine.clock.remaining_seconds(due_ms)
                yield Wait(registration, self._patience(rest), due_ms)

    def _keys(self, caller: Attempt | None) -> list[Key]:
        """Woken by a write of this process or a hint, by the floor beneath them, and by the end of the workflow."""
        keys = [
            ("stream", place(self.workflow_id, self.key)),
            ("position", position_id(self.workflow_id, self.key, self.offset)),
            ("workflow", self.workflow_id),
        ]
        if caller is not None:
            keys.append(("attempt", caller.workflow_id))
        return keys

    def _patience(self, rest: float | None) -> float | None:
        """How long to wait before looking again; None where the listener looks for all who wait."""
        polling = self._polling_seconds
        if polling is None or polling >= POLLING_SECONDS:
            return rest
        return polling if rest is None else min(polling, rest)

    def _adapt_page_size(self, page: StreamPage) -> None:
        weight = sum(len(value.value) for value in page.values)
        if weight > HEAVY_CHARACTERS:
            self._page_size = max(1, self._page_size // 2)
        elif len(page.values) == self._page_size:
            self._page_size = min(LARGEST_PAGE, self._page_size * 2)


def read_stream_offset(
    engine: Engine,
    workflow_id: str,
    key: str,
    offset: int,
    *,
    polling_interval_sec: float | None = None,
    timeout_seconds: float | None = None,
) -> Operation[Any]:
    """Wait for the value at one place of a stream and return it.

    Args:
        workflow_id: The workflow that writes the stream.
        key: Names the stream.
        offset: The place, counted from 0.
        polling_interval_sec: How often to look if no wake-up arrives; at least 0.001.
        timeout_seconds: How long to wait; None waits until the value is there, or the stream has ended without it.

    In the body of a workflow this is the step `DBOS.readStreamOffset`. Raises DBOSStreamTimeoutError if the time is
    over or the stream ends before that place, DBOSNonExistentWorkflowError for an unknown workflow, and ValueError for
    numbers that make no sense.
    """
    reader = StreamReader(engine, workflow_id, key, offset, polling_interval_sec, timeout_seconds, page_size=1)
    value = yield from reader.next(READ_OFFSET)
    if value is END:
        raise DBOSStreamTimeoutError(workflow_id, key, timeout_seconds)
    return value


def _require_offset(offset: object) -> int:
    if not isinstance(offset, int) or isinstance(offset, bool) or not 0 <= offset <= MAX_OFFSET:
        raise ValueError(f"offset must be an integer of at least 0, not {offset!r}")
    return offset


def _require_seconds(what: str, seconds: object, least: float) -> float | None:
    if seconds is None:
        return None
    if not is_seconds(seconds, least):
        raise ValueError(f"{what} must be a finite number of at least {least:g}, or None; not {seconds!r}")
    return float(seconds)
