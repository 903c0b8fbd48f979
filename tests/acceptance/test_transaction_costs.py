"""What a transaction costs, counted and not timed; see test_costs.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy

from dbos import DBOS, AsyncSQLAlchemyDatasource, SQLAlchemyDatasource
from tests.acceptance.test_costs import cost_of
from tests.acceptance.user_database import INSERT, create_table
from tests.support.fixture_types import Launch

Run = Callable[[int], None]
"""Runs a workflow of so many transactions, each of which writes a row."""


def of_the_application(_: str) -> Run:
    @DBOS.transaction()
    def note() -> None:
        DBOS.sql_session.execute(INSERT, {"note": "word"})

    @DBOS.workflow()
    def work(times: int) -> None:
        for _ in range(times):
            note()

    return work


def of_a_datasource(url: str) -> Run:
    datasource = SQLAlchemyDatasource.create(url, {"poolclass": sqlalchemy.NullPool})

    @datasource.transaction
    def note() -> None:
        datasource.sql_session().execute(INSERT, {"note": "word"})

    @DBOS.workflow()
    def work(times: int) -> None:
        for _ in range(times):
            note()

    return work


def of_an_async_datasource(url: str) -> Run:
    datasource = asyncio.run(AsyncSQLAlchemyDatasource.create(url))

    @datasource.transaction
    async def note() -> None:
        await datasource.sql_session().execute(INSERT, {"note": "word"})

    @DBOS.workflow()
    async def work(times: int) -> None:
        for _ in range(times):
            await note()

    return lambda times: asyncio.run(work(times))


@pytest.mark.parametrize("build", [of_the_application, of_a_datasource, of_an_async_datasource])
def test_a_transaction_adds_one_statement_to_the_users_and_one_commit_to_ours(
    launch: Launch, database_url: str, build: Callable[[str], Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its witness travels in the user's transaction, and its step in a commit of the journal. Nothing is read first."""
    monkeypatch.setattr("dbos.runtime.context.FRESH_SECONDS", 60.0)  # a slow machine asks whether it owns its workflow
    create_table(database_url)
    users: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        users.append(statement.split(maxsplit=1)[0].lower())

    def committed(_connection: Any) -> None:
        users.append("commit")

    def of_users(times: int) -> list[str]:
        users.clear()
        run(times)
        return [verb for verb in users if verb != "begin"]

    run = build(database_url)
    launch(use_listen_notify=False)  # whose notifications are no business of the transactions
    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", count)
    sqlalchemy.event.listen(sqlalchemy.Engine, "commit", committed)
    try:
        few, many = cost_of(lambda: run(1)), cost_of(lambda: run(4))
        assert (many.commits - few.commits, many.queries) == (3, 0)
        assert of_users(3) == ["insert", "insert", "commit"] * 3
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", count)
        sqlalchemy.event.remove(sqlalchemy.Engine, "commit", committed)
