"""A table of the user's, in the database of a test: what transactions write to."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from dbos import DBOS
from tests.support.raw_sql import run_sql

INSERT = text("insert into ledger (note) values (:note)")


def create_table(database_url: str) -> None:
    """An append-only ledger, and a counter that starts at 0."""
    sqlite = database_url.startswith("sqlite")
    schema, serial = ("main", "integer") if sqlite else ("public", "serial")
    run_sql(database_url, f"create table if not exists {schema}.ledger (id {serial} primary key, note text not null)")
    run_sql(database_url, f"create table if not exists {schema}.counter (id integer primary key, n integer not null)")
    run_sql(database_url, "delete from ledger")
    run_sql(database_url, "delete from counter")
    run_sql(database_url, "insert into counter (id, n) values (1, 0)")


def write(note: str) -> None:
    """Add to the ledger, in a transaction."""
    DBOS.sql_session.execute(INSERT, {"note": note})


def notes(database_url: str) -> list[str]:
    """What stands in the ledger, in order."""
    return [note for (note,) in run_sql(database_url, "select note from ledger order by id")]


def witnesses(database_url: str, table: str = "transaction_outputs") -> list[tuple[Any, ...]]:
    """(workflow, step, did it fail) of every witness."""
    key = "workflow_uuid, function_id" if table == "transaction_outputs" else "workflow_id, step_id"
    rows = run_sql(database_url, f"select {key}, error from {table} order by 1, 2")
    return [(workflow_id, step_id, error is not None) for workflow_id, step_id, error in rows]
