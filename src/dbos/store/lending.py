"""Who may use which session: the writer behind a fair lock, and a few readers opened when they are needed.

A borrowed session belongs to one thread until it is given back; an unsound one is closed then, and the next borrower
opens another. Closing waits for borrowers; `abort` cuts the connections of those that take too long.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol

from dbos.store.database import Database, Role, Session, StoreClosed
from dbos.store.fairlock import FairLock, FairPlaces

HANGING_SECONDS = 1.0  # a session that is not open by then no longer keeps others from being opened
CLOSING_GRACE_SECONDS = 2.0  # for what is in flight when the store closes; a healthy database needs milliseconds

_inherited: list[Session] = []
"""Sessions of the process we were forked from. Never closed, not even by garbage collection: closing would speak for
the parent on a Postgres connection, and drop nobody knows which locks of a SQLite file."""


class Lender(Protocol):
    """Lends sessions to threads."""

    def borrow(self) -> Session:
        """A session for the calling thread alone, waiting for one if need be."""

    def give_back(self, session: Session | None, sound: bool) -> None:
        """Hand it back; an unsound one is closed. None: there was nothing to borrow."""


class Writer:
    """The one session that the journal commits on, for whoever holds `lock`."""

    def __init__(self, database: Database, session: Session) -> None:
        self.lock = FairLock()  # guards the session
        self._database = database
        self._session: Session | None = session
        self._closed = False

    def borrow(self) -> Session:
        if self._closed:
            raise StoreClosed("The system database is closed")
        if self._session is None:
            self._session = self._database.connect(Role.WRITER)
        return self._session

    def give_back(self, session: Session | None, sound: bool) -> None:
        if session is not None and not sound:
            self._session = None
            session.close()

    def abort(self) -> None:
        """From any thread: whatever blocks in the session fails soon."""
        session = self._session
        if session is not None:
            session.abort()

    def close(self) -> None:
        with self.lock:
            self._closed = True
            self.give_back(self._session, sound=False)

    def disown(self) -> None:
        self.lock = FairLock()  # the old one may be held by a thread that does not exist here
        if self._session is not None:
            _inherited.append(self._session)
            self._session = None


class WritersTurn:
    """The writer, lock included: whoever has to try again lets others have a go meanwhile."""

    def __init__(self, writer: Writer, locked: bool = False) -> None:
        """`locked`: the caller holds the lock already, and hands it over."""
        self._writer = writer
        self._locked = locked

    def borrow(self) -> Session:
        if self._locked:
            self._locked = False
        else:
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

    def forgo(self) -> None:
        """Release a lock that was handed over and never used."""
        if self._locked:
            self._locked = False
            self._writer.lock.release()


class Readers:
    """Up to `limit` sessions, the most recently used one first.

    Another one is opened only after waiting for as long as that takes, and one at a time: most reads take less.
    """

    def __init__(self, database: Database, limit: int) -> None:
        self._database = database
        self._limit = limit
        self._places = FairPlaces(limit)
        self._changed = threading.Condition()  # guards everything below
        self._idle: list[Session] = []
        self._lent: set[Session] = set()
        self._opening = 0  # sessions
        self._closed = False

    def borrow(self) -> Session:
        self._places.acquire()
        try:
            return self._await_idle() or self._open()
        except BaseException:
            self._places.release()
            raise

    def _await_idle(self) -> Session | None:
        """An idle one. None: none became idle in time, and it is upon the caller to open one."""
        began = time.monotonic()
        with self._changed:
            while not self._idle:
                if self._closed:
                    raise StoreClosed("The system database is closed")
                patience = HANGING_SECONDS if self._opening else self._database.opening_seconds
                rest = began + patience - time.monotonic()
                if rest <= 0 or not (self._opening or self._lent):
                    self._opening += 1
                    return None
                self._changed.wait(rest)
            session = self._idle.pop()
            self._lent.add(session)
            return session

    def _open(self) -> Session:
        session: Session | None = None
        try:
            session = self._database.connect(Role.READER)
            return session
        finally:
            with self._changed:
                self._opening -= 1
                if session is not None:
                    self._lent.add(session)
                self._changed.notify_all()

    def give_back(self, session: Session | None, sound: bool) -> None:
        if session is None:
            return
        leaving: list[Session] = []
        try:
            with self._changed:
                self._lent.discard(session)
                if sound and not self._closed:
                    self._idle.append(session)
                else:
                    # A connection is seldom lost alone: when the server went away, the idle ones are dead as well.
                    leaving, self._idle = [session, *self._idle], []
                self._changed.notify()
            for lost in leaving:
                lost.close()
        finally:
            self._places.release()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            leaving, self._idle = self._idle, []
            self._changed.notify_all()
        for session in leaving:
            session.close()
        # Wait for those that are out. One that is still connecting may take longer: it is closed when it comes back.
        deadline = time.monotonic() + 2 * CLOSING_GRACE_SECONDS
        returned = [self._places.acquire(max(0.0, deadline - time.monotonic())) for _ in range(self._limit)]
        for _ in filter(None, returned):
            self._places.release()

    def abort(self) -> None:
        """From any thread: whatever blocks in a session fails soon."""
        with self._changed:
            lent = list(self._lent)
        for session in lent:
            session.abort()

    def disown(self) -> None:
        _inherited.extend((*self._idle, *self._lent))
        self.__init__(self._database, self._limit)  # type: ignore[misc]  # fresh locks, nothing lent
        self._closed = True


class Guests:
    """Readers for those who may stay long: never all, so that a place is left for whatever takes a moment."""

    def __init__(self, readers: Readers, limit: int) -> None:
        self._readers = readers
        self._places = FairPlaces(limit)

    def borrow(self) -> Session:
        self._places.acquire()
        try:
            return self._readers.borrow()
        except BaseException:
            self._places.release()
            raise

    def give_back(self, session: Session | None, sound: bool) -> None:
        if session is not None:
            try:
                self._readers.give_back(session, sound)
            finally:
                self._places.release()
