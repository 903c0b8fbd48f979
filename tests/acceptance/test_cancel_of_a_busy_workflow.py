"""A workflow that records without a pause has the lock of its row nearly all the time. It can be cancelled even so."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from dbos import DBOS, DBOSClient
from tests.support.fixture_types import Launch
from tests.support.waiting import PATIENCE_SECONDS

COMMIT_SECONDS = 0.05  # as of a server that waits for a standby far away
LOCK = "select 1 from dbos.workflow_status where workflow_uuid = %s for no key update"


@pytest.fixture
def database_url(postgres_url: str) -> str:
    """Rows have locks on Postgres only."""
    return postgres_url


@contextmanager
def busy(url: str, workflow_id: str) -> Iterator[None]:
    """Lock the row of a workflow as its journal does: batch follows batch, and each holds the lock until its commit."""
    begun, over = threading.Event(), threading.Event()

    def write() -> None:
        with psycopg.connect(url) as connection:
            while not over.is_set():
                connection.execute(LOCK, [workflow_id])
                begun.set()
                time.sleep(COMMIT_SECONDS)
                connection.commit()

    writer = threading.Thread(target=write)
    writer.start()
    assert begun.wait(PATIENCE_SECONDS)
    try:
        yield
    finally:
        over.set()
        writer.join()


def test_it_is_cancelled_soon(launch: Launch, database_url: str, direct_url: str) -> None:
    @DBOS.workflow()
    def sleeper() -> None:
        DBOS.sleep(1000)

    launch()
    handle = DBOS.start_workflow(sleeper)
    with DBOSClient(system_database_url=database_url) as client, busy(direct_url, handle.workflow_id):
        canceller = threading.Thread(target=client.cancel_workflow, args=[handle.workflow_id], daemon=True)
        canceller.start()
        canceller.join(PATIENCE_SECONDS)
        assert not canceller.is_alive()
    assert handle.get_status().status == "CANCELLED"
