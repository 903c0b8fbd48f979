"""A user's transaction that stays open keeps waiting who wants the same key or row, and nobody else (Postgres)."""

import threading
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy
from sqlalchemy import text

from dbos import DBOS, DBOSClient, EnqueueOptions, Queue, SetEnqueueOptions, SetWorkflowID
from dbos.api.launched import current_engine
from tests.support.fixture_types import Launch
from tests.support.raw_sql import run_sql
from tests.support.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.own_session("a pooler's sessions wait for locks as long as their role says")

LEASE_SECONDS = 2.0
OTHER: EnqueueOptions = {"workflow_name": "other", "queue_name": "letters"}
WAITS = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"

Hold = Callable[[sqlalchemy.Connection, DBOSClient, str], object]
"""What the transaction does; it gets the id of a workflow that waits for a message."""

HOLDS: dict[str, Hold] = {
    "workflow id": lambda open_, client, _: client.enqueue_in_transaction(open_, {**OTHER, "workflow_id": "same"}),
    "deduplication id": lambda open_, client, _: client.enqueue_in_transaction(
        open_, {**OTHER, "deduplication_id": "same"}
    ),
    "message key": lambda open_, client, receiver: client.send_in_transaction(
        open_, receiver, "a", "topic", idempotency_key="same"
    ),
    # As a process does that is stopped while it deletes the workflow.
    "row": lambda open_, _, receiver: open_.execute(
        text("select 1 from dbos.workflow_status where workflow_uuid = :id for update"), {"id": receiver}
    ),
}


@pytest.fixture
def database_url(postgres_url: str) -> str:
    """On SQLite a transaction that writes locks the file."""
    return postgres_url


@pytest.fixture
def users(database_url: str) -> Iterator[sqlalchemy.Engine]:
    engine = sqlalchemy.create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    yield engine
    engine.dispose()


@pytest.mark.parametrize("what", HOLDS)
def test_who_wants_the_same_waits_alone(launch: Launch, database_url: str, users: sqlalchemy.Engine, what: str) -> None:
    letters = Queue("letters")

    @DBOS.workflow(name="other")
    def other() -> None: ...

    @DBOS.workflow()
    def receive() -> object:
        return DBOS.recv("topic", timeout_seconds=60)

    @DBOS.step()
    def step() -> int:
        return 1

    @DBOS.workflow()
    def bystander() -> int:
        return step()

    def want(receiver: str) -> None:
        match what:
            case "workflow id":
                with SetWorkflowID("same"):
                    letters.enqueue(other)
            case "deduplication id":
                with SetEnqueueOptions(deduplication_id="same", duplication_policy="return-existing"):
                    letters.enqueue(other)
            case _:
                DBOS.send(receiver, "a", "topic", idempotency_key="same")

    launch(executor_lease_sec=LEASE_SECONDS)
    receiver = DBOS.start_workflow(receive)
    with DBOSClient(system_database_url=database_url, application_name="test-app") as client:
        with users.begin() as transaction:
            HOLDS[what](transaction, client, receiver.workflow_id)
            rival = threading.Thread(target=want, args=[receiver.workflow_id])
            rival.start()
            eventually(lambda: run_sql(database_url, WAITS))
            for _ in range(3):
                work = threading.Thread(target=bystander)
                work.start()
                work.join(PATIENCE_SECONDS)
                assert not work.is_alive()
            renewed = current_engine().lease.age_seconds
            eventually(lambda: current_engine().lease.age_seconds < renewed)  # once more
            assert rival.is_alive()
        rival.join(PATIENCE_SECONDS)
        assert not rival.is_alive()
        if what in ("message key", "row"):
            assert receiver.get_result() == "a"
