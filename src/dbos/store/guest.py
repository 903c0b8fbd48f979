"""The store as a guest in somebody else's transaction: the same tables and verbs, through one connection of the user's.

Nothing here begins, commits, rolls back or tries again: that is up to whoever owns the transaction. So errors of the
driver pass through to him. Who waits for what is written is told by the commit, where the database can do that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from dbos.store.database import Results, Row, Session
from dbos.store.hints import Hints
from dbos.store.messages import Messages
from dbos.store.pool import Pool, Run
from dbos.store.queues import Queues
from dbos.store.records import Record
from dbos.store.statements import Statements
from dbos.store.workflows import Workflows

T = TypeVar("T")


class _Seat:
    """What the tables ask of a pool."""

    def __init__(self, session: Session, statements: Statements) -> None:
        self._session = session
        self._statements = statements

    def read(self, name: str, /, **values: object) -> list[Row]:
        return self._session.run(self._statements[name], values)

    write = read

    def transact(self, work: Callable[[Run], T]) -> T:
        return work(self.read)


class Guest:
    """A store that lives as long as one call."""

    def __init__(self, session: Session, statements: Statements, hints: Hints) -> None:
        seat = cast(Pool, _Seat(session, statements))
        self._session = session
        self.workflows = Workflows(seat, 0)
        self.messages = Messages(seat)
        self.queues = Queues(seat)
        self.hints = hints
        self.journal = self

    def write(self, records: Sequence[Record]) -> Results:
        """Write records one after another; the result of each, as of the journal."""
        return [self._session.write_batch([record])[0][0] for record in records]
