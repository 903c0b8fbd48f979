"""Connections of a supplied SQLAlchemy engine: taken out of its pool for good, so that only its settings are shared."""

from __future__ import annotations

from typing import Any, TypeVar

from dbos.error import DBOSInitializationError

T = TypeVar("T")


def take_connection(engine: Any, kind: type[T], failure: type[Exception]) -> T:
    """A raw connection of the driver.

    What others raise on the way, such as an exhausted pool or a hook of the user's, comes as `failure`: it is waited
    for like a database that is away.
    """
    try:
        pooled = engine.raw_connection()
        connection = pooled.driver_connection
        pooled.detach()
    except Exception as error:
        if isinstance(error, failure.__bases__):  # of the driver itself
            raise
        raise failure(f"the supplied engine gave no connection: {type(error).__name__}: {error}") from error
    if not isinstance(connection, kind):
        raise DBOSInitializationError(
            f"The engine of the system database has to use {kind.__module__.partition('.')[0]}, not "
            f"{type(connection).__module__.partition('.')[0]}: create it from postgresql+psycopg:// or sqlite:///"
        )
    return connection
