"""The runs of schedules: what a tick becomes. Shared by the scheduler and by the operations that run one at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dbos.model.schedule import ScheduleRow
from dbos.model.workflow import INTERNAL_QUEUE
from dbos.runtime.admission import Ticket, new_row
from dbos.runtime.engine import Engine
from dbos.runtime.identity import NOBODY
from dbos.runtime.registry import Names
from dbos.runtime.requests import Requests
from dbos.store.records import StartWorkflow

_NOBODYS = Requests(on_behalf_of=NOBODY)


def run_of(
    engine: Engine, row: ScheduleRow, workflow_id: str, scheduled_time: datetime, version: str | None
) -> StartWorkflow:
    """The enqueued run of a schedule. Raises the error of its context or time, if they cannot be read or stored."""
    context = engine.codec.decode(row.context, row.context_serialization)
    names = Names(row.workflow_name, row.workflow_class_name, application=row.application_name)
    run = enqueued(engine, workflow_id, names, (scheduled_time, context), version, row.queue_name)
    return run._replace(schedule_name=row.schedule_name)


def enqueued(
    engine: Engine,
    workflow_id: str,
    names: Names,
    args: tuple[object, ...],
    version: str | None,
    queue_name: str | None = None,
) -> StartWorkflow:
    """A workflow that waits on a queue, started by nobody but the time."""
    inputs = engine.codec.encode_inputs(args, {})  # portable or not, the function is promised a datetime
    ticket = Ticket(workflow_id, engine.new_token())
    return new_row(engine, ticket, names, inputs, _NOBODYS, version, queue_name=queue_name or INTERNAL_QUEUE)


def latest_version(engine: Engine, application_name: str | None) -> str | None:
    """The version that the scheduled workflows of an application run on; None if any will do."""
    latest = None if application_name is None else engine.store.versions.latest(application_name)
    return None if latest is None else latest.version_name


def announce(engine: Engine, runs: Sequence[StartWorkflow]) -> None:
    """Wake whoever serves their queues, here and in other processes."""
    for queue_name in sorted({run.queue_name or INTERNAL_QUEUE for run in runs}):
        engine.announce_enqueued(queue_name)
