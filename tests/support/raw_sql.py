"""Plain SQL on a system database, past the library and what leads to it: what tests plant there, and what they find."""

from __future__ import annotations

import sqlite3
from typing import Any, Self

import psycopg

from tests.support.postgres import past_entrance


class Sql:
    """A connection of the test's own, for those who look often. Each call is one statement in its own transaction."""

    def __init__(self, database_url: str) -> None:
        self._connection: sqlite3.Connection | psycopg.Connection[Any]
        if database_url.startswith("sqlite:///"):
            path = database_url.removeprefix("sqlite:///")
            self._connection = sqlite3.connect(path, timeout=30, isolation_level=None)
        else:
            options = "-c search_path=dbos,public"
            self._connection = psycopg.connect(past_entrance(database_url), options=options, autocommit=True)

    def __call__(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement; `?` stands for a value."""
        if isinstance(self._connection, sqlite3.Connection):
            return self._connection.execute(statement, values).fetchall()
        cursor = self._connection.execute(statement.replace("?", "%s").encode(), values)
        return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def run_sql(database_url: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run one statement in a transaction of its own and return its rows; `?` stands for a value."""
    with Sql(database_url) as sql:
        return sql(statement, *values)


def count_rows(database_url: str) -> dict[str, int]:
    """How many workflows and steps there are: nothing was written if this does not change."""
    with Sql(database_url) as sql:
        return {table: sql(f"select count(*) from {table}")[0][0] for table in ("workflow_status", "operation_outputs")}
