"""The user's database: where to reach it, and the phases of a transaction in it.

A transaction is begun, run, testified and committed in phases. Each is a plain function over a SQLAlchemy `Session`,
and `phase` turns it into a call for the blocking database, or an awaited one for the async one. So the order of the
phases is written once, for both (runtime/transaction.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import InvalidRequestError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from dbos.error import DBOSInitializationError
from dbos.model.serialization import Serialization
from dbos.userdata.engines import (
    BUSY_PAUSE_SECONDS,
    begin_writing,
    driver_url,
    engine_options,
    explained,
    is_busy,
    leave_nothing_open,
    prepare,
    prepare_nothing_for_others,
)
from dbos.userdata.testimony import Key, Testimony
from dbos.userdata.witness import Kind, Witness

_MAY_COMMIT = "dbos_may_commit"
_GUARDED_BY = "dbos_guarded_by"
_REFUSAL = (
    "DBOS commits this transaction when its function returns, together with the row that says it happened. "
    "Closed by the function, it would be a closed transaction inside context manager."
)


def _refuse_to_commit(session: Session) -> None:
    if not session.info.get(_MAY_COMMIT) and not session.in_nested_transaction():
        raise InvalidRequestError(_REFUSAL)


def _refuse_beneath(connection: Connection) -> None:
    info = connection.get_execution_options().get(_GUARDED_BY)
    if info is not None and not info.get(_MAY_COMMIT):
        connection.connection.rollback()  # else SQLAlchemy would take the transaction for ended, and leave it open
        raise InvalidRequestError(_REFUSAL)


class GuardedSession(Session):
    """A session that only `UserDatabase.commit` can commit."""


event.listen(GuardedSession, "before_commit", _refuse_to_commit)


class UserDatabase:
    """A database of the user's, through a SQLAlchemy engine."""

    awaited = False

    def __init__(
        self,
        engine: Engine,
        kind: Kind,
        schema: str,
        sessions: Callable[[], Session] | None = None,
        codec: Serialization | None = None,
        disposes: bool = True,
    ) -> None:
        """`codec` of the witnesses, if not that of the workflows; `disposes`: the engine ends with this object."""
        self.dialect = engine.dialect.name
        if self.dialect not in ("sqlite", "postgresql"):
            raise DBOSInitializationError(
                f"Transactions run on PostgreSQL and SQLite, not on {self.dialect}: {engine.url!r}"
            )
        self.witness = Witness(kind, self.dialect, schema)
        self.codec = codec
        self._engine = engine
        self._sessions = sessions or sessionmaker(engine, class_=GuardedSession, expire_on_commit=False)
        self._disposes = disposes
        leave_nothing_open(engine)
        event.listen(engine, "commit", _refuse_beneath)

    @staticmethod
    def engine(url: str, options: Mapping[str, Any]) -> Engine:
        """The engine of a URL, as we like it best, and then as the options say."""
        engine = sqlalchemy.create_engine(driver_url(url), **engine_options(url, options))
        prepare_nothing_for_others(engine, options)
        return engine

    # ------------------------------------------------------------ phases

    def new_session(self) -> Session:
        """A session for one transaction."""
        return self._sessions()

    def phase(self, session: Session, work: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
        """A call that does a piece of work in the session."""
        return partial(work, session, *arguments)

    def begin(self, session: Session, isolation_level: str, nested: bool = False) -> Connection:
        """Open the transaction; from here on only `commit` can commit it.

        `nested` in another one, which may hold the lock of a SQLite file: it can be read even so.
        """
        session.begin().__enter__()  # so that whoever closes it inside is told so by every later statement
        if not isinstance(session, GuardedSession):  # of the user's own making
            event.listen(session, "before_commit", _refuse_to_commit)
        if self.dialect == "sqlite":  # which knows one level
            connection = session.connection(execution_options={_GUARDED_BY: session.info})
            begin_writing(connection, nested)
            return connection
        return session.connection(execution_options={"isolation_level": isolation_level, _GUARDED_BY: session.info})

    def find(self, session: Session, key: Key) -> tuple[str, Testimony] | None:
        """What this step came to, if it has happened, and in which life.

        A look outside of any transaction, which clashes with nobody.
        """
        session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        return self.witness.find(session, key)

    def testify(self, session: Session, key: Key, testimony: Testimony) -> bool:
        """Write what is pending and the witness. False: somebody else was first."""
        session.flush()
        return self.witness.testify(session, key, testimony)

    def commit(self, session: Session) -> None:
        """Make it durable."""
        session.info[_MAY_COMMIT] = True
        session.commit()

    def close(self, session: Session) -> None:
        """Take back what was not committed, and give the connection back."""
        session.close()

    # ------------------------------------------------------------ what is forgotten

    @property
    def forgets(self) -> bool:
        """Can old witnesses be taken away from a thread of ours?"""
        return True

    def aged(self, age_seconds: float, after: str, limit: int) -> list[str]:
        """Workflows with witnesses older than that, in order of their ids, from behind `after`."""
        aged: list[str] = self._within(self.witness.aged, round(age_seconds * 1000), after, limit)
        return aged

    def forget(self, steps: Sequence[tuple[str, int]], age_seconds: float) -> None:
        """Drop the witnesses of these steps, as far as they are older than that."""
        self._within(self.witness.forget, steps, round(age_seconds * 1000))

    def forget_workflows(self, lives: Sequence[tuple[str, str]]) -> None:
        """Drop every witness of workflows that were deleted: of these lives of these ids."""
        self._within(self.witness.forget_workflows, lives)

    def _within(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Do a piece of work in a transaction of its own."""
        with self._engine.begin() as connection:
            return work(connection, *arguments)

    # ------------------------------------------------------------ the table and the end

    def prepare(self, run_migrations: bool, role: str | None = None) -> None:
        """Create the table of witnesses and let the role use it, or only check that it is there.

        Raises DBOSInitializationError.
        """
        since = time.monotonic()
        with explained(self._engine):
            while True:
                try:
                    self._within(prepare, self.witness, run_migrations, role)
                    return
                except SQLAlchemyError as error:
                    if not is_busy(error, since):
                        raise
                time.sleep(BUSY_PAUSE_SECONDS)

    def close_all(self) -> None:
        """Close the connections, unless the engine is the user's. One that is out is closed when it comes back."""
        if self._disposes:
            event.listen(self._engine.pool, "checkin", lambda _, record: record.invalidate())
            self._engine.dispose()
