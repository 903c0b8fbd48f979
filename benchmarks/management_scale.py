"""How listings and retention behave beside a million workflows: our own figures, there is nothing to compare them with.

    python -m benchmarks.management_scale URL-OF-AN-EMPTY-POSTGRES-DATABASE [--workflows N]

Fills the database with finished workflows of one step each. Prints how long the first page of listings takes, by values
that many have and by values that one has; then lets an application delete the older half by retention, and prints how
long that takes and how soon workflows start that are enqueued meanwhile.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable

import psycopg

from dbos import DBOS, DBOSConfig, Queue
from dbos.store.database import StoreSettings
from dbos.store.search import WorkflowFilter
from dbos.store.store import Store

PAGE = 100
ROUNDS = 5
CALM_SECONDS = 20.0  # of dispatch before retention begins
LONGEST_SECONDS = 1800.0  # for retention
PAUSE_SECONDS = 0.01, 0.03  # between two enqueues

latencies: list[float] = []  # seconds from the enqueue to the start
measured = Queue("measured")


@DBOS.workflow()
def started(enqueued_at: float) -> None:
    latencies.append(time.perf_counter() - enqueued_at)


FILL = (
    "insert into dbos.workflow_status (workflow_uuid, status, epoch, name, inputs, output, serialization,"
    " outcome_serialization, created_at, updated_at, completed_at, recovery_attempts, executor_id, application_name,"
    " application_version, authenticated_user, queue_name, started_at_epoch_ms, parent_workflow_id, attributes)"
    " select 'w' || n, case when n % 5000 = 1 then 'ERROR' else 'SUCCESS' end, 1,"
    " case when n = 77 then 'rare' else 'name' || n % 10 end, '{\"args\": [1], \"kwargs\": {}}', '1', 'json', 'json',"
    " n, n, n, 1, 'local', 'benchmark', case when n = 77 then '0' else '1' end,"
    " case when n = 77 then 'ann' else 'bob' end, case when n % 2 = 0 then 'queue' end, n,"
    " case when n % 100 = 7 then 'w' || n - 1 end, case when n = 77 then cast('{\"rare\": true}' as jsonb) end"
    " from generate_series(1, {count}) as n",
    "insert into dbos.operation_outputs (workflow_uuid, function_id, function_name, output, serialization, epoch)"
    " select 'w' || n, 1, 'step', '1', 'json', 1 from generate_series(1, {count}) as n",
    "vacuum analyze dbos.workflow_status, dbos.operation_outputs",
)

LISTINGS = {
    "everything, oldest first": WorkflowFilter(),
    "everything, newest first": WorkflowFilter(sort_desc=True),
    "one name of ten": WorkflowFilter(name=("name3",)),
    "failed, one of 5,000": WorkflowFilter(status=("ERROR",)),
    "unfinished, none": WorkflowFilter(status=("PENDING", "ENQUEUED", "DELAYED")),
    "enqueued, none": WorkflowFilter(status=("ENQUEUED",)),
    "on a queue": WorkflowFilter(queue_name=("queue",)),
    "on a queue that one was on": WorkflowFilter(queue_name=("none",)),
    "forked from, none": WorkflowFilter(was_forked_from=True),
    "of a prefix": WorkflowFilter(workflow_id_prefix=("w4242",)),
    "children of one": WorkflowFilter(parent_workflow_id=("w106",)),
    "created in the newest hundredth": WorkflowFilter(start_time_ms=0),  # set below
    "ended in the newest hundredth": WorkflowFilter(completed_after_ms=0),  # set below
    "a name that one has": WorkflowFilter(name=("rare",)),
    "a version that one has": WorkflowFilter(app_version=("0",)),
    "a user that one has": WorkflowFilter(user=("ann",)),
    "attributes that one has": WorkflowFilter(attributes='{"rare": true}'),
    "a name that none has": WorkflowFilter(name=("none",)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--workflows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    count: int = arguments.workflows
    with Store.open(StoreSettings(url=arguments.url)) as store:
        with psycopg.connect(arguments.url, autocommit=True) as connection:
            for statement in FILL:
                connection.execute(statement.replace("{count}", str(count)).encode())
        print(f"{count:,} workflows; the first {PAGE} of")
        for what, wanted in LISTINGS.items():
            print(f"  {what:35} {first_page(store, narrowed(what, wanted, count)):8.1f} ms")
    retain_half(arguments.url, count)


def narrowed(what: str, wanted: WorkflowFilter, count: int) -> WorkflowFilter:
    """Milliseconds count the workflows here."""
    newest = count - count // 100
    if what.startswith("created"):
        return WorkflowFilter(start_time_ms=newest, end_time_ms=count, limit=PAGE)
    if what.startswith("ended"):
        return WorkflowFilter(completed_after_ms=newest, completed_before_ms=count, limit=PAGE)
    return wanted._replace(limit=PAGE, application_name=("benchmark", None))


def first_page(store: Store, wanted: WorkflowFilter) -> float:
    """Milliseconds, the median."""
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        store.workflows.search(wanted)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds) * 1000


def retain_half(url: str, count: int) -> None:
    """Dispatch for a while without retention, then with it, until the older half is gone."""
    config: DBOSConfig = {"name": "benchmark", "system_database_url": url, "log_level": "ERROR"}
    until = time.monotonic() + CALM_SECONDS
    print(f"from enqueue to start, before: {dispatch(config, lambda: time.monotonic() > until)}")
    with psycopg.connect(url, autocommit=True) as connection:

        def half_is_gone() -> bool:
            youngest = "select 1 from dbos.workflow_status where workflow_uuid = %s"
            return connection.execute(youngest, (f"w{count // 2}",)).fetchone() is None

        began = time.monotonic()
        print(f"from enqueue to start, meanwhile: {dispatch({**config, 'retention_rows': count // 2}, half_is_gone)}")
    print(f"retention: {count // 2:,} workflows in {time.monotonic() - began:.0f} s")


def dispatch(config: DBOSConfig, enough: Callable[[], bool]) -> str:
    """Enqueue one workflow after the other, until it is enough; in how many milliseconds they start."""
    latencies.clear()
    until = time.monotonic() + LONGEST_SECONDS
    DBOS(config=config)
    DBOS.launch()
    try:
        while not enough():
            assert time.monotonic() < until
            measured.enqueue(started, time.perf_counter()).get_result()
            time.sleep(random.uniform(*PAUSE_SECONDS))
    finally:
        DBOS.destroy()
    p50, p99 = (statistics.quantiles(latencies, n=100)[place] * 1000 for place in (49, 98))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {max(latencies) * 1000:.1f} ms ({len(latencies):,} workflows)"


if __name__ == "__main__":
    main()
