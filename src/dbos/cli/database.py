"""Which system database a command means, and a client that speaks to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from dbos.api.client import DBOSClient
from dbos.cli.failures import fail
from dbos.cli.project import read_project
from dbos.model.database_url import redact_url

VARIABLE = "DBOS_SYSTEM_DATABASE_URL"
MISSING = (
    "Missing database URL: please set it using CLI flags or your dbos-config.yaml file. "
    f"(--sys-db-url URL, `system_database_url`, or the environment variable {VARIABLE})"
)


class Onlooker(DBOSClient):
    """A client for people: whoever wrote a value into the database runs nothing where somebody looks at it."""

    _for_people = True


@dataclass(frozen=True, slots=True)
class Place:
    """Where the system database is."""

    url: str
    schema: str

    def __str__(self) -> str:
        return redact_url(self.url)

    @contextmanager
    def client(self) -> Iterator[DBOSClient]:
        """A client, which gives up at once if the database is away."""
        with Onlooker(
            system_database_url=self.url,
            dbos_system_schema=self.schema,
            system_database_pool_size=2,
            retry_connection_errors=False,
        ) as client:
            yield client


def on_database(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which database, and the `Place` they name as its first argument."""

    @click.option("-s", "--sys-db-url", metavar="URL", help="The system database.")
    @click.option("-D", "--db-url", metavar="URL", hidden=True, help="Accepted from older scripts.")
    @click.option("--schema", default="dbos", show_default=True, help="The schema of the system tables (Postgres).")
    @wraps(command)
    def with_place(sys_db_url: str | None, db_url: str | None, schema: str, **arguments: Any) -> None:
        command(Place(find_url(sys_db_url or db_url), schema), **arguments)

    return with_place


def find_url(given: str | None) -> str:
    """The URL given, else that of the project, else that of the environment, else the default file of the project."""
    if given:
        return given
    project = read_project(Path.cwd())
    if project is not None and project.system_database_url:
        return project.system_database_url
    if from_environment := os.environ.get(VARIABLE):
        return from_environment
    if project is not None and project.name:
        return f"sqlite:///{project.name.replace('-', '_')}.sqlite"  # as an application without a URL has it
    raise fail(MISSING)
