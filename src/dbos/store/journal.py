"""Group commit: the one writer of everything that running workflows make durable.

Whoever has something to remember hands in records and goes on once they are committed. A writer thread takes whatever
is waiting, commits it as one batch, and wakes everyone in it; while it commits, the next batch gathers by itself:
nobody waits for a batch to fill. A caller alone commits on its own thread, which saves two thread switches.

`pool.py` below makes one batch durable, however often the connection breaks. What it cannot write is split until only
those who handed in the offending values get the error.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from dbos.lazy import asyncio
from dbos.store.database import Counters, JournalClosed, Results, RowsHeld, StoreClosed, ValueRefused
from dbos.store.pool import Pool
from dbos.store.records import FACTS, KINDS, Record
from dbos.store.reply import Reply, Submit, deliver

MAX_BATCH_RECORDS = 1_000  # more gains nothing: the fixed cost of a commit is spread thin by then
MAX_BATCH_CHARACTERS = 4_000_000  # of payload: bounds the memory of a batch and the time its row locks are held
MAX_QUEUED_RECORDS = 10_000  # beyond these two, threads have to wait; coroutines never do: each has one record here
MAX_QUEUED_CHARACTERS = 64_000_000
MAX_ASIDE = 8  # records of callers that wait, each on a thread, for what somebody else's transactions hold

_PAYLOADS: dict[type, tuple[int, ...]] = {kind: FACTS[kind].payloads for kind in KINDS}

NOT_WRITTEN = "The system database was closed before the record was acknowledged"


class _Entry(Reply[Results]):
    """What one caller handed in, and how it hears of the results."""

    __slots__ = ("records", "weight")

    def __init__(
        self,
        records: Sequence[Record],
        weight: int,
        loop: asyncio.AbstractEventLoop | None = None,
        submit: Submit | None = None,
        resume: Callable[[Reply[Results]], None] | None = None,
    ) -> None:
        super().__init__(loop, patient=True, submit=submit, resume=resume)
        self.records = records
        self.weight = weight  # characters of payload


class Journal:
    """Group commit over the writer's session of a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._mutex = threading.Lock()  # guards everything below
        self._room = threading.Condition(self._mutex)  # the queue got shorter
        self._queue: deque[_Entry] = deque()
        self._queued_records = 0
        self._queued_characters = 0
        self._asleep = False  # the writer thread waits for the doorbell
        self._doorbell = threading.Lock()
        self._doorbell.acquire()
        self._crowded = False  # the last batch of the writer thread had several callers
        self._aside: set[threading.Thread] = set()
        self._refusal: str | None = None  # why nothing is accepted any more
        self._closing = threading.Event()  # set with the refusal: ends the wait for a database that is away
        self._thread = threading.Thread(target=self._write_batches, name="dbos-journal", daemon=True)
        self._thread.start()

    @property
    def counters(self) -> Counters:
        return self._pool.counters

    # ------------------------------------------------------------ the callers' side

    def write(self, records: Sequence[Record]) -> Results:
        """Make records durable together and return the result of each. Blocks until they are committed.

        Raises `JournalClosed` if they were not accepted, `ValueRefused` or another `DBOSException` if the database
        does not take them. A result of None is no error: records.py says what it means for each kind.
        """
        weight = _weigh(records)
        if self._refusal is not None:
            raise JournalClosed(self._refusal)
        if not self._queue and not self._crowded and self._pool.writer.lock.try_acquire():
            # Nobody else is here. With several callers the writer thread wins clearly over taking turns like this.
            try:
                return self._pool.commit(lambda: records, self._closing, locked=True)
            except StoreClosed as closed:
                raise JournalClosed(closed.message) from closed
            except RowsHeld:
                return self._write_aside(records)
        entry = _Entry(records, weight)
        with self._mutex:
            while self._is_full() and self._refusal is None:
                self._room.wait()
            ring = self._enqueue(entry)
        if ring:
            self._doorbell.release()
        return entry.wait()

    def write_soon(self, records: Sequence[Record], loop: asyncio.AbstractEventLoop) -> asyncio.Future[Results]:
        """Like `write`, without blocking: called on the thread of `loop`, answers by a future of that loop."""
        entry = _Entry(records, _weigh(records), loop)
        self._hand_in(entry)
        return entry.future

    def write_and_resume(
        self, records: Sequence[Record], submit: Submit, resume: Callable[[Reply[Results]], None]
    ) -> None:
        """Like `write`, without waiting at all: the reply is handed to `resume` by way of `submit`.

        Whoever uses it bounds what he hands in: it is queued at once, however much there is.
        """
        self._hand_in(_Entry(records, _weigh(records), None, submit, resume))

    def _hand_in(self, entry: _Entry) -> None:
        with self._mutex:
            ring = self._enqueue(entry)
        if ring:
            self._doorbell.release()

    def _is_full(self) -> bool:
        return self._queued_records >= MAX_QUEUED_RECORDS or self._queued_characters >= MAX_QUEUED_CHARACTERS

    def _enqueue(self, entry: _Entry) -> bool:
        """Add to the queue; True if the writer thread has to be woken. The caller holds the mutex."""
        if self._refusal is not None:
            raise JournalClosed(self._refusal)
        self._queue.append(entry)
        self._queued_records += len(entry.records)
        self._queued_characters += entry.weight
        ring, self._asleep = self._asleep, False
        return ring

    # ------------------------------------------------------------ the writer's side

    def _write_batches(self) -> None:
        while self._wait_for_work():
            self._settle([])

    def _wait_for_work(self) -> bool:
        """Sleep while the queue is empty; False once the journal is closed."""
        with self._mutex:
            if self._refusal is not None:
                return False
            if self._queue:
                return True
            self._asleep = True
        self._doorbell.acquire()
        return self._refusal is None

    def _settle(self, entries: list[_Entry]) -> None:
        """Commit entries in one transaction and answer them; if it is refused or held up, find out by whose fault.

        An empty list is filled from the queue when the connection is ours, not before: others come while we wait.
        """

        def gather() -> Sequence[Record]:
            if not entries:
                entries.extend(self._take_batch())
            return entries[0].records if len(entries) == 1 else [r for entry in entries for r in entry.records]

        try:
            results = self._pool.commit(gather, self._closing)
        except StoreClosed as closed:
            for entry in entries:
                entry.error = JournalClosed(closed.message)
                entry.error.__cause__ = closed
        except Exception as error:
            if len(entries) > 1:
                middle = len(entries) // 2
                self._settle(entries[:middle])
                self._settle(entries[middle:])
                return
            if isinstance(error, RowsHeld):
                self._put_aside(*entries)
                return
            for entry in entries:
                entry.error = error
        else:
            start = 0
            for entry in entries:
                end = start + len(entry.records)
                entry.value = results[start:end]
                start = end
        deliver(entries)

    def _put_aside(self, entry: _Entry) -> None:
        """Let one that waits for somebody else's transaction hold up nobody behind it."""
        if len(self._aside) < MAX_ASIDE:  # else not some are held, but everything is
            thread = threading.Thread(target=self._settle_aside, args=(entry,), name="dbos-journal-aside", daemon=True)
            self._aside.add(thread)
            try:
                thread.start()
                return
            except RuntimeError:  # there are no more threads
                self._aside.discard(thread)
        self._settle_aside(entry)

    def _settle_aside(self, entry: _Entry) -> None:
        try:
            entry.value = self._write_aside(entry.records)
        except Exception as error:
            entry.error = error
        deliver([entry])
        self._aside.discard(threading.current_thread())

    def _write_aside(self, records: Sequence[Record]) -> Results:
        try:
            return self._pool.commit_aside(records, self._closing)
        except StoreClosed as closed:
            raise JournalClosed(closed.message) from closed

    def _take_batch(self) -> list[_Entry]:
        entries: list[_Entry] = []
        records = characters = 0
        with self._mutex:
            queue = self._queue
            while queue and records < MAX_BATCH_RECORDS and characters < MAX_BATCH_CHARACTERS:
                entry = queue.popleft()
                entries.append(entry)
                records += len(entry.records)
                characters += entry.weight
            was_full = self._is_full()
            self._queued_records -= records
            self._queued_characters -= characters
            self._crowded = len(entries) > 1
            if was_full:
                self._room.notify_all()
        return entries

    # ------------------------------------------------------------ the end

    def close(self) -> None:
        """Finish the batch in flight, fail what is still queued, accept nothing more. Closing again does nothing."""
        with self._mutex:
            self._refusal = self._refusal or "The system database is closed"
            self._closing.set()
            orphans, self._queue = list(self._queue), deque()
            self._queued_records = self._queued_characters = 0
            self._room.notify_all()
            ring, self._asleep = self._asleep, False
        if ring:
            self._doorbell.release()
        for entry in orphans:
            entry.error = JournalClosed(NOT_WRITTEN)
        deliver(orphans)
        with self._pool.cut_short():
            self._thread.join()
            for thread in list(self._aside):
                thread.join()

    def disown(self, because: str) -> None:
        """In a forked child: refuse everything. The writer thread does not exist here, and locks are in any state."""
        self._mutex = threading.Lock()
        self._room = threading.Condition(self._mutex)
        self._queue = deque()
        self._refusal = because


def _weigh(records: Sequence[Record]) -> int:
    """Characters of payload. A NUL is refused here, on both dialects: Postgres cannot hold it, SQLite cuts it short."""
    weight = 0
    for record in records:
        for place in _PAYLOADS[type(record)]:
            payload: str | None = record[place]  # type: ignore[assignment]
            if payload is not None:
                if "\0" in payload:
                    raise ValueRefused("A payload holds a NUL character, which the system database cannot store")
                weight += len(payload)
    return weight
