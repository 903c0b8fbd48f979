"""Schedules: defining, looking at and steering them, and the runs that their ticks become.

Everything here goes by the name of the workflow, so that a client that has no functions can do the same. Called from a
workflow body, what changes one schedule or reads is a recorded step; the rest is refused there.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from dbos.error import DBOSException
from dbos.model.cron import parse
from dbos.model.schedule import (
    ScheduleRow,
    ScheduleState,
    WorkflowSchedule,
    from_ms,
    require_schedule_name,
    run_id,
    triggered_id,
)
from dbos.model.workflow import INTERNAL_QUEUE, WorkflowRow
from dbos.runtime.clock import wall_ms
from dbos.runtime.context import Attempt, refuse_in_transaction, workflow_body
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Ask, Commit, Operation, Outcome
from dbos.runtime.scheduled_runs import run_of
from dbos.runtime.step import as_step, commit_as_step, encode, record, replay
from dbos.runtime.unattended import announce_runs, latest_version
from dbos.store.records import CreateSchedule, DeleteSchedule, SetScheduleState, StartWorkflow

logger = logging.getLogger("dbos")

CREATE_NAME = "DBOS.createSchedule"
PAUSE_NAME = "DBOS.pauseSchedule"
RESUME_NAME = "DBOS.resumeSchedule"
DELETE_NAME = "DBOS.deleteSchedule"
BATCH = 500  # runs enqueued by one commit
_MICROSECOND = timedelta(microseconds=1)
_STEPS = uuid.UUID("7f0f8a1e-6a0c-4d0b-9d6e-6f2f4f0d9c51")  # namespace of the ids of schedules that workflows create


@dataclass(frozen=True, slots=True)
class Definition:
    """A schedule as somebody wants it. The workflow is given by the names it is stored under."""

    schedule_name: str
    workflow_name: str
    schedule: str
    workflow_class_name: str | None = None
    context: Any = None
    automatic_backfill: bool = False
    cron_timezone: str | None = None
    queue_name: str | None = None
    application_name: str | None = None  # whose executors run it; None: the one that asks


# ------------------------------------------------------------ defining


def create_schedule(engine: Engine, wanted: Definition) -> Operation[None]:
    """A new schedule.

    Raises DBOSException for a definition that cannot work, and for a name that is taken.
    """
    refuse_in_transaction(CREATE_NAME)
    row = checked(engine, wanted)
    attempt = workflow_body()
    if attempt is None:
        yield from _require_queue(engine, row)
        yield from _create(engine, _creation(row, None))
        return
    step_id = attempt.next_step_id()
    recorded = attempt.recorded(step_id, CREATE_NAME)
    if recorded is not None:
        replay(attempt, recorded).unwrap()
        return
    if attempt.must_verify():
        yield from attempt.verify()
    started_at_ms = wall_ms()
    row.schedule_id = str(uuid.uuid5(_STEPS, attempt.token_of(step_id)))  # a replay knows its own
    outcome: Outcome[None] = Outcome()
    try:
        yield from _require_queue(engine, row)
        yield from _create(engine, _creation(row, attempt))
    except DBOSException as refusal:
        yield from attempt.verify()  # it may have been the guard that refused
        outcome = Outcome(error=refusal)
    yield from record(attempt, encode(attempt, step_id, CREATE_NAME, outcome, started_at_ms))
    outcome.unwrap()


def _create(engine: Engine, creation: CreateSchedule) -> Operation[None]:
    (written,) = yield Commit(creation)
    if written is None:
        there: ScheduleRow | None = yield Ask(engine.store.schedules.load, creation.schedule_name)
        if there is None or there.schedule_id != creation.schedule_id:  # else it was ours, and the reply was lost
            raise DBOSException(f"Schedule '{creation.schedule_name}' already exists")
    announce_changed(engine, [creation.schedule_name])


def apply_schedules(engine: Engine, wanted: Sequence[Definition]) -> Operation[None]:
    """Create these schedules, or define them anew; all of them or none. See `create_schedule`."""
    _refuse_in_workflow("DBOS.apply_schedules")
    rows = {definition.schedule_name: checked(engine, definition) for definition in wanted}
    for row in rows.values():
        yield from _require_queue(engine, row)
    if rows:
        yield Ask(engine.store.schedules.apply, list(rows.values()))
        announce_changed(engine, list(rows))


def checked(engine: Engine, wanted: Definition) -> ScheduleRow:
    """The row of a definition. Raises DBOSException."""
    try:
        require_schedule_name(wanted.schedule_name)
        cron = parse(wanted.schedule, wanted.cron_timezone)
    except ValueError as refusal:
        raise DBOSException(str(refusal)) from None
    if not isinstance(wanted.automatic_backfill, bool):
        raise DBOSException(f"automatic_backfill must be True or False, not {wanted.automatic_backfill!r}")
    if wanted.queue_name is not None and not isinstance(wanted.queue_name, str):
        raise DBOSException(f"queue_name must be the name of a queue, not {wanted.queue_name!r}")
    for what in ("workflow_name", "workflow_class_name", "application_name"):
        _require_text(what, getattr(wanted, what), optional=what != "workflow_name")
    context, serialization = engine.codec.encode(wanted.context, f"the context of schedule '{wanted.schedule_name}'")
    row = ScheduleRow(
        schedule_id=str(uuid.uuid4()),
        schedule_name=wanted.schedule_name,
        workflow_name=wanted.workflow_name,
        workflow_class_name=wanted.workflow_class_name,
        schedule=wanted.schedule,
        status=ScheduleState.ACTIVE,
        context=context,
        context_serialization=serialization,
        automatic_backfill=wanted.automatic_backfill,
        cron_timezone=wanted.cron_timezone,
        queue_name=wanted.queue_name,
        application_name=wanted.application_name or engine.application_name,
    )
    some_tick = from_ms(0).astimezone(cron.zone)
    run_of(engine, row, run_id(row.schedule_name, some_tick), some_tick, None)  # what no tick can store is refused now
    return row


def _require_queue(engine: Engine, row: ScheduleRow) -> Operation[None]:
    name = row.queue_name
    if name is None or name == INTERNAL_QUEUE:
        return
    queue = engine.declared_queue(name)
    if queue is None:
        queue = yield Ask(engine.store.queues.load, name)
    if queue is None:
        raise DBOSException(
            f"Queue '{name}' is not declared: declare or register it before schedule '{row.schedule_name}' uses it"
        )
    if queue.partitioned:
        raise DBOSException(
            f"Queue '{name}' is partitioned, and a run of schedule '{row.schedule_name}' has no partition key: "
            "use a queue without partitions, and enqueue from the workflow"
        )


def _creation(row: ScheduleRow, attempt: Attempt | None) -> CreateSchedule:
    return CreateSchedule(
        schedule_id=row.schedule_id,
        schedule_name=row.schedule_name,
        workflow_name=row.workflow_name,
        workflow_class_name=row.workflow_class_name,
        schedule=row.schedule,
        context=row.context,
        context_serialization=row.context_serialization,
        automatic_backfill=row.automatic_backfill,
        cron_timezone=row.cron_timezone,
        queue_name=row.queue_name,
        application_name=row.application_name,
        guard_workflow_id=None if attempt is None else attempt.workflow_id,
        guard_epoch=None if attempt is None else attempt.epoch,
    )


# ------------------------------------------------------------ looking


def list_schedules(
    engine: Engine,
    *,
    status: tuple[str, ...] | None = None,
    workflow_name: tuple[str, ...] | None = None,
    schedule_name_prefix: tuple[str, ...] | None = None,
    application_name: tuple[str, ...] | None = None,
) -> Operation[list[WorkflowSchedule]]:
    """The schedules that fit, by name; by default of this application and those that nobody owns."""
    if application_name is None and engine.application_name is not None:
        applications: tuple[str, ...] | None = (engine.application_name,)
        named = None
    else:
        applications = named = application_name

    def fits(row: ScheduleRow) -> bool:
        return (
            (status is None or row.status in status)
            and (workflow_name is None or row.workflow_name in workflow_name)
            and (schedule_name_prefix is None or row.schedule_name.startswith(schedule_name_prefix))
            and (named is None or row.application_name in named)
        )

    def read() -> Operation[list[dict[str, Any]]]:
        rows: list[ScheduleRow] = yield Ask(engine.store.schedules.list, applications)
        return [asdict(row) for row in rows if fits(row)]

    rows = yield from as_step("DBOS.listSchedules", read())
    return [present(engine, ScheduleRow(**row)) for row in rows]


def get_schedule(engine: Engine, name: str) -> Operation[WorkflowSchedule | None]:
    """One schedule, or None if there is none of that name."""

    def read() -> Operation[dict[str, Any] | None]:
        row = yield from _load(engine, name)
        return None if row is None else asdict(row)

    _require_name(name)
    row = yield from as_step("DBOS.getSchedule", read())
    return None if row is None else present(engine, ScheduleRow(**row))


def present(engine: Engine, row: ScheduleRow) -> WorkflowSchedule:
    """A row as users see it. A context that cannot be decoded is shown as the text that is stored, with a warning."""
    context, bad = engine.codec.describe(row.context, row.context_serialization)
    if bad:
        logger.warning("The context of schedule %s cannot be decoded and is shown as text", row.schedule_name)
    return WorkflowSchedule(
        schedule_id=row.schedule_id,
        schedule_name=row.schedule_name,
        workflow_name=row.workflow_name,
        workflow_class_name=row.workflow_class_name,
        schedule=row.schedule,
        status="ACTIVE" if row.status == ScheduleState.ACTIVE else "PAUSED",
        context=context,
        last_fired_at=row.last_fired_at,
        automatic_backfill=row.automatic_backfill,
        cron_timezone=row.cron_timezone,
        queue_name=row.queue_name,
        application_name=row.application_name,
        shard_key=None,
    )


# ------------------------------------------------------------ steering


def pause_schedule(engine: Engine, name: str) -> Operation[None]:
    """Let a schedule fire no more until it is resumed. An unknown name changes nothing."""
    return _set_state(engine, name, ScheduleState.PAUSED, PAUSE_NAME)


def resume_schedule(engine: Engine, name: str) -> Operation[None]:
    """Let a paused schedule fire again; what it missed is run if it backfills. An unknown name changes nothing."""
    return _set_state(engine, name, ScheduleState.ACTIVE, RESUME_NAME)


def _set_state(engine: Engine, name: str, state: ScheduleState, step: str) -> Operation[None]:
    attempt = workflow_body()
    change = SetScheduleState(_require_name(name), state, engine.application_name, *_guard(attempt))
    return _change(engine, attempt, step, change)


def delete_schedule(engine: Engine, name: str) -> Operation[None]:
    """Forget a schedule; runs that it has made stay. An unknown name changes nothing."""
    attempt = workflow_body()
    change = DeleteSchedule(_require_name(name), engine.application_name, *_guard(attempt))
    return _change(engine, attempt, DELETE_NAME, change)


def _change(
    engine: Engine, attempt: Attempt | None, step: str, change: SetScheduleState | DeleteSchedule
) -> Operation[None]:
    refuse_in_transaction(step)
    if attempt is None:
        yield Commit(change)
    else:
        yield from commit_as_step(attempt, step, change)
    announce_changed(engine, [change.schedule_name])


def _guard(attempt: Attempt | None) -> tuple[str | None, int | None]:
    return (None, None) if attempt is None else (attempt.workflow_id, attempt.epoch)


def announce_changed(engine: Engine, names: Sequence[str]) -> None:
    """Tell the schedulers, here and in other processes."""
    engine.waiters.wake("service", "scheduler")
    engine.store.hints.publish("schedules", names)


# ------------------------------------------------------------ running out of turn


def trigger_schedule(engine: Engine, schedule_name: str) -> Operation[str]:
    """Run the workflow of a schedule now, whether it is paused or not.

    Raises DBOSException if there is no schedule of that name, and in a workflow.
    """
    _refuse_in_workflow("DBOS.trigger_schedule")
    row = yield from _require(engine, schedule_name)
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
    _refuse_in_workflow("DBOS.backfill_schedule")
    first, last = _moment("start", start), _moment("end", end)
    row = yield from _require(engine, schedule_name)
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


# ------------------------------------------------------------ small things


def _load(engine: Engine, name: str) -> Operation[ScheduleRow | None]:
    """A schedule that is this application's business."""
    row: ScheduleRow | None = yield Ask(engine.store.schedules.load, name)
    ours = row is not None and (
        engine.application_name is None or row.application_name in (None, engine.application_name)
    )
    return row if ours else None


def _require(engine: Engine, name: str) -> Operation[ScheduleRow]:
    row = yield from _load(engine, _require_name(name))
    if row is None:
        raise DBOSException(f"Schedule '{name}' does not exist")
    return row


def _require_text(what: str, value: object, optional: bool) -> None:
    if value is None and optional:
        return
    if not isinstance(value, str) or not value or "\0" in value or not value.isprintable():
        raise DBOSException(f"{what} of a schedule must be a name, not {value!r}")


def _require_name(name: str) -> str:
    try:
        return require_schedule_name(name)
    except ValueError as refusal:
        raise DBOSException(str(refusal)) from None


def _refuse_in_workflow(call: str) -> None:
    """Raises DBOSException in the body of a workflow: what this does is not recorded, so a replay would do it again."""
    attempt = workflow_body()
    if attempt is not None:
        raise DBOSException(f"{call}() cannot be called from the workflow {attempt.name}: call it from a step of it")
