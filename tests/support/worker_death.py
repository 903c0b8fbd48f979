"""Kill this process at its n-th journal commit, at one of the points where the world may end.

`before`: the batch never reaches the database. `executed`: it is committed, and nobody here has heard of it.
`acknowledged`: the store knows, and the engine has not moved. The store's sessions are wrapped, whichever the dialect.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Sequence
from typing import Any, Literal

from dbos.store.records import Record
from dbos.store.sqlite.database import SqliteSession

Phase = Literal["before", "executed", "acknowledged"]
PHASES: tuple[Phase, ...] = ("before", "executed", "acknowledged")


def die() -> None:
    """End as if the power had failed."""
    os.kill(os.getpid(), signal.SIGKILL)


class Death:
    """Counts the journal's commits from now on, and dies at one of them."""

    def __init__(self, at: int, phase: Phase) -> None:
        self._at = at
        self._phase = phase
        self._commits = 0
        self._listening = False  # the fatal batch is on its way, and its answer must not be heard

    def await_journal(self, dialect: str) -> None:
        """Wrap the sessions of the dialect."""
        if dialect == "sqlite":
            self._wrap(SqliteSession)
            self._wrap_sqlite_answer(SqliteSession)
        else:
            from dbos.store.postgres.session import PostgresSession

            self._wrap(PostgresSession)
            self._wrap_postgres_answer(PostgresSession)

    def _wrap(self, session: type[Any]) -> None:
        write_batch = session.write_batch

        def mortal(this: Any, records: Sequence[Record]) -> Any:
            self._commits += 1
            fatal = self._commits == self._at
            if fatal and self._phase == "before":
                die()
            self._listening = fatal and self._phase == "executed"
            answer = write_batch(this, records)
            if fatal:
                die()
            return answer

        session.write_batch = mortal

    def _wrap_sqlite_answer(self, session: type[Any]) -> None:
        verify = session._verify_wal  # what a session does first after a commit

        def mortal(this: Any) -> None:
            if self._listening:
                die()
            verify(this)

        session._verify_wal = mortal

    def _wrap_postgres_answer(self, session: type[Any]) -> None:
        next_reply = session._next_reply

        def mortal(this: Any) -> Any:
            if self._listening:
                select.select([this._connection], [], [])  # the server speaks only after the commit
                die()
            return next_reply(this)

        session._next_reply = mortal
