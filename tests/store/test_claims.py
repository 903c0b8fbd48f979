"""Claiming from queues: order, whose turn it is, and every limit, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from itertools import chain, count
from typing import Any

import psycopg
import pytest
import sqlalchemy

from dbos.model.queue import QueueSpec, RateLimit
from dbos.model.workflow import WorkflowRow
from dbos.store.claims import Claim, Turn
from dbos.store.database import Role, Row, StoreSettings
from dbos.store.executors import Owner
from dbos.store.postgres.session import PostgresSession
from dbos.store.sqlite.database import SqliteSession
from dbos.store.statements import Statement
from dbos.store.store import Store
from tests.store.conftest import OpenStore
from tests.store.records import RUNNABLE, finish, owner, start
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually

QUEUE = QueueSpec("q")


def ids_of(rows: list[WorkflowRow]) -> list[str]:
    return [row.workflow_uuid for row in rows]


def load(store: Store, workflow_id: str) -> WorkflowRow:
    row = store.workflows.load(workflow_id)
    assert row is not None
    return row


def claim(
    store: Store, queue: QueueSpec, who: Owner | None = None, runnable: Any = RUNNABLE, limit: int = 100, **how: Any
) -> list[WorkflowRow]:
    return attempt(store, queue, who, runnable, limit, **how).rows


def attempt(
    store: Store, queue: QueueSpec, who: Owner | None = None, runnable: Any = RUNNABLE, limit: int = 100, **how: Any
) -> Claim:
    return store.claims.claim(queue, who or owner(), runnable, limit, **how)


def enqueued(workflow_id: str, **fields: Any) -> Any:
    return start(workflow_id, **{"status": "ENQUEUED", "queue_name": "q", **fields})


def test_claiming_in_order_of_priority_and_arrival(store: Store) -> None:
    records = [enqueued(f"w{n}", priority=priority) for n, priority in enumerate((2, 0, 1, 0, 2))]
    store.journal.write(records)
    claimed = claim(store, QUEUE, owner(), RUNNABLE, 3)
    assert ids_of(claimed) == ["w1", "w3", "w2"]
    for row in claimed:
        assert (row.status, row.epoch, row.recovery_attempts) == ("PENDING", 1, 1)
        assert (row.executor_instance, row.executor_id, row.application_version) == ("here", "local", "v1")
        assert row.started_at_epoch_ms is not None
    assert ids_of(claim(store, QUEUE, owner(), RUNNABLE, 3)) == ["w0", "w4"]
    assert claim(store, QUEUE, owner(), RUNNABLE, 3) == []


def test_claiming_only_what_is_ours_and_known(store: Store) -> None:
    store.journal.write(
        [
            enqueued("mine"),
            enqueued("anyone's", application_name=None),
            enqueued("another application's", application_name="other"),
            enqueued("of this version", application_version="v1"),
            enqueued("of another version", application_version="v0"),
            enqueued("on another queue", queue_name="other"),
            enqueued("unknown function", name="unknown"),
            enqueued("a method", class_name="C", config_name="c"),
            enqueued("not due", status="DELAYED", delay_ms=1),
        ]
    )
    claimed = claim(store, QUEUE, owner(), RUNNABLE, 10)
    assert ids_of(claimed) == ["mine", "anyone's", "of this version"]
    assert {row.application_name for row in claimed} == {"app"}
    assert ids_of(claim(store, QUEUE, owner(), [("function", "C", "c")], 10)) == ["a method"]


def test_the_timeout_of_a_claimed_workflow_runs_from_its_claim(store: Store) -> None:
    store.journal.write([enqueued("own", timeout_ms=5_000), enqueued("inherited", timeout_ms=5_000, deadline_ms=2**50)])
    own, inherited = claim(store, QUEUE, owner(), RUNNABLE, 10)
    assert own.started_at_epoch_ms is not None
    assert own.workflow_deadline_epoch_ms == own.started_at_epoch_ms + 5_000
    assert inherited.workflow_deadline_epoch_ms == 2**50


def test_two_stores_never_claim_the_same_workflow(open_store: OpenStore) -> None:
    stores = [open_store(), open_store(), open_store()]
    ids = [f"w{n:03}" for n in range(300)]
    stores[0].journal.write([enqueued(each) for each in ids])
    claimed: list[list[str]] = [[], [], []]
    barrier = threading.Barrier(3)

    def work(place: int) -> None:
        barrier.wait()
        while rows := claim(stores[place], QUEUE, owner(f"e{place}"), RUNNABLE, 7):
            claimed[place] += ids_of(rows)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(chain(*claimed)) == ids
    for place, mine in enumerate(claimed):
        assert mine == sorted(mine)  # each in order of arrival
        assert sorted(workflow_id for workflow_id, _ in stores[0].workflows.owned_by(f"e{place}")) == mine


def test_function_names_do_not_run_into_each_other(store: Store) -> None:
    store.journal.write([enqueued("w", name="a", class_name="b", config_name="")])
    for near_miss in (("ab", "", ""), ("a", "", "b"), ("a\x1fb", "", ""), ("", "a", "b")):
        assert claim(store, QUEUE, owner(), [near_miss], 1) == []
    assert ids_of(claim(store, QUEUE, owner(), [("a", "b", "")], 1)) == ["w"]


def test_what_has_no_version_runs_on_the_latest(store: Store) -> None:
    store.versions.register("v1", "app")
    store.versions.register("v2", "app")
    store.versions.register("v9", "other")
    store.journal.write([enqueued("any"), enqueued("old", application_version="v1")])
    assert ids_of(claim(store, QUEUE, owner(version="v1"))) == ["old"]
    store.versions.set_latest("v1", "app")
    assert claim(store, QUEUE, owner(version="v2")) == []
    (row,) = claim(store, QUEUE, owner(version="v1"))
    assert (row.workflow_uuid, row.application_version) == ("any", "v1")


# ------------------------------------------------------------ limits


def enqueue(store: Store, *ids: str, **fields: Any) -> None:
    store.journal.write([enqueued(each, **fields) for each in ids])


def test_global_concurrency(store: Store) -> None:
    queue = QueueSpec("q", concurrency=2)
    enqueue(store, "a", "b", "c", "d")
    enqueue(store, "elsewhere", queue_name="other")
    assert ids_of(claim(store, QueueSpec("other"))) == ["elsewhere"]  # counts for another queue
    assert ids_of(claim(store, queue, owner("one"))) == ["a", "b"]
    assert attempt(store, queue, owner("two")).full
    store.journal.write([finish("a")])
    assert ids_of(claim(store, queue, owner("two"))) == ["c"]
    store.workflows.cancel(["b"])
    assert ids_of(claim(store, queue, owner("two"))) == ["d"]


@pytest.mark.parametrize("queue", [QueueSpec("q", concurrency=2), QueueSpec("q", worker_concurrency=2)])
def test_a_queue_is_full_when_its_limit_is_reached_and_not_before(store: Store, queue: QueueSpec) -> None:
    enqueue(store, "a")
    assert not attempt(store, queue).full
    enqueue(store, "b")
    assert attempt(store, queue).full
    store.journal.write([finish("a")])
    assert not attempt(store, queue).full
    assert not attempt(store, QueueSpec("q", partition_concurrency=1)).full  # some partition may have room


def test_lowering_a_limit_stops_nothing_that_runs(store: Store) -> None:
    enqueue(store, "a", "b", "c", "d")
    assert len(claim(store, QueueSpec("q", concurrency=3))) == 3
    lowered = QueueSpec("q", concurrency=1)
    assert claim(store, lowered) == []
    store.journal.write([finish("a"), finish("b")])
    assert claim(store, lowered) == []
    store.journal.write([finish("c")])
    assert ids_of(claim(store, lowered)) == ["d"]


def test_worker_concurrency_counts_this_executor_alone(store: Store) -> None:
    queue = QueueSpec("q", worker_concurrency=2)
    enqueue(store, "a", "b", "c", "d", "e")
    assert ids_of(claim(store, queue, owner("one"))) == ["a", "b"]
    assert attempt(store, queue, owner("one")).full
    assert ids_of(claim(store, queue, owner("two"))) == ["c", "d"]
    store.journal.write([finish("b")])
    assert ids_of(claim(store, queue, owner("one"))) == ["e"]


def test_both_kinds_of_concurrency(store: Store) -> None:
    queue = QueueSpec("q", concurrency=3, worker_concurrency=2)
    enqueue(store, "a", "b", "c", "d", "e")
    assert ids_of(claim(store, queue, owner("one"))) == ["a", "b"]
    assert ids_of(claim(store, queue, owner("two"))) == ["c"]


def test_a_slot_is_free_as_soon_as_its_workflow_leaves(store: Store) -> None:
    """Finished, cancelled, given up, or given back by the death of its executor."""
    queue = QueueSpec("q", concurrency=1)
    store.executors.register(owner("mortal"), "host", 1, "then", lease_seconds=30)
    enqueue(store, "a", "b", "c", "d", "e")
    assert ids_of(claim(store, queue)) == ["a"]
    store.journal.write([finish("a", status="ERROR")])
    assert ids_of(claim(store, queue)) == ["b"]
    store.workflows.cancel(["b"])
    assert ids_of(claim(store, queue)) == ["c"]
    store.journal.write([finish("c", status="MAX_RECOVERY_ATTEMPTS_EXCEEDED")])
    assert ids_of(claim(store, queue, owner("mortal"))) == ["d"]
    assert claim(store, queue) == []
    store.executors.declare_dead(["mortal"])
    assert store.workflows.adopt(owner(), RUNNABLE, 10) == []
    (row,) = claim(store, queue)  # first again: it keeps its place
    assert (row.workflow_uuid, row.epoch, row.recovery_attempts) == ("d", 3, 2)


def test_the_dead_of_another_version_hold_no_slot(store: Store) -> None:
    queue = QueueSpec("q", concurrency=1)
    store.executors.register(owner("old", version="v0"), "host", 1, "then", lease_seconds=30)
    enqueue(store, "a", application_version="v0")
    enqueue(store, "b", application_version="v1")
    assert ids_of(claim(store, queue, owner("old", version="v0"))) == ["a"]
    store.executors.declare_dead(["old"])
    store.workflows.adopt(owner(), RUNNABLE, 10)
    assert ids_of(claim(store, queue)) == ["b"]
    assert load(store, "a").status == "ENQUEUED"


def test_a_definition_in_the_database_is_read_with_the_claim(store: Store) -> None:
    stale = QueueSpec("q", concurrency=5)
    store.queues.register(QueueSpec("q", concurrency=1), "always_update", "v1")
    enqueue(store, "a", "b")
    assert ids_of(claim(store, stale, stored=True)) == ["a"]
    store.queues.update("q", concurrency=2)
    assert ids_of(claim(store, stale, stored=True)) == ["b"]
    store.queues.delete("q")
    enqueue(store, "c")
    assert claim(store, stale, stored=True) == []


LIMITS: list[dict[str, Any]] = [
    {"concurrency": 1},
    {"worker_concurrency": 1},
    {"limiter": RateLimit(1, 60)},
    {"partition_queue": True},
    {"partition_concurrency": 1},
    {"partition_worker_concurrency": 1},
    {"partition_limiter": RateLimit(1, 60)},
]


@pytest.mark.parametrize("change", LIMITS, ids=lambda change: next(iter(change)))
def test_a_limit_holds_from_its_commit_where_there_was_none(store: Store, change: dict[str, Any]) -> None:
    """Whoever looked before takes nothing by what it saw then."""
    stale = QueueSpec("q")
    store.queues.register(stale, "always_update", "v1")
    enqueue(store, "a", "b")
    store.queues.update("q", **change)
    assert claim(store, stale, stored=True) == []
    store.queues.update("q", **dict.fromkeys(change, False if "partition_queue" in change else None))
    assert ids_of(claim(store, stale, stored=True)) == ["a", "b"]
    enqueue(store, "c")
    store.queues.delete("q")
    assert claim(store, stale, stored=True) == []


def test_a_limit_that_was_lowered_holds_where_only_one_executor_counts(store: Store) -> None:
    stale = QueueSpec("q", worker_concurrency=5)
    store.queues.register(QueueSpec("q", worker_concurrency=1), "always_update", "v1")
    enqueue(store, "a", "b")
    assert claim(store, stale, stored=True) == []
    assert ids_of(claim(store, QueueSpec("q", worker_concurrency=1), stored=True)) == ["a"]


def test_a_claim_waits_for_a_definition_that_is_being_committed(postgres_url: str) -> None:
    """Or the definition for the claim: from its commit on nobody starts what it does not allow."""
    claimed: list[WorkflowRow] = []
    with Store.open(StoreSettings(url=postgres_url)) as store, psycopg.connect(postgres_url) as other:
        store.queues.register(QueueSpec("q"), "always_update", "v1")
        enqueue(store, "a")
        other.execute("update dbos.queues set concurrency = 1")
        claiming = threading.Thread(target=lambda: claimed.extend(claim(store, QueueSpec("q"), stored=True)))
        claiming.start()
        waits = "select 1 from pg_locks where not granted and locktype = 'transactionid'"
        eventually(lambda: bool(run_sql(postgres_url, waits)) or not claiming.is_alive())
        other.commit()
        claiming.join()
    assert claimed == []


@pytest.mark.parametrize(
    "in_code",
    [
        pytest.param(QueueSpec("q"), id="without limits"),
        pytest.param(QueueSpec("q", worker_concurrency=5), id="worker concurrency"),
        pytest.param(QueueSpec("q", concurrency=5), id="with limits"),
    ],
)
def test_a_definition_that_came_meanwhile_has_the_last_word(store: Store, in_code: QueueSpec) -> None:
    """Whoever looked before it was registered goes by the code, and finds it with the claim."""
    enqueue(store, "a", "b", "c")
    store.queues.register(QueueSpec("q", concurrency=1, application_name="another"), "always_update", "v1")
    assert ids_of(claim(store, in_code, limit=1)) == ["a"]  # one that nobody here goes by
    store.queues.delete("q")
    store.queues.register(QueueSpec("q", concurrency=2), "always_update", "v1")
    assert ids_of(claim(store, in_code)) == (["b"] if in_code.as_a_whole.shared else [])
    assert ids_of(claim(store, QueueSpec("q", concurrency=2), stored=True)) == (
        [] if in_code.as_a_whole.shared else ["b"]
    )


def test_a_queue_is_not_defined_while_a_claim_goes_by_the_code(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor the other way round: there is no commit after which more runs than the definition allows."""
    claiming, defining = threading.Event(), threading.Event()
    run = PostgresSession.run

    def paused(self: PostgresSession, statement: Statement, values: Mapping[str, object]) -> list[Row]:
        if statement.name == "claim":
            claiming.set()
            defining.wait()
        return run(self, statement, values)

    monkeypatch.setattr(PostgresSession, "run", paused)
    claimed: list[WorkflowRow] = []
    waits = "select 1 from pg_locks where not granted and locktype = 'advisory'"
    with Store.open(StoreSettings(url=postgres_url)) as store:
        enqueue(store, "a")
        taking = threading.Thread(target=lambda: claimed.extend(claim(store, QueueSpec("q"))))
        definition = QueueSpec("q", concurrency=1), "always_update", "v1"
        registering = threading.Thread(target=store.queues.register, args=definition)
        taking.start()
        claiming.wait()
        registering.start()
        eventually(lambda: bool(run_sql(postgres_url, waits)) or not registering.is_alive())
        assert registering.is_alive()
        assert attempt(store, QueueSpec("q")).contended  # meanwhile nobody begins to claim by the code
        defining.set()
        taking.join()
        registering.join()
    assert ids_of(claimed) == ["a"]


# ------------------------------------------------------------ rates


def pass_time(database_url: str, milliseconds: int) -> None:
    """Every start that is counted was that much earlier."""
    run_sql(database_url, f"update queue_starts set started_at_ms = started_at_ms - {milliseconds}")


def test_a_rate_limit(store: Store, database_url: str) -> None:
    queue = QueueSpec("q", limiter=RateLimit(2, 60))
    enqueue(store, *"abcde")
    first = claim(store, queue)
    assert ids_of(first) == ["a", "b"]
    later = attempt(store, queue)
    assert (later.rows, later.full) == ([], True)
    assert later.opens_in_ms is not None
    assert 50_000 < later.opens_in_ms <= 60_000
    pass_time(database_url, 30_000)
    assert claim(store, queue) == []
    pass_time(database_url, 30_001)
    assert ids_of(claim(store, queue, limit=1)) == ["c"]
    pass_time(database_url, 30_000)
    assert ids_of(claim(store, queue)) == ["d"]
    assert claim(store, queue) == []
    pass_time(database_url, 30_001)  # the window slides: only "c" has left it
    assert ids_of(claim(store, queue)) == ["e"]
    flags = run_sql(database_url, "select count(*) from workflow_status where rate_limited = ?", True)
    assert flags == [(5,)]


def test_a_period_that_changes_counts_what_started_before(store: Store, database_url: str) -> None:
    """What a shorter period has not forgotten counts in a longer one, and of a longer one's starts the late ones."""
    store.queues.register(QueueSpec("q", limiter=RateLimit(2, 1)), "always_update", "v1")
    stale = QueueSpec("q", limiter=RateLimit(2, 1))
    enqueue(store, *"abcde")
    assert ids_of(claim(store, stale, stored=True)) == ["a", "b"]
    pass_time(database_url, 30_000)
    store.queues.update("q", limiter=RateLimit(3, 60))
    later = attempt(store, stale, stored=True)  # by whoever has not heard of it
    assert (ids_of(later.rows), later.full) == (["c"], True)
    assert later.opens_in_ms is not None
    assert 20_000 < later.opens_in_ms <= 30_000
    store.queues.update("q", limiter=RateLimit(2, 10))
    assert ids_of(claim(store, stale, stored=True)) == ["d"]  # "c" counts, "a" and "b" do no more
    pass_time(database_url, 10_001)
    store.queues.update("q", limiter=RateLimit(2, 60))
    assert claim(store, stale, stored=True) == []


def test_a_start_counts_whatever_becomes_of_it(store: Store) -> None:
    queue = QueueSpec("q", limiter=RateLimit(3, 60))
    enqueue(store, *"abcd")
    claim(store, queue)
    store.journal.write([finish("a")])
    store.workflows.cancel(["b", "c"])
    store.workflows.resume(["c"])
    assert claim(store, queue) == []


def test_a_clock_that_jumped_back_stops_no_queue(store: Store, database_url: str) -> None:
    queue = QueueSpec("q", limiter=RateLimit(1, 1))
    enqueue(store, "a", "b")
    assert ids_of(claim(store, queue)) == ["a"]
    pass_time(database_url, -3_600_000)
    assert ids_of(claim(store, queue)) == ["b"]


def test_what_no_window_holds_is_forgotten(store: Store, database_url: str) -> None:
    queue = QueueSpec("q", limiter=RateLimit(10, 60))
    for each in "abc":
        enqueue(store, each)
        claim(store, queue)
        pass_time(database_url, 61_000)
    enqueue(store, "d")
    claim(store, queue)
    assert run_sql(database_url, "select sum(starts) from queue_starts") == [(1,)]


# ------------------------------------------------------------ partitions


def enqueue_in(store: Store, **partitions: str) -> None:
    """Ids of one letter each, by partition."""
    for key, ids in partitions.items():
        enqueue(store, *ids, queue_partition_key=key)


@pytest.mark.parametrize(
    "queue", [QueueSpec("q", concurrency=1, partition_queue=True), QueueSpec("q", partition_concurrency=1)]
)
def test_each_partition_has_its_limit(store: Store, queue: QueueSpec) -> None:
    enqueue_in(store, x="abc", y="de", z="f")
    assert sorted(ids_of(claim(store, queue))) == ["a", "d", "f"]
    assert claim(store, queue) == []
    store.journal.write([finish("a"), finish("f")])
    assert ids_of(claim(store, queue)) == ["b"]
    store.workflows.cancel(["d"])
    assert ids_of(claim(store, queue, partitions=["y"])) == ["e"]


def test_limits_of_the_queue_and_of_its_partitions_hold_together(store: Store) -> None:
    queue = QueueSpec("q", concurrency=3, partition_concurrency=2)
    enqueue_in(store, x="abc", y="def")
    assert len(claim(store, queue)) == 3
    running = [row[0] for row in store.workflows.owned_by("here")]
    assert 1 <= sum(each in "abc" for each in running) <= 2
    assert claim(store, queue) == []


def test_worker_limits_of_partitions(store: Store) -> None:
    queue = QueueSpec("q", partition_worker_concurrency=1)
    enqueue_in(store, x="abc", y="d")
    assert sorted(ids_of(claim(store, queue, owner("one")))) == ["a", "d"]
    assert ids_of(claim(store, queue, owner("two"))) == ["b"]
    assert claim(store, queue, owner("one")) == claim(store, queue, owner("two")) == []


def test_rates_of_partitions(store: Store, database_url: str) -> None:
    queue = QueueSpec("q", partition_limiter=RateLimit(2, 60))
    enqueue_in(store, x="abc", y="d")
    assert sorted(ids_of(claim(store, queue))) == ["a", "b", "d"]
    enqueue_in(store, y="ef")
    assert ids_of(claim(store, queue)) == ["e"]
    again = attempt(store, queue)
    assert again.rows == []
    assert again.opens_in_ms is not None
    pass_time(database_url, 60_001)
    assert sorted(ids_of(claim(store, queue))) == ["c", "f"]


def test_order_within_a_partition(store: Store) -> None:
    queue = QueueSpec("q", partition_concurrency=10)
    for place, priority in enumerate((2, 0, 1, 0)):
        enqueue(store, f"w{place}", queue_partition_key="x", priority=priority)
    assert ids_of(claim(store, queue)) == ["w1", "w3", "w2", "w0"]


def test_partitions_have_their_turns(store: Store) -> None:
    """One slot at a time: nobody waits for a long partition to be done."""
    queue = QueueSpec("q", concurrency=1, partition_concurrency=1)
    enqueue_in(store, x="abcdef", y="gh", z="i")
    turn = Turn()
    order = []
    while rows := claim(store, queue, turn=turn):
        order += ids_of(rows)
        store.journal.write([finish(each) for each in ids_of(rows)])
    assert order == ["a", "g", "i", "b", "h", "c", "d", "e", "f"]


def test_deep_partitions_are_drained_in_few_statements(store: Store) -> None:
    queue = QueueSpec("q", partition_concurrency=1_000)
    for key in "xyz":
        enqueue(store, *[f"{key}{n}" for n in range(200)], queue_partition_key=key)
    turn = Turn()
    claims = 0
    claimed: list[str] = []
    while rows := claim(store, queue, turn=turn):
        claims += 1
        claimed += ids_of(rows)
    assert len(set(claimed)) == len(claimed) == 600
    assert claims <= 7


def test_a_claim_looks_at_no_more_partitions_than_it_needs(sqlite_url: str) -> None:
    """However many wait. Postgres looks at one after the other by itself."""
    with Store.open(StoreSettings(url=sqlite_url)) as store:

        def work_for(partitions: range) -> int:
            store.journal.write([enqueued(f"w{n}", queue_partition_key=f"p{n:04}") for n in partitions])
            session = store.claims._pool.writer.borrow()
            assert isinstance(session, SqliteSession)
            hundreds = count()
            session._connection.set_progress_handler(lambda: next(hundreds) * 0, 100)
            assert len(claim(store, QueueSpec("q", partition_concurrency=1), limit=10)) == 10
            session._connection.set_progress_handler(None, 0)
            return next(hundreds)

        few = work_for(range(20))
        assert work_for(range(20, 1_000)) < 1.5 * few


def test_many_partitions_none_of_which_starves(store: Store) -> None:
    queue = QueueSpec("q", partition_concurrency=1)
    keys = [f"k{n:04}" for n in range(1_000)]
    store.journal.write([enqueued(f"{key}-{n}", queue_partition_key=key) for n in range(2) for key in keys])
    turn = Turn()
    queries = store.journal.counters.queries
    first: list[str] = []
    for _ in range(10):
        first += ids_of(claim(store, queue, turn=turn))
    assert sorted(first) == [f"{key}-0" for key in keys]
    assert store.journal.counters.queries == queries + 10
    assert claim(store, queue, turn=turn) == []


def test_what_cannot_be_claimed_hides_no_partition_behind_it(store: Store) -> None:
    queue = QueueSpec("q", partition_concurrency=1)
    enqueue(store, *[f"w{n}" for n in range(30)], name="unknown", queue_partition_key="a")
    for n in range(30):
        enqueue(store, f"v{n}", application_version="v0", queue_partition_key=f"b{n}")
    enqueue(store, "mine", queue_partition_key="z")
    assert ids_of(claim(store, queue, limit=2)) == ["mine"]


def test_keys_are_ordered_alike_by_the_database_and_by_us(store: Store) -> None:
    queue = QueueSpec("q", partition_concurrency=1)
    keys = ["", "B", "a", "_", "Z", "z", "é", "😀", "~", " "]
    for place, key in enumerate(keys):
        enqueue(store, f"w{place}", queue_partition_key=key)
    turn = Turn()
    served: list[str | None] = []
    while rows := claim(store, queue, limit=1, turn=turn):
        served += [row.queue_partition_key for row in rows]
    assert served == sorted(keys)


# ------------------------------------------------------------ several who claim


@pytest.mark.parametrize(
    "queue",
    [
        QueueSpec("q", concurrency=5),
        QueueSpec("q", worker_concurrency=2),
        QueueSpec("q", partition_concurrency=2),
        QueueSpec("q", limiter=RateLimit(7, 60)),
    ],
)
def test_several_claim_at_once_within_the_limit(open_store: OpenStore, queue: QueueSpec) -> None:
    stores = [open_store(), open_store(), open_store()]
    stores[0].journal.write([enqueued(f"w{n}", queue_partition_key=f"k{n % 3}") for n in range(60)])
    claimed: list[list[str]] = [[], [], []]

    def work(place: int) -> None:
        for _ in range(50):
            claimed[place] += ids_of(claim(stores[place], queue, owner(f"e{place}"), limit=3))

    threads = [threading.Thread(target=work, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together = list(chain(*claimed))
    assert len(set(together)) == len(together)
    if queue.worker_concurrency:
        assert [len(each) for each in claimed] == [2, 2, 2]
    else:
        assert len(together) == {5: 5, None: 6 if queue.partition_concurrency else 7}[queue.concurrency]


def test_a_queue_that_somebody_claims_from_is_left_alone(postgres_url: str) -> None:
    with Store.open(StoreSettings(url=postgres_url)) as store, psycopg.connect(postgres_url) as other:
        enqueue(store, "a")
        limited = QueueSpec("q", concurrency=1)
        other.execute("""select pg_advisory_xact_lock(hashtextextended('dbos/q', 0))""")
        held = attempt(store, limited)
        assert (held.contended, held.rows) == (True, [])
        assert ids_of(claim(store, QueueSpec("elsewhere"))) == []
        other.rollback()
        assert ids_of(claim(store, limited)) == ["a"]


# ------------------------------------------------------------ looking around


def test_a_survey_tells_of_every_queue_in_one_statement(store: Store) -> None:
    mine, nobodys = QueueSpec("mine", concurrency=3, application_name="app"), QueueSpec("nobody's")
    for spec in (mine, nobodys, QueueSpec("theirs", application_name="other")):
        store.queues.register(spec, "always_update", "v1")
    enqueue(store, "a", queue_name="mine")
    enqueue(store, "b", queue_name="declared")
    queries = store.journal.counters.queries
    survey = store.claims.survey("app", ["declared", "idle", "mine"])
    assert store.journal.counters.queries == queries + 1
    found = {queue.name: (queue.stored, queue.waiting) for queue in survey.queues}
    assert found == {
        "mine": (mine, True),
        "nobody's": (nobodys, False),
        "declared": (None, True),
        "idle": (None, False),
    }
    assert survey.next_due_ms is None


def test_delays_end_by_the_databases_clock(store: Store) -> None:
    enqueue(store, "due", "due too", status="DELAYED", delay_ms=0)
    enqueue(store, "later", status="DELAYED", delay_ms=600_000, queue_name="other")
    (survey,) = [store.claims.survey("app", ["q"])]
    assert survey.next_due_ms is not None
    assert survey.next_due_ms <= 0
    assert not survey.queues[0].waiting
    assert store.claims.promote_delayed() == ["q"]
    assert store.claims.promote_delayed() == []
    assert ids_of(claim(store, QUEUE)) == ["due", "due too"]
    next_due_ms = store.claims.survey("app", ["q"]).next_due_ms
    assert next_due_ms is not None
    assert 500_000 < next_due_ms <= 600_000


def test_why_something_waits(store: Store) -> None:
    store.versions.register("v1", "app")
    store.executors.register(owner("old", version="v0"), "host", 1, "then", lease_seconds=30)
    enqueue(store, "fine")
    enqueue(store, "unknown function", name="unknown")
    enqueue(store, "of the living", application_version="v0")
    enqueue(store, "of the dead", application_version="v-1")
    enqueue(store, "another's", application_name="other")
    stuck = {
        each.workflow_id: (each.registered, each.hopeful) for each in store.claims.stuck("q", owner(), RUNNABLE, 9)
    }
    assert stuck == {
        "fine": (True, False),
        "unknown function": (False, False),
        "of the living": (True, True),
        "of the dead": (True, False),
    }


def test_queues_that_nobody_serves(store: Store) -> None:
    for instance in ("alive", "dead"):
        store.executors.register(owner(instance), "host", 1, "then", lease_seconds=30)
        store.executors.serve(instance, [f"of the {instance}", "both"])
    store.executors.declare_dead(["dead"])
    for queue_name in ("of the alive", "of the dead", "both", "nobody's"):
        enqueue(store, queue_name, queue_name=queue_name)
    enqueue(store, "theirs", queue_name="another application's", application_name="other")
    assert store.claims.unserved_queues("app") == ["nobody's", "of the dead"]


def test_claims_see_what_is_committed_whatever_the_level_of_the_engine(postgres_url: str) -> None:
    """A snapshot from before the lock would hide what its last holder has claimed."""
    url = postgres_url.replace("postgresql://", "postgresql+psycopg://")
    engine = sqlalchemy.create_engine(url, isolation_level="REPEATABLE READ")
    with Store.open(StoreSettings(url="", engine=engine)) as store:
        session = store._pool.database.connect(Role.READER)
        try:
            with session.transaction():
                shown = session.run(Statement("isolation", "show transaction_isolation", ()), {})
        finally:
            session.close()
    engine.dispose()
    assert shown == [("read committed",)]
