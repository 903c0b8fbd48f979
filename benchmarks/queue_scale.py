"""What a claim costs beside a long history and a long queue: our own figures, there is nothing to compare them with.

    python -m benchmarks.queue_scale [--databases postgres sqlite] [--finished N] [--waiting N]

Claims a hundred workflows and finishes them, again and again, in turns on a database that holds nothing else and on a
full one. Asked of the store itself, so that nothing else is in the figures. (What becomes of very many partitions is
asked by `crowd_scale.py`.)
"""

from __future__ import annotations

import argparse
import statistics
import time

from benchmarks.databases import OpenDatabases
from dbos.model.queue import QueueSpec
from dbos.store.claims import Claim
from dbos.store.database import StoreSettings
from dbos.store.executors import Owner
from dbos.store.records import FinishWorkflow
from dbos.store.store import Store
from tests.support.raw_sql import run_sql

OWNER = Owner("benchmark", "local", "benchmark", "1")
RUNNABLE = [("no_op", "", "")]
CLAIMED = 100
ROUNDS = 6
CLAIMS = 40  # in each round

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


def claims(store: Store, queue: str) -> list[float]:
    """The milliseconds that each of some claims of a hundred workflows takes."""
    taken = []
    for _ in range(CLAIMS):
        began = time.perf_counter()
        claim = store.claims.claim(QueueSpec(queue), OWNER, RUNNABLE, CLAIMED)
        taken.append((time.perf_counter() - began) * 1000)
        assert len(claim.rows) == CLAIMED
        finish(store, claim)
    return taken


def compare(empty_url: str, full_url: str, finished: int, waiting: int) -> str:
    """The median claim in each of two databases, of which the second is filled first."""
    with Store.open(StoreSettings(url=empty_url)) as empty, Store.open(StoreSettings(url=full_url)) as full:
        fill(empty_url, "short", ROUNDS * CLAIMS * CLAIMED)
        fill(full_url, "history", finished, finished=True)
        fill(full_url, "long", waiting)
        for url in (empty_url, full_url):
            settle(url)
        taken: tuple[list[float], list[float]] = ([], [])
        for _ in range(ROUNDS):
            taken[0].extend(claims(empty, "short"))
            taken[1].extend(claims(full, "long"))
    alone, beside = map(statistics.median, taken)
    return f"{alone:.2f} ms in an empty database, {beside:.2f} ms in a full one ({beside / alone:.2f}x)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--databases", nargs="+", choices=["postgres", "sqlite"], default=["postgres", "sqlite"])
    parser.add_argument("--finished", type=int, default=1_000_000)
    parser.add_argument("--waiting", type=int, default=100_000)
    arguments = parser.parse_args()
    with OpenDatabases(arguments.databases) as opened:
        for kind, databases in opened.items():
            with databases.fresh() as empty_url, databases.fresh() as full_url:
                answer = compare(empty_url, full_url, arguments.finished, arguments.waiting)
            print(f"a claim of {CLAIMED} on {kind}: {answer}", flush=True)


if __name__ == "__main__":
    main()
