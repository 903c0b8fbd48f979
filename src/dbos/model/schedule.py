"""What a schedule is: a workflow, a cron expression, and the ids of the runs that the two make."""

# Annotations are evaluated here: a TypedDict compiles each that is a text, which takes longer.

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal, TypedDict

from dbos.fields import NamedTuple

MAX_NAME_BYTES = 400  # an id adds the words around the name and a time, and may have 512


class ScheduleState(StrEnum):
    """Does it fire?"""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"


class ScheduleRow(NamedTuple):
    """One row of `workflow_schedules` with its context still encoded; field names are the column names."""

    schedule_id: str
    schedule_name: str
    workflow_name: str
    workflow_class_name: str | None
    schedule: str
    status: str
    context: str
    context_serialization: str  # codec of context
    automatic_backfill: bool
    cron_timezone: str | None
    queue_name: str | None
    application_name: str | None
    last_fired_at: str | None = None  # ISO 8601, in the schedule's zone
    last_fired_at_ms: int | None = None
    created_at: int = 0
    active_since: int = 0  # when it was defined so, or resumed: earlier ticks are none of its own


class WorkflowSchedule(TypedDict):
    """A schedule as users see it."""

    schedule_id: str
    schedule_name: str
    workflow_name: str
    workflow_class_name: str | None
    schedule: str
    status: Literal["ACTIVE", "PAUSED"]
    context: Any
    last_fired_at: str | None
    automatic_backfill: bool
    cron_timezone: str | None
    queue_name: str | None
    application_name: str | None
    shard_key: str | None


def run_id(schedule_name: str, tick: datetime) -> str:
    """The id of the run of a tick: the same in every process, so that there is one."""
    return f"sched-{schedule_name}-{tick.isoformat()}"


def triggered_id(schedule_name: str, moment: datetime) -> str:
    """The id of a run that somebody asked for."""
    return f"sched-{schedule_name}-trigger-{moment.isoformat(timespec='microseconds')}"


def require_schedule_name(name: object) -> str:
    """A name that a schedule may have. Raises ValueError."""
    if not isinstance(name, str) or not name or name.isspace():
        raise ValueError(f"The name of a schedule must be a non-empty str, not {name!r}")
    try:
        size_bytes = len(name.encode())
    except UnicodeEncodeError:
        size_bytes = None
    if size_bytes is None or "\0" in name:
        raise ValueError(
            f"The name of schedule {name!r} holds a NUL character or a lone surrogate, which is never stored"
        )
    if size_bytes > MAX_NAME_BYTES:
        raise ValueError(f"The name of a schedule takes at most {MAX_NAME_BYTES} bytes, not {size_bytes}")
    return name


def from_ms(epoch_ms: int) -> datetime:
    """The moment of an epoch time, in UTC."""
    return datetime.fromtimestamp(epoch_ms // 1000, UTC).replace(microsecond=epoch_ms % 1000 * 1000)


def to_ms(moment: datetime) -> int:
    """The epoch time of a moment."""
    return round(moment.timestamp() * 1000)
