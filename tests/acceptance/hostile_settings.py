"""Settings of a database that would stop or slow the library, or break its promises, if it went by them."""

from collections.abc import Mapping

import psycopg

from tests.support.waiting import eventually

HOSTILE: Mapping[str, str] = {
    "statement_timeout": "50ms",
    "lock_timeout": "50ms",
    "idle_in_transaction_session_timeout": "50ms",
    "default_transaction_isolation": "serializable",
    "synchronous_commit": "off",
    "array_nulls": "off",
}

BEARABLE: Mapping[str, str] = {
    name: "900ms" if name.endswith("_timeout") else setting for name, setting in HOSTILE.items()
}
"""For transactions of the user's, which go by them: on a busy machine those may well take 50 ms."""

FOREIGN: Mapping[str, str] = {"client_encoding": "LATIN1"}
"""In which bytes of UTF-8 mean other characters. A pooler takes it for one more thing to change between two clients."""

OTHERS = "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"


def change_defaults(direct_url: str, settings: Mapping[str, str]) -> None:
    """Give a database other defaults, for the sessions to come: those that a pooler has open end."""
    with psycopg.connect(direct_url, autocommit=True) as owner:
        for name, value in settings.items():
            owner.execute(f"alter database \"{owner.info.dbname}\" set {name} = '{value}'".encode())
        owner.execute(f"select pg_terminate_backend(pid) {OTHERS}".encode())
        eventually(lambda: owner.execute(f"select {OTHERS}".encode()).fetchall() == [])
