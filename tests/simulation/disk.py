"""The database of a world: SQLite in memory, on a clock of ours, with triggers that tell of every change.

Nothing waits inside of a transaction, so one connection serves all processes. It also serves one world after the other,
emptied, because preparing its statements takes longer than a run.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from dbos.store.database import Role
from dbos.store.migrations.migrate import migrate
from dbos.store.sqlite import database as dialect
from dbos.store.sqlite.lifecycle import TABLES, SqliteTarget
from dbos.store.statements import Statements


class Standing(NamedTuple):
    """A workflow, as far as the rules go."""

    status: str
    epoch: int
    owner: str | None
    queue: str | None
    partition: str | None
    slot: str | None  # its deduplication id
    outcome: str
    completed: bool
    attempts: int
    deadline_ms: int | None
    delay_until_ms: int | None
    priority: int
    sequence: int
    name: str
    parent: str | None
    forked_from: str | None


class WorkflowChange(NamedTuple):
    workflow_id: str
    old: Standing | None
    new: Standing | None


class StepChange(NamedTuple):
    workflow_id: str
    number: int
    name: str
    epoch: int
    event: str  # insert, update, delete


class LeaseChange(NamedTuple):
    instance: str
    host: str
    until_ms: int


class MessageChange(NamedTuple):
    destination: str
    message_id: str
    consumed_by: int | None


class StreamChange(NamedTuple):
    workflow_id: str
    key: str
    place: int
    epoch: int


Change = WorkflowChange | StepChange | LeaseChange | MessageChange | StreamChange

STANDING = (
    "{0}.status, {0}.epoch, {0}.executor_instance, {0}.queue_name, {0}.queue_partition_key, {0}.deduplication_id,"
    " coalesce({0}.output, '-') || '/' || coalesce({0}.error, '-'), {0}.completed_at is not null,"
    " {0}.recovery_attempts, {0}.workflow_deadline_epoch_ms, {0}.delay_until_epoch_ms, {0}.priority, {0}.sequence,"
    " {0}.name, {0}.parent_workflow_id, {0}.forked_from"
)
NOTHING = ", ".join(["null"] * len(Standing._fields))
TELLS = {
    "workflow_status": (
        "tell_workflow({row}.workflow_uuid, {old}, {new})",
        "status, epoch, executor_instance, queue_name, queue_partition_key, deduplication_id, output, error,"
        " completed_at, recovery_attempts, workflow_deadline_epoch_ms, delay_until_epoch_ms",
    ),
    "operation_outputs": (
        "tell_step({row}.workflow_uuid, {row}.function_id, {row}.function_name, {row}.epoch, '{event}')",
        "output, error, child_workflow_id, epoch",
    ),
    "executors": ("tell_lease({row}.instance_id, {row}.host, {row}.lease_expires_at_ms)", "lease_expires_at_ms"),
    "notifications": (
        "tell_message({row}.destination_uuid, {row}.message_uuid, {row}.consumed_by_function_id)",
        "consumed, consumed_by_function_id",
    ),
    "streams": ('tell_stream({row}.workflow_uuid, {row}.key, {row}."offset", {row}.epoch)', "value"),
}


class _Vocabulary(dialect._Vocabulary):
    """As always, but for the clock."""

    words: Mapping[str, str] = {**dialect._Vocabulary.words, "now_ms": "clock_ms()", "lease_now_ms": "clock_ms()"}


@cache
def statements() -> Statements:
    """The library's statements, on our clock."""
    return Statements("sqlite", _Vocabulary())


class Disk:
    """One database after the other, all on the same connection."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=512)
        self._now_ms: Callable[[], int] = int
        self._commit: Callable[[list[Change]], None] = lambda changes: None
        self._changes: list[Change] = []
        migrate(SqliteTarget(self.connection, Path("memory")), "sqlite", True)
        for statement in _triggers():
            self.connection.execute(statement)
        for name, call in {
            "clock_ms": self._tell_time,
            "tell_workflow": self._tell_workflow,
            "tell_step": lambda *values: self._changes.append(StepChange(*values)),
            "tell_lease": lambda *values: self._changes.append(LeaseChange(*values)),
            "tell_message": lambda *values: self._changes.append(MessageChange(*values)),
            "tell_stream": lambda *values: self._changes.append(StreamChange(*values)),
        }.items():
            self.connection.create_function(name, -1, call)
        dialect.equip(self.connection, statements(), Role.WRITER)

    def serve(self, now_ms: Callable[[], int], commit: Callable[[list[Change]], None]) -> None:
        """Begin anew, empty. `commit` is told of every commit that changes something."""
        if self.connection.in_transaction:
            self.connection.execute("rollback")
        self._now_ms, self._commit = now_ms, lambda changes: None
        for table in TABLES:
            self.connection.execute(f"delete from {table}")
        self._changes.clear()
        self._commit = commit

    def committed(self) -> None:
        """What has been told is durable."""
        if self._changes:
            changes, self._changes = self._changes, []
            self._commit(changes)

    def rolled_back(self) -> None:
        """What has been told has not happened."""
        self._changes.clear()

    def rows(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        """For those who look from outside."""
        return self.connection.execute(text, values).fetchall()

    def _tell_time(self) -> int:
        return self._now_ms()

    def _tell_workflow(self, workflow_id: str, *values: Any) -> None:
        half = len(Standing._fields)
        old, new = values[:half], values[half:]
        self._changes.append(
            WorkflowChange(
                workflow_id,
                None if old[0] is None else Standing(*old),
                None if new[0] is None else Standing(*new),
            )
        )


def _triggers() -> list[str]:
    found = []
    for table, (call, columns) in TELLS.items():
        for event in ("insert", "update", "delete"):
            row = "old" if event == "delete" else "new"
            values = {
                "row": row,
                "event": event,
                "old": NOTHING if event == "insert" else STANDING.format("old"),
                "new": NOTHING if event == "delete" else STANDING.format("new"),
            }
            when = f"update of {columns}" if event == "update" else event
            found.append(
                f"create trigger {event}_of_{table} after {when} on {table} begin select {call.format(**values)}; end"
            )
    return found


@cache
def the_disk() -> Disk:
    """The one of this process."""
    return Disk()
