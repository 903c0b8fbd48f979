"""A client enqueues and sends in a transaction of the user's: it happens if and only if the user commits."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy.orm import Session

from dbos import DBOS, DBOSClient, EnqueueOptions, Queue, SendMessage, SetWorkflowID, error
from dbos.api.launched import launched_engine
from tests.acceptance.user_database import INSERT, create_table, notes
from tests.support.fixture_types import Launch
from tests.support.raw_sql import count_rows
from tests.support.waiting import PATIENCE_SECONDS, eventually

NEVER_POLLED = 300.0

OPTIONS: EnqueueOptions = {"workflow_name": "listen", "queue_name": "inbox", "workflow_id": "w"}


@pytest.fixture
def engine(database_url: str) -> Iterator[sqlalchemy.Engine]:
    create_table(database_url)
    engine = sqlalchemy.create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    yield engine
    engine.dispose()


@pytest.fixture
def client(launch: Launch, database_url: str) -> Iterator[DBOSClient]:
    """A client beside an application that listens to its inbox."""

    @DBOS.workflow(name="listen")
    def listen(word: str, count: int = 0) -> list[Any]:
        return [word, *(DBOS.recv(timeout_seconds=30) for _ in range(count))]

    Queue("inbox")
    launch()
    with DBOSClient(system_database_url=database_url) as client:
        yield client


Opener = Callable[[sqlalchemy.Engine], Any]


@pytest.mark.parametrize("opener", [sqlalchemy.Engine.connect, Session], ids=["connection", "session"])
@pytest.mark.parametrize("commits", [True, False])
def test_it_starts_if_and_only_if_the_user_commits(
    client: DBOSClient, engine: sqlalchemy.Engine, database_url: str, opener: Opener, commits: bool
) -> None:
    with opener(engine) as transaction:
        transaction.execute(INSERT, {"note": "ordered"})
        handle = client.enqueue_in_transaction(transaction, OPTIONS, "hello", count=0)
        again = client.enqueue_in_transaction(transaction, OPTIONS, "hello", count=0)
        assert handle.workflow_id == again.workflow_id == "w"
        assert count_rows(database_url)["workflow_status"] == 0
        if commits:
            transaction.commit()
        else:
            transaction.rollback()
    if commits:
        assert handle.get_result() == ["hello"]
    else:
        with pytest.raises(error.DBOSNonExistentWorkflowError):
            handle.get_status()
    assert notes(database_url) == (["ordered"] if commits else [])


def test_without_a_transaction_one_begins(client: DBOSClient, engine: sqlalchemy.Engine, database_url: str) -> None:
    with engine.connect() as connection:
        client.enqueue_in_transaction(connection, OPTIONS, "hello")
        assert connection.in_transaction()
    assert count_rows(database_url)["workflow_status"] == 0


def test_a_connection_that_speaks_another_encoding_is_refused(client: DBOSClient, database_url: str) -> None:
    """What is written in UTF-8 would be taken for other characters."""
    if database_url.startswith("sqlite"):
        return  # where everything is UTF-8
    url = database_url.replace("postgresql://", "postgresql+psycopg://")
    engine = sqlalchemy.create_engine(url, connect_args={"client_encoding": "LATIN1"})
    with engine.connect() as connection, pytest.raises(error.DBOSException, match="client_encoding=UTF8"):
        client.enqueue_in_transaction(connection, OPTIONS, "grüß dich")
    engine.dispose()


def test_messages_arrive_with_the_commit(client: DBOSClient, engine: sqlalchemy.Engine) -> None:
    with engine.begin() as connection:
        handle = client.enqueue_in_transaction(connection, OPTIONS, "all", count=3)
        client.send_in_transaction(connection, "w", "first")
        client.send_in_transaction(connection, "w", "first", idempotency_key="once")
        client.send_in_transaction(connection, "w", "dropped", idempotency_key="once")
        client.send_bulk_in_transaction(connection, [SendMessage("w", "last")])
    assert handle.get_result() == ["all", "first", "first", "last"]
    with engine.begin() as connection:
        with pytest.raises(error.DBOSNonExistentWorkflowError):
            client.send_in_transaction(connection, "nobody", "lost")


def test_a_deduplication_id_that_is_taken_is_said_in_the_transaction(
    client: DBOSClient, engine: sqlalchemy.Engine
) -> None:
    options: EnqueueOptions = {"workflow_name": "listen", "queue_name": "nobody-serves-it", "deduplication_id": "d"}
    with engine.begin() as connection:
        client.enqueue_in_transaction(connection, options, "hello")
        with pytest.raises(error.DBOSQueueDeduplicatedError):
            client.enqueue_in_transaction(connection, options, "hello")


def test_it_works_in_a_transaction_of_a_workflow(launch: Launch, database_url: str, client: DBOSClient) -> None:
    create_table(database_url)

    @DBOS.transaction()
    def order(fails: bool) -> str:
        handle = client.enqueue_in_transaction(DBOS.sql_session, {**OPTIONS, "workflow_id": f"of {fails}"}, "hello")
        if fails:
            raise KeyError("taken back")
        return handle.workflow_id

    @DBOS.workflow()
    def work() -> str:
        with pytest.raises(KeyError):
            order(True)
        return order(False)

    with SetWorkflowID("parent"):
        assert DBOS.get_result(work()) == ["hello"]
    assert {each.workflow_id for each in DBOS.list_workflows()} == {"parent", "of False"}


@pytest.mark.own_session("there nobody is heard")
def test_the_commit_itself_wakes_who_waits(launch: Launch, engine: sqlalchemy.Engine, database_url: str) -> None:
    """No polling of this test is as frequent as its deadlines; the transaction stays as durable as it was."""
    began, heard = ({word: threading.Event() for word in ("first", "second")} for _ in range(2))
    Queue("inbox", polling_interval_sec=NEVER_POLLED)

    @DBOS.workflow(name="listen")
    def listen(word: str) -> None:
        began[word].set()
        if DBOS.recv(timeout_seconds=NEVER_POLLED) == word:
            heard[word].set()

    launch(notification_listener_polling_interval_sec=NEVER_POLLED)
    with DBOSClient(system_database_url=database_url) as client:
        for word in began:  # twice, as the self-test of the listener may find the first when it is done
            with engine.begin() as connection:
                client.enqueue_in_transaction(connection, OPTIONS | {"workflow_id": word}, word)
                if connection.dialect.name == "postgresql":
                    assert connection.exec_driver_sql("show synchronous_commit").scalar() == "on"
            assert began[word].wait(PATIENCE_SECONDS)
            eventually(lambda: launched_engine().waiters.waiting_for("message"))
            with engine.begin() as connection:
                client.send_in_transaction(connection, word, word)
            assert heard[word].wait(PATIENCE_SECONDS)


def test_what_is_no_transaction_is_refused(client: DBOSClient) -> None:
    for wrong in (None, "connection", object()):
        with pytest.raises(error.DBOSException, match="Connection or Session"):
            client.enqueue_in_transaction(wrong, OPTIONS, "hello")
