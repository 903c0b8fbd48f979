"""The database itself: whether it is there, and how it is made and dropped, standing in another one of the server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors

from dbos.store.database import Role, StoreSettings
from dbos.store.postgres.database import PostgresDatabase, connection_parameters
from dbos.store.postgres.opening import Opened
from dbos.store.postgres.rights import needing, to_change, to_create_database
from dbos.store.quoting import quote

MAINTENANCE_DATABASES = ("postgres", "template1")  # where to stand
POOLER_MEMORY_SECONDS = 20.0  # beyond the 15 for which pgbouncer by default remembers that it could not log in
POOLER_PAUSE_SECONDS = 0.1


def may_be_missing(settings: StoreSettings, error: psycopg.OperationalError) -> bool:
    """Could an error mean that there is no such database?

    A connection that is refused comes with the server's words only, in its own language: they name the database. A
    pooler that has known the database lets its clients in, and says later that it cannot log in itself.
    """
    return connection_parameters(settings).get("dbname", "") in str(error) or _is_of_pooler(error)


def _is_of_pooler(error: psycopg.OperationalError) -> bool:
    """Is it about the pooler's own connection to the server?"""
    return (error.sqlstate or "").startswith("08")


def exists(settings: StoreSettings) -> bool | None:
    """Is the database there? None: the server cannot be asked."""
    name = connection_parameters(settings).get("dbname", "")
    try:
        with _maintenance(settings) as connection:
            found = connection.execute("select from pg_database where datname = %s", (name,)).fetchone()
    except psycopg.Error:
        return None
    return found is not None


def create_database(settings: StoreSettings) -> None:
    """Create the database that the URL names; another process may be doing the same."""
    name = connection_parameters(settings)["dbname"]
    with (
        _maintenance(settings) as connection,
        needing(lambda error: to_create_database(error, name, connection.info.user)),
    ):
        try:
            # Not from template1, which nobody else may be using meanwhile.
            connection.execute(f"create database {quote(name)} template template0")
        except (errors.DuplicateDatabase, errors.UniqueViolation):
            pass  # the other process was faster


def drop_database(settings: StoreSettings) -> None:
    """Drop the database, whoever is connected."""
    name = connection_parameters(settings)["dbname"]
    with _maintenance(settings) as connection, needing(lambda error: to_change(error, connection.info.user)):
        connection.execute(f"drop database if exists {quote(name)} with (force)")


def open_when_known(database: PostgresDatabase) -> Opened:
    """A connection for the writer to a database just made: a pooler remembers for a while that it could not log in."""
    deadline = time.monotonic() + POOLER_MEMORY_SECONDS
    while True:
        try:
            return database.open(Role.WRITER)
        except psycopg.OperationalError as error:
            if not _is_of_pooler(error) or time.monotonic() > deadline:
                raise
        time.sleep(POOLER_PAUSE_SECONDS)


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
