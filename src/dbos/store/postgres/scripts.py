"""The migrations as SQL text: for ourselves to run, and for administrators who run everything themselves."""

from __future__ import annotations

from dbos.error import DBOSInitializationError
from dbos.store.migrations.migrate import LINEAGE, Migration, migrations
from dbos.store.postgres.notifier import channel_of
from dbos.store.postgres.rights import script
from dbos.store.quoting import quote


def create_schema(schema: str) -> str:
    return f"create schema if not exists {quote(schema)}"


def create_mark(schema: str) -> str:
    """The table of applied migrations, which is also what tells our tables from others of the same names."""
    return (
        f"create table if not exists {quote(schema)}.dbos_migrations"
        " (version integer primary key, lineage text not null, applied_at_ms bigint not null)"
    )


def record(schema: str, migration: Migration) -> str:
    """Note that a migration was applied."""
    return (
        f"insert into {quote(schema)}.dbos_migrations (version, lineage, applied_at_ms)"
        f" values ({migration.version}, '{LINEAGE}', cast(extract(epoch from statement_timestamp()) * 1000 as bigint))"
    )


def body(schema: str, migration: Migration) -> str:
    """The statements of a migration. `{channel}` stands for the text that names the schema's channel of wake-ups."""
    channel = "'" + channel_of(schema).replace("'", "''") + "'"
    return migration.script.replace("{schema}", quote(schema)).replace("{channel}", channel)


def migration_script(schema: str, only: int | None = None) -> str:
    """The migrations, all or the one of this number, as a script for `psql`: each in a transaction of its own.

    Raises DBOSInitializationError for a number that there is not.
    """
    wanted = [each for each in migrations("postgres") if only is None or each.version == only]
    if not wanted:
        newest = migrations("postgres")[-1].version
        raise DBOSInitializationError(f"There is no migration {only}: they are numbered from 1 to {newest}")
    return "\n".join(_transaction(schema, each) for each in wanted)


def _transaction(schema: str, migration: Migration) -> str:
    statements = [body(schema, migration).strip().removesuffix(";"), record(schema, migration)]
    if migration.version == 1:
        statements = [create_schema(schema), create_mark(schema), *statements]
    return f"-- {migration.version}: {migration.name}\nbegin;\n" + script(statements) + "commit;\n"
