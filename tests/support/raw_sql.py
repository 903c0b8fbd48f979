"""Plain SQL on a system database, past the library: what a test plants there, and what it finds there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import psycopg


def run_sql(database_url: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run one statement in a transaction of its own and return its rows; `?` stands for a value."""
    if database_url.startswith("sqlite:///"):
        with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"), timeout=30)) as connection:
            with connection:
                return connection.execute(statement, values).fetchall()
    with psycopg.connect(database_url, options="-c search_path=dbos,public") as connection:
        cursor = connection.execute(statement.replace("?", "%s").encode(), values)
        return cursor.fetchall() if cursor.description else []


def count_rows(database_url: str) -> dict[str, int]:
    """How many workflows and steps there are: nothing was written if this does not change."""
    return {
        table: run_sql(database_url, f"select count(*) from {table}")[0][0]
        for table in ("workflow_status", "operation_outputs")
    }
