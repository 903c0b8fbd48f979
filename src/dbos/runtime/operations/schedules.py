"""Looking at schedules and steering them. They are defined in scheduling.py and run out of turn in triggering.py.

Everywhere the workflow goes by its name, so that a client that has no functions can do the same. Called from a workflow
body, what changes one schedule or reads is a recorded step; the rest is refused there.
"""

from __future__ import annotations

import logging
from typing import Any

from dbos.model.schedule import ScheduleRow, ScheduleState, WorkflowSchedule
from dbos.runtime.context import Attempt, refuse_in_transaction, workflow_body
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Ask, Commit, Operation
from dbos.runtime.schedules import announce_changed, load, require_name
from dbos.runtime.step import as_step, commit_as_step
from dbos.store.records import DeleteSchedule, SetScheduleState

logger = logging.getLogger("dbos")

PAUSE_NAME = "DBOS.pauseSchedule"
RESUME_NAME = "DBOS.resumeSchedule"
DELETE_NAME = "DBOS.deleteSchedule"


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
        return [row._asdict() for row in rows if fits(row)]

    rows = yield from as_step("DBOS.listSchedules", read())
    return [present(engine, ScheduleRow(**row)) for row in rows]


def get_schedule(engine: Engine, name: str) -> Operation[WorkflowSchedule | None]:
    """One schedule, or None if there is none of that name."""

    def read() -> Operation[dict[str, Any] | None]:
        row = yield from load(engine, name)
        return None if row is None else row._asdict()

    require_name(name)
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
    change = SetScheduleState(require_name(name), state, engine.application_name, *_guard(attempt))
    return _change(engine, attempt, step, change)


def delete_schedule(engine: Engine, name: str) -> Operation[None]:
    """Forget a schedule; runs that it has made stay. An unknown name changes nothing."""
    attempt = workflow_body()
    change = DeleteSchedule(require_name(name), engine.application_name, *_guard(attempt))
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
