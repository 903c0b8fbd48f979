"""The connections of transactions, and their end."""

from __future__ import annotations

from typing import Any

import pytest

from dbos.userdata.database import UserDatabase


def test_a_connection_that_is_out_at_the_end_is_closed_when_it_comes_back(database_url: str) -> None:
    """A transaction of a thread of the user's may last longer than the application."""
    database = UserDatabase(UserDatabase.engine(database_url, {}), "transaction", "dbos")
    session = database.new_session()
    raw: Any = session.connection().connection.dbapi_connection
    database.close_all()
    assert raw.execute("select 1").fetchone() == (1,)
    database.close(session)
    with pytest.raises(Exception, match="closed"):
        raw.execute("select 1")
