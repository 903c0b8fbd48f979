"""Create or migrate a system database without launching anything."""

from __future__ import annotations

from dbos.api.assembly import store_settings
from dbos.api.configuration import DBOSConfig, read_config
from dbos.error import DBOSInitializationError
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
    config: DBOSConfig = {
        "name": "migrations",
        "system_database_url": system_database_url,
        "dbos_system_schema": schema,
    }
    Store.migrate(store_settings(read_config(config, {})), application_role)
