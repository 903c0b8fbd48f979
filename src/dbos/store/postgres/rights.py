"""A role that lacks a right is told the exact statement that gives it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from psycopg import errors

from dbos.error import DBOSInitializationError
from dbos.store.quoting import quote

LACKS_RIGHT = errors.InsufficientPrivilege
ROW_RIGHTS = "select, insert, update, delete"


def grants(schema: str, role: str) -> list[str]:
    """What the role that runs workflows needs: to use the rows of our tables and our functions, and nothing else.

    The default privileges are for those of later migrations; they hold for what the role that runs this creates.
    """
    where, who = quote(schema), quote(role)
    return [
        f"grant usage on schema {where} to {who}",
        f"grant {ROW_RIGHTS} on all tables in schema {where} to {who}",
        f"revoke insert, update, delete on {where}.dbos_migrations from {who}",
        f"grant usage on all sequences in schema {where} to {who}",
        f"grant execute on all functions in schema {where} to {who}",
        f"alter default privileges in schema {where} grant {ROW_RIGHTS} on tables to {who}",
        f"alter default privileges in schema {where} grant usage on sequences to {who}",
        f"alter default privileges in schema {where} grant execute on functions to {who}",
    ]


@contextmanager
def needing(sentence: Callable[[LACKS_RIGHT], str]) -> Iterator[None]:
    """Who lacks the right to do what the body does is told so."""
    try:
        yield
    except LACKS_RIGHT as error:
        raise DBOSInitializationError(sentence(error)) from error


def to_use_schema(error: LACKS_RIGHT, schema: str, role: str) -> str:
    """What to say to a role that cannot read or write our tables."""
    return (
        f'The role "{role}" may not use the schema "{schema}": {_says(error)}. Run `dbos migrate --app-role {role}` as '
        f"the role that owns its tables, or let it run:\n{script(grants(schema, role))}"
    )


def to_create_database(error: LACKS_RIGHT, database: str, role: str) -> str:
    """What to say to a role that cannot create the database."""
    return (
        f'The role "{role}" may not create the database "{database}": {_says(error)}. Let a role that may do so run:\n'
        f"{script([f'create database {quote(database)} owner {quote(role)}'])}"
    )


def to_create_schema(error: LACKS_RIGHT, schema: str, database: str, role: str) -> str:
    """What to say to a role that cannot create the schema."""
    return (
        f'The role "{role}" may not create the schema "{schema}": {_says(error)}. Run `dbos migrate` as a role that '
        "may, or let the owner of the database run:\n"
        f"{script([f'grant create on database {quote(database)} to {quote(role)}'])}"
    )


def to_change(error: LACKS_RIGHT, role: str) -> str:
    """What to say to a role that cannot create, empty or drop what another one owns."""
    return (
        f'The role "{role}" may not change what another one owns: {_says(error)}. Run `dbos migrate`, or `dbos reset`, '
        "as the role that owns it."
    )


def _says(error: LACKS_RIGHT) -> str:
    """The server's words, in whatever language: for people. What is missing is known by what was being done."""
    return (error.diag.message_primary or str(error)).strip()


def script(statements: list[str]) -> str:
    """Statements for `psql`, or for people to copy."""
    return "".join(f"{statement};\n" for statement in statements)
