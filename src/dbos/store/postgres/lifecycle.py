"""How a Postgres system database comes to be, is emptied and goes away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors

from dbos.error import DBOSInitializationError
from dbos.store.database import Role, StoreSettings
from dbos.store.migrations.migrate import LINEAGE, Migration, migrate
from dbos.store.postgres.database import (
    PostgresDatabase,
    connection_parameters,
    database_address,
    redacted,
)
from dbos.store.postgres.rights import LACKS_RIGHT, grants, quote, remedy, script
from dbos.store.postgres.scripts import body, create_mark, migration_script, record
from dbos.store.postgres.session import PostgresSession

LOCK_TIMEOUT_SECONDS = 60  # for a migration of another process to finish
MAINTENANCE_DATABASES = ("postgres", "template1")  # where to stand while creating or dropping another one

TABLES = (
    "operation_outputs",
    "transaction_outputs",
    "notifications",
    "workflow_events",
    "workflow_events_history",
    "streams",
    "workflow_status",
    "executors",
    "queues",
    "queue_starts",
    "application_versions",
    "workflow_schedules",
)
"""Everything that `truncate` empties."""


class PostgresTarget:
    """One schema of one database, seen by the migrations."""

    def __init__(self, connection: psycopg.Connection[Any], schema: str) -> None:
        self._connection = connection
        self._schema = schema

    def __str__(self) -> str:
        return f'The schema "{self._schema}" of the Postgres database "{self._connection.info.dbname}"'

    def version(self) -> int | None:
        found = self._connection.execute(
            "select c.relname, bool_or(a.attname = 'lineage')"
            " from pg_catalog.pg_class as c"
            " join pg_catalog.pg_namespace as n on n.oid = c.relnamespace"
            " join pg_catalog.pg_attribute as a on a.attrelid = c.oid"
            " where n.nspname = %s and c.relname in ('workflow_status', 'dbos_migrations') group by c.relname",
            (self._schema,),
        ).fetchall()
        if not found:
            return 0
        if ("dbos_migrations", True) not in found:
            return None
        row = self._connection.execute(
            f"select max(version) from {quote(self._schema)}.dbos_migrations where lineage = %s", (LINEAGE,)
        ).fetchone()
        assert row is not None
        newest: int | None = row[0]
        return newest

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        with self._connection.transaction():
            self._connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'")
            try:
                self._connection.execute(
                    "select pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{LINEAGE} {self._schema}",)
                )
            except errors.LockNotAvailable as timeout:
                raise DBOSInitializationError(
                    f"{self}: another process has been migrating for {LOCK_TIMEOUT_SECONDS} s. Find it in pg_locks "
                    "(locktype = 'advisory'), end it if it hangs, and launch again."
                ) from timeout
            yield

    def apply(self, migration: Migration) -> None:
        exists = self._connection.execute("select 1 from pg_namespace where nspname = %s", (self._schema,)).fetchone()
        if exists is None:  # `if not exists` would ask for the right to create one even if it is there
            self._connection.execute(f"create schema {quote(self._schema)}")
        self._connection.execute(create_mark(self._schema))
        self._connection.execute(body(self._schema, migration))
        self._connection.execute(record(self._schema, migration))


def prepare(settings: StoreSettings) -> tuple[PostgresDatabase, PostgresSession]:
    """Connect, check, create and migrate what is missing; the connection goes on as the session of the writer."""
    database = PostgresDatabase(settings)
    with _explained(settings):
        connection = _connected(database, settings)
        try:
            migrate(PostgresTarget(connection, settings.schema), "postgres", settings.run_migrations)
            _require_writable(connection, settings)
            return database, database.session(connection, Role.WRITER)
        except BaseException:
            connection.close()
            raise


@contextmanager
def _explained(settings: StoreSettings) -> Iterator[None]:
    """What the driver raises becomes an error that says which database, and which right is missing."""
    try:
        yield
    except LACKS_RIGHT as error:
        raise DBOSInitializationError(remedy(error, settings.schema, connection_parameters(settings))) from error
    except psycopg.Error as error:
        address = database_address(settings)
        raise DBOSInitializationError(
            f"The Postgres database {address} cannot be used: {redacted(error, settings)}"
        ) from error


def _require_writable(connection: psycopg.Connection[Any], settings: StoreSettings) -> None:
    """A standby, or a server set to read-only, is refused at once; one that turns into that later is waited for."""
    row = connection.execute("show transaction_read_only").fetchone()
    if row is not None and row[0] == "on":
        raise DBOSInitializationError(
            f"The Postgres database {database_address(settings)} is read-only: connect to the primary"
        )


def _connected(database: PostgresDatabase, settings: StoreSettings) -> psycopg.Connection[Any]:
    try:
        return database.open()
    except psycopg.OperationalError as error:
        if settings.engine is not None or not settings.run_migrations or not does_not_exist(error):
            raise
    create_database(settings)
    return database.open()


def create_database(settings: StoreSettings) -> None:
    """Create the database that the URL names; another process may be doing the same."""
    name = connection_parameters(settings)["dbname"]
    with _maintenance(settings) as connection:
        try:
            # Not from template1, which nobody else may be using meanwhile.
            connection.execute(f"create database {quote(name)} template template0")
        except (errors.DuplicateDatabase, errors.UniqueViolation):
            pass  # the other process was faster


def grant(settings: StoreSettings, role: str) -> None:
    """Let a role run workflows: read and write the tables, but not change them."""
    with psycopg.connect(autocommit=True, **connection_parameters(settings)) as connection:
        try:
            with connection.transaction():
                connection.execute(script(grants(settings.schema, role)))
        except psycopg.Error as error:
            raise DBOSInitializationError(f'The role "{role}" cannot be granted access: {error}') from error


def migrations_as_sql(settings: StoreSettings, only: int | None) -> str:
    """The migrations, all or one, as a script for `psql`."""
    return migration_script(settings.schema, only)


def grants_as_sql(settings: StoreSettings, role: str) -> str:
    """What the role that runs workflows is granted, as a script for `psql`."""
    return script(grants(settings.schema, role))


def drop(settings: StoreSettings) -> None:
    """Drop the database, whoever is connected."""
    name = connection_parameters(settings)["dbname"]
    with _explained(settings), _maintenance(settings) as connection:
        connection.execute(f"drop database if exists {quote(name)} with (force)")


def truncate(settings: StoreSettings) -> None:
    """Empty our tables, if they are there and ours."""
    with _explained(settings):
        try:
            connection = psycopg.connect(autocommit=True, **connection_parameters(settings))
        except psycopg.OperationalError as error:
            if does_not_exist(error):
                return
            raise
        with connection:
            if PostgresTarget(connection, settings.schema).version():
                tables = ", ".join(f"{quote(settings.schema)}.{table}" for table in TABLES)
                connection.execute(f"truncate {tables} restart identity")


def does_not_exist(error: psycopg.OperationalError) -> bool:
    """Is the database missing? While connecting, the driver has no code for it, only the server's words."""
    connection = error.pgconn
    message = connection.error_message.decode("utf-8", "replace") if connection is not None else str(error)
    return "3D000" in message or ('database "' in message and "does not exist" in message)


@contextmanager
def _maintenance(settings: StoreSettings) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a database of the same server that surely exists."""
    parameters = connection_parameters(settings)
    failure: psycopg.OperationalError | None = None
    for name in MAINTENANCE_DATABASES:
        try:
            connection = psycopg.connect(autocommit=True, **{**parameters, "dbname": name})
        except psycopg.OperationalError as error:
            failure = failure or error
            continue
        with connection:
            yield connection
        return
    assert failure is not None
    raise failure
