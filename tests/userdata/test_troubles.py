"""Which errors of the user's database are overcome by trying again: all of the table, and nothing besides."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import exc

from dbos.userdata.troubles import is_away, is_clash


def wrapped(original: Exception, invalidated: bool = False) -> exc.DBAPIError:
    """As SQLAlchemy raises it."""
    return exc.DBAPIError("select 1", None, original, connection_invalidated=invalidated)


def of_sqlite(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("made for the test")
    error.sqlite_errorcode = code  # type: ignore[attr-defined]
    return error


def raised_from(cause: Exception) -> Exception:
    """What a function makes of an error that it catches."""
    try:
        try:
            raise cause
        except Exception as error:
            raise KeyError("of the user's") from error
    except KeyError as error:
        return error


CLASHES = [
    errors.SerializationFailure(),
    errors.DeadlockDetected(),
    of_sqlite(sqlite3.SQLITE_BUSY),
    of_sqlite(sqlite3.SQLITE_BUSY_SNAPSHOT),
    of_sqlite(sqlite3.SQLITE_LOCKED),
]
AWAY = [
    psycopg.OperationalError("connection failed"),
    psycopg.InterfaceError("the connection is closed"),
    errors.AdminShutdown(),
    errors.CannotConnectNow(),
    errors.ConnectionFailure(),
    errors.TooManyConnections(),
    errors.ReadOnlySqlTransaction(),
]
ANSWERS = [
    errors.UniqueViolation(),
    errors.CheckViolation(),
    errors.UndefinedTable(),
    errors.LockNotAvailable(),
    errors.QueryCanceled(),
    errors.InFailedSqlTransaction(),
    psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"),
    of_sqlite(sqlite3.SQLITE_CONSTRAINT_UNIQUE),
    of_sqlite(sqlite3.SQLITE_FULL),
    sqlite3.ProgrammingError("no code"),
    KeyError("of the user's"),
]


@pytest.mark.parametrize("error", CLASHES, ids=repr)
def test_clashes_are_tried_again(error: Exception) -> None:
    for form in (error, wrapped(error), raised_from(wrapped(error)), raised_from(error)):
        assert is_clash(form)


@pytest.mark.parametrize("error", AWAY, ids=repr)
def test_a_database_that_is_away_is_waited_for(error: Exception) -> None:
    assert is_away(wrapped(error))
    assert not is_clash(wrapped(error))


def test_a_pool_without_a_connection_is_waited_for() -> None:
    assert is_away(exc.TimeoutError("QueuePool limit reached"))
    assert is_away(wrapped(errors.UniqueViolation(), invalidated=True))


@pytest.mark.parametrize("error", ANSWERS, ids=repr)
def test_everything_else_is_an_answer(error: Exception) -> None:
    for form in (error, wrapped(error), raised_from(wrapped(error))):
        assert not is_clash(form)
        assert not is_away(form)


def test_what_an_error_disowns_is_not_its_cause() -> None:
    unrelated = KeyError("unrelated")
    unrelated.__context__, unrelated.__suppress_context__ = errors.SerializationFailure(), True  # as by `from None`
    assert not is_clash(unrelated)
