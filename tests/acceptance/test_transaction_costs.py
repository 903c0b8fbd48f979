"""What a transaction costs, counted and not timed; see test_costs.py."""

from __future__ import annotations

from typing import Any

import sqlalchemy

from dbos import DBOS
from tests.acceptance.test_costs import cost_of
from tests.acceptance.user_database import create_table, write
from tests.support.fixture_types import Launch


def test_a_transaction_adds_one_statement_to_the_users_and_one_commit_to_ours(
    launch: Launch, database_url: str
) -> None:
    """Its witness travels in the user's transaction, and its step in a commit of the journal. Nothing is read first."""
    create_table(database_url)
    users: list[str] = []
    notes = 0

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        users.append(statement.split(maxsplit=1)[0].lower())

    costs: list[Any] = []

    @DBOS.transaction()
    def note() -> None:
        nonlocal notes
        notes += 1
        write("word")

    @DBOS.workflow()
    def work() -> None:
        note()  # opens the connection
        costs.append(cost_of(note))

    launch()
    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", count)
    try:
        work()
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", count)
    assert (costs[0].commits, costs[0].round_trips, costs[0].queries) == (1, 1, 0)
    assert [verb for verb in users if verb != "begin"] == ["insert", "insert"] * notes
