"""Schedules as clients define and steer them: by the names of workflows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dbos.api import scheduling
from dbos.api.handles import WorkflowHandle, WorkflowHandleAsync
from dbos.api.scheduling import ClientScheduleInput
from dbos.api.twins import awaitable_method, blocking_method
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Operation
from dbos.runtime.operations import schedules, triggering
from dbos.runtime.operations.scheduling import Definition
from dbos.runtime.operations.scheduling import apply_schedules as apply
from dbos.runtime.operations.scheduling import create_schedule as create


def create_schedule(
    engine: Engine,
    *,
    schedule_name: str,
    workflow_name: str,
    schedule: str,
    workflow_class_name: str | None = None,
    context: Any = None,
    automatic_backfill: bool = False,
    cron_timezone: str | None = None,
    queue_name: str | None = None,
    application_name: str | None = None,
) -> Operation[None]:
    """Run a workflow by the clock, from now on; see `DBOS.create_schedule`.

    Args:
        schedule_name: Its name, which no other schedule has.
        workflow_name: The name of a workflow that takes the time it is run for and the context.
        schedule: A cron expression of five fields, or of six with seconds first.
        workflow_class_name: The class of the workflow, if it is a class method.
        context: Handed to every run, as it is stored now.
        automatic_backfill: Make up for ticks that were missed while nothing ran, or while the schedule was paused.
        cron_timezone: The zone of the IANA database whose wall clock the expression goes by; by default UTC.
        queue_name: The queue of its runs, registered in the database; by default the internal one.
        application_name: Whose processes run it; by default those of the client's application.

    Raises DBOSException if the name is taken, and for an expression, a zone or a queue that cannot work.
    """
    wanted = Definition(
        schedule_name=schedule_name,
        workflow_name=workflow_name,
        workflow_class_name=workflow_class_name,
        schedule=schedule,
        context=context,
        automatic_backfill=automatic_backfill,
        cron_timezone=cron_timezone,
        queue_name=queue_name,
        application_name=application_name,
    )
    return create(engine, wanted)


def apply_schedules(engine: Engine, schedules: Sequence[ClientScheduleInput]) -> Operation[None]:
    """Create schedules, or define anew those that exist and keep their status; all of them or none.

    Args:
        schedules: Dicts with the arguments of `create_schedule`.

    Raises DBOSException as `create_schedule` does, and for an entry without a required key.
    """
    wanted = [Definition(**entry) for entry in scheduling.entries(schedules, ClientScheduleInput)]
    return apply(engine, wanted)


class ClientScheduleCalls:
    """Define, look at, steer, and run out of turn."""

    create_schedule_async = awaitable_method(create_schedule)  # first: from the next line on the name is the method's
    create_schedule = blocking_method(create_schedule)
    apply_schedules_async = awaitable_method(apply_schedules)
    apply_schedules = blocking_method(apply_schedules)
    list_schedules = blocking_method(scheduling.list_schedules)
    list_schedules_async = awaitable_method(scheduling.list_schedules)
    get_schedule = blocking_method(schedules.get_schedule)
    get_schedule_async = awaitable_method(schedules.get_schedule)
    delete_schedule = blocking_method(schedules.delete_schedule)
    delete_schedule_async = awaitable_method(schedules.delete_schedule)
    pause_schedule = blocking_method(schedules.pause_schedule)
    pause_schedule_async = awaitable_method(schedules.pause_schedule)
    resume_schedule = blocking_method(schedules.resume_schedule)
    resume_schedule_async = awaitable_method(schedules.resume_schedule)
    trigger_schedule = blocking_method(triggering.trigger_schedule, WorkflowHandle[None].to)
    trigger_schedule_async = awaitable_method(triggering.trigger_schedule, WorkflowHandleAsync[None].to)
    backfill_schedule = blocking_method(triggering.backfill_schedule, WorkflowHandle[None].to_all)
    backfill_schedule_async = awaitable_method(triggering.backfill_schedule, WorkflowHandleAsync[None].to_all)
