"""The record of a debouncer's call: one delayed row per key, whose inputs are those of the last call."""

import random
import threading

import pytest

from dbos.store.store import Store
from tests.store.conftest import OpenStore
from tests.store.records import checkpoint_debounce, debounce, start
from tests.support.raw_sql import run_sql


def row(url: str, workflow_id: str, columns: str) -> tuple[object, ...]:
    (found,) = run_sql(url, f"select {columns} from workflow_status where workflow_uuid = ?", workflow_id)
    return tuple(found)


def promote(url: str, workflow_id: str) -> None:
    """What leaving the delay does to a row."""
    run_sql(
        url,
        "update workflow_status set status = 'ENQUEUED', deduplication_id = null, epoch = epoch + 1 "
        "where workflow_uuid = ?",
        workflow_id,
    )


def test_the_first_call_makes_a_row_and_later_ones_replace_its_inputs(store: Store, database_url: str) -> None:
    first, second = debounce(inputs='"a"', priority=7), debounce(inputs='"b"', priority=9, serialization="other")
    (one,) = store.journal.write([first])
    assert one == (first.workflow_id, first.token)
    before = row(database_url, first.workflow_id, "delay_until_epoch_ms, created_at, updated_at")
    assert before[0] == before[1] + 60_000  # type: ignore[operator]
    (two,) = store.journal.write([second])
    assert two == (first.workflow_id, first.token)
    columns = "status, inputs, serialization, priority, epoch, debounce_token"
    assert row(database_url, first.workflow_id, columns) == ("DELAYED", '"b"', "other", 7, 0, second.token)
    after = row(database_url, first.workflow_id, "delay_until_epoch_ms, created_at, updated_at")
    assert after[0] >= before[0]  # type: ignore[operator]
    assert after[1] == before[1]
    assert store.workflows.load(second.workflow_id) is None


def test_a_later_call_may_bring_the_start_forward(store: Store, database_url: str) -> None:
    first = debounce(period_ms=60_000)
    store.journal.write([first])
    store.journal.write([debounce(period_ms=0)])
    until, updated = row(database_url, first.workflow_id, "delay_until_epoch_ms, updated_at")
    assert until == updated


def test_the_deadline_of_the_first_call_bounds_the_delay(store: Store, database_url: str) -> None:
    first = debounce(period_ms=60_000, longest_delay_ms=90_000)
    store.journal.write([first])
    columns = "delay_until_epoch_ms - created_at, debounce_deadline_epoch_ms - created_at"
    assert row(database_url, first.workflow_id, columns) == (60_000, 90_000)
    store.journal.write([debounce(period_ms=1_000_000, longest_delay_ms=500_000)])
    assert row(database_url, first.workflow_id, columns) == (90_000, 90_000)
    alone = debounce("other", period_ms=60_000, longest_delay_ms=10)
    store.journal.write([alone])
    assert row(database_url, alone.workflow_id, columns) == (10, 10)


def test_once_it_has_left_its_delay_the_next_call_begins_anew(store: Store, database_url: str) -> None:
    first, second = debounce(inputs='"a"'), debounce(inputs='"b"')
    store.journal.write([first])
    promote(database_url, first.workflow_id)
    assert store.journal.write([second]) == [(second.workflow_id, second.token)]
    assert row(database_url, first.workflow_id, "inputs") == ('"a"',)


def test_keys_queues_and_functions_are_apart(store: Store, database_url: str) -> None:
    calls = [debounce("a"), debounce("b"), debounce("a", queue_name="other")]
    assert store.journal.write(calls) == [(call.workflow_id, call.token) for call in calls]
    assert store.journal.write([debounce("a", name="another")]) == [None]
    assert store.journal.write([debounce("a", class_name="K")]) == [None]
    assert store.journal.write([debounce("a", config_name="k")]) == [None]


def test_a_slot_that_something_else_holds_is_refused(store: Store) -> None:
    holder = start("holder", status="DELAYED", delay_ms=60_000, queue_name="queue", deduplication_id="key")
    store.journal.write([holder])
    assert store.journal.write([debounce("key")]) == [None]
    there = store.workflows.load("holder")
    assert there is not None
    assert there.inputs == holder.inputs


def test_a_taken_id_is_refused(store: Store) -> None:
    store.journal.write([start("taken")])
    assert store.journal.write([debounce(workflow_id="taken")]) == [None]
    store.journal.write([debounce("another", workflow_id="mine")])
    assert store.journal.write([debounce(workflow_id="mine")]) == [None]


def test_a_call_under_the_id_of_the_waiting_row_replaces_its_inputs(store: Store, database_url: str) -> None:
    """In this one statement: a second look could find that the row has begun, and would start another cycle."""
    first, second = debounce(workflow_id="mine", inputs='"a"'), debounce(workflow_id="mine", inputs='"b"')
    store.journal.write([first])
    assert store.journal.write([second]) == [("mine", first.token)]
    assert row(database_url, "mine", "inputs, debounce_token") == ('"b"', second.token)
    promote(database_url, "mine")
    assert store.journal.write([debounce(workflow_id="mine")]) == [None]
    assert run_sql(database_url, "select count(*) from workflow_status")[0][0] == 1


@pytest.mark.parametrize("left_its_delay", [False, True])
def test_a_repeated_write_counts_once(store: Store, database_url: str, left_its_delay: bool) -> None:
    """The commit of the first or of a later call was applied, its reply lost: it is handed in again."""
    first, second = debounce(inputs='"a"'), debounce(inputs='"b"')
    for call in (first, second):
        store.journal.write([call])
        if left_its_delay and call is second:
            promote(database_url, first.workflow_id)
        until = row(database_url, first.workflow_id, "delay_until_epoch_ms")
        assert store.journal.write([call]) == [None]
        assert store.workflows.debounced(call.token) == first.workflow_id
        assert row(database_url, first.workflow_id, "delay_until_epoch_ms") == until
    assert store.journal.write([first]) == [None]  # superseded since; its id tells
    assert row(database_url, first.workflow_id, "inputs") == ('"b"',)
    assert run_sql(database_url, "select count(*) from workflow_status")[0][0] == 1


def test_calls_of_one_batch_are_taken_in_their_order(store: Store, database_url: str) -> None:
    calls = [debounce(f"key-{number % 3}", inputs=f"{number}") for number in range(30)]
    answers = store.journal.write(calls)
    assert answers == [(calls[number % 3].workflow_id, calls[number % 3].token) for number in range(30)]
    for number in range(3):
        assert row(database_url, calls[number].workflow_id, "inputs") == (f"{27 + number}",)


def test_a_workflow_debounces_only_while_it_owns_its_row(store: Store) -> None:
    store.journal.write([start("parent")])
    call = debounce(guard_workflow_id="parent", guard_epoch=1, parent_workflow_id="parent")
    step = checkpoint_debounce("parent", 1, call.token)
    assert store.journal.write([step, call]) == [(), (call.workflow_id, call.token)]
    recorded = store.steps.recorded("parent", 1)
    assert recorded is not None
    assert (recorded.function_name, recorded.child_workflow_id) == ("function", call.workflow_id)
    assert store.journal.write([step, call]) == [None, None]
    store.workflows.cancel(["parent"])
    late = debounce(inputs='"late"', guard_workflow_id="parent", guard_epoch=1)
    assert store.journal.write([checkpoint_debounce("parent", 2, late.token), late]) == [None, None]
    there = store.workflows.load(call.workflow_id)
    assert there is not None
    assert there.inputs == call.inputs


def test_the_step_of_a_call_that_was_refused_is_not_recorded(store: Store) -> None:
    holder = start("holder", status="DELAYED", delay_ms=60_000, queue_name="queue", deduplication_id="key")
    store.journal.write([start("parent"), holder])
    call = debounce("key", guard_workflow_id="parent", guard_epoch=1)
    assert store.journal.write([call, checkpoint_debounce("parent", 1, call.token)]) == [None, None]
    assert store.steps.recorded("parent", 1) is None


def test_many_at_once_make_one_row_per_cycle(open_store: OpenStore, database_url: str) -> None:
    """Threads of two processes call while a third starts what is there: every call is in exactly one cycle."""
    stores = [open_store(), open_store()]
    starter = open_store()
    calls = 40
    accepted: dict[str, str] = {}  # token -> workflow id
    lock = threading.Lock()  # guards accepted
    done = threading.Event()

    def call(store: Store, caller: int) -> None:
        for number in range(calls):
            record = debounce(inputs=f"{caller}:{number}")
            answer = None
            while answer is None:  # as the operation does: somebody was faster
                (answer,) = store.journal.write([record])
            with lock:
                accepted[record.token] = answer[0]

    def start_what_is_there() -> None:
        random.seed(1)
        while not done.is_set():
            rows = run_sql(database_url, "select workflow_uuid from workflow_status where status = 'DELAYED'")
            for (workflow_id,) in rows:
                promote(database_url, workflow_id)
            done.wait(0.01)

    starter_thread = threading.Thread(target=start_what_is_there)
    threads = [threading.Thread(target=call, args=(stores[caller % 2], caller)) for caller in range(6)]
    for thread in (starter_thread, *threads):
        thread.start()
    for thread in threads:
        thread.join(50)
    done.set()
    starter_thread.join(20)
    assert len(accepted) == 6 * calls
    rows = run_sql(database_url, "select workflow_uuid, debounce_token, status from workflow_status")
    assert {row[0] for row in rows} == set(accepted.values())  # no cycle without a call, no call without a cycle
    for workflow_id, token, _ in rows:
        assert accepted[token] == workflow_id  # what runs is the input of a call that was told so
    assert starter.workflows.load(rows[0][0]) is not None
