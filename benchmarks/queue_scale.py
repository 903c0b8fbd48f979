"""How queues behave when there is much of everything: our own figures, there is nothing to compare them with.

    python -m benchmarks.queue_scale URL-OF-AN-EMPTY-DATABASE [--finished N] [--waiting N] [--partitions N]

Prints what a claim of a hundred workflows costs on an empty database and beside a long history and a long queue, and
how fast as many partitions with one workflow each are claimed and finished, beside the same without partitions.
"""

from __future__ import annotations

import argparse
import statistics
import time

from dbos.model.queue import QueueSpec
from dbos.store.claims import Turn
from dbos.store.database import StoreSettings
from dbos.store.executors import Owner
from dbos.store.records import FinishWorkflow, StartWorkflow
from dbos.store.store import Store

OWNER = Owner("benchmark", "local", "benchmark", "1")
RUNNABLE = [("no_op", "", "")]
CLAIMED = 100
ROUNDS = 30
BATCH = 500
CHUNK = 1_000  # records in one commit while filling


def enqueued(queue: str, number: int, partition: str | None = None) -> StartWorkflow:
    fields = dict.fromkeys(StartWorkflow._fields)
    workflow_id = f"{queue}-{number}"
    return StartWorkflow(
        **{
            **fields,
            "workflow_id": workflow_id,
            "token": workflow_id,
            "status": "ENQUEUED",
            "name": "no_op",
            "inputs": '{"args": [], "kwargs": {}}',
            "serialization": "json",
            "application_name": "benchmark",
            "application_version": "1",
            "queue_name": queue,
            "priority": 0,
            "queue_partition_key": partition,
        }
    )


def fill(store: Store, queue: str, first: int, count: int, partitioned: bool = False) -> None:
    """Enqueue so many."""
    for start in range(first, first + count, CHUNK):
        numbers = range(start, min(start + CHUNK, first + count))
        store.journal.write([enqueued(queue, n, f"p{n:06}" if partitioned else None) for n in numbers])


def work_off(store: Store, queue: QueueSpec, batch: int) -> int:
    """Claim a batch and finish it at once; how many there were."""
    claim = store.claims.claim(queue, OWNER, RUNNABLE, batch)
    store.journal.write([FinishWorkflow(r.workflow_uuid, r.epoch, "SUCCESS", "null", None, "json") for r in claim.rows])
    return len(claim.rows)


def cost_of_a_claim(store: Store) -> float:
    """Milliseconds for a hundred workflows, the median."""
    fill(store, "measured", int(time.time() * 1000), ROUNDS * CLAIMED)
    queue = QueueSpec("measured")
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        claim = store.claims.claim(queue, OWNER, RUNNABLE, CLAIMED)
        seconds.append(time.perf_counter() - began)
        assert len(claim.rows) == CLAIMED
        store.journal.write(
            [FinishWorkflow(row.workflow_uuid, row.epoch, "SUCCESS", "null", None, "json") for row in claim.rows]
        )
    return statistics.median(seconds) * 1000


def rate(store: Store, queue: QueueSpec, count: int) -> float:
    """Workflows a second, claimed and finished."""
    turn = Turn()
    left = count
    began = time.perf_counter()
    while left:
        claim = store.claims.claim(queue, OWNER, RUNNABLE, BATCH, turn=turn)
        assert claim.rows
        store.journal.write(
            [FinishWorkflow(row.workflow_uuid, row.epoch, "SUCCESS", "null", None, "json") for row in claim.rows]
        )
        left -= len(claim.rows)
    return count / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--finished", type=int, default=1_000_000)
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--partitions", type=int, default=10_000)
    arguments = parser.parse_args()
    with Store.open(StoreSettings(url=arguments.url)) as store:
        empty = cost_of_a_claim(store)
        count = arguments.partitions
        fill(store, "whole", 0, count)
        whole = rate(store, QueueSpec("whole"), count)
        fill(store, "divided", 0, count, partitioned=True)
        divided = rate(store, QueueSpec("divided", partition_concurrency=1), count)
        fill(store, "history", 0, arguments.finished)
        while work_off(store, QueueSpec("history"), CHUNK):
            pass
        fill(store, "measured", 0, arguments.waiting)
        full = cost_of_a_claim(store)
    print(f"claim of {CLAIMED}: {empty:.2f} ms on an empty database, {full:.2f} ms on a full one ({full / empty:.2f}x)")
    print(f"{count:,} workflows: {whole:,.0f}/s, in as many partitions {divided:,.0f}/s ({divided / whole:.2f}x)")


if __name__ == "__main__":
    main()
