"""Databases that are not ours are refused untouched."""

import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from dbos import DBOS
from dbos.error import DBOSInitializationError
from tests.support.postgres import past_entrance

Launch = Callable[..., type[DBOS]]


def contents(url: str) -> str:
    """Everything that a launch could have touched."""
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        others = sorted(each.name for each in path.parent.iterdir() if each.name.startswith(path.name))
        return f"{others} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    with psycopg.connect(url) as connection:
        columns = connection.execute(
            "select table_schema, table_name, column_name, data_type from information_schema.columns"
            " where table_schema not in ('pg_catalog', 'information_schema') order by 1, 2, ordinal_position"
        ).fetchall()
        counts = [
            connection.execute(psycopg.sql.SQL("select * from {}").format(psycopg.sql.Identifier(*name))).fetchall()
            for name in sorted({column[:2] for column in columns})
        ]
        return f"{columns} {counts}"


def plant(url: str, *statements: str) -> None:
    """Run statements and leave nothing open; on SQLite nothing in a log beside the file either."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()
        return
    with psycopg.connect(past_entrance(url)) as connection:
        connection.execute("create schema if not exists dbos")
        connection.execute("set search_path = dbos")
        for statement in statements:
            connection.execute(statement.encode())


@pytest.mark.owner("there the tables exist")
def test_the_database_of_another_library_is_refused_untouched(launch: Launch, database_url: str) -> None:
    plant(
        database_url,
        "create table workflow_status (workflow_uuid text primary key, status text)",
        "insert into workflow_status values ('theirs', 'PENDING')",
    )
    before = contents(database_url)
    with pytest.raises(DBOSInitializationError, match="another library"):
        launch()
    assert contents(database_url) == before


def test_a_newer_schema_is_refused_untouched(launch: Launch, database_url: str) -> None:
    launch()
    DBOS.destroy()
    plant(database_url, "update dbos_migrations set version = version + 1000")
    before = contents(database_url)
    with pytest.raises(DBOSInitializationError, match="Upgrade the library"):
        launch()
    assert contents(database_url) == before
    plant(database_url, "update dbos_migrations set version = version - 1000")
    launch()
