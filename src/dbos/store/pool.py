"""The sessions of a store: the writer behind a fair lock, a few readers opened when needed, and patience.

Whoever wants something from the database hands in a piece of work. It is tried until it succeeds, is refused for good,
or the store is closed: a lost connection is replaced, a deadlock or a busy database waits a jittered moment. So work
may run more than once, and everything handed in here is written so that a second run does no harm.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from dbos.store.database import Counters, Database, Results, Role, Row, Session, StoreClosed, Verdict
from dbos.store.fairlock import FairLock
from dbos.store.records import Record

T = TypeVar("T")

_logger = logging.getLogger("dbos")

MAX_READERS = 4
FIRST_PAUSE_SECONDS = 0.01  # a deadlock or a busy database is usually over by then
LONGEST_PAUSE_SECONDS = 2.0  # of an outage: soon enough back, without a stampede


class Run(Protocol):
    """Runs a named statement inside a transaction."""

    def __call__(self, name: str, **values: object) -> list[Row]: ...


class _Lender(Protocol):
    def borrow(self) -> Session:
        """A session for the calling thread alone, waiting for one if need be."""

    def give_back(self, session: Session | None, sound: bool) -> None:
        """Hand it back; an unsound one is closed and replaced at the next need."""


class Writer:
    """The one session that the journal commits on. Whoever holds `lock` may borrow it."""

    def __init__(self, database: Database) -> None:
        self.lock = FairLock()  # guards the session
        self._database = database
        self._session: Session | None = None

    def borrow(self) -> Session:
        if self._session is None:
            self._session = self._database.connect(Role.WRITER)
        return self._session

    def give_back(self, session: Session | None, sound: bool) -> None:
        if session is not None and not sound:
            self._session = None
            session.close()

    def close(self) -> None:
        with self.lock:
            self.give_back(self._session, sound=False)


class _LockedWriter:
    """The writer for those who do not hold its lock yet."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def borrow(self) -> Session:
        self._writer.lock.acquire()
        try:
            return self._writer.borrow()
        except BaseException:
            self._writer.lock.release()
            raise

    def give_back(self, session: Session | None, sound: bool) -> None:
        if session is not None:
            try:
                self._writer.give_back(session, sound)
            finally:
                self._writer.lock.release()


class Readers:
    """Up to `limit` sessions, the most recently used one first."""

    def __init__(self, database: Database, limit: int) -> None:
        self._database = database
        self._free = threading.Semaphore(limit)
        self._mutex = threading.Lock()  # guards the two below
        self._idle: list[Session] = []
        self._closed = False

    def borrow(self) -> Session:
        self._free.acquire()
        try:
            with self._mutex:
                session = self._idle.pop() if self._idle else None
            return session if session is not None else self._database.connect(Role.READER)
        except BaseException:
            self._free.release()
            raise

    def give_back(self, session: Session | None, sound: bool) -> None:
        if session is None:
            return
        try:
            with self._mutex:
                keep = sound and not self._closed
                if keep:
                    self._idle.append(session)
                stale = [] if sound else self._take_idle()
            # A lost connection is seldom lost alone: the server went away, and the idle ones are dead as well.
            for lost in stale if keep else [session, *stale]:
                lost.close()
        finally:
            self._free.release()

    def _take_idle(self) -> list[Session]:
        idle, self._idle = self._idle, []
        return idle

    def close(self) -> None:
        with self._mutex:
            self._closed = True
            idle = self._take_idle()
        for session in idle:
            session.close()


class Pool:
    """Every session of a store but the listener's."""

    def __init__(self, database: Database, size: int) -> None:
        """`size` bounds our connections: the writer, the listener if there is room for one, and the readers."""
        self.database = database
        self.counters = Counters()
        self.writer = Writer(database)
        self.may_listen = size >= 2
        self._readers = Readers(database, min(MAX_READERS, size - 2)) if size > 2 else None
        locked_writer = _LockedWriter(self.writer)
        self._for_reads: _Lender = self._readers or locked_writer
        self._for_writes: _Lender = locked_writer if database.one_writer else self._for_reads
        self._closing = threading.Event()

    # ------------------------------------------------------------ work

    def read(self, name: str, **values: object) -> list[Row]:
        """The rows of one query."""
        statement = self.database.statements[name]
        self.counters.queries += 1
        return self._perform(self._for_reads, lambda session: session.run(statement, values))

    def read_within(self, timeout_seconds: float, text: str, **values: object) -> list[Row]:
        """The rows of a query put together at run time. Raises `DBOSQueryTimeoutError`."""
        statement = self.database.statements.compose("", text)
        self.counters.queries += 1
        return self._perform(self._for_reads, lambda session: session.run_within(timeout_seconds, statement, values))

    def write(self, name: str, **values: object) -> list[Row]:
        """The rows returned by one statement that writes, in a transaction of its own."""
        statement = self.database.statements[name]
        self.counters.queries += 1
        return self._perform(self._for_writes, lambda session: session.run(statement, values))

    def transact(self, work: Callable[[Run], T]) -> T:
        """Run `work` in one transaction. It may run more than once, each time on a clean slate."""

        def attempt(session: Session) -> T:
            def run(name: str, **values: object) -> list[Row]:
                return session.run(self.database.statements[name], values)

            with session.transaction():
                return work(run)

        self.counters.queries += 1
        return self._perform(self._for_writes, attempt)

    def commit(self, records: Sequence[Record], closing: threading.Event) -> Results:
        """Write a batch of the journal, trying until it is closing. The caller holds the writer's lock."""
        results, statements = self._perform(self.writer, lambda session: session.write_batch(records), closing)
        counters = self.counters  # guarded by the writer's lock, too
        counters.commits += 1
        counters.statements += statements
        counters.round_trips += 1
        counters.records += len(records)
        if len(records) > counters.largest_batch:
            counters.largest_batch = len(records)
        return results

    # ------------------------------------------------------------ patience

    def _perform(self, lender: _Lender, work: Callable[[Session], T], closing: threading.Event | None = None) -> T:
        closing = closing or self._closing
        pauses = _pauses()
        while True:
            if closing.is_set():
                raise StoreClosed("The system database is closed")
            session, sound = None, True
            try:
                session = lender.borrow()
                return work(session)
            except Exception as error:
                verdict = self.database.classify(error)
                sound = verdict is not Verdict.RECONNECT
                if verdict is None:
                    raise
                if verdict is Verdict.REFUSED:
                    raise self.database.translate(error) from error
                pause = next(pauses)
                if pause > LONGEST_PAUSE_SECONDS / 4:
                    _logger.warning(
                        "The system database does not answer, trying again: %s", self.database.translate(error)
                    )
            except BaseException:
                sound = False  # interrupted at an unknown point of the conversation
                raise
            finally:
                lender.give_back(session, sound)
            closing.wait(pause)

    # ------------------------------------------------------------ the end

    def stop_waiting(self) -> None:
        """End every wait for the database to come back: what is in flight finishes or fails now."""
        self._closing.set()

    def close(self) -> None:
        """Close every session, each as soon as whoever uses it is done."""
        self.stop_waiting()
        if self._readers is not None:
            self._readers.close()
        self.writer.close()


def _pauses() -> Iterator[float]:
    """Growing pauses, jittered so that many processes do not come back in step."""
    ceiling = FIRST_PAUSE_SECONDS
    while True:
        yield random.uniform(ceiling / 2, ceiling)
        ceiling = min(ceiling * 2, LONGEST_PAUSE_SECONDS)
