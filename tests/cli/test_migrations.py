"""`dbos migrate` and `dbos reset`, and the rights of the role that runs workflows."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from dbos import DBOS, DBOSClient
from tests.cli.conftest import Run
from tests.support.postgres import PostgresCluster
from tests.support.raw_sql import run_sql

pytestmark = pytest.mark.owner("creates schemas and roles")


def as_role(url: str, role: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{role}:pass@{parts.hostname}:{parts.port}").geturl()


@pytest.fixture
def role(postgres_url: str) -> Iterator[str]:
    """A role without any right of its own."""
    name = f"worker_{secrets.token_hex(4)}"
    run_sql(postgres_url, f"create role {name} login password 'pass'")
    yield name
    run_sql(postgres_url, f"drop owned by {name}")
    run_sql(postgres_url, f"drop role {name}")


def test_migrate_and_reset(run: Run, database_url: str) -> None:
    assert run("migrate", "-s", database_url, "--json").json["schema"] == "dbos"
    again = run("migrate", "-s", database_url, terminal=True)
    assert (again.code, again.out.startswith("Migrated ")) == (0, True)
    with DBOSClient(system_database_url=database_url) as client:
        assert client.list_workflows() == []
    declined = run("reset", "-s", database_url, says="n\n")
    assert declined.code == 130
    assert run("workflow", "list", "-s", database_url).code == 0
    assert run("reset", "-s", database_url, "-y").code == 0
    assert run("workflow", "list", "-s", database_url).code == 1
    run("migrate", "-s", database_url)  # the fixture expects its database


def test_further_commands_of_the_project(run: Run, sqlite_url: str) -> None:
    config = Path("dbos-config.yaml")
    config.write_text(
        f"system_database_url: {sqlite_url}\ndatabase: {{migrate: ['touch migrated', 'exit 3', 'touch no']}}"
    )
    ran = run("migrate")
    assert ran.code == 1
    assert "'exit 3', which dbos-config.yaml lists" in ran.err
    assert (Path("migrated").exists(), Path("no").exists()) == (True, False)


def catalogue(url: str, schema: str) -> list[tuple[object, ...]]:
    return run_sql(
        url,
        "select c.relname, c.relkind, a.attname, a.atttypid"
        " from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " left join pg_attribute a on a.attrelid = c.oid where n.nspname = ? order by 1, 2, 3",
        schema,
    )


def test_the_printed_migrations_make_the_same_database(run: Run, postgres_url: str, role: str) -> None:
    everything = run("migrate", "--print-migrations", "all", "--schema", "printed", "--print-user-role", "-r", role)
    assert everything.code == 0
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(everything.out.encode())
    run("migrate", "-s", postgres_url, "--schema", "migrated")
    assert catalogue(postgres_url, "printed") == catalogue(postgres_url, "migrated")

    DBOS(config={"name": "shop", "system_database_url": as_role(postgres_url, role), "dbos_system_schema": "printed",
                 "run_migrations": False})  # fmt: skip
    DBOS.launch()
    DBOS.destroy()

    first = run("migrate", "--print-migrations", "1", "--json").json["sql"]
    assert first.startswith("-- 1: system_tables\nbegin;\n")
    assert 'create schema if not exists "dbos";' in first


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        ("--print-migrations some", 2, "'some' is neither `all` nor a number"),
        ("--print-migrations 999", 1, "There is no migration 999: they are numbered from 1 to"),
        ("--print-user-role", 2, "--app-role ROLE"),
        ("-s sqlite:///a.sqlite --sharding", 1, "Sharded system databases are not supported"),
    ],
)
def test_what_migrate_refuses(run: Run, options: str, code: int, sentence: str) -> None:
    ran = run("migrate", *options.split())
    assert (ran.code, ran.out) == (code, "")
    assert sentence in ran.err


def test_the_application_role_has_what_it_needs_and_no_more(run: Run, postgres_url: str, role: str) -> None:
    assert run("migrate", "-s", postgres_url, "--app-role", role, "--json").json["application_role"] == role
    granted = run_sql(
        postgres_url,
        "select distinct privilege_type from information_schema.role_table_grants"
        " where grantee = ? and table_name <> 'dbos_migrations' order by 1",
        role,
    )
    assert [kind for (kind,) in granted] == ["DELETE", "INSERT", "SELECT", "UPDATE"]
    worker = as_role(postgres_url, role)
    assert run("workflow", "list", "-s", worker).code == 0
    for forbidden in (
        "create table dbos.mine (id int)",
        "alter table workflow_status add column mine int",
        "truncate workflow_status",
        "update dbos_migrations set version = 99",
        "create schema another",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            run_sql(worker, forbidden)
    run_sql(postgres_url, "create table dbos.of_a_later_version (id int)")
    run_sql(worker, "insert into of_a_later_version values (1)")


def test_the_role_may_run_transactions_in_a_database_of_their_own(
    run: Run, postgres: PostgresCluster, postgres_url: str, role: str
) -> None:
    other_url = postgres.create_database(f"{role}_data")
    try:
        assert run("migrate", "-s", postgres_url, "-D", other_url, "--app-role", role).code == 0
        worker, theirs = as_role(postgres_url, role), as_role(other_url, role)
        DBOS(config={"name": "shop", "system_database_url": worker, "application_database_url": theirs,
                     "run_migrations": False})  # fmt: skip

        @DBOS.transaction()
        def write() -> int:
            return 1

        @DBOS.workflow()
        def workflow() -> int:
            return write()

        DBOS.launch()
        assert workflow() == 1
        DBOS.destroy(destroy_registry=True)
        assert run_sql(other_url, "select output from dbos.transaction_outputs") == [("1",)]
    finally:
        run_sql(other_url, f"drop owned by {role}")
        postgres.drop_database(f"{role}_data")


def granted_by(text: str) -> str:
    """The statements that a message tells somebody to run."""
    return text[text.index("run:\n") + len("run:\n") :]


@pytest.mark.own_session("a pooler that cannot log in keeps its clients waiting")
def test_a_role_without_rights_is_told_the_exact_grant(run: Run, postgres_url: str, role: str) -> None:
    worker = as_role(postgres_url, role)
    ran = run("migrate", "-s", worker)
    assert ran.code == 1
    assert f'The role "{role}" may not create the schema "dbos"' in ran.err
    run_sql(postgres_url, granted_by(ran.err))
    assert run("migrate", "-s", worker).code == 0
    run_sql(postgres_url, "drop schema dbos cascade")

    run("migrate", "-s", postgres_url)
    ran = run("workflow", "list", "-s", worker)
    assert ran.code == 1
    assert f"dbos migrate --app-role {role}" in ran.err
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(granted_by(ran.err).encode())
    assert run("workflow", "list", "-s", worker).code == 0

    run_sql(postgres_url, f"revoke insert on all tables in schema dbos from {role}")
    DBOS(config={"name": "shop", "system_database_url": worker})
    with pytest.raises(
        Exception, match=f'grant select, insert, update, delete on all tables in schema "dbos" to "{role}"'
    ):
        DBOS.launch()
    DBOS.destroy()

    elsewhere = worker.rpartition("/")[0] + "/elsewhere_of_the_worker"
    ran = run("migrate", "-s", elsewhere)
    assert ran.code == 1
    assert f'create database "elsewhere_of_the_worker" owner "{role}";' in ran.err
