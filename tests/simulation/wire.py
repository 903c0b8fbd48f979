"""What lies between a process and the database: time passes on the way there and back, and both ways may fail."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbos.store.database import Results, Role, Row, Session, StoreSettings
from dbos.store.hints import Hint, Hints
from dbos.store.pool import Pool
from dbos.store.records import Record
from dbos.store.sqlite.database import SqliteDatabase, SqliteSession
from dbos.store.statements import Statement
from tests.simulation.disk import Disk, statements
from tests.simulation.machine import Machine
from tests.simulation.threads import Event

if TYPE_CHECKING:
    from tests.simulation.process import Process

ONE_WAY_SECONDS = 0.004  # at most, as a rule


class Lost(sqlite3.OperationalError):
    """The connection broke."""

    sqlite_errorcode = sqlite3.SQLITE_IOERR
    sqlite_errorname = "SQLITE_IOERR"


class LineSession(SqliteSession):
    """A connection of a process."""

    def __init__(self, disk: Disk, process: Process, role: Role) -> None:
        super().__init__(disk.connection, statements(), Path("memory"), role)
        self._disk = disk
        self._process = process
        self._batch = False

    def run(self, statement: Statement, values: Mapping[str, object]) -> list[Row]:
        if self._connection.in_transaction:
            return super().run(statement, values)
        with self._exchange(statement.name, (), values) as answer:
            answer.extend(super().run(statement, values))
        return answer

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self._batch:
            with super().transaction():
                yield
        else:
            with self._exchange("transaction", (), {}), super().transaction():
                yield

    def write_batch(self, records: Sequence[Record]) -> tuple[Results, int]:
        name = "+".join(sorted({type(record).__name__ for record in records}))
        with self._exchange(name, records, {}) as answer:
            self._batch = True
            try:
                results, statements = super().write_batch(records)
            finally:
                self._batch = False
            answer.extend(results)
        return results, statements

    @contextmanager
    def _exchange(self, name: str, records: Sequence[Record], values: Mapping[str, object]) -> Iterator[list[Any]]:
        process, disk = self._process, self._disk
        answer: list[Any] = []
        process.request(name, records)
        try:
            yield answer
        except BaseException:
            disk.rolled_back()
            raise
        process.world.auditor.tags = set()
        disk.committed()
        process.reply(name, records, values, answer)

    def _identify_wal(self) -> None:
        return None

    def _verify_wal(self) -> None:
        pass

    def abort(self) -> None:
        pass

    def close(self) -> None:
        pass


class LineDatabase(SqliteDatabase):
    """The dialect, as a process reaches it."""

    def __init__(self, disk: Disk, process: Process, settings: StoreSettings) -> None:
        self._settings = settings
        self._path = Path("memory")
        self._disk = disk
        self._process = process
        self.statements = statements()

    def connect(self, role: Role) -> Session:
        return LineSession(self._disk, self._process, role)

    def hints(self, pool: Pool) -> Hints:
        return LineHints(self._process)


class LineHints:
    """Notifications between processes, as Postgres has them: late, in no order, and sometimes lost."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._machine: Machine = process.machine
        self._bell = Event(process.machine)
        self._arrived: list[Hint] = []
        process.hints = self

    def publish(self, kind: str, ids: Iterable[str]) -> None:
        hints = [(kind, each) for each in ids]
        if hints:
            self._process.spread(hints)

    def arrive(self, hints: Sequence[Hint]) -> None:
        """From another process."""
        self._arrived += hints
        self._bell.set()

    def receive(self, timeout_seconds: float, poll_seconds: float) -> list[Hint]:
        if not self._arrived:
            self._bell.wait(timeout_seconds)
        self._bell.clear()
        arrived, self._arrived = self._arrived, []
        return arrived

    def interrupt(self) -> None:
        self._bell.set()

    def close(self) -> None:
        self._bell.set()

    def disown(self) -> None:
        pass
