"""Workflows that write to a database of the user's, in both styles: each write is there once, wherever they are killed.

What a scenario gives is read from that database, so that a write that was lost, or done twice, is another outcome.
"""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import NullPool, text

from dbos import DBOS, AsyncSQLAlchemyDatasource, SetWorkflowID, SQLAlchemyDatasource
from tests.crash.ledger import Ledger
from tests.crash.scenario import Drive, scenario

CREATE = text("create table if not exists effects (run text not null, note text not null)")
INSERT = text("insert into effects (run, note) values (:run, :note)")
SELECT = text("select note from effects where run = :run order by note")


def user_url() -> str:
    """The database of the trial; the user's table is in it, too."""
    instance = DBOS._instance
    assert instance is not None
    return instance._settings.system_database_url


@scenario(gives=["failure caught", "first", "second", "third"])
def transactions(ledger: Ledger) -> Drive:
    """Three that write, one that fails, and one that reads."""

    @DBOS.transaction()
    def create() -> None:
        ledger.note()
        DBOS.sql_session.execute(CREATE)

    @DBOS.transaction()
    def write(note: str) -> None:
        ledger.note()
        DBOS.sql_session.execute(INSERT, {"run": DBOS.workflow_id, "note": note})

    @DBOS.transaction("READ COMMITTED")
    def fail() -> None:
        ledger.note()
        DBOS.sql_session.execute(INSERT, {"run": DBOS.workflow_id, "note": "taken back"})
        raise KeyError("failure")

    @DBOS.transaction("REPEATABLE READ")
    def read() -> list[str]:
        ledger.note()
        return list(DBOS.sql_session.execute(SELECT, {"run": DBOS.workflow_id}).scalars())

    @DBOS.workflow()
    def work() -> list[str]:
        create()
        write("first")
        write("second")
        try:
            fail()
        except KeyError as failure:
            write(f"{failure.args[0]} caught")
        write("third")
        return read()

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return work()

    return drive


@scenario(gives=["one", "two"])
def transactions_of_coroutines(ledger: Ledger) -> Drive:
    """A coroutine calls them on threads."""

    @DBOS.transaction()
    def write(note: str) -> None:
        ledger.note()
        DBOS.sql_session.execute(CREATE)
        DBOS.sql_session.execute(INSERT, {"run": DBOS.workflow_id, "note": note})

    @DBOS.transaction()
    def read() -> list[str]:
        ledger.note()
        return list(DBOS.sql_session.execute(SELECT, {"run": DBOS.workflow_id}).scalars())

    @DBOS.workflow()
    async def work() -> list[str]:
        await asyncio.to_thread(write, "one")
        await asyncio.to_thread(write, "two")
        return await asyncio.to_thread(read)

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await work()

    return drive


@scenario(gives=["alone"])
def transaction_outside_of_workflows(ledger: Ledger) -> Drive:
    """A workflow of one step, called again under its id."""

    @DBOS.transaction()
    def write_and_read() -> list[str]:
        ledger.note()
        session, run = DBOS.sql_session, {"run": DBOS.workflow_id}
        session.execute(CREATE)
        session.execute(INSERT, {**run, "note": "alone"})
        return list(session.execute(SELECT, run).scalars())

    def drive(run_id: str) -> Any:
        for _ in range(2):
            with SetWorkflowID(run_id):
                result = write_and_read()
        return result

    return drive


@scenario(gives=["failure caught", "first"])
def datasource(ledger: Ledger) -> Drive:
    """The same through a datasource."""
    made: list[SQLAlchemyDatasource] = []

    def write(note: str) -> None:
        ledger.note()
        made[0].sql_session().execute(CREATE)
        made[0].sql_session().execute(INSERT, {"run": DBOS.workflow_id, "note": note})
        if note == "taken back":
            raise KeyError("failure")

    def read() -> list[str]:
        ledger.note()
        return list(made[0].sql_session().execute(SELECT, {"run": DBOS.workflow_id}).scalars())

    @DBOS.workflow()
    def work() -> list[str]:
        made[0].run_tx_step(None, write, "first")
        try:
            made[0].run_tx_step({"name": "fails"}, write, "taken back")
        except KeyError as failure:
            made[0].run_tx_step(None, write, f"{failure.args[0]} caught")
        return made[0].run_tx_step(None, read)

    def drive(run_id: str) -> Any:
        if not made:
            made.append(SQLAlchemyDatasource.create(user_url(), {"poolclass": NullPool}))
        with SetWorkflowID(run_id):
            return work()

    return drive


@scenario(gives=["failure caught", "first"])
def async_datasource(ledger: Ledger) -> Drive:
    """The same in async style."""
    made: list[AsyncSQLAlchemyDatasource] = []

    async def write(note: str) -> None:
        ledger.note()
        session = made[0].sql_session()
        await session.execute(CREATE)
        await session.execute(INSERT, {"run": DBOS.workflow_id, "note": note})
        if note == "taken back":
            raise KeyError("failure")

    async def read() -> list[str]:
        ledger.note()
        found = await made[0].sql_session().execute(SELECT, {"run": DBOS.workflow_id})
        return list(found.scalars())

    @DBOS.workflow()
    async def work() -> list[str]:
        await made[0].run_tx_step_async(None, write, "first")
        try:
            await made[0].run_tx_step_async({"name": "fails"}, write, "taken back")
        except KeyError as failure:
            await made[0].run_tx_step_async(None, write, f"{failure.args[0]} caught")
        return await made[0].run_tx_step_async(None, read)

    async def drive(run_id: str) -> Any:
        if not made:
            made.append(await AsyncSQLAlchemyDatasource.create(user_url()))
        with SetWorkflowID(run_id):
            return await work()

    return drive
