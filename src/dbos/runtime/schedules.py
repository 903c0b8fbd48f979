"""What the operations on schedules share: which schedules are ours, by which names, and who hears of a change."""

from __future__ import annotations

from collections.abc import Sequence

from dbos.error import DBOSException
from dbos.model.schedule import ScheduleRow, require_schedule_name
from dbos.runtime.context import workflow_body
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Ask, Operation


def load(engine: Engine, name: str) -> Operation[ScheduleRow | None]:
    """A schedule that is this application's business, or None."""
    row: ScheduleRow | None = yield Ask(engine.store.schedules.load, name)
    ours = row is not None and (
        engine.application_name is None or row.application_name in (None, engine.application_name)
    )
    return row if ours else None


def require(engine: Engine, name: str) -> Operation[ScheduleRow]:
    """The same. Raises DBOSException if there is none of that name."""
    row = yield from load(engine, require_name(name))
    if row is None:
        raise DBOSException(f"Schedule '{name}' does not exist")
    return row


def require_name(name: str) -> str:
    """The name. Raises DBOSException for what cannot be one."""
    try:
        return require_schedule_name(name)
    except ValueError as refusal:
        raise DBOSException(str(refusal)) from None


def refuse_in_workflow(call: str) -> None:
    """Raises DBOSException in the body of a workflow: what this does is not recorded, so a replay would do it again."""
    attempt = workflow_body()
    if attempt is not None:
        raise DBOSException(f"{call}() cannot be called from the workflow {attempt.name}: call it from a step of it")


def announce_changed(engine: Engine, names: Sequence[str]) -> None:
    """Tell the schedulers, here and in other processes."""
    engine.waiters.wake("service", "scheduler")
    engine.store.hints.publish("schedules", names)
