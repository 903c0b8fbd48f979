"""Which sessions are ours: without a pooler, by what a connection looks like behind one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest

from dbos.store.database import Role
from dbos.store.postgres.pooler import session_settings, settle, unsuitable


class Pooled:
    """A connection as a pooler's clients have it: the number of its process is made up."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.execute = connection.execute
        self.transaction = connection.transaction
        self.prepare_threshold: int | None = 5
        self.info = SimpleNamespace(backend_pid=connection.info.backend_pid + 1, user="Ada")


@pytest.mark.own_session("looks at the session of the connection")
def test_a_session_of_our_own_is_set_up(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        assert settle(connection, session_settings(Role.WRITER, 7))
        for name, value in {
            "jit": "off",
            "enable_seqscan": "off",
            "plan_cache_mode": "force_generic_plan",
            "idle_in_transaction_session_timeout": "7s",
        }.items():
            assert connection.execute(f"show {name}".encode()).fetchone() == (value,)
        assert connection.prepare_threshold == 5


def test_a_session_of_somebody_elses_is_left_alone(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        pooled = Pooled(connection)
        assert not settle(cast(Any, pooled), session_settings(Role.WRITER, 7))
        assert connection.execute("show enable_seqscan").fetchone() == ("on",)
        assert pooled.prepare_threshold is None


@pytest.mark.own_session("changes the session of the connection")
def test_what_harms_in_a_session_of_somebody_elses_is_named(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        pooled = cast(Any, Pooled(connection))
        assert unsuitable(pooled) == []
        connection.execute("set synchronous_commit = local; set statement_timeout = '30s'")
        assert unsuitable(pooled) == []
        connection.execute("set synchronous_commit = off; set lock_timeout = 20")
        assert unsuitable(pooled) == [
            "alter role \"Ada\" set lock_timeout = '0'",
            "alter role \"Ada\" set synchronous_commit = 'on'",
        ]
