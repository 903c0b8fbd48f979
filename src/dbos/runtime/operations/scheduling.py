"""Defining schedules: what can work, and how it comes to be in the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dbos.error import DBOSException
from dbos.fields import NamedTuple
from dbos.lazy import uuid
from dbos.model.cron import parse
from dbos.model.schedule import ScheduleRow, ScheduleState, from_ms, require_schedule_name, run_id
from dbos.model.workflow import INTERNAL_QUEUE
from dbos.runtime.clock import wall_ms
from dbos.runtime.context import Attempt, refuse_in_transaction, workflow_body
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Ask, Commit, Operation, Outcome
from dbos.runtime.scheduled_runs import run_of
from dbos.runtime.schedules import announce_changed, refuse_in_workflow
from dbos.runtime.step import encode, record, replay
from dbos.store.records import CreateSchedule

CREATE_NAME = "DBOS.createSchedule"
_STEPS = "7f0f8a1e-6a0c-4d0b-9d6e-6f2f4f0d9c51"  # namespace of the ids of schedules that workflows create


class Definition(NamedTuple):
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
    own_id = uuid.uuid5(uuid.UUID(_STEPS), attempt.token_of(step_id))
    row = row._replace(schedule_id=str(own_id))  # a replay knows its own
    outcome: Outcome[None] = Outcome()
    try:
        yield from _require_queue(engine, row)
        yield from _create(engine, _creation(row, attempt))
    except DBOSException as refusal:
        yield from attempt.verify_refused()  # it may have been the guard that refused
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
    refuse_in_workflow("DBOS.apply_schedules")
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
        schedule_id=engine.new_id(),
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


def _require_text(what: str, value: object, optional: bool) -> None:
    if value is None and optional:
        return
    if not isinstance(value, str) or not value or "\0" in value or not value.isprintable():
        raise DBOSException(f"{what} of a schedule must be a name, not {value!r}")
