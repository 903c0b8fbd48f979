"""The runs of schedules: what a tick becomes. Shared by the scheduler and by the operations that run one at once."""

from __future__ import annotations

from datetime import datetime

from dbos.model.schedule import ScheduleRow
from dbos.runtime.engine import Engine
from dbos.runtime.registry import Names
from dbos.runtime.unattended import enqueued
from dbos.store.records import StartWorkflow


def run_of(
    engine: Engine, row: ScheduleRow, workflow_id: str, scheduled_time: datetime, version: str | None
) -> StartWorkflow:
    """The enqueued run of a schedule. Raises the error of its context or time, if they cannot be read or stored."""
    context = engine.codec.decode(row.context, row.context_serialization)
    names = Names(row.workflow_name, row.workflow_class_name, application=row.application_name)
    run = enqueued(engine, workflow_id, names, (scheduled_time, context), version, row.queue_name)
    return run._replace(schedule_name=row.schedule_name)
