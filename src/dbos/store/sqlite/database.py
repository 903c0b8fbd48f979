"""SQLite: one file, one writer at a time, WAL with a full sync at every commit.

Opens sessions, checks and migrates the file, and says what the errors of the driver mean. The file itself is never
opened by anything but SQLite: a mere `open()` and `close()` elsewhere in the process drops SQLite's locks.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from dbos.error import DBOSException, DBOSInitializationError, DBOSQueryTimeoutError
from dbos.model.containment import contains
from dbos.store.batch import by_kind
from dbos.store.database import Results, Role, Row, Session, StoreDamaged, StoreSettings, ValueRefused, Verdict
from dbos.store.engine import take_connection
from dbos.store.hints import Hints, NoHints
from dbos.store.pool import Pool
from dbos.store.records import Debounce, ReceiveMessage, Record, StartWorkflow
from dbos.store.sqlite.hints import SqliteHints
from dbos.store.statements import Statement, Statements

OPENING_TIMEOUT_SECONDS = 5.0  # for a busy file, inside SQLite, while a connection is being prepared
BUSY_TIMEOUT_MS = 2  # from then on. SQLite looks ever more seldom; the pool keeps looking (and others may use the lock)

_RETRY = {
    sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PROTOCOL,
}  # fmt: skip
_OURS = {"database", "isolation_level", "check_same_thread", "autocommit"}  # arguments of the driver: not to choose
_RECONNECT = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}


def classify(error: BaseException) -> Verdict | None:
    """What an error means. Without an error code it is about the values, or about us."""
    if isinstance(error, (UnicodeError, OverflowError)):
        return Verdict.REFUSED
    if not isinstance(error, sqlite3.Error):
        return None
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF
    if code == sqlite3.SQLITE_BUSY:
        return Verdict.BUSY
    if code in _RETRY:
        return Verdict.RETRY
    return Verdict.RECONNECT if code in _RECONNECT else Verdict.REFUSED


class _Vocabulary:
    """How SQLite says what the dialects say differently."""

    words: Mapping[str, str] = {
        "schema": "main",
        "json": "text",
        "lock": "",  # there is one writer: nothing can change between a check and its commit
        "lock_existence": "",
        "lock_rows": "",
        "lock_to_delete": "",
        "lock_free_to_delete": "",
        "lock_free_rows": "",
        "lock_definition": "",
        "hold_definition": "",
        "each_pair": "json_each",
        "least": "min",
        "unit_separator": "char(31)",
        "now_ms": "{lease_now_ms}",  # what is due goes by it; two words, so that a test can move one of them
        "lease_now_ms": "cast(round((julianday('now') - 2440587.5) * 86400000.0) as integer)",
        "attributes_contain": "attributes_contain(attributes, :attributes)",
        "merged_attributes": "merge_attributes(workflow_status.attributes, i.attributes)",
    }

    phrases: Mapping[str, Callable[[str], str]] = {
        "each": "select value from json_each(:{})".format,
        "item": lambda argument: "json_extract({}, '$[{}]')".format(*argument.split(", ")),  # of a JSON list in a text
        "not_consumed": "{}.consumed = 0".format,
        "elements": "json_each({})".format,
    }

    def placeholder(self, name: str, position: int) -> str:
        return f":{name}"

    def inputs(self) -> Mapping[str, Callable[[Mapping[str, type]], str]]:
        # Plain `?`: the fields of a record are bound in their order. One record per execution is the fastest way here.
        return {"": lambda columns: f"(select {', '.join(f'? as {name}' for name in columns)})"}


@cache
def _statements() -> Statements:
    """One reading serves every file: it takes longer than all else that opening a store does."""
    return Statements(SqliteDatabase.dialect, _Vocabulary())


class SqliteSession:
    """One connection to the file."""

    def __init__(self, connection: sqlite3.Connection, statements: Statements, wal: str, role: Role) -> None:
        self._connection = connection
        self._statements = statements
        self._wal = wal
        self._wal_identity = self._identify_wal()
        self._writes = role is Role.WRITER
        self._damaged = False

    def run(self, statement: Statement, values: Mapping[str, object]) -> list[Row]:
        rows: list[Row] = self._connection.execute(statement.sql, values).fetchall()
        if self._writes:
            self._verify_wal()
        return rows

    def run_within(self, timeout_seconds: float, statement: Statement, values: Mapping[str, object]) -> list[Row]:
        deadline = time.monotonic() + timeout_seconds
        self._connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
        try:
            return self.run(statement, values)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                raise DBOSQueryTimeoutError(timeout_seconds) from error
            raise
        finally:
            self._connection.set_progress_handler(None, 0)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        # `immediate` because a transaction that reads first and writes later fails at once if another came between.
        self._connection.execute("begin immediate")
        try:
            yield
            self._connection.execute("commit")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("rollback")
            raise
        self._verify_wal()

    def write_batch(self, records: Sequence[Record]) -> tuple[Results, int]:
        if len(records) == 1 and type(records[0]) is not ReceiveMessage:
            results = self._write(type(records[0]), records)  # a transaction of its own
            self._verify_wal()
            return results, 1
        results = [None] * len(records)
        with self.transaction():
            for kind, places, members in by_kind(records):
                for place, result in zip(places, self._write(kind, members), strict=True):
                    results[place] = result
        return results, len(records)

    def _write(self, kind: type[Record], records: Sequence[Record]) -> Results:
        execute, sql = self._connection.execute, self._statements[kind.__name__].sql
        if kind is StartWorkflow or kind is Debounce:
            return [rows[0][1:] if (rows := execute(sql, record).fetchall()) else None for record in records]
        if kind is ReceiveMessage:
            return [self._receive(sql, record) for record in records]
        return [() if execute(sql, record).rowcount else None for record in records]

    def _receive(self, sql: str, record: Record) -> Row | None:
        values = record._asdict()
        rows: list[Row] = self._connection.execute(sql, record).fetchall()
        if rows:
            self._connection.execute(self._statements["consume_message"].sql, values)
        else:
            rows = self._connection.execute(self._statements["received_message"].sql, values).fetchall()
        return rows[0] if rows else None

    def _verify_wal(self) -> None:
        """Before anyone hears of a commit: does the log we wrote to still belong to the database?

        If other code of this process opens and closes the file, our locks are gone; the next process to leave then
        deletes the log under us, and every later commit succeeds into a file without a name.
        """
        if self._identify_wal() != self._wal_identity:
            self._damaged = True
            raise StoreDamaged(
                f"The write-ahead log {self._wal} was removed or replaced while this process was using it, so its last "
                "write may be lost. Something deleted the file, or opened and closed the database file in this process "
                "with other means than SQLite. Restart the process: everything acknowledged so far is safe."
            )

    def _identify_wal(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._wal)
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def abort(self) -> None:
        self._connection.interrupt()

    def close(self) -> None:
        if self._damaged:
            # The last connection to leave copies its log into the file: ours would overwrite what others wrote since.
            # So this one is never closed, not even when the interpreter ends; the process gives back its memory.
            import ctypes

            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))
        else:
            self._connection.close()


class SqliteDatabase:
    """The dialect at one file."""

    dialect = "sqlite"
    one_writer = True
    unites_indexes = False
    opening_seconds = 0.0

    def __init__(self, settings: StoreSettings, path: str) -> None:
        self._settings = settings
        self._path = os.path.realpath(path)
        self.statements = _statements()

    def connect(self, role: Role) -> SqliteSession:
        connection = self.open()
        try:
            enter_wal(connection, self._path)
            for pragma in ("synchronous = full", "foreign_keys = on", "trusted_schema = off"):
                connection.execute(f"pragma {pragma}")
            equip(connection, self.statements, role)
            if "timeout" not in self._settings.connect_args:
                connection.execute(f"pragma busy_timeout = {BUSY_TIMEOUT_MS}")
        except BaseException:
            connection.close()
            raise
        return SqliteSession(connection, self.statements, f"{self._path}-wal", role)

    def give_up_opening(self) -> None:
        pass  # a file keeps nobody waiting

    def borrow(self, connection: Any) -> SqliteSession:
        if not isinstance(connection, sqlite3.Connection):
            raise DBOSException(f"The system database is a SQLite file and served by sqlite3, not by {connection!r}")
        return SqliteSession(connection, self.statements, f"{self._path}-wal", Role.READER)

    def open(self) -> sqlite3.Connection:
        """A raw connection, in SQLite's own defaults but for the transactions, which are ours to begin."""
        connection: sqlite3.Connection
        if self._settings.engine is not None:
            connection = take_connection(self._settings.engine, sqlite3.Connection, sqlite3.OperationalError)
            connection.isolation_level = None
            return connection
        given = {key: value for key, value in self._settings.connect_args.items() if key not in _OURS}
        try:
            connection = sqlite3.connect(
                self._path,
                isolation_level=None,
                check_same_thread=False,  # sessions are lent to one thread at a time, not always the same
                **{"timeout": OPENING_TIMEOUT_SECONDS, "cached_statements": 256, **given},
            )
        except TypeError as error:
            raise DBOSInitializationError(f"The connect_args {sorted(given)} do not suit SQLite: {error}") from error
        return connection

    def hints(self, pool: Pool) -> Hints:
        return SqliteHints(pool.writer)

    def hints_within(self, session: Session) -> Hints:
        return NoHints()  # any commit is hint enough

    def classify(self, error: BaseException) -> Verdict | None:
        return classify(error)

    def translate(self, error: BaseException) -> Exception:
        if isinstance(error, UnicodeError):
            return ValueRefused(f"A text cannot be stored as UTF-8: {error}")
        if isinstance(error, OverflowError):
            return ValueRefused("A number does not fit into 64 bits")
        what = "fails" if self.classify(error) is not Verdict.REFUSED else "refused a statement"
        return DBOSException(f"SQLite {what}: {error} ({self._path})")


def enter_wal(connection: sqlite3.Connection, path: str) -> None:
    """Let a file keep a write-ahead log. SQLite does not fail where that is impossible: its answer tells."""
    (mode,) = connection.execute("pragma journal_mode = wal").fetchone()
    if mode != "wal":
        raise DBOSInitializationError(
            f"The SQLite database {path} cannot keep a write-ahead log: its file system has no shared memory, like many"
            " network file systems. Move the file to a local disk, or use Postgres."
        )


def equip(connection: sqlite3.Connection, statements: Statements, role: Role) -> None:
    """Give a connection the functions that statements call, and the trigger that records the steps of streams."""
    connection.create_function("attributes_contain", 2, _attributes_contain, deterministic=True)
    if role is Role.WRITER:
        connection.create_function("merge_attributes", 2, _merge_attributes, deterministic=True)
        connection.execute(statements["record_stream_steps"].sql)


def _attributes_contain(attributes: str | None, wanted: str) -> bool:
    """What `@>` says on Postgres. A text that is no JSON contains nothing: no listing fails because of one value."""
    try:
        return attributes is not None and contains(json.loads(attributes), json.loads(wanted))
    except ValueError:
        return False


def _merge_attributes(old: str | None, new: str) -> str:
    merged: dict[str, Any] = {**json.loads(old or "{}"), **json.loads(new)}
    return json.dumps(merged, ensure_ascii=False)
