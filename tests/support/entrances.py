"""How tests reach a database of their own, where an option of the suite wants another way than the straight one."""

from __future__ import annotations

import psycopg
from psycopg import sql

from dbos import SQLAlchemyDatasource, run_dbos_database_migrations
from tests.support.pooler import Pooler
from tests.support.postgres import PostgresCluster
from tests.support.waiting import eventually

WORKER = "worker"


def through_pooler(pooler: Pooler, database: str) -> str:
    """The URL through a pooler."""
    url = pooler.url(database)
    eventually(lambda: _is_open(url), timeout_seconds=5)  # it remembers for a while that the database was not there
    return url


def _is_open(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def as_worker(cluster: PostgresCluster, database: str) -> str:
    """The URL of a role that has what our migrations grant, and may have tables of its own beside ours."""
    user, password = cluster.credentials
    owner_url = cluster.url(database)
    with psycopg.connect(owner_url, autocommit=True) as connection:
        if connection.execute("select from pg_roles where rolname = %s", (WORKER,)).fetchone() is None:
            connection.execute(sql.SQL("create role worker login password {}").format(password))
        for owned in (sql.SQL("schema public"), sql.SQL("database {}").format(sql.Identifier(database))):
            connection.execute(sql.SQL("grant create on {} to worker").format(owned))
        # What a test makes for an application, it makes as the owner.
        connection.execute("alter default privileges in schema public grant all on tables to worker")
        connection.execute("alter default privileges in schema public grant all on sequences to worker")
    run_dbos_database_migrations(owner_url, application_role=WORKER)
    SQLAlchemyDatasource.migrate(owner_url, application_role=WORKER)
    return owner_url.replace(f"//{user}:", f"//{WORKER}:", 1)
