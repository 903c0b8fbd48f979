"""Enqueueing and sending in a transaction of the caller's: what it writes happens if and only if the caller commits."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVar, cast

from dbos.error import DBOSException
from dbos.runtime.engine import Engine
from dbos.runtime.interpreters import run_blocking
from dbos.runtime.operation import Operation
from dbos.store.store import Store

T = TypeVar("T")


def perform_within(engine: Engine, conn_or_session: Any, make: Callable[[Engine], Operation[T]]) -> T:
    """Perform an operation through a connection of the user's, in its transaction.

    It belongs to no workflow, wherever it is called: a step that records it would not be part of the transaction.
    """
    store = engine.store.within(_driver_connection(conn_or_session))
    guest = copy.copy(engine)
    guest.store = cast(Store, store)
    guest.load = store.workflows.load  # type: ignore[assignment]
    return Context().run(lambda: run_blocking(guest, make(guest)))


def _driver_connection(given: Any) -> Any:
    """The driver's connection beneath a SQLAlchemy Connection or Session. Raises DBOSException for anything else."""
    if hasattr(given, "sync_session") or hasattr(given, "sync_connection"):
        raise DBOSException(
            "An async session or connection cannot be used here: await session.run_sync(lambda session: client. ...)"
        )
    connection = given.connection() if callable(getattr(given, "connection", None)) else given
    if not hasattr(connection, "exec_driver_sql"):
        raise DBOSException(f"Pass a sqlalchemy Connection or Session, not {given!r}")
    connection.exec_driver_sql("select 1")  # begins a transaction that was not begun, as any statement of his would
    return connection.connection.driver_connection
