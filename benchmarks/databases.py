"""Fresh databases for the scripts: a new SQLite file, or a new database on a Postgres of our own.

Both keep their default durability and lie on the disk that holds temporary files; a temporary directory in memory
would make every commit free and the comparison worthless, so its file system is part of the machine's description.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Protocol

import psycopg

from benchmarks.catalogue import DatabaseKind
from tests.support.postgres import PostgresCluster


class Databases(Protocol):
    """Where a kind of database comes from."""

    @property
    def kind(self) -> DatabaseKind: ...
    def fresh(self) -> AbstractContextManager[str]:
        """The URL of an empty database that vanishes afterwards."""
        ...

    def execute(self, url: str, statements: list[str]) -> list[tuple[object, ...]]:
        """Run statements one by one, each committed, and return the rows of the last."""
        ...

    def version(self) -> str: ...
    def close(self) -> None: ...


class SqliteDatabases:
    kind: DatabaseKind = "sqlite"

    @contextmanager
    def fresh(self) -> Iterator[str]:
        with tempfile.TemporaryDirectory(prefix="dbos-bench-") as directory:
            yield f"sqlite:///{Path(directory) / 'benchmark.sqlite'}"

    def execute(self, url: str, statements: list[str]) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        try:
            return [connection.execute(statement).fetchall() for statement in statements][-1]
        finally:
            connection.close()

    def version(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}"

    def close(self) -> None:
        """Nothing outlives `fresh`."""


class PostgresDatabases:
    kind: DatabaseKind = "postgres"

    def __init__(self) -> None:
        self._cluster = PostgresCluster(durable=True)
        self._cluster.start()
        self._numbers = count(1)

    @contextmanager
    def fresh(self) -> Iterator[str]:
        name = f"benchmark_{next(self._numbers)}"
        yield self._cluster.create_database(name)
        self._cluster.drop_database(name)

    def execute(self, url: str, statements: list[str]) -> list[tuple[object, ...]]:
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in statements:
                # Ours alone and built from the catalogue's own names: see `history.py`.
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def version(self) -> str:
        [(version,)] = self.execute(self._cluster.url(), ["show server_version"])
        return f"Postgres {str(version).split()[0]}"

    def close(self) -> None:
        self._cluster.close()


class OpenDatabases:
    """The kinds asked for, opened together and closed together."""

    def __init__(self, kinds: list[DatabaseKind]) -> None:
        self._kinds = kinds
        self._open: dict[DatabaseKind, Databases] = {}

    def __enter__(self) -> dict[DatabaseKind, Databases]:
        for kind in self._kinds:
            self._open[kind] = PostgresDatabases() if kind == "postgres" else SqliteDatabases()
        return self._open

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for databases in self._open.values():
            databases.close()
