"""Several processes on one SQLite file: they wake each other and cancel each other's work."""

import itertools
import statistics
from pathlib import Path

import pytest

from tests.processes.conftest import Start
from tests.support.raw_sql import run_sql
from tests.support.waiting import at_best, eventually
from tests.support.worker_ledger import Ledger
from tests.support.workers import WorkerError

CANCELLATION_SECONDS = 0.1  # in which another process's cancellation keeps every further step from starting
WAKE_UP_SECONDS = 0.1  # to hear of another process's commit
FLOOR_SECONDS = 30.0  # so long it takes whoever has to look for himself


def test_a_waiting_process_hears_of_the_end(start_on: Start, sqlite_url: str, ledger: Ledger, tmp_path: Path) -> None:
    runner, waiting = (start_on(sqlite_url, notification_listener_polling_interval_sec=FLOOR_SECONDS) for _ in range(2))
    delays = []
    for number in range(5):
        workflow_id = f"gated-{number}"
        gate = tmp_path / workflow_id
        runner.call("start", "gated", workflow_id, str(gate))
        heard = waiting.begin("result_at", workflow_id)
        eventually(lambda workflow_id=workflow_id: len(ledger.begun(workflow_id)) == 2)  # type: ignore[misc]
        gate.touch()
        finished_at = runner.call("result_at", workflow_id)
        delays.append(heard.result(2 * FLOOR_SECONDS) - finished_at)
    assert statistics.median(delays) < FLOOR_SECONDS / 10, delays  # they were heard of, however busy the machine is
    assert min(delays) < WAKE_UP_SECONDS, delays


@pytest.mark.parametrize("workflow", ["walk", "walk_async"])
def test_cancellation_by_another_process(start: Start, ledger: Ledger, workflow: str) -> None:
    runner, other = start(), start()
    numbers = itertools.count()

    def overrun() -> float:
        workflow_id = f"{workflow}-{next(numbers)}"
        runner.call("start", workflow, workflow_id, 2_000, 5)
        eventually(lambda: len(ledger.begun(workflow_id)) > 3)
        cancelled_at: float = other.call("cancel", workflow_id)
        with pytest.raises(WorkerError, match="DBOSAwaitedWorkflowCancelledError"):
            runner.call("result", workflow_id)
        return ledger.begun(workflow_id)[-1].at - cancelled_at

    assert at_best(overrun, CANCELLATION_SECONDS) < CANCELLATION_SECONDS


def test_a_forked_child_is_refused(start: Start, database_url: str) -> None:
    worker = start()
    assert worker.call("run", "parcel", "before", "Ada") == "pack and label for Ada"
    told = worker.call("use_in_forked_child")
    assert len(told) == 3
    for message in told:
        assert message.startswith("DBOSException")
        assert "launch" in message
    # The parent is none the worse for it.
    assert worker.call("run", "parcel", "after", "Ada") == "pack and label for Ada"
    assert run_sql(database_url, "select count(*) from workflow_status") == [(2,)]
