"""The system database: opens it, bundles its tables, and closes it without leaving anything behind.

Everything here is synchronous and may be called from any thread. Errors of a driver do not leave this layer.
"""

from __future__ import annotations

import importlib
import os
import threading
import weakref
from types import ModuleType
from typing import Any, Self

from dbos.error import DBOSException, DBOSInitializationError
from dbos.model.database_url import dialect_of
from dbos.store.circumstances import Surroundings
from dbos.store.claims import Claims
from dbos.store.database import Database, Session, StoreClosed, StoreSettings
from dbos.store.events import Events
from dbos.store.executors import Executors
from dbos.store.guest import Guest
from dbos.store.journal import Journal
from dbos.store.messages import Messages
from dbos.store.ownership import Ownership
from dbos.store.pool import Pool
from dbos.store.queues import Queues
from dbos.store.schedules import Schedules
from dbos.store.steps import Steps
from dbos.store.streams import Streams
from dbos.store.transfer import Transfers
from dbos.store.versions import Versions
from dbos.store.workflows import Workflows
from dbos.telemetry.metrics import Metrics

_open_stores: weakref.WeakSet[Store] = weakref.WeakSet()


def _disown_after_fork() -> None:
    for store in list(_open_stores):
        store.disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_after_fork)


class Store:
    """One system database, open."""

    def __init__(self, database: Database, session: Session, settings: StoreSettings) -> None:
        self.dialect = database.dialect
        self.metrics = Metrics()
        self._pool = Pool(database, session, settings.pool_size, settings.patient, self.metrics)
        self._closing = threading.Lock()  # guards _closed
        self._closed = False
        self.workflows = Workflows(self._pool, settings.query_timeout_seconds, self.metrics.workflows_recovered)
        self.steps = Steps(self._pool)
        self.messages = Messages(self._pool)
        self.events = Events(self._pool)
        self.streams = Streams(self._pool)
        self.executors = Executors(self._pool)
        self.queues = Queues(self._pool)
        self.versions = Versions(self._pool)
        self.claims = Claims(self._pool)
        self.surroundings = Surroundings(self._pool)
        self.schedules = Schedules(self._pool)
        self.ownership = Ownership(self._pool)
        self.transfers = Transfers(self._pool)
        self.hints = database.hints(self._pool)
        self.journal = Journal(self._pool)
        _open_stores.add(self)

    @staticmethod
    def open(settings: StoreSettings) -> Store:
        """Connect, create and migrate what is missing, and start the journal.

        Raises `DBOSInitializationError` if the database cannot be reached, is another library's, or was migrated by a
        newer version of this one; with `run_migrations` off, a newer one is taken and one that is not ready refused. A
        refused database is left untouched.
        """
        settings = _with_url_of_engine(settings)
        database, session = _lifecycle(settings).prepare(settings)
        return Store(database, session, settings)

    @staticmethod
    def migrate(settings: StoreSettings, application_role: str | None = None) -> None:
        """Create and migrate what is missing, and start nothing.

        `application_role` (Postgres) is granted what running workflows takes, and no more. Raises like `open`.
        """
        settings = _with_url_of_engine(settings)
        lifecycle = _lifecycle(settings)
        lifecycle.prepare(settings)[1].close()
        if application_role is not None:
            lifecycle.grant(settings, application_role)

    @staticmethod
    def migrations_as_sql(settings: StoreSettings, only: int | None = None) -> str:
        """What `migrate` would run on an empty Postgres, all of it or one numbered step, as a script; connects nowhere.

        Raises `DBOSInitializationError` for SQLite, and for a number that there is not.
        """
        text: str = _lifecycle(settings).migrations_as_sql(settings, only)
        return text

    @staticmethod
    def grants_as_sql(settings: StoreSettings, application_role: str) -> str:
        """What `migrate` would grant to a role (Postgres), as a script; connects nowhere."""
        text: str = _lifecycle(settings).grants_as_sql(settings, application_role)
        return text

    @staticmethod
    def drop(settings: StoreSettings) -> None:
        """Remove the whole database: on Postgres the database, on SQLite the file. Missing is fine."""
        settings = _with_url_of_engine(settings)
        _lifecycle(settings).drop(settings)

    @staticmethod
    def truncate(settings: StoreSettings) -> None:
        """Empty every system table and keep the schema. Missing is fine."""
        settings = _with_url_of_engine(settings)
        _lifecycle(settings).truncate(settings)

    @property
    def losses(self) -> int:
        """How often so far a connection was lost in the middle of something."""
        return self._pool.counters.losses

    def now_ms(self) -> int:
        """The database's clock, in milliseconds since 1970."""
        now: int = self._pool.read("now")[0][0]
        return now

    def check(self) -> None:
        """Raises at once what makes the database unusable just now."""
        try:
            self._pool.try_once("now")
        except StoreClosed:
            raise
        except DBOSException:  # perhaps the connection alone was lost, some time ago
            self._pool.try_once("now")

    def within(self, connection: Any) -> Guest:
        """The same tables through a connection of the driver's that is the user's, in its transaction.

        Raises `DBOSException` for one of another driver.
        """
        database = self._pool.database
        session = database.borrow(connection)
        return Guest(session, database.statements, database.hints_within(session))

    def close(self) -> None:
        """Finish the batch in flight, fail what is queued, close every connection. Closing again does nothing."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        with self._pool.cut_short():
            self.hints.close()
            self._pool.stop_waiting()
            self.journal.close()
            self._pool.close()

    def disown(self) -> None:
        """In a forked child: everything here belongs to the parent. Refuse all use, close nothing."""
        because = "The system database was opened by the process that this one was forked from: launch again here"
        self._closed = True
        self._closing = threading.Lock()
        self._pool.disown(because)
        self.journal.disown(because)
        self.hints.disown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _with_url_of_engine(settings: StoreSettings) -> StoreSettings:
    if settings.engine is None:
        return settings
    return settings._replace(url=settings.engine.url.render_as_string(hide_password=False))


def _lifecycle(settings: StoreSettings) -> ModuleType:
    """The module that prepares, drops and truncates databases of the dialect that the URL names."""
    try:
        dialect = dialect_of(settings.url)
    except ValueError as error:
        raise DBOSInitializationError(f"The URL of the system database cannot be used: {error}") from None
    # Imported here, so that the driver of Postgres is loaded only if it is needed.
    return importlib.import_module(f"dbos.store.{'sqlite' if dialect == 'sqlite' else 'postgres'}.lifecycle")
