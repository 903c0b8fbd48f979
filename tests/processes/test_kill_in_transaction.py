"""SIGKILL around every phase of a transaction of the user's: what it writes, and its witness, are there once.

So is what a client enqueued in it. The process that takes over is the one that is killed next.
"""

import signal
from collections import Counter
from typing import Any

import pytest

from tests.processes.conftest import Start
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually
from tests.support.worker_ledger import Ledger
from tests.support.workers import Worker, WorkerGone

POINTS = [
    ("begin", "after"),
    ("testify", "before"),
    ("testify", "after"),
    ("commit", "before"),
    ("commit", "after"),
    ("close", "after"),
]
NOTES = ["first", "second", "third"]


@pytest.mark.parametrize("workflow", ["book", "book_async"])
def test_killed_around_every_phase(start_on: Start, database_url: str, ledger: Ledger, workflow: str) -> None:
    schema = "main" if database_url.startswith("sqlite") else "public"
    run_sql(database_url, f"create table {schema}.effects (run text not null, note text not null)")

    def start() -> Worker:
        worker = start_on(database_url, launched=False)
        worker.call("use_transactions")
        worker.call("launch")
        return worker

    worker = start()
    for phase, side in POINTS:
        workflow_id = f"{phase}-{side}"
        worker.call("die_in_transaction", phase, side, 2)
        with pytest.raises(WorkerGone):
            worker.begin("run", workflow, workflow_id, database_url).result(30)
        assert worker.wait() == -signal.SIGKILL
        recorded = {row[0] for row in steps(database_url, workflow_id)}
        worker = start()
        assert worker.call("run", workflow, workflow_id, database_url) == NOTES
        again = {entry.step_id for entry in ledger.begun(workflow_id) if entry.pid == worker.pid}
        assert not again & recorded, "a recorded step ran again"
        check(database_url, workflow, workflow_id)
        if workflow == "book":
            eventually(lambda run=workflow_id: receipts(database_url, run) == [("SUCCESS", 3)])  # type: ignore[misc]
    worker.call("destroy")


def steps(url: str, workflow_id: str) -> list[tuple[Any, ...]]:
    return run_sql(url, "select function_id, error from operation_outputs where workflow_uuid = ?", workflow_id)


def receipts(url: str, run: str) -> list[tuple[Any, ...]]:
    query = "select status, count(*) from workflow_status where name = 'receipt' and inputs like ? group by status"
    return run_sql(url, query, f'%"{run}"%')


def check(url: str, workflow: str, workflow_id: str) -> None:
    """Each row, each witness and each step is there once."""
    effects = run_sql(url, "select note from effects where run = ?", workflow_id)
    assert Counter(note for (note,) in effects) == dict.fromkeys(NOTES, 1)
    table, columns = (
        ("transaction_outputs", ("workflow_uuid", "function_id"))
        if workflow == "book"
        else ("datasource_outputs", ("workflow_id", "step_id"))
    )
    where, number = columns
    found = run_sql(url, f"select {number}, error from {table} where {where} = ? order by 1", workflow_id)
    assert found == [(1, None), (3, None), (5, None)]
    assert sorted(steps(url, workflow_id)) == [(number, None) for number in range(1, 7)]
