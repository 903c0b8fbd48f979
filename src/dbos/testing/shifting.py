"""Time that is moved forward, for the database and for this process alike.

In a database whose store was opened meanwhile, the word `now_ms` of the statements adds what a table of one row says;
in the process, `clock.steady` adds the same. What goes by neither stays in real time: leases, timers, user code.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from unittest import mock

from dbos.runtime import clock
from dbos.runtime.clock import DatabaseClock
from dbos.store.database import Database, Role, Session, StoreClosed, StoreSettings
from dbos.store.pool import Pool
from dbos.store.statements import Statements
from dbos.store.store import Store

TABLE = "{schema}.dbos_test_clock"
CREATE = f"create table if not exists {TABLE} (only_one integer primary key, ahead_ms bigint not null)"
MOVE = f"""
insert into {TABLE} (only_one, ahead_ms) values (1, :ahead_ms)
on conflict (only_one) do update set ahead_ms = excluded.ahead_ms
"""
NOW_MS = "({lease_now_ms} + (select only_clock.ahead_ms from {schema}.dbos_test_clock as only_clock))"


@cache
def _moved(statements: Statements) -> Statements:
    """One reading serves every test."""
    return statements.reworded(now_ms=NOW_MS)


class Shift:
    """How far time is ahead of real time."""

    def __init__(self) -> None:
        self.ahead_ms = 0
        self._moving = threading.Lock()  # held while databases have moved and the process not: no clock is read then
        self._stores: list[Store] = []  # opened meanwhile
        self._open_store = Store.__init__
        self._read = DatabaseClock.synchronise

    @contextmanager
    def installed(self) -> Iterator[None]:
        """What is opened and launched from here on follows."""
        shift = self

        def open_store(store: Store, database: Database, session: Session, settings: StoreSettings) -> None:
            session.close()  # it keeps the statements it was opened with
            database.statements = _moved(database.statements)
            shift._open_store(store, database, database.connect(Role.WRITER), settings)
            shift._follow(store)

        def synchronise(of_a_store: DatabaseClock) -> bool:
            with shift._moving:
                return shift._read(of_a_store)

        with ExitStack() as patches:
            patches.enter_context(mock.patch.object(Store, "__init__", open_store))
            patches.enter_context(mock.patch.object(clock, "steady", self.steady))
            patches.enter_context(mock.patch.object(DatabaseClock, "synchronise", synchronise))
            yield

    def steady(self) -> float:
        """Seconds that only grow, and jump with the rest."""
        return time.monotonic() + self.ahead_ms / 1000

    def forward(self, by_ms: int) -> None:
        """Move time; the database first, whose time a clock of ours is never ahead of."""
        with self._moving:
            ahead_ms = self.ahead_ms + by_ms
            for store in tuple(self._stores):
                try:
                    _write(store._pool, MOVE, ahead_ms=ahead_ms)
                except StoreClosed:
                    self._stores.remove(store)
            self.ahead_ms = ahead_ms

    def _follow(self, store: Store) -> None:
        with self._moving:
            _write(store._pool, CREATE)
            _write(store._pool, MOVE, ahead_ms=self.ahead_ms)
            self._stores.append(store)


def _write(pool: Pool, text: str, **values: object) -> None:
    statement = pool.database.statements.compose("", text)
    pool._perform(pool._for_writes, lambda session: session.run(statement, values))
