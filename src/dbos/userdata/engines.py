"""How to reach the user's database: URLs and engine options as SQLAlchemy takes them, and what to say if that fails."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, event
from sqlalchemy.exc import SQLAlchemyError

from dbos.error import DBOSInitializationError
from dbos.model.database_url import dialect_of, redact_url
from dbos.userdata.troubles import is_clash
from dbos.userdata.witness import Witness

BUSY_TIMEOUT_SECONDS = 0.005  # inside SQLite, which looks ever more seldom; whoever finds the file busy looks again

BUSY_SECONDS = 10.0  # so long a file that others use is waited for, before anything runs
BUSY_PAUSE_SECONDS = 0.02

_SCHEMES = {"sqlite": ("sqlite", "sqlite+aiosqlite"), "postgresql": ("postgresql+psycopg", "postgresql+psycopg")}

_CONNECT_ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "sqlite": {"timeout": BUSY_TIMEOUT_SECONDS},
    # Found dead within about 15 s, wherever the other side went.
    "postgresql": {
        "application_name": "dbos_transact",
        "connect_timeout": 10,
        "keepalives": 1,
        "keepalives_idle": 5,
        "keepalives_interval": 3,
        "keepalives_count": 3,
        "tcp_user_timeout": 15_000,
    },
}


def driver_url(url: str, awaited: bool = False) -> str:
    """The URL with the driver we use in it. Raises DBOSInitializationError for one that we cannot use."""
    try:
        dialect = dialect_of(url.replace("sqlite+aiosqlite://", "sqlite://", 1))
    except (ValueError, AttributeError) as error:
        raise DBOSInitializationError(f"The URL of the database cannot be used: {error}") from None
    directory = Path(url.partition(":///")[2].partition("?")[0]).parent
    if dialect == "sqlite" and not directory.is_dir():
        raise DBOSInitializationError(f"The database {url} cannot be used: the directory {directory} does not exist")
    return f"{_SCHEMES[dialect][awaited]}://{url.partition('://')[2]}"


def engine_options(url: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Our arguments for the engine of a URL, and over them the user's."""
    arguments = _CONNECT_ARGUMENTS["sqlite" if url.startswith("sqlite") else "postgresql"]
    return {**options, "connect_args": {**arguments, **options.get("connect_args", {})}}


def prepare_nothing_for_others(engine: Engine, options: Mapping[str, Any]) -> None:
    """Let no connection of a Postgres engine leave prepared statements with a connection pooler.

    It gives every transaction another session of the server, where programs that never met name their statements alike.
    It is known by who answers: the process that the server told the connection of, or another one. Whoever passes the
    engine options with a `prepare_threshold` knows better.
    """
    if engine.dialect.name != "postgresql" or "prepare_threshold" in options.get("connect_args", {}):
        return
    if isinstance(engine.pool, NullPool):  # a connection that lives for one transaction has no use for them
        event.listen(engine, "connect", lambda _, record: _prepare_nothing(record.driver_connection))
        return

    def look(connection: Any, record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("select pg_backend_pid()")
        (process,) = cursor.fetchone()
        cursor.close()
        connection.rollback()
        if process != record.driver_connection.info.backend_pid:
            _prepare_nothing(record.driver_connection)

    event.listen(engine, "connect", look)


def _prepare_nothing(connection: Any) -> None:
    connection.prepare_threshold = None


def leave_nothing_open(engine: Engine) -> None:
    """Let no connection of a SQLite engine come back in the middle of a transaction.

    SQLAlchemy takes a COMMIT that failed for the end of one. To a file that somebody reads just then it is not: the
    transaction would be continued by whoever gets the connection next, and keep everybody else from writing.
    """
    if engine.dialect.name == "sqlite":
        event.listen(engine, "checkin", _roll_back)


def _roll_back(connection: Any, record: Any) -> None:
    if connection is not None and getattr(record.driver_connection, "in_transaction", False):
        connection.rollback()


def begin_writing(connection: Connection, nested: bool = False) -> None:
    """Take the write lock of a SQLite file.

    At once, because a transaction that reads first and writes later fails if another came between; but with the first
    write if it is `nested` in one that may hold the lock, and may only want to read. A connection that begins by itself
    is left alone.
    """
    if not connection.connection.driver_connection.in_transaction:  # type: ignore[union-attr]
        connection.exec_driver_sql("begin deferred" if nested else "begin immediate")


def prepare(connection: Connection, witness: Witness, run_migrations: bool, role: str | None) -> None:
    """Create the table of witnesses and let the role use it, or only check that it is there.

    Raises DBOSInitializationError.
    """
    if connection.dialect.name == "sqlite" and run_migrations:
        begin_writing(connection)
    (witness.install if run_migrations else witness.verify)(connection)
    if role is not None:
        witness.grant(connection, role)


def is_busy(error: SQLAlchemyError, since: float) -> bool:
    """Do others use the database, and will they be waited for? `since` when (`time.monotonic`), they have been."""
    return is_clash(error) and time.monotonic() < since + BUSY_SECONDS


@contextmanager
def explained(engine: Engine) -> Iterator[None]:
    """What goes wrong while a database is prepared, as DBOSInitializationError, without passwords."""
    try:
        yield
    except SQLAlchemyError as error:
        address = engine.url.render_as_string(hide_password=True)
        cause = getattr(error, "orig", None) or error
        raise DBOSInitializationError(f"The database {address} cannot be used: {redact_url(str(cause))}") from error
