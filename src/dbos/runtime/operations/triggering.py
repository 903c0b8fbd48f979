"""Running a schedule out of turn: now, or for ticks of the past."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

from dbos.error import DBOSException
from dbos.model.cron import parse
from dbos.model.schedule import ScheduleRow, from_ms, run_id, triggered_id
from dbos.model.workflow import WorkflowRow
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Ask, Commit, Operation
from dbos.runtime.scheduled_runs import run_of
from dbos.runtime.schedules import refuse_in_workflow, require
from dbos.runtime.unattended import announce_runs, latest_version
from dbos.store.records import StartWorkflow

BATCH = 500  # runs enqueued by one commit
_MICROSECOND = timedelta(microseconds=1)


def trigger_schedule(engine: Engine, schedule_name: str) -> Operation[str]:
    """Run the workflow of a schedule now, whether it is paused or not.

    Raises DBOSException if there is no schedule of that name, and in a workflow.
    """
    refuse_in_workflow("DBOS.trigger_schedule")
    row = yield from require(engine, schedule_name)
    version = yield Ask(latest_version, engine, row.application_name)
    moment = from_ms(engine.clock.now_ms())
    while True:
        run = run_of(engine, row, triggered_id(schedule_name, moment), moment, version)
        (created,) = yield Commit(run)
        if created is None:
            there: WorkflowRow | None = yield Ask(engine.load, run.workflow_id)
            if there is None or there.owner_xid != run.token:  # somebody else triggered it in this very moment
                moment += _MICROSECOND
                continue
        announce_runs(engine, [run])
        return run.workflow_id


def backfill_schedule(engine: Engine, schedule_name: str, start: datetime, end: datetime) -> Operation[list[str]]:
    """Run the workflow of a schedule for every tick between two moments; what has run already does not run again.

    Args:
        schedule_name: An existing schedule, paused or not.
        start: Ticks later than this. A time without a zone is UTC.
        end: Ticks earlier than this.

    Returns the handles of all these runs, old and new, in order. Raises DBOSException if there is no schedule of
    that name, and in a workflow.
    """
    refuse_in_workflow("DBOS.backfill_schedule")
    first, last = _moment("start", start), _moment("end", end)
    row = yield from require(engine, schedule_name)
    version = yield Ask(latest_version, engine, row.application_name)
    ticks = parse(row.schedule, row.cron_timezone).between(first, last)
    ids: list[str] = []
    while batch := list(islice(_runs(engine, row, ticks, version), BATCH)):
        yield Commit(*batch)
        announce_runs(engine, batch)
        ids += [run.workflow_id for run in batch]
    return ids


def _runs(engine: Engine, row: ScheduleRow, ticks: Iterator[datetime], version: str | None) -> Iterator[StartWorkflow]:
    return (run_of(engine, row, run_id(row.schedule_name, tick), tick, version) for tick in ticks)


def _moment(what: str, time: object) -> datetime:
    """An aware moment; a naive one is UTC. Raises DBOSException."""
    if not isinstance(time, datetime):
        raise DBOSException(f"{what} must be a datetime, not {time!r}")
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
