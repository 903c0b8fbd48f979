"""`dbos migrate` and `dbos reset`: make a system database, print how it is made, and drop it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import click

from dbos.api.application import DBOS
from dbos.api.migration import (
    grants_as_sql,
    migrate_application_database,
    migrations_as_sql,
    run_dbos_database_migrations,
)
from dbos.cli.database import Place, find_url, on_database
from dbos.cli.failures import fail
from dbos.cli.output import as_json, report, show_json
from dbos.cli.project import FILE, read_project


@click.command()
@click.option("-s", "--sys-db-url", metavar="URL", help="The system database.")
@click.option("-D", "--db-url", metavar="URL", help="That of transactions, if it is another; alone, the same as -s.")
@click.option("--schema", default="dbos", show_default=True, help="The schema of the system tables (Postgres).")
@click.option("-r", "--app-role", metavar="ROLE", help="Grant this role what running workflows takes, and no more.")
@click.option("--print-migrations", metavar="all|N", help="Print the SQL of all migrations, or of one; change nothing.")
@click.option("--print-user-role", is_flag=True, help="Print the SQL of what --app-role is granted; change nothing.")
@click.option("--sharding", is_flag=True, help="Not supported.")
@as_json
def migrate(
    sys_db_url: str | None,
    db_url: str | None,
    schema: str,
    app_role: str | None,
    print_migrations: str | None,
    print_user_role: bool,
    sharding: bool,
    as_json: bool,
) -> None:
    """Create the system database, or bring it to the version of this library.

    Run it as a role that may create tables, and name the role of the application with --app-role: that one may read and
    write rows, and nothing else. With both -s and -D, that holds for the table of transactions in the other one too.
    Then the `database: migrate:` commands of dbos-config.yaml are run.
    """
    if print_migrations is not None or print_user_role:
        _print(schema, app_role, print_migrations, print_user_role, as_json)
        return
    place = Place(find_url(sys_db_url or db_url), schema)
    run_dbos_database_migrations(place.url, schema=schema, application_role=app_role, sharding=sharding)
    if sys_db_url and db_url and db_url != sys_db_url:
        migrate_application_database(db_url, schema=schema, application_role=app_role)
    for command in _further_commands():
        click.echo(f"$ {command}", err=True)
        code = subprocess.run(command, shell=True, check=False, stdout=2 if as_json else None).returncode
        if code != 0:
            raise fail(f"{command!r}, which {FILE} lists under `database: migrate:`, ended with exit code {code}")
    if as_json:
        show_json({"system_database_url": str(place), "schema": schema, "application_role": app_role})
    else:
        report(f"Migrated {place}", str(place))


def _print(schema: str, role: str | None, wanted: str | None, prints_role: bool, as_json: bool) -> None:
    scripts = []
    if wanted is not None:
        if wanted != "all" and not wanted.isdecimal():
            raise click.BadParameter(f"{wanted!r} is neither `all` nor a number", param_hint="--print-migrations")
        scripts.append(migrations_as_sql(schema, None if wanted == "all" else int(wanted)))
    if prints_role:
        if role is None:
            raise click.UsageError("--print-user-role takes the role, too: --app-role ROLE")
        scripts.append(grants_as_sql(schema, role))
    sql = "\n".join(scripts)
    if as_json:
        show_json({"sql": sql})
    else:
        click.echo(sql, nl=False)


def _further_commands() -> tuple[str, ...]:
    project = read_project(Path.cwd())
    return () if project is None else project.migrate


@click.command()
@on_database
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@as_json
def reset(place: Place, yes: bool, as_json: bool) -> None:
    """Drop the system database with every workflow in it."""
    if not yes:
        click.confirm(f"Drop {place} with every workflow in it, for good?", abort=True, err=True)
    DBOS.reset_system_database(system_database_url=place.url, schema=place.schema)
    if as_json:
        show_json({"system_database_url": str(place)})
    else:
        report(f"Dropped {place}", str(place))
