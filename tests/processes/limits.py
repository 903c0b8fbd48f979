"""Limits of queues, counted from inside the database: a trigger looks whenever a workflow of a queue begins.

On Postgres it counts when the transaction commits, one commit after the other, so that nothing in flight is overlooked;
on SQLite there is one writer anyway.
"""

from __future__ import annotations

from typing import Any

from tests.support.raw_sql import run_sql

COUNTS = """
    (select count(*) from {schema}workflow_status as w where w.status = 'PENDING' and w.queue_name = new.queue_name),
    (select count(*) from {schema}workflow_status as w where w.status = 'PENDING' and w.queue_name = new.queue_name
        and w.executor_instance = new.executor_instance),
    (select count(*) from {schema}workflow_status as w where w.status = 'PENDING' and w.queue_name = new.queue_name
        and w.queue_partition_key = new.queue_partition_key),
    (select count(*) from {schema}workflow_status as w where w.status = 'PENDING' and w.queue_name = new.queue_name
        and w.queue_partition_key = new.queue_partition_key and w.executor_instance = new.executor_instance)
"""
COLUMNS = "workflow_uuid, queue, partition, started_at, in_queue, in_worker, in_partition, in_partition_of_worker"
TABLE = (
    "create table {schema}starts (number {key}, workflow_uuid text, queue text, partition text, started_at bigint,"
    " in_queue bigint, in_worker bigint, in_partition bigint, in_partition_of_worker bigint)"
)
NEW = "new.workflow_uuid, new.queue_name, new.queue_partition_key, new.started_at_epoch_ms"

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


def install(url: str) -> None:
    """From here on every start of a queued workflow is counted. The system tables must exist."""
    for statement in SQLITE if url.startswith("sqlite") else POSTGRES:
        run_sql(url, statement)


def violations(url: str, name: str, queue: dict[str, Any]) -> list[str]:
    """What broke the limits of a queue of that name, declared like that."""
    per_partition = bool(queue.get("partition_queue"))
    bounds = {
        "in_partition" if per_partition else "in_queue": queue.get("concurrency"),
        "in_partition_of_worker" if per_partition else "in_worker": queue.get("worker_concurrency"),
    }
    if "partition_concurrency" in queue:
        bounds["in_partition"] = queue["partition_concurrency"]
    found = []
    for column, bound in bounds.items():
        ((most,),) = run_sql(url, f"select max({column}) from starts where queue = ?", name)
        if bound is not None and most is not None and most > bound:
            found.append(f"{column}: {most} > {bound}")
    if "limiter" in queue:
        limit, period_ms = queue["limiter"]["limit"], queue["limiter"]["period"] * 1000
        starts: dict[str | None, list[int]] = {}
        found_starts = "select partition, started_at from starts where queue = ? order by started_at"
        for partition, started_at in run_sql(url, found_starts, name):
            starts.setdefault(partition if per_partition else None, []).append(started_at)
        for partition, times in starts.items():
            for first, next_one in zip(times, times[limit:], strict=False):
                if next_one - first < period_ms:
                    found.append(f"{limit + 1} starts of {partition} within {next_one - first} ms")
    return found
