"""Whose session of the server this is: ours alone, or one that a connection pooler gives us for a transaction.

A pooler in transaction mode answers each transaction from another session, and gives the last one to somebody else.
What we leave in a session (settings, prepared statements, LISTEN) would be missing where we need it, and work where
nobody asked for it: a statement that another program prepared under the same name would run in the place of ours. So a
session of a pooler's is left as it was found. It is known by who answers: a server tells each connection which of its
processes serves it, and a pooler makes up a number of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from dbos.error import DBOSInitializationError
from dbos.store.database import Role
from dbos.store.quoting import quote

PLANNER_SWITCHES = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin")

# Whatever the role, the database or the server has for others: values as SQL.
_FOR_ALL: Mapping[str, str] = {
    # What is cut off is tried again: a timeout that a statement of ours never keeps would stop us for good.
    "statement_timeout": "'0'",
    "lock_timeout": "'0'",  # but see below
    "transaction_timeout": "'0'",  # since Postgres 17
    # Who waited for a row must see what was committed meanwhile; any stricter level is an error there.
    "default_transaction_isolation": "'read committed'",
    # A call that returned is on disk.
    "synchronous_commit": "coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on')",
    # A column that has no value in one of the records of a batch gets none, and not the word NULL.
    "array_nulls": "'on'",
}

# Batches are written in UTF-8. `database.py` says so when it connects, even through a pooler; this is for engines.
_ENCODING: Mapping[str, str] = {"client_encoding": "'UTF8'"}

# As for all, for the role behind a pooler's sessions.
_ADVISED: Mapping[str, str] = {**_FOR_ALL, "synchronous_commit": "'on'"}
# The writer waits for what others' transactions hold only so long that nobody notices; what is held goes its own way. A
# reader lends its connection to others between two tries, and finds out before the reply is given up.
_LOCK_TIMEOUTS: Mapping[Role, str] = {Role.WRITER: "'250ms'", Role.READER: "'1s'"}
SHORTEST_TIMEOUT_MS = 1_000  # of a server through a pooler, without a warning


def session_settings(role: Role, idle_seconds: float) -> dict[str, str]:
    """What a session of ours is set to: names, and values as SQL. `idle_seconds` <= 0 leaves that of the server."""
    wanted = {**_FOR_ALL, **_ENCODING}
    if idle_seconds > 0:
        wanted["idle_in_transaction_session_timeout"] = f"'{round(idle_seconds * 1000)}'"
    if role in _LOCK_TIMEOUTS:
        wanted["lock_timeout"] = _LOCK_TIMEOUTS[role]
    if role is Role.WRITER:
        wanted["plan_cache_mode"] = "'force_generic_plan'"  # plan the journal's few statements once, not five times
    if role is not Role.LISTENER:
        # Every statement has its index. A plan made while the tables were small, or on old statistics, must not scan
        # them once they are large.
        wanted |= dict.fromkeys(PLANNER_SWITCHES, "'off'")
        wanted["jit"] = "'off'"  # those switches inflate the costs it goes by; compiling took longer than any query
    return wanted


def settle(connection: psycopg.Connection[Any], wanted: Mapping[str, str]) -> bool:
    """Set up a session that is the connection's own, in one round trip. False: it is a pooler's, and was left alone."""
    values = ", ".join(f"('{name}', {value})" for name, value in wanted.items())
    row = connection.execute(
        f"select set_config(name, value, false) from (values {values}) as wanted (name, value)"
        f" where pg_backend_pid() = {connection.info.backend_pid} and current_setting(name, true) is not null".encode()
    ).fetchone()
    if row is None:
        connection.prepare_threshold = None
    return row is not None


def unsuitable(connection: psycopg.Connection[Any]) -> list[str]:
    """Through a pooler, which settings the role should have: what a session of ours would be set to, and is not.

    Raises DBOSInitializationError if the pooler lends its sessions for one statement only.
    """
    try:
        with connection.transaction():
            found = connection.execute(
                "select name, setting from pg_catalog.pg_settings where name = any(%s)", (list(_ADVISED),)
            ).fetchall()
    except (psycopg.OperationalError, psycopg.errors.FeatureNotSupported) as error:
        raise DBOSInitializationError(
            "The connection pooler in front of the database allows no transactions: "
            f"{str(error).strip()}. Let it pool by transaction or by session (pgbouncer: pool_mode = transaction)."
        ) from error
    role = quote(connection.info.user)
    return [f"alter role {role} set {name} = {_ADVISED[name]}" for name, value in sorted(found) if _harms(name, value)]


def _harms(name: str, value: str) -> bool:
    match name:
        case "synchronous_commit" | "array_nulls":
            return value == "off"
        case "default_transaction_isolation":
            return value != "read committed"
    return 0 < int(value) < SHORTEST_TIMEOUT_MS
