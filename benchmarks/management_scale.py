"""How listings and retention behave beside a million workflows: our own figures, there is nothing to compare them with.

    python -m benchmarks.management_scale URL-OF-AN-EMPTY-POSTGRES-DATABASE [--workflows N]

Fills the database with finished workflows of one step each. Prints how long the first page of listings takes, by values
that many have and by values that one has; then deletes the older half by retention, and prints how long that takes and
what a claim of a hundred workflows costs meanwhile.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time

import psycopg

from benchmarks.queue_scale import cost_of_a_claim
from dbos.store.database import StoreSettings
from dbos.store.retention import BEGINNING, Bounds, Place
from dbos.store.search import WorkflowFilter
from dbos.store.store import Store

PAGE = 100
ROUNDS = 5
BATCH = 200
IDS_APART_SECONDS = 3.5  # `cost_of_a_claim` names its workflows by the millisecond

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
    "on a queue": WorkflowFilter(queue_name=("queue",)),
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
        print(f"a claim of 100 workflows, before: {cost_of_a_claim(store):.1f} ms")
        retain_half(store, count)


def narrowed(what: str, wanted: WorkflowFilter, count: int) -> WorkflowFilter:
    """Milliseconds count the workflows here."""
    newest = count - count // 100
    if what.startswith("created"):
        return WorkflowFilter(start_time_ms=newest, end_time_ms=count, limit=PAGE)
    if what.startswith("ended"):
        return WorkflowFilter(completed_after_ms=newest, completed_before_ms=count, limit=PAGE)
    values = {name: getattr(wanted, name) for name in wanted.__dataclass_fields__}
    return WorkflowFilter(**{**values, "limit": PAGE, "application_name": ("benchmark", None)})


def first_page(store: Store, wanted: WorkflowFilter) -> float:
    """Milliseconds, the median."""
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        store.workflows.search(wanted)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds) * 1000


def retain_half(store: Store, count: int) -> None:
    """Delete as the service does, batch and rest, while workflows are claimed."""
    bounds, over, deleted = Bounds(count // 2 + 1, 2**62), threading.Event(), 0

    def sweep() -> None:
        nonlocal deleted
        place: Place | None = BEGINNING
        while place is not None:
            began = time.monotonic()
            batch = store.workflows.collect(bounds, place, BATCH)
            deleted += len(batch.deleted)
            place = batch.reached
            time.sleep(max(0.01, time.monotonic() - began))
        over.set()

    time.sleep(IDS_APART_SECONDS)
    began = time.monotonic()
    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    costs: list[float] = []
    while not over.wait(IDS_APART_SECONDS) or not costs:
        costs.append(cost_of_a_claim(store))
    sweeper.join()
    print(f"a claim of 100 workflows, meanwhile: {statistics.median(costs):.1f} ms")
    print(f"retention: {deleted:,} workflows in {time.monotonic() - began:.0f} s, {BATCH} at a time")


if __name__ == "__main__":
    main()
