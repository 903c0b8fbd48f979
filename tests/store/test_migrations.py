"""How a database becomes ours: once, whole, and only if it is nobody else's."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tempfile
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dbos.error import DBOSInitializationError
from dbos.store.database import StoreSettings
from dbos.store.migrations.migrate import LINEAGE, Migration, migrate, migrations
from dbos.store.postgres.lifecycle import PostgresTarget
from dbos.store.sqlite.lifecycle import SqliteTarget
from dbos.store.store import Store
from tests.store.conftest import OpenStore
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually
from tests.support.warm_python import WarmPython

pytestmark = pytest.mark.owner("migrates")

NEWEST = migrations("sqlite")[-1].version

FOREIGN = {
    "its workflows": ["create table workflow_status (workflow_uuid text primary key, status text)"],
    "its migrations": ["create table dbos_migrations (version integer)", "insert into dbos_migrations values (99)"],
}


def lay_out(database_url: str, statements: list[str]) -> None:
    """Somebody else's tables, where ours would be."""
    if database_url.startswith("postgres"):
        run_sql(database_url, "create schema if not exists dbos")
    for statement in statements:
        run_sql(database_url, statement)


def content(database_url: str) -> object:
    """Everything there is: the bytes of a file, the catalogue of a server."""
    if database_url.startswith("sqlite"):
        return hashlib.sha256(Path(database_url.removeprefix("sqlite:///")).read_bytes()).hexdigest()
    return run_sql(
        database_url,
        "select c.relname, a.attname, c.relfilenode, pg_relation_size(c.oid) from pg_class c"
        " join pg_attribute a on a.attrelid = c.oid join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = 'dbos' order by 1, 2",
    )


@pytest.mark.parametrize("whose", FOREIGN)
@pytest.mark.parametrize("run_migrations", [True, False])
def test_another_librarys_database_is_refused_untouched(
    open_store: OpenStore, database_url: str, whose: str, run_migrations: bool
) -> None:
    lay_out(database_url, FOREIGN[whose])
    before = content(database_url)
    with pytest.raises(DBOSInitializationError, match="another library"):
        open_store(run_migrations=run_migrations)
    assert content(database_url) == before
    Store.truncate(StoreSettings(url=database_url))  # does not touch it either
    assert content(database_url) == before


def test_a_newer_database_is_refused_untouched(open_store: OpenStore, database_url: str) -> None:
    open_store().close()
    run_sql(
        database_url, "insert into dbos_migrations (version, lineage, applied_at_ms) values (?, ?, 0)", 999, LINEAGE
    )
    before = content(database_url)
    with pytest.raises(DBOSInitializationError, match="version 999"):
        open_store()
    assert content(database_url) == before
    open_store(run_migrations=False)  # whoever leaves the schema to others may run beside a newer one


def test_a_current_database_is_not_written_to_nor_locked(open_store: OpenStore, database_url: str) -> None:
    open_store().close()
    before = content(database_url)
    if database_url.startswith("postgres"):
        with psycopg.connect(database_url) as holder:  # an orphan of a migration that hangs
            holder.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{LINEAGE} dbos",))
            open_store().close()
    else:
        open_store().close()
    assert content(database_url) == before


RACER = r"""
import sys
from dbos.store.store import Store
from dbos.store.database import StoreSettings
sys.stdout.write("ready\n")  # a line at once, not its end by itself: the others write to the same file
sys.stdout.flush()
sys.stdin.readline()
with Store.open(StoreSettings(url=sys.argv[1])) as store:
    sys.stdout.write(f"{store.workflows.load('w')}\n")
"""


@pytest.mark.parametrize("missing", [False, True])
def test_ten_processes_race_and_migrate_once(database_url: str, missing: bool, warm_python: WarmPython) -> None:
    if missing:
        database_url += "_missing"  # they race to create it as well
    with tempfile.TemporaryFile() as answers:
        racers, gates = [], []
        for _ in range(10):
            reading, writing = os.pipe()
            with os.fdopen(reading) as theirs:
                racers.append(warm_python.start(["-c", RACER, database_url], stdin=theirs, stdout=answers))
            gates.append(os.fdopen(writing, "w"))
        eventually(lambda: os.fstat(answers.fileno()).st_size == 10 * len("ready\n"))
        for gate in gates:
            gate.close()
        assert [racer.wait(50) for racer in racers] == [0] * 10
        assert os.pread(answers.fileno(), 10_000, 0).decode().split()[10:] == ["None"] * 10
    assert run_sql(database_url, "select version, lineage from dbos_migrations") == [
        (migration.version, LINEAGE) for migration in migrations("sqlite")
    ]
    Store.drop(StoreSettings(url=database_url))


def test_a_hanging_migration_of_another_is_reported(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbos.store.postgres.lifecycle.LOCK_TIMEOUT_SECONDS", 0.1)
    with psycopg.connect(postgres_url) as holder:
        holder.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{LINEAGE} dbos",))
        with pytest.raises(DBOSInitializationError, match="pg_locks"):
            Store.open(StoreSettings(url=postgres_url))


def test_a_failing_step_leaves_nothing_of_itself(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the steps before it stay: a corrected one goes on from there."""
    dialect = "sqlite" if database_url.startswith("sqlite") else "postgres"
    prefix = "" if dialect == "sqlite" else "{schema}."
    done = migrations(dialect)
    half = f"create table {prefix}half (id integer);\ncreate table {prefix}half (id integer);\n"
    whole = f"create table {prefix}half (id integer);\n"
    versions = "select version from dbos_migrations order by version"

    Store.migrate(StoreSettings(url=database_url))
    monkeypatch.setattr(
        "dbos.store.migrations.migrate.migrations", lambda _: [*done, Migration(NEWEST + 1, "bad", half)]
    )
    with pytest.raises(DBOSInitializationError):
        Store.open(StoreSettings(url=database_url))
    assert run_sql(database_url, versions) == [(migration.version,) for migration in done]

    monkeypatch.setattr(
        "dbos.store.migrations.migrate.migrations", lambda _: [*done, Migration(NEWEST + 1, "good", whole)]
    )
    Store.open(StoreSettings(url=database_url)).close()
    assert run_sql(database_url, versions)[-1] == (NEWEST + 1,)
    assert run_sql(database_url, "select * from half") == []


def test_an_empty_database_gets_all_steps_or_none(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dialect = "sqlite" if database_url.startswith("sqlite") else "postgres"
    done = migrations(dialect)
    bad = Migration(NEWEST + 1, "bad", "create nonsense;\n")
    with monkeypatch.context() as patch, pytest.raises(DBOSInitializationError):
        patch.setattr("dbos.store.migrations.migrate.migrations", lambda _: [*done, bad])
        Store.open(StoreSettings(url=database_url))
    tables = {
        "sqlite": "select name from sqlite_schema",
        "postgres": "select 1 from pg_namespace where nspname = 'dbos'",
    }
    assert run_sql(database_url, tables[dialect]) == []
    Store.open(StoreSettings(url=database_url)).close()


# ------------------------------------------------------------ the schema for reading


def schema_text(dialect: str) -> str:
    return (files("dbos.store") / dialect / "schema.sql").read_text(encoding="utf-8")


def test_the_readable_schema_of_sqlite_is_what_the_migrations_build(tmp_path: Path) -> None:
    def shape(connection: sqlite3.Connection) -> list[Any]:
        tables = [
            row[0] for row in connection.execute("select name from sqlite_master where type = 'table' order by 1")
        ]
        return [
            (
                table,
                connection.execute("select * from pragma_table_xinfo(?)", (table,)).fetchall(),
                connection.execute("select * from pragma_table_list(?)", (table,)).fetchall(),
                [
                    (index, connection.execute("select * from pragma_index_xinfo(?)", (index[1],)).fetchall())
                    for index in connection.execute("select * from pragma_index_list(?)", (table,)).fetchall()
                ],
                connection.execute(
                    "select sql from sqlite_master where type = 'index' and tbl_name = ? order by 1", (table,)
                ).fetchall(),
            )
            for table in tables
        ]

    with (
        closing(sqlite3.connect(tmp_path / "read.sqlite")) as read,
        closing(sqlite3.connect(tmp_path / "built.sqlite", isolation_level=None)) as built,
    ):
        read.executescript(schema_text("sqlite"))
        migrate(SqliteTarget(built, tmp_path), "sqlite", run_migrations=True)
        assert shape(read) == shape(built)


def test_the_readable_schema_of_postgres_is_what_the_migrations_build(postgres_url: str) -> None:
    columns = """
        select
            table_name, column_name, ordinal_position, data_type, collation_name,
            is_nullable, column_default, is_identity
        from information_schema.columns where table_schema = %s order by table_name, ordinal_position"""
    indexes = (
        "select tablename, replace(indexdef, schemaname || '.', '') from pg_indexes where schemaname = %s order by 1, 2"
    )
    storage = """
        select relname, relkind::text, reloptions from pg_class
        where relnamespace = (select oid from pg_namespace where nspname = %s) order by relname"""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("create schema reading")
        connection.execute(schema_text("postgres").replace("{schema}", "reading"))
        migrate(PostgresTarget(connection, "building"), "postgres", run_migrations=True)
        for query in (columns, indexes, storage):
            read, built = (connection.execute(query, (schema,)).fetchall() for schema in ("reading", "building"))
            assert read == built
            assert read


def test_both_dialects_have_the_same_steps_tables_and_columns(sqlite_url: str, postgres_url: str) -> None:
    assert [(each.version, each.name) for each in migrations("sqlite")] == [
        (each.version, each.name) for each in migrations("postgres")
    ]
    for url in (sqlite_url, postgres_url):
        Store.open(StoreSettings(url=url)).close()
    tables = ("dbos_migrations", "workflow_status", "operation_outputs", "executors", "workflow_schedules")
    for table in tables:
        lite = {row[0] for row in run_sql(sqlite_url, "select name from pragma_table_info(?)", table)}
        rows = run_sql(
            postgres_url,
            "select column_name from information_schema.columns where table_schema = 'dbos' and table_name = ?",
            table,
        )
        assert lite == {row[0] for row in rows}
