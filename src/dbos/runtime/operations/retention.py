"""Clearing away: old workflows that have ended are deleted, and what has been on its way for too long is cancelled.

Nobody is told of what is deleted: nobody waits for a workflow that has ended.
"""

from __future__ import annotations

from dbos.error import DBOSException
from dbos.runtime.announcing import announce_cancelled, running_here
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Ask, Operation
from dbos.runtime.step import as_step
from dbos.store.retention import BEGINNING, Batch, Bounds

BATCH = 200  # workflows; a transaction of some ten milliseconds
GREATEST_MS = 2**63 - 1


def garbage_collect(
    engine: Engine, *, cutoff_epoch_timestamp_ms: int | None = None, rows_threshold: int | None = None
) -> Operation[int]:
    """Delete workflows that have ended, with all they left, oldest first and in small batches; how many went.

    Args:
        cutoff_epoch_timestamp_ms: Those that were created before this moment, in milliseconds since 1970.
        rows_threshold: Those beyond this many of the newest workflows, unfinished ones counted in.

    What either of them names is deleted, of this application and of none; with neither, nothing is. Kept is what has
    not ended, and what an unfinished workflow still needs: its parent, its children, forks it made, and its origin.
    Raises DBOSException for numbers that cannot be.
    """
    _require_whole("cutoff_epoch_timestamp_ms", cutoff_epoch_timestamp_ms)
    _require_whole("rows_threshold", rows_threshold)
    return as_step("DBOS.garbageCollect", _collect(engine, cutoff_epoch_timestamp_ms, rows_threshold))


def _collect(engine: Engine, cutoff_ms: int | None, rows_threshold: int | None) -> Operation[int]:
    created_before = -1 if cutoff_ms is None else cutoff_ms
    if rows_threshold == 0:
        created_before = GREATEST_MS
    elif rows_threshold is not None:
        newest: int | None = yield Ask(engine.store.workflows.nth_newest, rows_threshold, engine.application_name)
        created_before = max(created_before, -1 if newest is None else newest)
    bounds = Bounds(created_before, GREATEST_MS, engine.application_name)
    count, place = 0, BEGINNING
    while True:
        batch: Batch = yield Ask(engine.store.workflows.collect, bounds, place, BATCH)
        yield Ask(engine.forget_workflows, batch.deleted)
        count += len(batch.deleted)
        if batch.reached is None:
            return count
        place = batch.reached


def global_timeout(engine: Engine, cutoff_epoch_timestamp_ms: int) -> Operation[int]:
    """Cancel every unfinished workflow that was created before a moment; how many there were.

    Args:
        cutoff_epoch_timestamp_ms: The moment, in milliseconds since 1970.

    Those of this application, and of none. Raises DBOSException for a number that cannot be.
    """
    if cutoff_epoch_timestamp_ms is None:
        raise DBOSException("global_timeout takes a time in milliseconds since 1970, not None")
    _require_whole("cutoff_epoch_timestamp_ms", cutoff_epoch_timestamp_ms)
    return as_step("DBOS.globalTimeout", _time_out(engine, cutoff_epoch_timestamp_ms))


def _time_out(engine: Engine, cutoff_ms: int) -> Operation[int]:
    workflows, count, last = engine.store.workflows, 0, ""
    while page := (yield Ask(workflows.unfinished_before, cutoff_ms, engine.application_name, last, BATCH)):
        before = running_here(engine, page)
        cancelled: list[str] = yield Ask(workflows.cancel, page)
        announce_cancelled(engine, cancelled, before)
        count += len(cancelled)
        last = page[-1]
    return count


def _require_whole(what: str, number: object) -> None:
    if number is not None and (
        not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= GREATEST_MS
    ):
        raise DBOSException(f"{what} must be a whole number of at least 0, not {number!r}")
