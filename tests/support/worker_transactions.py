"""What worker processes that write to a database of the user's run, and where they die; loads SQLAlchemy."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from dbos import DBOS, AsyncSQLAlchemyDatasource, DBOSClient, Queue
from dbos.userdata.database import UserDatabase
from tests.support.worker_death import die
from tests.support.worker_workflows import WORKFLOWS, note, note_async

INSERT = text("insert into effects (run, note) values (:run, :note)")
NOTES = ("first", "second", "third")

Queue("receipts")

_datasource: AsyncSQLAlchemyDatasource | None = None
_client: DBOSClient | None = None


@DBOS.workflow(name="receipt")
def receipt(run: str, word: str) -> str:
    """What is enqueued beside a row."""
    return f"{word} of {run}"


@DBOS.transaction()
def enter(word: str) -> str:
    """Write a row, and enqueue a receipt for it under an ID of its own: a second one would show."""
    assert _client is not None
    session, run = DBOS.sql_session, DBOS.workflow_id
    session.execute(INSERT, {"run": run, "note": word})
    _client.enqueue_in_transaction(session, {"workflow_name": "receipt", "queue_name": "receipts"}, run, word)
    return word


async def enter_async(word: str) -> str:
    """The same through the datasource."""
    assert _datasource is not None
    await _datasource.sql_session().execute(INSERT, {"run": DBOS.workflow_id, "note": word})
    return word


@DBOS.workflow()
def book(url: str) -> list[str]:
    """Transactions, with steps between them."""
    global _client
    _client = _client or DBOSClient(system_database_url=url)
    return [note(enter(word)) for word in NOTES]


@DBOS.workflow()
async def book_async(url: str) -> list[str]:
    """The same as a coroutine."""
    global _datasource
    _datasource = await AsyncSQLAlchemyDatasource.create(url)
    assert _datasource is not None
    return [await note_async(await _datasource.run_tx_step_async(None, enter_async, word)) for word in NOTES]


WORKFLOWS.update(book=book, book_async=book_async)


def die_in_transaction(phase: str, side: str, number: int) -> None:
    """Die before or after the n-th time that a transaction comes to a phase: begin, testify, commit or close."""
    method = getattr(UserDatabase, phase)
    calls = 0

    def mortal(this: UserDatabase, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number and side == "before":
            die()
        answer = method(this, *arguments)
        if calls == number:
            die()
        return answer

    setattr(UserDatabase, phase, mortal)
