"""The schedules: what is asked about them, and defining many at once. Single changes go through the journal."""

from __future__ import annotations

import json
from collections.abc import Sequence

from dbos.error import DBOSException
from dbos.model.schedule import ScheduleRow
from dbos.store.database import Row
from dbos.store.pool import Pool, Run


class Schedules:
    """The table `workflow_schedules`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def load(self, name: str) -> ScheduleRow | None:
        """One schedule, whoever owns it, or None."""
        rows = self.load_many([name])
        return rows[0] if rows else None

    def load_many(self, names: Sequence[str]) -> list[ScheduleRow]:
        """Those of the schedules that exist, in no particular order."""
        return [_row(row) for row in self._pool.read("load_schedules", names=json.dumps(names))] if names else []

    def list(self, applications: Sequence[str] | None) -> list[ScheduleRow]:
        """The schedules of these applications and those that nobody owns, by name; None lists all."""
        rows = self._pool.read(
            "list_schedules", applications=json.dumps(applications or []), all=int(applications is None)
        )
        return [_row(row) for row in rows]

    def apply(self, definitions: Sequence[ScheduleRow]) -> None:
        """Create schedules, or define them anew and keep their status and last tick; all of them or none.

        Raises DBOSException for a name that belongs to another application.
        """
        in_order = sorted(definitions, key=lambda row: row.schedule_name)  # two who do this at once must not deadlock

        def work(run: Run) -> None:
            for row in in_order:
                if not run("apply_schedule", **_definition(row)):
                    raise DBOSException(f"Schedule '{row.schedule_name}' belongs to another application")

        self._pool.transact(work)


def _definition(row: ScheduleRow) -> dict[str, object]:
    return {
        "schedule_id": row.schedule_id,
        "schedule_name": row.schedule_name,
        "workflow_name": row.workflow_name,
        "workflow_class_name": row.workflow_class_name,
        "schedule": row.schedule,
        "context": row.context,
        "context_serialization": row.context_serialization,
        "automatic_backfill": row.automatic_backfill,
        "cron_timezone": row.cron_timezone,
        "queue_name": row.queue_name,
        "application_name": row.application_name,
    }


def _row(row: Row) -> ScheduleRow:
    """From `{schedule_columns}`."""
    schedule = ScheduleRow(*row)
    return schedule._replace(automatic_backfill=bool(schedule.automatic_backfill))  # SQLite counts in 0 and 1
