"""Create or migrate a system database without launching anything."""

from __future__ import annotations

from dbos.api.assembly import store_settings
from dbos.api.configuration import DBOSConfig, read_config
from dbos.error import DBOSInitializationError
from dbos.runtime.transaction import require_sqlalchemy
from dbos.store.database import StoreSettings
from dbos.store.store import Store


def run_dbos_database_migrations(
    system_database_url: str, *, schema: str = "dbos", application_role: str | None = None, sharding: bool = False
) -> None:
    """Create the database, schema and tables, up to the version of this library.

    Args:
        system_database_url: The database; the role in it must be allowed to create things.
        schema: The schema of the tables (Postgres).
        application_role: A role that is granted what running workflows takes, and no more (Postgres).
        sharding: Must be False.

    Raises DBOSInitializationError if the database cannot be reached or belongs to something else.
    """
    if sharding:
        raise DBOSInitializationError("Sharded system databases are not supported; leave out sharding=True")
    Store.migrate(_settings(system_database_url, schema), application_role)


def migrate_application_database(url: str, *, schema: str = "dbos", application_role: str | None = None) -> None:
    """Create in a database what `@DBOS.transaction` needs there, and let a role use it (Postgres).

    Raises DBOSInitializationError if it cannot be reached, or the table is not ours.
    """
    require_sqlalchemy("A database of transactions")
    from dbos.userdata.database import UserDatabase

    database = UserDatabase(UserDatabase.engine(url, {}), "transaction", schema)
    try:
        database.prepare(True, application_role)
    finally:
        database.close_all()


def migrations_as_sql(schema: str, only: int | None = None) -> str:
    """What migrating an empty Postgres runs, as a script for `psql`: all steps, or only the one of a number.

    Raises DBOSInitializationError for a number that there is not.
    """
    return Store.migrations_as_sql(_settings(ANY_POSTGRES, schema), only)


def grants_as_sql(schema: str, application_role: str) -> str:
    """What an application role is granted, as a script for `psql`."""
    return Store.grants_as_sql(_settings(ANY_POSTGRES, schema), application_role)


ANY_POSTGRES = "postgresql://localhost/any"  # names the dialect; nothing connects


def _settings(url: str, schema: str) -> StoreSettings:
    config: DBOSConfig = {"name": "migrations", "system_database_url": url, "dbos_system_schema": schema}
    return store_settings(read_config(config, {}))
