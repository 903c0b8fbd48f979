"""How a SQLite system database comes to be, is emptied and goes away."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from dbos.error import DBOSInitializationError
from dbos.lazy import random
from dbos.store.database import Role, Session, StoreSettings
from dbos.store.migrations.migrate import LINEAGE, Migration, migrate, recognised
from dbos.store.sqlite.database import SqliteDatabase, enter_wal

LAUNCH_TIMEOUT_SECONDS = 30.0  # for other processes that are launching or migrating at the same time

TABLES = (
    "operation_outputs",
    "transaction_outputs",
    "notifications",
    "workflow_events",
    "workflow_events_history",
    "streams",
    "workflow_status",
    "deleted_workflows",
    "executors",
    "queues",
    "queue_starts",
    "application_versions",
    "workflow_schedules",
)
"""Everything that `truncate` empties."""


def path_of(settings: StoreSettings) -> str:
    """The file that a URL names, as SQLAlchemy understands it: sqlite:///relative or sqlite:////absolute."""
    return settings.url.partition(":///")[2].partition("?")[0]


class SqliteTarget:
    """One file, seen by the migrations."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection = connection
        self._path = path

    def __str__(self) -> str:
        return f"The SQLite database {self._path}"

    def version(self) -> int | None:
        found = self._connection.execute(
            "select m.name, exists (select 1 from pragma_table_info(m.name) where name = 'lineage')"
            " from sqlite_master as m where m.type = 'table' and m.name in ('workflow_status', 'dbos_migrations')"
        ).fetchall()
        if not found:
            return 0
        if ("dbos_migrations", 1) not in found:
            return None
        newest: int | None
        (newest,) = self._connection.execute(
            "select max(version) from dbos_migrations where lineage = ?", (LINEAGE,)
        ).fetchone()
        return newest

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        self._connection.execute("begin immediate")
        try:
            yield
            self._connection.execute("commit")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("rollback")
            raise

    def apply(self, migration: Migration) -> None:
        # Statement by statement: `executescript` would commit first.
        self._connection.execute(
            "create table if not exists dbos_migrations"
            " (version integer primary key, lineage text not null, applied_at_ms integer not null) strict"
        )
        statement = ""
        for line in migration.script.splitlines(keepends=True):
            statement += line
            if sqlite3.complete_statement(statement):
                self._connection.execute(statement)
                statement = ""
        self._connection.execute(
            "insert into dbos_migrations (version, lineage, applied_at_ms)"
            " values (?, ?, cast(round((julianday('now') - 2440587.5) * 86400000.0) as integer))",
            (migration.version, LINEAGE),
        )


def prepare(settings: StoreSettings) -> tuple[SqliteDatabase, Session]:
    """Check the file, create and migrate what is missing; with it comes a session for the writer."""
    path = path_of(settings)
    if not os.path.isdir(os.path.dirname(path) or "."):
        raise DBOSInitializationError(f"The directory of the SQLite database {path} does not exist: create it first")
    if not settings.run_migrations and not os.path.exists(path):
        raise DBOSInitializationError(
            f"The SQLite database {path} does not exist, and is not created here: a client never does that, nor does "
            "an application with `run_migrations` off. Launch one with it on, or run `dbos migrate`."
        )
    database = SqliteDatabase(settings, path)
    deadline = time.monotonic() + LAUNCH_TIMEOUT_SECONDS
    while True:
        try:
            connection = database.open()
            try:
                _check_and_migrate(connection, path, settings.run_migrations)
                return database, database.connect(Role.WRITER)
            finally:
                connection.close()  # not before: the last one to leave a file has to clean up behind all others
        except sqlite3.Error as error:
            # Many processes may be launching at once, and turning on the WAL does not wait for a busy file by itself.
            busy = getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not busy or time.monotonic() > deadline:
                raise DBOSInitializationError(f"The SQLite database {path} cannot be used: {error}") from error
            time.sleep(random.uniform(0.005, 0.05))


def _check_and_migrate(connection: sqlite3.Connection, path: str, run_migrations: bool) -> None:
    target = SqliteTarget(connection, path)
    recognised(target)  # before anything is changed: the journal mode is part of the file
    if run_migrations:
        enter_wal(connection, path)
    migrate(target, "sqlite", run_migrations)
    # Fails on a file that cannot be written. Found out later, it would be waited for: a full disk looks the same.
    connection.execute("delete from dbos_migrations where 1 = 0")


def grant(settings: StoreSettings, role: str) -> None:
    """SQLite has no roles."""


def migrations_as_sql(settings: StoreSettings, only: int | None) -> str:
    """SQLite has no administrators: whoever may write the file migrates it."""
    raise DBOSInitializationError("Migrations are printed for Postgres; a SQLite file is migrated by `dbos migrate`")


def grants_as_sql(settings: StoreSettings, role: str) -> str:
    """SQLite has no roles."""
    raise DBOSInitializationError("SQLite has no roles: who may write the file may run workflows")


def drop(settings: StoreSettings) -> None:
    """Delete the file and what belongs to it."""
    path = os.path.realpath(path_of(settings))
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.unlink(path + suffix)


def truncate(settings: StoreSettings) -> None:
    """Empty our tables, if the file is there and ours."""
    path = path_of(settings)
    if not os.path.exists(path):
        return
    connection = sqlite3.connect(path, timeout=30.0, isolation_level=None)
    try:
        target = SqliteTarget(connection, path)
        if target.version():
            with target.exclusively():
                for table in TABLES:
                    connection.execute(f"delete from {table}")
    finally:
        connection.close()
