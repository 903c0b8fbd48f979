"""A client in this process, the application in others: they meet in the database alone."""

import itertools
from pathlib import Path

import pytest

from dbos import DBOSClient, EnqueueOptions
from tests.processes.conftest import Start
from tests.support.waiting import eventually
from tests.support.worker_ledger import Ledger
from tests.support.workers import Worker

LONG_LEASE_SECONDS = 60.0

PARCEL: EnqueueOptions = {"workflow_name": "parcel", "queue_name": "parcels"}


@pytest.fixture
def client(start: Start, database_url: str) -> DBOSClient:
    """A client, and an application that serves the queue."""
    start(executor_lease_sec=LONG_LEASE_SECONDS)
    return DBOSClient(system_database_url=database_url, use_listen_notify=True)


def test_a_client_enqueues_and_hears_what_came_of_it(client: DBOSClient, ledger: Ledger) -> None:
    with client:
        client.register_queue("parcels")
        handle = client.enqueue(PARCEL, "x")
        result = handle.get_result(polling_interval_sec=30)
        assert result == client.get_workflow_status(handle.workflow_id).output  # type: ignore[union-attr]
        many = client.enqueue_bulk([(PARCEL, (f"{number}",)) for number in range(20)])
        for each in many:
            each.get_result()
    workflows = {entry.workflow_id for entry in ledger.begun()}
    assert workflows == {handle.workflow_id, *(each.workflow_id for each in many)}
    steps = [entry.step for entry in ledger.begun()]
    assert len(steps) == len(set(steps))


def test_the_executor_dies_and_the_client_gets_its_result(
    start: Start, database_url: str, ledger: Ledger, gate: Path
) -> None:
    first = start(executor_id="a")
    with DBOSClient(system_database_url=database_url, use_listen_notify=True) as client:
        client.register_queue("parcels")
        handle = client.enqueue({**PARCEL, "workflow_name": "walk"}, 60, 20, str(gate))
        eventually(lambda: ledger.begun(handle.workflow_id))
        first.kill()
        first.wait()
        gate.touch()
        start(executor_id="b")
        handle.get_result()
        assert handle.get_status().executor_id == "b"


def test_processes_debounce_one_key(start: Start, database_url: str, ledger: Ledger) -> None:
    """Every call of every process is in exactly one run; the last one of all has run in the end."""
    workers: list[Worker] = [start(executor_id=name, executor_lease_sec=LONG_LEASE_SECONDS) for name in "abc"]
    answers = [worker.begin("debounce_many", "key", 0.02, f"{worker.pid}:", 30) for worker in workers]
    told: dict[str, str] = dict(itertools.chain(*(answer.result(40) for answer in answers)))
    ((label, workflow_id),) = workers[0].call("debounce_many", "key", 0, "last:", 1)
    told[label] = workflow_id
    assert len(told) == 91
    eventually(lambda: {entry.workflow_id for entry in ledger.read() if entry.event == "end"} == set(told.values()))
    ran = [(entry.workflow_id, entry.label) for entry in ledger.begun()]
    assert len(ran) == len(set(told.values()))  # each once
    assert all(told[label] == workflow_id for workflow_id, label in ran)
    assert (told["last:0"], "last:0") in ran
