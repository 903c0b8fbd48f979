"""Several processes drain one queue while some of them are killed: every limit holds at every commit."""

from __future__ import annotations

from typing import Any

import pytest

from tests.processes import limits
from tests.processes.conftest import Start
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually
from tests.support.workers import Worker

TASKS = 60
KEYS = "abcde"

QUEUES: dict[str, dict[str, Any]] = {
    "concurrency": {"concurrency": 3},
    "worker concurrency": {"worker_concurrency": 2},
    "both": {"concurrency": 3, "worker_concurrency": 2},
    "rate": {"limiter": {"limit": 20, "period": 0.5}},
    "partitions": {"partition_queue": True, "concurrency": 1},
    "workers of partitions": {"partition_queue": True, "worker_concurrency": 1},
    "queue and partitions": {"concurrency": 4, "partition_concurrency": 2},
    "rate of partitions": {"partition_queue": True, "limiter": {"limit": 4, "period": 0.5}},
}


@pytest.mark.parametrize("kind", QUEUES)
def test_limits_hold_at_every_commit_while_processes_die(start: Start, database_url: str, kind: str) -> None:
    queue = QUEUES[kind]

    def worker(name: str) -> Worker:
        process = start(executor_id=name, launched=False)
        process.call("declare", "q", queue)
        process.call("launch")
        return process

    def finished() -> int:
        ((count,),) = run_sql(database_url, "select count(*) from workflow_status where status = 'SUCCESS'")
        return int(count)

    workers = [worker(f"w{n}") for n in range(3)]
    limits.install(database_url)
    ids = [f"task-{n}" for n in range(TASKS)]
    partitioned = "partition_queue" in queue or "partition_concurrency" in queue
    keys = [KEYS[n % len(KEYS)] if partitioned else None for n in range(TASKS)]
    workers[0].call("enqueue", "q", "walk", ids, keys, [1, 5])
    for share in (4, 2):
        eventually(lambda share=share: finished() >= TASKS // share)
        workers.pop(0).kill()
        workers.append(worker(f"w{3 + share}"))
    eventually(lambda: finished() == TASKS)
    assert limits.violations(database_url, "q", queue) == []
    started = {row[0] for row in run_sql(database_url, "select distinct workflow_uuid from starts")}
    assert started == set(ids)
    assert run_sql(database_url, "select max(recovery_attempts) from workflow_status")[0][0] <= 3


def test_a_limit_that_is_lowered_while_several_processes_work(start: Start, database_url: str) -> None:
    """From the commit on that lowers it, nothing begins above it; what runs is left alone."""
    workers = [start(executor_id=f"w{n}") for n in range(3)]
    limits.install(database_url)
    workers[0].call("register", "q", {"concurrency": 6})
    workers[0].call("enqueue", "q", "walk", [f"task-{n}" for n in range(TASKS)], [None] * TASKS, [2, 5])
    eventually(lambda: run_sql(database_url, "select count(*) from starts")[0][0] >= 12)
    workers[1].call("register", "q", {"concurrency": 2})
    ((number,),) = run_sql(database_url, "select max(number) from starts")
    late = [f"late-{n}" for n in range(6)]  # on a slow machine all the others may have begun
    workers[0].call("enqueue", "q", "walk", late, [None] * len(late), [2, 5])
    everything = [(TASKS + len(late),)]
    eventually(
        lambda: run_sql(database_url, "select count(*) from workflow_status where status = 'SUCCESS'") == everything
    )
    ((most,),) = run_sql(database_url, "select max(in_queue) from starts")
    ((later,),) = run_sql(database_url, "select max(in_queue) from starts where number > ?", number)
    assert most <= 6
    assert later <= 2
    assert run_sql(database_url, "select max(recovery_attempts) from workflow_status") == [(1,)]
