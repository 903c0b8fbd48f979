"""How queues behave when there is much of everything: our own figures, there is nothing to compare them with.

    python -m benchmarks.queue_scale URL-OF-AN-EMPTY-DATABASE [--finished N] [--waiting N] [--partitions N]

Prints what a claim of a hundred workflows costs on an empty database and beside a long history and a long queue, and
how fast as many partitions with one workflow each are claimed and finished, beside the same without partitions. Both
are asked of the store itself, so that nothing else is in the figures.
"""

from __future__ import annotations

import argparse
import statistics
import time

from dbos.model.queue import QueueSpec
from dbos.store.claims import Claim, Turn
from dbos.store.database import StoreSettings
from dbos.store.executors import Owner
from dbos.store.records import FinishWorkflow
from dbos.store.store import Store
from tests.support.raw_sql import run_sql

OWNER = Owner("benchmark", "local", "benchmark", "1")
RUNNABLE = [("no_op", "", "")]
CLAIMED = 100
ROUNDS = 60
BATCH = 500

FILL = """
insert into workflow_status (
    workflow_uuid, status, epoch, name, inputs, output, serialization, outcome_serialization, created_at, updated_at,
    completed_at, recovery_attempts, executor_id, application_name, application_version, queue_name,
    queue_partition_key
)
with recursive series (n) as (select 1 union all select n + 1 from series where n < {count})
select
    '{queue}-' || n, '{status}', {epoch}, 'no_op', '{{"args": [], "kwargs": {{}}}}', {output}, 'json', {codec}, n, n,
    {completed_at}, {epoch}, {executor}, 'benchmark', '1', '{queue}', {partition}
from series
"""


def fill(url: str, queue: str, count: int, *, finished: bool = False, partitioned: bool = False) -> None:
    """So many workflows, which wait on a queue, or have been through it; each in a partition of its own if wanted."""
    statement = FILL.format(
        queue=queue,
        count=count,
        status="SUCCESS" if finished else "ENQUEUED",
        epoch=1 if finished else 0,
        output="'null'" if finished else "null",
        codec="'json'" if finished else "null",
        completed_at="n" if finished else "null",
        executor="'local'" if finished else "null",
        partition="'p' || n" if partitioned else "null",
    )
    run_sql(url, statement)


def settle(url: str) -> None:
    """What Postgres would do by itself within minutes. SQLite gets nothing."""
    if not url.startswith("sqlite"):
        run_sql(url, "vacuum (analyze) workflow_status")
        run_sql(url, "checkpoint")


def finish(store: Store, claim: Claim) -> None:
    """End everything that was claimed, by one commit."""
    store.journal.write([FinishWorkflow(r.workflow_uuid, r.epoch, "SUCCESS", "null", None, "json") for r in claim.rows])


def cost_of_a_claim(store: Store, queue: str) -> float:
    """Milliseconds for a hundred of the workflows that wait there, the median."""
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        claim = store.claims.claim(QueueSpec(queue), OWNER, RUNNABLE, CLAIMED)
        seconds.append(time.perf_counter() - began)
        assert len(claim.rows) == CLAIMED
        finish(store, claim)
    return statistics.median(seconds) * 1000


def rate(store: Store, queue: QueueSpec, count: int) -> float:
    """Workflows a second, claimed and finished."""
    turn = Turn()
    left = count
    began = time.perf_counter()
    while left:
        claim = store.claims.claim(queue, OWNER, RUNNABLE, BATCH, turn=turn)
        assert claim.rows
        finish(store, claim)
        left -= len(claim.rows)
    return count / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--finished", type=int, default=1_000_000)
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--partitions", type=int, default=10_000)
    arguments = parser.parse_args()
    url, count = arguments.url, arguments.partitions
    with Store.open(StoreSettings(url=url)) as store:
        fill(url, "short", ROUNDS * CLAIMED)
        settle(url)
        empty = cost_of_a_claim(store, "short")

        fill(url, "whole", count)
        fill(url, "divided", count, partitioned=True)
        settle(url)
        whole = rate(store, QueueSpec("whole"), count)
        divided = rate(store, QueueSpec("divided", partition_concurrency=1), count)

        fill(url, "history", arguments.finished, finished=True)
        fill(url, "long", arguments.waiting)
        settle(url)
        full = cost_of_a_claim(store, "long")
    print(f"claim of {CLAIMED}: {empty:.2f} ms on an empty database, {full:.2f} ms on a full one ({full / empty:.2f}x)")
    print(f"{count:,} workflows: {whole:,.0f}/s, in as many partitions {divided:,.0f}/s ({divided / whole:.2f}x)")


if __name__ == "__main__":
    main()
