"""What every error of a driver means, row by row: the table of the reliability programme, and what else was met."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest
from psycopg import errors

from dbos.error import DBOSException
from dbos.store.database import StoreSettings, ValueRefused, Verdict
from dbos.store.postgres.database import PostgresDatabase
from dbos.store.postgres.database import classify as classify_postgres
from dbos.store.sqlite.database import SqliteDatabase
from dbos.store.sqlite.database import classify as classify_sqlite

BUSY, HELD, RETRY = Verdict.BUSY, Verdict.HELD, Verdict.RETRY
RECONNECT, REFUSED = Verdict.RECONNECT, Verdict.REFUSED

POSTGRES_STATES = {
    "40001": RETRY,  # serialization failure
    "40P01": RETRY,  # deadlock
    "55P03": HELD,  # lock timeout
    "57014": RETRY,  # statement timeout, or cancelled by an administrator
    "53100": RETRY,  # disk full
    "53200": RETRY,  # out of memory
    "25006": RECONNECT,  # read-only: the primary was demoted
    "25P03": RECONNECT,  # idle in transaction for too long
    "57P01": RECONNECT,  # terminated by an administrator
    "57P02": RECONNECT,  # another backend crashed
    "57P03": RECONNECT,  # starting up or shutting down
    "53300": RECONNECT,  # too many connections
    "08000": RECONNECT,
    "08006": RECONNECT,
    "58030": RECONNECT,  # I/O error
    "26000": RECONNECT,  # prepared statement unknown: a pooler
    "42P05": RECONNECT,  # prepared statement known: a pooler
    "22003": REFUSED,  # out of range
    "22021": REFUSED,  # NUL in text
    "22P02": REFUSED,  # invalid JSON
    "22P05": REFUSED,  # \\u0000 in jsonb
    "22023": REFUSED,  # NOTIFY payload too long
    "23502": REFUSED,
    "23505": REFUSED,
    "42P01": REFUSED,  # the tables were dropped
    "42501": REFUSED,  # insufficient privilege
    "54000": REFUSED,  # key too long for an index
    "XX000": REFUSED,
}


@pytest.mark.parametrize(("state", "verdict"), POSTGRES_STATES.items())
def test_errors_of_the_server(state: str, verdict: Verdict) -> None:
    assert classify_postgres(errors.lookup(state)("message")) is verdict


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (psycopg.OperationalError("server closed the connection unexpectedly"), RECONNECT),
        (psycopg.InterfaceError("the connection is closed"), RECONNECT),
        (psycopg.InternalError("got unexpected status"), RECONNECT),
        (psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"), REFUSED),
        (psycopg.ProgrammingError("cannot adapt"), REFUSED),
        ("\ud800", REFUSED),
        (ValueRefused("NUL"), None),
        (DBOSException("ours"), None),
        (ZeroDivisionError(), None),
        (KeyboardInterrupt(), None),
    ],
)
def test_errors_of_the_client(error: BaseException | str, verdict: Verdict | None) -> None:
    assert classify_postgres(_error(error)) is verdict


SQLITE_CODES = {
    sqlite3.SQLITE_BUSY: BUSY,
    sqlite3.SQLITE_BUSY_SNAPSHOT: BUSY,
    sqlite3.SQLITE_BUSY_RECOVERY: BUSY,
    sqlite3.SQLITE_LOCKED: RETRY,
    sqlite3.SQLITE_FULL: RETRY,
    sqlite3.SQLITE_READONLY: RETRY,
    sqlite3.SQLITE_NOMEM: RETRY,
    sqlite3.SQLITE_PROTOCOL: RETRY,
    sqlite3.SQLITE_IOERR: RECONNECT,
    sqlite3.SQLITE_IOERR_FSYNC: RECONNECT,
    sqlite3.SQLITE_CANTOPEN: RECONNECT,
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: REFUSED,
    sqlite3.SQLITE_MISMATCH: REFUSED,
    sqlite3.SQLITE_TOOBIG: REFUSED,
    sqlite3.SQLITE_CORRUPT: REFUSED,
    sqlite3.SQLITE_NOTADB: REFUSED,
    sqlite3.SQLITE_ERROR: REFUSED,
}


@pytest.mark.parametrize(("code", "verdict"), SQLITE_CODES.items())
def test_errors_of_sqlite(code: int, verdict: Verdict) -> None:
    error = sqlite3.OperationalError("message")
    error.sqlite_errorcode = code
    assert classify_sqlite(error) is verdict


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (sqlite3.ProgrammingError("Cannot operate on a closed database."), REFUSED),
        (OverflowError("Python int too large to convert to SQLite INTEGER"), REFUSED),
        ("\ud800", REFUSED),
        (DBOSException("ours"), None),
        (KeyError("x"), None),
        (KeyboardInterrupt(), None),
    ],
)
def test_errors_of_its_driver(error: BaseException | str, verdict: Verdict | None) -> None:
    assert classify_sqlite(_error(error)) is verdict


def test_translations_are_ours(tmp_path: object) -> None:
    from pathlib import Path

    postgres = PostgresDatabase(StoreSettings(url="postgresql://host/db"))
    sqlite = SqliteDatabase(StoreSettings(url="sqlite:///x"), Path("x"))
    surrogate = _error("\ud800")
    assert isinstance(postgres.translate(surrogate), ValueRefused)
    assert isinstance(sqlite.translate(surrogate), ValueRefused)
    assert isinstance(postgres.translate(errors.NumericValueOutOfRange("x")), ValueRefused)
    assert isinstance(sqlite.translate(OverflowError()), ValueRefused)
    assert isinstance(postgres.translate(errors.UndefinedTable("x")), DBOSException)
    assert isinstance(sqlite.translate(sqlite3.OperationalError("x")), DBOSException)


def _error(given: BaseException | str) -> BaseException:
    """A text stands for the error of encoding it."""
    if isinstance(given, str):
        try:
            given.encode()
        except UnicodeEncodeError as error:
            return error
        raise AssertionError("it can be encoded")
    return given
