"""Bring a database to our schema: forward only, each step once, in a transaction of its own; an empty database in one.

A database that holds tables of our names but not our mark belongs to another library, perhaps to an older generation of
this API, and is refused untouched; so is one that a newer version of this library has migrated, unless we are told not
to migrate: then whoever migrates elsewhere decides what fits. A database that is current costs one query and no lock.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from functools import cache
from typing import Protocol

from dbos.error import DBOSInitializationError
from dbos.fields import NamedTuple

LINEAGE = "dbos-journal"  # the mark: `dbos_migrations.lineage` of every step we applied


class Migration(NamedTuple):
    version: int
    name: str
    script: str  # `{schema}` stands for the schema, quoted


class Target(Protocol):
    """A database as the migrations see it."""

    def version(self) -> int | None:
        """The newest step applied, 0 if there is nothing of ours yet, None if it is another library's."""

    def exclusively(self) -> AbstractContextManager[None]:
        """A transaction that no other migration runs beside."""

    def apply(self, migration: Migration) -> None:
        """Run the script and record the step."""

    def __str__(self) -> str:
        """What to call it in messages, without secrets."""


@cache
def migrations(dialect: str) -> list[Migration]:
    """All steps of a dialect in order."""
    folder = os.path.join(os.path.dirname(__file__), dialect)
    found = []
    for each in sorted(os.listdir(folder)):
        number, _, name = each.removesuffix(".sql").partition("_")
        if number.isdecimal():
            with open(os.path.join(folder, each), encoding="utf-8") as file:
                found.append(Migration(int(number), name, file.read()))
    return found


def migrate(target: Target, dialect: str, run_migrations: bool) -> None:
    """Check a database and, unless told only to verify, bring it up to date."""
    newest = migrations(dialect)[-1].version
    version = recognised(target)
    if version > newest and run_migrations:
        raise DBOSInitializationError(
            f"{target} has schema version {version}, but this version of the library knows only {newest}. "
            "Upgrade the library, or use another database."
        )
    if version >= newest:
        return
    if not run_migrations:
        state = f"has schema version {version}" if version else "has no DBOS tables"
        raise DBOSInitializationError(
            f"{target} {state}, version {newest} is needed, and nothing is migrated here: a client never does, nor "
            "does an application with `run_migrations` off. Launch one with it on, or run `dbos migrate`, "
            "in a role that may create tables."
        )
    steps = migrations(dialect)
    for together in [steps] if version == 0 else [[step] for step in steps]:
        with target.exclusively():
            version = recognised(target)  # somebody else may have been faster
            for step in together:
                if version < step.version:
                    target.apply(step)


def recognised(target: Target) -> int:
    """The version of a database that is ours or empty; raises for any other."""
    version = target.version()
    if version is None:
        raise DBOSInitializationError(
            f"{target} holds tables of another library or of an incompatible release (a `workflow_status` or "
            "`dbos_migrations` table without this library's mark). It was left untouched. Choose another database"
            " or, on Postgres, another schema (`dbos_system_schema`)."
        )
    return version
