"""How a Postgres system database comes to be, is emptied and goes away."""

from __future__ import annotations

import logging
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
    role_of,
)
from dbos.store.postgres.opening import Opened
from dbos.store.postgres.pooler import unsuitable
from dbos.store.postgres.presence import create_database, drop_database, exists, may_be_missing, open_when_known
from dbos.store.postgres.rights import (
    LACKS_RIGHT,
    grants,
    needing,
    script,
    to_change,
    to_create_schema,
    to_use_schema,
)
from dbos.store.postgres.scripts import body, create_mark, migration_script, record
from dbos.store.postgres.session import PostgresSession
from dbos.store.quoting import quote

LOCK_TIMEOUT_SECONDS = 60  # for a migration of another process to finish

_logger = logging.getLogger("dbos")

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
            self._connection.execute(
                f"set local lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'; set local statement_timeout = 0;"
                " set local idle_in_transaction_session_timeout = 0"
            )
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
        run, info = self._connection.execute, self._connection.info
        found = run("select 1 from pg_namespace where nspname = %s", (self._schema,)).fetchone()
        if found is None:  # `if not exists` would ask for the right to create one even if it is there
            with needing(lambda error: to_create_schema(error, self._schema, info.dbname, info.user)):
                run(f"create schema {quote(self._schema)}")
        with needing(lambda error: to_change(error, info.user)):
            run(create_mark(self._schema))
            run(body(self._schema, migration))
            run(record(self._schema, migration))


def prepare(settings: StoreSettings) -> tuple[PostgresDatabase, PostgresSession]:
    """Connect, check, create and migrate what is missing; the connection goes on as the session of the writer."""
    database = PostgresDatabase(settings)
    with _explained(settings):
        connection, own = _connected(database, settings)
        try:
            _require_writable(connection, settings)
            if not own:
                _warn_of_pooled(unsuitable(connection))
            migrate(PostgresTarget(connection, settings.schema), "postgres", settings.run_migrations)
            return database, database.session(connection, own)
        except BaseException:
            connection.close()
            raise


@contextmanager
def _explained(settings: StoreSettings) -> Iterator[None]:
    """What the driver raises becomes an error that says which database, and which right is missing."""
    try:
        yield
    except LACKS_RIGHT as error:
        raise DBOSInitializationError(to_use_schema(error, settings.schema, role_of(settings))) from error
    except psycopg.Error as error:
        address = database_address(settings)
        raise DBOSInitializationError(
            f"The Postgres database {address} cannot be used: {redacted(error, settings)}"
        ) from error


def _require_writable(connection: psycopg.Connection[Any], settings: StoreSettings) -> None:
    """A standby, or a role that may only read, is refused at once; what turns into that later is waited for."""
    row = connection.execute("select current_setting('transaction_read_only'), pg_is_in_recovery()").fetchone()
    if row is None or row[0] == "off":
        return
    address = database_address(settings)
    if row[1]:
        raise DBOSInitializationError(f"The Postgres database {address} is read-only: connect to the primary")
    raise DBOSInitializationError(
        f"The Postgres database {address} is read-only for us: `default_transaction_read_only` is on for the role, "
        "the database or the server. Connect as another role, or let its administrator run:\n"
        f"{script([f'alter role {quote(connection.info.user)} set default_transaction_read_only = off'])}"
    )


def _warn_of_pooled(remedies: list[str]) -> None:
    """Settings that harm us are overruled in a session of our own; in a pooler's only the role can have others."""
    if remedies:
        _logger.warning(
            "Behind a connection pooler, the settings of our role are not what they should be. Let its administrator "
            "run:\n%s",
            script(remedies),
        )


def _connected(database: PostgresDatabase, settings: StoreSettings) -> Opened:
    try:
        return database.open(Role.WRITER)
    except psycopg.OperationalError as error:
        if settings.engine is not None or not settings.run_migrations or not may_be_missing(settings, error):
            raise
        if (is_there := exists(settings)) is None:
            raise
    if not is_there:
        create_database(settings)
    return open_when_known(database)  # if it is there by now, another process was faster


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
    with _explained(settings):
        drop_database(settings)


def truncate(settings: StoreSettings) -> None:
    """Empty our tables, if they are there and ours."""
    with _explained(settings):
        try:
            with (
                psycopg.connect(autocommit=True, **connection_parameters(settings)) as connection,
                needing(lambda error: to_change(error, connection.info.user)),
            ):
                if PostgresTarget(connection, settings.schema).version():
                    tables = ", ".join(f"{quote(settings.schema)}.{table}" for table in TABLES)
                    connection.execute(f"truncate {tables} restart identity")
        except psycopg.OperationalError as error:
            if not may_be_missing(settings, error) or exists(settings) is not False:
                raise
