"""Schedules: workflows that run by the clock."""

from __future__ import annotations

from dbos.api import scheduling
from dbos.api.handles import WorkflowHandle, WorkflowHandleAsync
from dbos.api.twins import awaitable, blocking
from dbos.runtime.operations import schedules, triggering


class ScheduleCalls:
    """Define, look at, steer, and run out of turn."""

    scheduled = staticmethod(scheduling.scheduled)

    create_schedule = staticmethod(blocking(scheduling.create_schedule))
    create_schedule_async = staticmethod(awaitable(scheduling.create_schedule))
    apply_schedules = staticmethod(blocking(scheduling.apply_schedules))
    apply_schedules_async = staticmethod(awaitable(scheduling.apply_schedules))
    list_schedules = staticmethod(blocking(scheduling.list_schedules))
    list_schedules_async = staticmethod(awaitable(scheduling.list_schedules))
    get_schedule = staticmethod(blocking(schedules.get_schedule))
    get_schedule_async = staticmethod(awaitable(schedules.get_schedule))
    delete_schedule = staticmethod(blocking(schedules.delete_schedule))
    delete_schedule_async = staticmethod(awaitable(schedules.delete_schedule))
    pause_schedule = staticmethod(blocking(schedules.pause_schedule))
    pause_schedule_async = staticmethod(awaitable(schedules.pause_schedule))
    resume_schedule = staticmethod(blocking(schedules.resume_schedule))
    resume_schedule_async = staticmethod(awaitable(schedules.resume_schedule))
    trigger_schedule = staticmethod(blocking(triggering.trigger_schedule, WorkflowHandle[None].to))
    trigger_schedule_async = staticmethod(awaitable(triggering.trigger_schedule, WorkflowHandleAsync[None].to))
    backfill_schedule = staticmethod(blocking(triggering.backfill_schedule, WorkflowHandle[None].to_all))
    backfill_schedule_async = staticmethod(awaitable(triggering.backfill_schedule, WorkflowHandleAsync[None].to_all))
