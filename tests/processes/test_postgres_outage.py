"""The server crashes, stays away, or ends our sessions, under load: nothing is lost, nothing is repeated."""

import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.processes.conftest import Start
from tests.support.postgres import PostgresCluster
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually
from tests.support.worker_ledger import Ledger
from tests.support.workers import Worker

WORKFLOWS_OF_EACH_KIND = 15
STEPS = 30
STEP_MS = 20  # the shortest that the whole load can take is STEPS * STEP_MS
DOWN_SECONDS = 3.0
END_SESSIONS = (
    "select pg_terminate_backend(pid) from pg_stat_activity"
    " where datname = current_database() and pid <> pg_backend_pid()"
)


def start_load(worker: Worker) -> list[str]:
    """Workflows of both colours, running side by side."""
    ids = []
    for number in range(WORKFLOWS_OF_EACH_KIND):
        for workflow in ("walk", "walk_async"):
            worker.call("start", workflow, f"{workflow}-{number}", STEPS, STEP_MS)
            ids.append(f"{workflow}-{number}")
    return ids


def assert_nothing_lost_nothing_repeated(url: str, worker: Worker, ledger: Ledger, ids: list[str]) -> None:
    answers = [worker.begin("result", workflow_id) for workflow_id in ids]
    assert [answer.result(60) for answer in answers] == [worker.pid] * len(ids)
    ran = Counter(entry.step for entry in ledger.begun())
    assert ran == {(workflow_id, step): 1 for workflow_id in ids for step in range(1, STEPS + 1)}
    rows = run_sql(url, "select status, epoch, recovery_attempts from workflow_status")
    assert rows == [("SUCCESS", 1, 1)] * len(ids)
    assert run_sql(url, "select count(*) from operation_outputs") == [(len(ids) * STEPS,)]


@pytest.fixture
def progress(ledger: Ledger) -> Callable[[int], None]:
    """Wait until so many more steps have begun; on a slow machine there may be no more."""
    most = 2 * WORKFLOWS_OF_EACH_KIND * STEPS

    def wait(steps: int) -> None:
        target = min(len(ledger.begun()) + steps, most)
        eventually(lambda: len(ledger.begun()) >= target)

    return wait


def test_restarts_under_load(
    start_on: Start, postgres: PostgresCluster, postgres_url: str, ledger: Ledger, progress: Callable[[int], None]
) -> None:
    worker = start_on(postgres_url)
    ids = start_load(worker)
    for _ in range(3):
        progress(50)
        postgres.restart("immediate")
    assert_nothing_lost_nothing_repeated(postgres_url, worker, ledger, ids)
    assert worker.call("run", "parcel", "afterwards", "Ada") == "pack and label for Ada"


def test_a_server_away_for_a_while(
    start_on: Start, postgres: PostgresCluster, postgres_url: str, ledger: Ledger, progress: Callable[[int], None]
) -> None:
    worker = start_on(postgres_url)
    ids = start_load(worker)
    progress(50)
    postgres.stop("immediate")
    meanwhile = worker.begin("run", "walk", "started meanwhile", STEPS)
    time.sleep(DOWN_SECONDS)  # this long it is away: that is the test
    assert not meanwhile.done(), "acknowledged without a database"
    postgres.start()
    assert meanwhile.result(30) == worker.pid
    assert_nothing_lost_nothing_repeated(postgres_url, worker, ledger, [*ids, "started meanwhile"])


def test_sessions_ended_by_the_server(
    start_on: Start, postgres_url: str, ledger: Ledger, progress: Callable[[int], None]
) -> None:
    worker = start_on(postgres_url)
    ids = start_load(worker)
    for _ in range(6):
        progress(30)
        eventually(lambda: run_sql(postgres_url, END_SESSIONS))  # who has just lost them all may have none yet
    assert_nothing_lost_nothing_repeated(postgres_url, worker, ledger, ids)
