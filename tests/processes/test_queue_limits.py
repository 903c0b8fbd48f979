"""Several processes drain one queue while some of them are killed: every limit holds at every commit.

A trigger counts what runs whenever a workflow begins to: on Postgres when its transaction commits, one commit after the
other, so that nothing in flight is overlooked; on SQLite there is one writer anyway.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.processes.conftest import Start
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually
from tests.support.workers import Worker

TASKS = 60
KEYS = "abcde"
LEASE_SECONDS = 2.0  # processes of one host find each other dead at once; this is for a busy machine

COUNTS = """
    (select count(*) from {schema}workflow_status as w where w.status = 'PENDING' and w.queue_name = new.queue_name),
    (select count(*) from {schema}workflow_status as w where w.status = 'PENDING' and w.queue_name = new.queue_name
        and w.executor_instance = new.executor_instance),
    (select count(*) from {schema}workflow_status as w where w.status = 'PENDING' and w.queue_name = new.queue_name
        and w.queue_partition_key = new.queue_partition_key),
    (select count(*) from {schema}workflow_status as w where w.status = 'PENDING' and w.queue_name = new.queue_name
        and w.queue_partition_key = new.queue_partition_key and w.executor_instance = new.executor_instance)
"""
COLUMNS = "workflow_uuid, partition, started_at, in_queue, in_worker, in_partition, in_partition_of_worker"
TABLE = (
    "create table {schema}starts (number {key}, workflow_uuid text, partition text, started_at bigint,"
    " in_queue bigint, in_worker bigint, in_partition bigint, in_partition_of_worker bigint)"
)
NEW = "new.workflow_uuid, new.queue_partition_key, new.started_at_epoch_ms"

SQLITE = (
    TABLE.format(schema="", key="integer primary key"),
    "create trigger count_starts after update on workflow_status"
    " when new.status = 'PENDING' and old.status = 'ENQUEUED' begin"
    f" insert into starts ({COLUMNS}) select {NEW}, {COUNTS.format(schema='')}; end",
)
POSTGRES = (
    TABLE.format(schema="dbos.", key="bigserial primary key"),
    "create function dbos.count_start() returns trigger language plpgsql as $$ begin"
    " perform pg_advisory_xact_lock(20);"  # one commit after the other
    f" insert into dbos.starts ({COLUMNS}) select {NEW}, {COUNTS.format(schema='dbos.')}; return null; end $$",
    "create constraint trigger count_starts after update on dbos.workflow_status deferrable initially deferred"
    " for each row when (new.status = 'PENDING' and old.status = 'ENQUEUED') execute function dbos.count_start()",
)

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


def install_audit(url: str) -> None:
    for statement in SQLITE if url.startswith("sqlite") else POSTGRES:
        run_sql(url, statement)


def violations(url: str, queue: dict[str, Any]) -> list[str]:
    """What broke the limits of a queue."""
    per_partition = bool(queue.get("partition_queue"))
    bounds = {
        "in_partition" if per_partition else "in_queue": queue.get("concurrency"),
        "in_partition_of_worker" if per_partition else "in_worker": queue.get("worker_concurrency"),
    }
    if "partition_concurrency" in queue:
        bounds["in_partition"] = queue["partition_concurrency"]
    found = []
    for column, bound in bounds.items():
        ((most,),) = run_sql(url, f"select max({column}) from starts")
        if bound is not None and most > bound:
            found.append(f"{column}: {most} > {bound}")
    if "limiter" in queue:
        limit, period_ms = queue["limiter"]["limit"], queue["limiter"]["period"] * 1000
        starts: dict[str | None, list[int]] = {}
        for partition, started_at in run_sql(url, "select partition, started_at from starts order by started_at"):
            starts.setdefault(partition if per_partition else None, []).append(started_at)
        for partition, times in starts.items():
            for first, next_one in zip(times, times[limit:], strict=False):
                if next_one - first < period_ms:
                    found.append(f"{limit + 1} starts of {partition} within {next_one - first} ms")
    return found


@pytest.mark.parametrize("kind", QUEUES)
def test_limits_hold_at_every_commit_while_processes_die(start: Start, database_url: str, kind: str) -> None:
    queue = QUEUES[kind]

    def worker(name: str) -> Worker:
        process = start(executor_id=name, executor_lease_sec=LEASE_SECONDS, launched=False)
        process.call("declare", "q", queue)
        process.call("launch")
        return process

    def finished() -> int:
        ((count,),) = run_sql(database_url, "select count(*) from workflow_status where status = 'SUCCESS'")
        return int(count)

    workers = [worker(f"w{n}") for n in range(3)]
    install_audit(database_url)
    ids = [f"task-{n}" for n in range(TASKS)]
    partitioned = "partition_queue" in queue or "partition_concurrency" in queue
    keys = [KEYS[n % len(KEYS)] if partitioned else None for n in range(TASKS)]
    workers[0].call("enqueue", "q", "walk", ids, keys, [1, 5])
    for share in (4, 2):
        eventually(lambda share=share: finished() >= TASKS // share)
        workers.pop(0).kill()
        workers.append(worker(f"w{3 + share}"))
    eventually(lambda: finished() == TASKS)
    assert violations(database_url, queue) == []
    started = {row[0] for row in run_sql(database_url, "select distinct workflow_uuid from starts")}
    assert started == set(ids)
    assert run_sql(database_url, "select max(recovery_attempts) from workflow_status")[0][0] <= 3


def test_a_limit_that_is_lowered_while_several_processes_work(start: Start, database_url: str) -> None:
    """From the commit on that lowers it, nothing begins above it; what runs is left alone."""
    workers = [start(executor_id=f"w{n}", executor_lease_sec=LEASE_SECONDS) for n in range(3)]
    install_audit(database_url)
    workers[0].call("register", "q", {"concurrency": 6})
    workers[0].call("enqueue", "q", "walk", [f"task-{n}" for n in range(TASKS)], [None] * TASKS, [2, 5])
    eventually(lambda: run_sql(database_url, "select count(*) from starts")[0][0] >= 12)
    workers[1].call("register", "q", {"concurrency": 2})
    ((number,),) = run_sql(database_url, "select max(number) from starts")
    eventually(
        lambda: run_sql(database_url, "select count(*) from workflow_status where status = 'SUCCESS'") == [(TASKS,)]
    )
    ((most,),) = run_sql(database_url, "select max(in_queue) from starts")
    ((later,),) = run_sql(database_url, "select max(in_queue) from starts where number > ?", number)
    assert most <= 6
    assert later <= 2
    assert run_sql(database_url, "select max(recovery_attempts) from workflow_status") == [(1,)]
