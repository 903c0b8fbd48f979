"""Connections of a supplied SQLAlchemy engine: taken out of its pool for good, so that only its settings are shared."""

from __future__ import annotations

from typing import Any, TypeVar

from dbos.error import DBOSInitializationError

T = TypeVar("T")


def take_connection(engine: Any, kind: type[T], failure: type[Exception]) -> T:
    """A raw connection of the driver. Errors of SQLAlchemy itself, such as an exhausted pool, come as `failure`."""
    try:
        pooled = engine.raw_connection()
        connection = pooled.driver_connection
        pooled.detach()
    except Exception as error:
        if type(error).__module__.startswith("sqlalchemy"):
            raise failure(f"the supplied engine gave no connection: {error}") from error
        raise
    if not isinstance(connection, kind):
        raise DBOSInitializationError(
            f"The engine of the system database has to use {kind.__module__.partition('.')[0]}, not "
            f"{type(connection).__module__.partition('.')[0]}: create it from postgresql+psycopg:// or sqlite:///"
        )
    return connection
