"""Everything that is asked of the database goes through here, with patience.

Whoever wants something from the database hands in a piece of work. It is tried until it succeeds, is refused for good,
or the store is closed: a lost connection is replaced, a deadlock or a busy database waits a jittered moment. So work
may run more than once, and everything handed in here is written so that a second run does no harm.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from dbos.error import DBOSException
from dbos.lazy import random
from dbos.overdue import cut_short
from dbos.store.database import Counters, Database, Results, Row, RowsHeld, Session, StoreClosed, Verdict
from dbos.store.lending import CLOSING_GRACE_SECONDS, Guests, Lender, Readers, Writer, WritersTurn
from dbos.store.records import Record
from dbos.telemetry.metrics import Metrics

T = TypeVar("T")

_logger = logging.getLogger("dbos")

MAX_READERS = 4
KEPT_READERS = 2  # of them, for everything but listings: those may take half a minute each
FIRST_PAUSE_SECONDS = 0.01  # a deadlock is usually over by then
LONGEST_PAUSE_SECONDS = 2.0  # of an outage: soon enough back, without a stampede
REPORTED_PAUSE_SECONDS = 0.3  # after several tries: shorter trouble is nobody's business
BUSY_PAUSES_SECONDS = 0.001, 0.005  # between two looks at a file that another process is writing to
BUSY_SECONDS = 5.0  # nobody writes for that long: from then on it counts as an outage


class Run(Protocol):
    """Runs a named statement inside a transaction."""

    def __call__(self, name: str, /, **values: object) -> list[Row]: ...


class Pool:
    """Every session of a store but the listener's."""

    def __init__(self, database: Database, session: Session, size: int, patient: bool, metrics: Metrics) -> None:
        """`size` bounds our connections: the writer, whose `session` is open, the listener if there is room for one,
        and the readers.

        `patient`: a database that is away is waited for; otherwise the loss of a connection is an error.
        """
        self._metrics = metrics
        self._patient = patient
        self.database = database
        self.counters = Counters()
        self.writer = Writer(database, session)
        self.may_listen = size >= 2
        self._turns = WritersTurn(self.writer)
        self._readers: Readers | None = None
        self._for_reads: Lender = self._turns
        self._for_listings: Lender = self._turns
        if size > 2:
            limit = min(MAX_READERS, size - 2)
            self._for_reads = self._readers = Readers(database, limit)
            self._for_listings = Guests(self._readers, max(1, limit - KEPT_READERS))
        self._for_writes: Lender = self._turns if database.one_writer else self._for_reads
        self._outage_reported = False
        self._closing = threading.Event()
        self._closed_because = "The system database is closed"

    # ------------------------------------------------------------ work

    def read(self, name: str, /, **values: object) -> list[Row]:
        """The rows of one query."""
        statement = self.database.statements[name]
        self.counters.queries += 1
        return self._perform(self._for_reads, lambda session: session.run(statement, values))

    def try_once(self, name: str, /, **values: object) -> list[Row]:
        """The rows of one query, or at once the error if the database is away."""
        statement = self.database.statements[name]
        self.counters.queries += 1
        return self._perform(self._for_reads, lambda session: session.run(statement, values), patient=False)

    def read_within(self, timeout_seconds: float, text: str, **values: object) -> list[Row]:
        """The rows of a query put together at run time. Raises `DBOSQueryTimeoutError`."""
        statement = self.database.statements.compose("", text)
        self.counters.queries += 1
        return self._perform(self._for_listings, lambda session: session.run_within(timeout_seconds, statement, values))

    def write(self, name: str, /, **values: object) -> list[Row]:
        """The rows returned by one statement that writes, in a transaction of its own."""
        statement = self.database.statements[name]
        self.counters.queries += 1
        return self._perform(self._for_writes, lambda session: session.run(statement, values))

    def write_promptly(self, name: str, /, **values: object) -> list[Row]:
        """The same for what must not be late: it waits for a turn of the journal, never for a reader to be free."""
        statement = self.database.statements[name]
        self.counters.queries += 1
        return self._perform(self._turns, lambda session: session.run(statement, values))

    def transact(self, work: Callable[[Run], T]) -> T:
        """Run `work` in one transaction. It may run more than once, each time on a clean slate."""

        def attempt(session: Session) -> T:
            def run(name: str, /, **values: object) -> list[Row]:
                return session.run(self.database.statements[name], values)

            with session.transaction():
                return work(run)

        self.counters.queries += 1
        return self._perform(self._for_writes, attempt)

    def commit(self, gather: Callable[[], Sequence[Record]], closing: threading.Event, locked: bool = False) -> Results:
        """Write a batch of the journal, trying until it is closing.

        `gather` tells what to write, once it is the batch's turn and at every further try; nothing costs nothing.
        `locked`: the caller has the writer's lock, which is released here. Raises `RowsHeld` instead of waiting for
        what somebody else's transaction holds: see `commit_aside`.
        """

        def attempt(session: Session) -> Results:
            try:
                return self._write_batch(session, gather())
            except Exception as error:
                if self.database.classify(error) is Verdict.HELD:
                    raise RowsHeld("Somebody else's transaction holds what is to be written") from error
                raise

        turn = WritersTurn(self.writer, locked)
        try:
            return self._perform(turn, attempt, closing)
        finally:
            turn.forgo()

    def commit_aside(self, records: Sequence[Record], closing: threading.Event) -> Results:
        """Write what a transaction of somebody else's holds up, beside the writer, trying until it is over."""
        return self._perform(self._for_writes, lambda session: self._write_batch(session, records), closing)

    def _write_batch(self, session: Session, records: Sequence[Record]) -> Results:
        if not records:
            return []
        begun = time.monotonic()
        results, statements = session.write_batch(records)
        self._metrics.commit_seconds.record(time.monotonic() - begun)
        self._metrics.batch_records.record(len(records))
        counters = self.counters  # guarded by the writer's lock, too; beside the writer only about right
        counters.commits += 1
        counters.statements += statements
        counters.records += len(records)
        if len(records) > counters.largest_batch:
            counters.largest_batch = len(records)
        return results

    # ------------------------------------------------------------ patience

    def _perform(
        self,
        lender: Lender,
        work: Callable[[Session], T],
        closing: threading.Event | None = None,
        patient: bool | None = None,
    ) -> T:
        closing = closing or self._closing
        patient = self._patient if patient is None else patient
        pauses: Iterator[float] | None = None
        begun: float | None = None  # the trouble
        while True:
            if closing.is_set():
                raise StoreClosed(self._closed_because)
            session, sound = None, True
            try:
                session = lender.borrow()
                result = work(session)
                if self._outage_reported:
                    self._outage_reported = False
                    _logger.warning("The system database works again")
                return result
            except Exception as error:
                verdict = self.database.classify(error)
                if verdict is None:
                    sound = isinstance(error, DBOSException)  # else it is a bug, anywhere in the conversation
                    raise
                if session is None:  # could not connect: whatever the reason, it was possible once
                    verdict = Verdict.RECONNECT
                sound = verdict is not Verdict.RECONNECT
                if session is not None and not sound:
                    self.counters.losses += 1
                if verdict is Verdict.REFUSED or (verdict is Verdict.RECONNECT and not patient):
                    raise self.database.translate(error) from error
                begun = begun or time.monotonic()
                busy = verdict is Verdict.BUSY and time.monotonic() - begun < BUSY_SECONDS
                pauses = pauses or growing_pauses()
                pause = random.uniform(*BUSY_PAUSES_SECONDS) if busy else next(pauses)
                if pause > REPORTED_PAUSE_SECONDS and not self._outage_reported and verdict is not Verdict.HELD:
                    self._outage_reported = True  # by whoever notices first
                    _logger.warning("The system database fails, trying again: %s", self.database.translate(error))
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

    def cut_short(self) -> AbstractContextManager[None]:
        """What blocks in a connection for longer than a grace while the body runs is cut off."""
        return cut_short(CLOSING_GRACE_SECONDS, self._abort, "dbos-closing")

    def _abort(self) -> None:
        self.database.give_up_opening()
        self.writer.abort()
        if self._readers is not None:
            self._readers.abort()

    def close(self) -> None:
        """Close every session, each as soon as whoever uses it is done."""
        self.stop_waiting()
        if self._readers is not None:
            self._readers.close()
        self.writer.close()

    def disown(self, because: str) -> None:
        """In a forked child: forget every session without touching it, and refuse everything from now on."""
        self._closed_because = because
        self._closing = threading.Event()  # the old one's lock may be held by a thread that does not exist here
        self._closing.set()
        self.writer.disown()
        if self._readers is not None:
            self._readers.disown()


def growing_pauses() -> Iterator[float]:
    """Growing pauses, jittered so that many processes do not come back in step."""
    ceiling = FIRST_PAUSE_SECONDS
    while True:
        yield random.uniform(ceiling / 2, ceiling)
        ceiling = min(ceiling * 2, LONGEST_PAUSE_SECONDS)
