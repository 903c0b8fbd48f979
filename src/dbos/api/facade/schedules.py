"""Schedules: workflows that run by the clock."""

from __future__ import annotations

from datetime import datetime

from dbos.api import launched, scheduling
from dbos.api.handles import WorkflowHandle, WorkflowHandleAsync
from dbos.api.scopes import refuse_shard_key
from dbos.api.twins import awaitable, blocking, refuse_on_loop
from dbos.runtime.interpreters import run_async, run_blocking
from dbos.runtime.operations import schedules


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

    @classmethod
    def trigger_schedule(cls, schedule_name: str, *, shard_key: str | None = None) -> WorkflowHandle[None]:
        """Run the workflow of a schedule now, whether it is paused or not.

        Raises DBOSException if there is no schedule of that name, and in a workflow.
        """
        refuse_on_loop("DBOS.trigger_schedule", waits=False)
        refuse_shard_key(shard_key)
        engine = launched.current_engine()
        return WorkflowHandle(run_blocking(engine, schedules.trigger_schedule(engine, schedule_name)))

    @classmethod
    async def trigger_schedule_async(
        cls, schedule_name: str, *, shard_key: str | None = None
    ) -> WorkflowHandleAsync[None]:
        """Run the workflow of a schedule now, whether it is paused or not; see `trigger_schedule`."""
        refuse_shard_key(shard_key)
        engine = launched.current_engine()
        return WorkflowHandleAsync(await run_async(engine, schedules.trigger_schedule(engine, schedule_name)))

    @classmethod
    def backfill_schedule(
        cls, schedule_name: str, start: datetime, end: datetime, *, shard_key: str | None = None
    ) -> list[WorkflowHandle[None]]:
        """Run the workflow of a schedule for every tick between two moments; what has run already does not run again.

        Args:
            schedule_name: An existing schedule, paused or not.
            start: Ticks later than this. A time without a zone is UTC.
            end: Ticks earlier than this.

        Returns the handles of all these runs, old and new, in order. Raises DBOSException if there is no schedule of
        that name, and in a workflow.
        """
        refuse_on_loop("DBOS.backfill_schedule", waits=False)
        refuse_shard_key(shard_key)
        engine = launched.current_engine()
        ids = run_blocking(engine, schedules.backfill_schedule(engine, schedule_name, start, end))
        return [WorkflowHandle(workflow_id) for workflow_id in ids]

    @classmethod
    async def backfill_schedule_async(
        cls, schedule_name: str, start: datetime, end: datetime, *, shard_key: str | None = None
    ) -> list[WorkflowHandleAsync[None]]:
        """Run the workflow of a schedule for every tick between two moments; see `backfill_schedule`."""
        refuse_shard_key(shard_key)
        engine = launched.current_engine()
        ids = await run_async(engine, schedules.backfill_schedule(engine, schedule_name, start, end))
        return [WorkflowHandleAsync(workflow_id) for workflow_id in ids]
