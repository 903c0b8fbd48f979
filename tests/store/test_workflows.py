"""The rows of workflows: questions, cancelling, claiming and taking over, and races for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import chain

import psycopg
import pytest

from dbos.model.workflow import INTERNAL_QUEUE, WorkflowRow
from dbos.store.database import StoreSettings
from dbos.store.store import Store
from tests.store.conftest import OpenStore
from tests.store.records import RUNNABLE, checkpoint, finish, owner, start
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually


def ids_of(rows: list[WorkflowRow]) -> list[str]:
    return [row.workflow_uuid for row in rows]


def load(store: Store, workflow_id: str) -> WorkflowRow:
    row = store.workflows.load(workflow_id)
    assert row is not None
    return row


def abandon(store: Store, instance: str, *records: object) -> None:
    """An executor registers, starts workflows, and dies."""
    store.executors.register(owner(instance), "host", 1, "then", lease_seconds=30)
    store.journal.write(list(records))
    store.executors.declare_dead([instance])


# ------------------------------------------------------------ questions


def test_loading(store: Store) -> None:
    assert store.workflows.load("w") is None
    assert store.workflows.load_many([]) == {}
    store.journal.write([start("w"), start("x")])
    assert sorted(store.workflows.load_many(["x", "nobody", "w", "x"])) == ["w", "x"]
    assert load(store, "w").was_forked_from is False


def test_standing(store: Store) -> None:
    store.journal.write([start("w")])
    assert store.workflows.standing("w") == ("PENDING", 1)
    assert store.workflows.standing("nobody") is None


def test_lost_and_ended(store: Store) -> None:
    store.journal.write([start(each) for each in ("mine", "taken", "done", "cancelled")])
    store.workflows.adopt_orphans(owner(), ["taken"])
    store.workflows.cancel(["cancelled"])
    store.journal.write([finish("done")])
    asked = ["mine", "taken", "done", "cancelled", "gone"]
    assert sorted(store.workflows.lost(dict.fromkeys(asked, 1))) == [
        ("cancelled", "CANCELLED", 2),
        ("done", "SUCCESS", 1),
        ("gone", None, None),
        ("taken", "PENDING", 2),
    ]
    assert store.workflows.lost({"taken": 2}) == []
    assert sorted(store.workflows.ended(asked)) == [("cancelled", True), ("done", True), ("gone", False)]
    assert store.workflows.lost({}) == store.workflows.ended([]) == []


def test_ten_thousand_waiters_are_one_query(store: Store) -> None:
    store.journal.write([start(f"w{n}") for n in range(200)])
    queries = store.journal.counters.queries
    assert len(store.workflows.ended([f"w{n}" for n in range(10_000)])) == 9_800
    assert store.journal.counters.queries == queries + 1


def test_children_of_children(store: Store) -> None:
    store.journal.write(
        [
            start("root"),
            start("a", parent_workflow_id="root"),
            start("b", parent_workflow_id="root"),
            start("aa", parent_workflow_id="a"),
            start("other"),
        ]
    )
    assert sorted(store.workflows.children(["root"])) == ["a", "aa", "b"]
    assert store.workflows.children(["aa", "nobody"]) == store.workflows.children([]) == []


# ------------------------------------------------------------ cancelling


def test_cancelling(store: Store) -> None:
    store.journal.write(
        [
            start("pending", queue_name="q", deduplication_id="d"),
            start("enqueued", status="ENQUEUED", queue_name="q"),
            start("delayed", status="DELAYED", queue_name="q", delay_ms=1_000),
            start("success"),
            start("error"),
            start("given up"),
        ]
    )
    store.journal.write(
        [
            finish("success"),
            finish("error", status="ERROR"),
            finish("given up", status="MAX_RECOVERY_ATTEMPTS_EXCEEDED"),
        ]
    )
    every = ["pending", "enqueued", "delayed", "success", "error", "given up", "nobody"]
    assert sorted(store.workflows.cancel(every)) == ["delayed", "enqueued", "given up", "pending"]
    assert sorted(store.workflows.cancel(every)) == ["delayed", "enqueued", "given up", "pending"]  # still
    assert store.workflows.cancel([]) == []
    for workflow_id, epoch in (("pending", 2), ("enqueued", 1), ("delayed", 1), ("given up", 2)):
        row = load(store, workflow_id)
        assert (row.status, row.epoch) == ("CANCELLED", epoch)
        assert row.completed_at is not None
        assert (row.queue_name, row.deduplication_id, row.executor_instance) == (None, None, None)
    assert (load(store, "success").status, load(store, "error").status) == ("SUCCESS", "ERROR")


def test_a_race_between_cancelling_and_finishing_has_one_winner(store: Store) -> None:
    for n in range(30):
        workflow_id = f"w{n}"
        store.journal.write([start(workflow_id)])
        results: dict[str, object] = {}
        barrier = threading.Barrier(2)

        def compete(name: str, work: Callable[[], object], barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            results[name] = work()  # noqa: B023

        threads = [
            threading.Thread(target=compete, args=("cancel", lambda: store.workflows.cancel([workflow_id]))),  # noqa: B023
            threading.Thread(target=compete, args=("finish", lambda: store.journal.write([finish(workflow_id)]))),  # noqa: B023
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        status = load(store, workflow_id).status
        assert (results["cancel"], results["finish"], status) in (
            ([workflow_id], [None], "CANCELLED"),
            ([], [()], "SUCCESS"),
        )


def test_a_bulk_cancel_waits_for_no_row_while_it_holds_another(postgres_url: str) -> None:
    """So it takes part in no deadlock. One would be tried again, and only be slow: no outcome tells of it."""
    with Store.open(StoreSettings(url=postgres_url)) as store, psycopg.connect(postgres_url) as other:
        store.journal.write([start(each) for each in "abc"])
        other.execute("select 1 from dbos.workflow_status where workflow_uuid = 'b' for update")
        cancelling = threading.Thread(target=store.workflows.cancel, args=(["a", "b", "c"],))
        cancelling.start()
        cancelled = "select workflow_uuid from workflow_status where status = 'CANCELLED' order by 1"
        eventually(lambda: run_sql(postgres_url, cancelled) == [("a",), ("c",)])
        other.rollback()
        cancelling.join()
        assert store.workflows.standing("b") == ("CANCELLED", 2)


def test_bulk_cancels_and_batches_over_the_same_rows_all_come_through(open_store: OpenStore) -> None:
    """In opposing orders."""
    store, other = open_store(), open_store()
    ids = [f"w{n}" for n in range(200)]
    store.journal.write([start(each) for each in ids])

    def write() -> None:
        for step in range(20):
            store.journal.write([checkpoint(each, step) for each in reversed(ids)])

    thread = threading.Thread(target=write)
    thread.start()
    cancelled = other.workflows.cancel(ids)
    thread.join()
    assert sorted(cancelled) == sorted(ids)
    assert other.workflows.ended(ids) != []


def test_expiry_goes_by_the_databases_clock(store: Store) -> None:
    assert store.workflows.next_deadline_ms() is None
    store.journal.write(
        [
            start("over", timeout_ms=-1),
            start("queued", status="ENQUEUED", queue_name="q", deadline_ms=1),
            start("later", timeout_ms=600_000),
            start("done", timeout_ms=-1),
            start("forever"),
        ]
    )
    store.journal.write([finish("done")])
    assert store.workflows.next_deadline_ms() == 1
    assert sorted(store.workflows.expire()) == ["over", "queued"]
    assert store.workflows.expire() == []
    assert store.workflows.next_deadline_ms() == load(store, "later").workflow_deadline_epoch_ms
    row = load(store, "over")
    assert (row.status, row.epoch, row.executor_instance) == ("CANCELLED", 2, None)
    assert row.completed_at is not None


# ------------------------------------------------------------ adopting


def test_adopting_what_a_dead_executor_left(store: Store) -> None:
    store.executors.register(owner("alive"), "host", 2, "then", lease_seconds=30)
    abandon(
        store,
        "dead",
        start("direct", executor_instance="dead", timeout_ms=600_000),
        start("internal", executor_instance="dead", queue_name=INTERNAL_QUEUE),
        start("queued", executor_instance="dead", queue_name="q", deduplication_id="d"),
        start("unknown", executor_instance="dead", name="unknown"),
        start("other version", executor_instance="dead", application_version="v0"),
        start("other application", executor_instance="dead", application_name="other"),
        start("of the living", executor_instance="alive"),
        start("of nobody registered", executor_instance="stranger"),
        start("finished", executor_instance="dead"),
    )
    store.journal.write([finish("finished")])
    deadline = load(store, "direct").workflow_deadline_epoch_ms

    adopted = store.workflows.adopt(owner(), RUNNABLE, 10)
    assert ids_of(adopted) == ["direct", "internal"]
    for row in adopted:
        assert (row.status, row.epoch, row.recovery_attempts, row.executor_instance) == ("PENDING", 2, 2, "here")
    assert adopted[0].workflow_deadline_epoch_ms == deadline
    queued = load(store, "queued")
    assert (queued.status, queued.epoch, queued.recovery_attempts) == ("ENQUEUED", 2, 1)
    assert (queued.executor_instance, queued.queue_name, queued.deduplication_id) == (None, "q", "d")
    assert store.workflows.adopt(owner(), RUNNABLE, 10) == []
    untouched = ("unknown", "other version", "other application", "of the living", "of nobody registered")
    assert {load(store, each).epoch for each in untouched} == {1}


def test_adopting_in_pages_never_stops_at_rows_it_does_not_return(store: Store) -> None:
    """A full page of rows that go back to their queues must not hide those behind it."""
    queued = [start(f"q{n}", executor_instance="dead", queue_name="q") for n in range(7)]
    direct = [start(f"w{n}", executor_instance="dead") for n in range(3)]
    abandon(store, "dead", *queued, *direct)
    adopted: list[str] = []
    while page := store.workflows.adopt(owner(), RUNNABLE, 2):
        adopted += ids_of(page)
    assert adopted == ["w0", "w1", "w2"]
    assert all(store.workflows.standing(f"q{n}") == ("ENQUEUED", 2) for n in range(7))


def test_two_heirs_never_adopt_the_same_workflow(open_store: OpenStore) -> None:
    stores = [open_store(), open_store(), open_store()]
    ids = [f"w{n:03}" for n in range(300)]
    abandon(stores[0], "dead", *[start(each, executor_instance="dead") for each in ids])
    adopted: list[list[str]] = [[], [], []]
    barrier = threading.Barrier(3)

    def adopt(place: int) -> None:
        barrier.wait()
        while rows := stores[place].workflows.adopt(owner(f"e{place}"), RUNNABLE, 7):
            adopted[place] += ids_of(rows)

    threads = [threading.Thread(target=adopt, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(chain(*adopted)) == ids
    assert {row.epoch for row in stores[0].workflows.load_many(ids).values()} == {2}


def test_a_renewed_lease_keeps_its_workflows(store: Store) -> None:
    store.executors.register(owner("alive"), "host", 1, "then", lease_seconds=30)
    store.journal.write([start("w", executor_instance="alive")])
    assert store.executors.renew("alive", 30)
    assert store.workflows.adopt(owner(), RUNNABLE, 10) == []


def test_taking_over_by_configured_id(store: Store) -> None:
    store.executors.register(owner("alive", "worker-1"), "host", 1, "then", lease_seconds=30)
    store.journal.write(
        [
            start("running", executor_instance="alive", executor_id="worker-1"),
            start("here already", executor_id="worker-1"),
            start("never registered", executor_instance="stranger", executor_id="worker-1"),
            start("queued", executor_instance="alive", executor_id="worker-1", queue_name="q"),
            start("another's", executor_instance="alive", executor_id="worker-2"),
            start("enqueued", status="ENQUEUED", queue_name="q", executor_id="worker-1"),
        ]
    )
    taken = store.workflows.take_over(owner(executor_id="me"), ["worker-1", "worker-9"], RUNNABLE, 10)
    assert ids_of(taken) == ["running", "here already", "never registered"]
    for row in taken:
        assert (row.epoch, row.recovery_attempts, row.executor_instance, row.executor_id) == (2, 2, "here", "me")
    assert store.workflows.standing("queued") == ("ENQUEUED", 2)
    assert store.workflows.standing("another's") == ("PENDING", 1)
    assert store.workflows.take_over(owner(executor_id="me"), ["worker-1"], RUNNABLE, 10) == []
    assert store.workflows.take_over(owner(), [], RUNNABLE, 10) == []


def test_what_goes_back_to_its_queue_is_told(store: Store) -> None:
    told: list[int] = []
    store.workflows.on_requeued = lambda: told.append(1)
    store.executors.register(owner("alive", "worker-1"), "host", 1, "then", lease_seconds=30)
    store.journal.write([start("running", executor_instance="alive", executor_id="worker-1")])
    assert ids_of(store.workflows.take_over(owner(), ["worker-1"], RUNNABLE, 10)) == ["running"]
    assert told == []
    store.journal.write([start("queued", executor_instance="alive", executor_id="worker-1", queue_name="q")])
    assert store.workflows.take_over(owner(), ["worker-1"], RUNNABLE, 10) == []
    assert told == [1]


def test_taking_over_takes_each_once_though_they_keep_the_id(store: Store) -> None:
    """The usual case: everybody is called "local", and what was taken still matches the question."""
    ids = [f"w{n}" for n in range(7)]
    store.journal.write([start(each, executor_instance="before") for each in ids])
    store.journal.write([start("queued", executor_instance="before", queue_name="q")])
    taken = store.workflows.take_over(owner(), ["local"], RUNNABLE, 2)
    assert ids_of(taken) == ids
    assert {row.epoch for row in taken} == {2}


def test_orphans_of_this_instance(store: Store) -> None:
    store.journal.write([start("w"), start("queued", queue_name="q"), start("another's", executor_instance="there")])
    assert store.workflows.owned_by("here") == [("w", 1), ("queued", 1)]
    assert ids_of(store.workflows.adopt_orphans(owner(), ["w", "queued", "another's", "gone"])) == ["w"]
    assert store.workflows.standing("w") == ("PENDING", 2)
    assert store.workflows.standing("queued") == ("ENQUEUED", 2)
    assert store.workflows.standing("another's") == ("PENDING", 1)
    assert store.workflows.adopt_orphans(owner(), []) == []


def test_what_nobody_here_can_run_is_told(store: Store) -> None:
    abandon(
        store,
        "dead",
        start("abandoned", executor_instance="dead", name="unknown"),
        start("known", executor_instance="dead"),
        start("other version", executor_instance="dead", name="unknown", application_version="v0"),
        start("resumed", status="ENQUEUED", queue_name=INTERNAL_QUEUE, name="unknown"),
        start("on a queue", status="ENQUEUED", queue_name="q", name="unknown"),
        start("running elsewhere", executor_instance="alive", name="unknown"),
    )
    assert ids_of(store.workflows.unrunnable(owner(), RUNNABLE, 10)) == ["abandoned", "resumed"]
    assert ids_of(store.workflows.unrunnable(owner(), RUNNABLE, 1)) == ["abandoned"]
    assert store.workflows.unrunnable(owner(), [*RUNNABLE, ("unknown", "", "")], 10) == []


@pytest.mark.parametrize("workflow_id", ["o'brien", 'quote"d', "back\\slash", "%_", "ünï😀", "[1]", " "])
def test_awkward_ids(store: Store, workflow_id: str) -> None:
    store.journal.write([start(workflow_id), start("child", parent_workflow_id=workflow_id)])
    assert store.workflows.standing(workflow_id) == ("PENDING", 1)
    assert list(store.workflows.load_many([workflow_id])) == [workflow_id]
    assert store.workflows.lost({workflow_id: 2}) == [(workflow_id, "PENDING", 1)]
    assert store.workflows.ended([workflow_id, workflow_id + "x"]) == [(workflow_id + "x", False)]
    assert store.workflows.children([workflow_id]) == ["child"]
    assert store.workflows.cancel([workflow_id]) == [workflow_id]
    assert store.workflows.resume([workflow_id]) == [workflow_id]
