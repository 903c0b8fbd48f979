"""A role that lacks a right is told the exact statement that gives it."""

from __future__ import annotations

import getpass
import os
from typing import Any

from psycopg import errors

LACKS_RIGHT = errors.InsufficientPrivilege
ROW_RIGHTS = "select, insert, update, delete"


def quote(identifier: str) -> str:
    """An identifier in SQL: the only place where one is quoted."""
    return '"' + identifier.replace('"', '""') + '"'


def grants(schema: str, role: str) -> list[str]:
    """What the role that runs workflows needs: to read and write the rows of our tables, and nothing else.

    The default privileges are for the tables of later migrations; they hold for those of the role that runs this.
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


def remedy(error: LACKS_RIGHT, schema: str, parameters: dict[str, Any]) -> str:
    """What is missing and who must run what, as a sentence and statements to copy."""
    role = str(parameters.get("user") or os.environ.get("PGUSER") or getpass.getuser())
    database = str(parameters.get("dbname") or role)
    says = (error.diag.message_primary or str(error)).strip()
    if "create database" in says:
        return (
            f'The role "{role}" may not create the database "{database}": {says}. Let a role that may do so run:\n'
            f"{script([f'create database {quote(database)} owner {quote(role)}'])}"
        )
    if "for database" in says:
        return (
            f'The role "{role}" may not create the schema "{schema}": {says}. Run `dbos migrate` as a role that may, '
            "or let the owner of the database run:\n"
            f"{script([f'grant create on database {quote(database)} to {quote(role)}'])}"
        )
    if "owner" in says:
        return (
            f'The role "{role}" may not change what another one owns: {says}. Run `dbos migrate`, or `dbos reset`, as '
            "the role that owns it."
        )
    return (
        f'The role "{role}" may not use the schema "{schema}": {says}. Run `dbos migrate --app-role {role}` as the '
        f"role that owns its tables, or let it run:\n{script(grants(schema, role))}"
    )


def script(statements: list[str]) -> str:
    """Statements for `psql`, or for people to copy."""
    return "".join(f"{statement};\n" for statement in statements)
