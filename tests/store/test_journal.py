"""What the journal promises: what is acknowledged is durable, every record has its own result, nobody harms another."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dbos.error import DBOSException
from dbos.store.database import JournalClosed, Results, ValueRefused
from dbos.store.journal import MAX_BATCH_RECORDS, MAX_QUEUED_RECORDS
from dbos.store.records import Record
from dbos.store.store import Store
from tests.store.conftest import OpenStore
from tests.store.records import attributes, checkpoint, finish, start
from tests.support.waiting import eventually, eventually_async

WRITTEN = ()


@contextmanager
def busy_writer(store: Store) -> Iterator[None]:
    """Hold the journal's connection, so that everything written meanwhile gathers into one batch."""
    lock = store.journal._pool.writer.lock
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def in_one_batch(store: Store, *calls: list[Record]) -> list[Results | Exception]:
    """Several callers whose records are committed together; what each got back."""
    outcomes: dict[int, Results | Exception] = {}

    def call(place: int, records: list[Record]) -> None:
        try:
            outcomes[place] = store.journal.write(records)
        except Exception as error:
            outcomes[place] = error

    threads = []
    with busy_writer(store):
        for place, records in enumerate(calls):
            queued = store.journal._queued_records
            thread = threading.Thread(target=call, args=(place, records))
            thread.start()
            threads.append(thread)
            eventually(lambda queued=queued: store.journal._queued_records > queued)
    for thread in threads:
        thread.join()
    return [outcomes[place] for place in range(len(calls))]


# ------------------------------------------------------------ each kind


def test_a_workflow_starts_once(store: Store) -> None:
    assert store.journal.write([start("w")]) == [(None, 1)]
    assert store.journal.write([start("w", name="another")]) == [None]
    row = store.workflows.load("w")
    assert row is not None
    assert (row.status, row.name, row.epoch, row.recovery_attempts) == ("PENDING", "function", 1, 1)
    assert row.executor_instance == "here"
    assert row.started_at_epoch_ms == row.created_at == row.updated_at
    assert abs(row.created_at - store.now_ms()) < 60_000
    assert row.completed_at is None


def test_an_enqueued_workflow_has_no_attempt_and_no_deadline_yet(store: Store) -> None:
    (result,) = store.journal.write([start("w", status="ENQUEUED", queue_name="q", timeout_ms=5_000)])
    assert result == (None, 0)
    row = store.workflows.load("w")
    assert row is not None
    assert (row.epoch, row.recovery_attempts, row.started_at_epoch_ms) == (0, 0, None)
    assert (row.workflow_timeout_ms, row.workflow_deadline_epoch_ms) == (5_000, None)


def test_a_delayed_workflow_is_due_by_the_databases_clock(store: Store) -> None:
    before = store.now_ms()
    store.journal.write([start("w", status="DELAYED", queue_name="q", delay_ms=60_000)])
    row = store.workflows.load("w")
    assert row is not None
    assert row.delay_until_epoch_ms is not None
    assert before + 60_000 <= row.delay_until_epoch_ms <= store.now_ms() + 60_000


def test_a_timeout_becomes_a_deadline_unless_one_is_inherited(store: Store) -> None:
    (own,), (inherited,) = (
        (store.journal.write([start("a", timeout_ms=1_000)])),
        (store.journal.write([start("b", timeout_ms=1_000, deadline_ms=42)])),
    )
    row = store.workflows.load("a")
    assert row is not None
    assert own == (row.workflow_deadline_epoch_ms, 1)
    assert row.workflow_deadline_epoch_ms == row.created_at + 1_000
    assert inherited == (42, 1)


def test_every_field_of_a_new_workflow_is_kept(store: Store) -> None:
    record = start(
        "w", class_name="C", config_name="c", authenticated_user="user", assumed_role="role",
        authenticated_roles='["a"]', queue_name="q", deduplication_id="d", priority=7, queue_partition_key="p",
        parent_workflow_id="parent", attributes='{"k": [1, null]}', application_id="id",
    )  # fmt: skip
    store.journal.write([record])
    row = store.workflows.load("w")
    assert row is not None
    assert (row.class_name, row.config_name) == ("C", "c")
    assert (row.authenticated_user, row.assumed_role, row.authenticated_roles) == ("user", "role", '["a"]')
    assert (row.queue_name, row.deduplication_id, row.priority, row.queue_partition_key) == ("q", "d", 7, "p")
    assert (row.parent_workflow_id, row.application_id, row.owner_xid) == ("parent", "id", record.token)
    assert row.attributes is not None
    assert json.loads(row.attributes) == {"k": [1, None]}


def test_a_deduplication_id_is_taken_until_its_workflow_ends(store: Store) -> None:
    write = store.journal.write
    assert write([start("a", queue_name="q", deduplication_id="d")]) == [(None, 1)]
    assert write([start("b", queue_name="q", deduplication_id="d")]) == [None]
    assert write([start("c", queue_name="other", deduplication_id="d")]) == [(None, 1)]
    assert write([finish("a")]) == [WRITTEN]
    assert write([start("b", queue_name="q", deduplication_id="d")]) == [(None, 1)]


def test_a_step_is_recorded_once(store: Store) -> None:
    store.journal.write([start("w")])
    assert store.journal.write([checkpoint("w", 1, output="first")]) == [WRITTEN]
    assert store.journal.write([checkpoint("w", 1, output="second")]) == [None]
    step = store.steps.recorded("w", 1)
    assert step is not None
    assert (step.output, step.epoch) == ("first", 1)


def test_an_outcome_is_written_once(store: Store) -> None:
    store.journal.write([start("w", queue_name="q")])
    assert store.journal.write([finish("w")]) == [WRITTEN]
    assert store.journal.write([finish("w", status="ERROR", error="late")]) == [None]
    assert store.journal.write([checkpoint("w", 1)]) == [None]
    row = store.workflows.load("w")
    assert row is not None
    assert (row.status, row.output, row.error, row.outcome_serialization) == ("SUCCESS", '"done"', None, "json")
    assert (row.epoch, row.queue_name) == (1, "q")
    assert row.completed_at is not None


@pytest.mark.parametrize("epoch", [0, 2])
def test_another_epoch_writes_nothing(store: Store, epoch: int) -> None:
    store.journal.write([start("w")])
    assert store.journal.write([checkpoint("w", 1, epoch)]) == [None]
    assert store.journal.write([finish("w", epoch)]) == [None]
    assert store.journal.write([start("child", guard_workflow_id="w", guard_epoch=epoch)]) == [None]
    assert store.journal.write([attributes("w", "{}", guard=("w", epoch))]) == [None]
    row = store.workflows.load("w")
    assert row is not None
    assert (row.status, row.attributes) == ("PENDING", None)
    assert store.steps.list("w") == []
    assert store.workflows.load("child") is None


def test_nothing_is_written_for_a_workflow_that_is_gone(store: Store) -> None:
    assert store.journal.write([checkpoint("w", 1), finish("w"), attributes("w", "{}")]) == [None] * 3


def test_attributes_are_replaced_merged_and_cleared(store: Store) -> None:
    def now() -> object:
        row = store.workflows.load("w")
        assert row is not None
        return row.attributes and json.loads(row.attributes)

    store.journal.write([start("w")])
    for text, merge, expected in [
        ('{"a": 1, "b": {"x": 1}}', True, {"a": 1, "b": {"x": 1}}),
        ('{"b": {"y": 2}, "c": null}', True, {"a": 1, "b": {"y": 2}, "c": None}),
        ('{"d": "ü"}', False, {"d": "ü"}),
        (None, False, None),
    ]:
        assert store.journal.write([attributes("w", text, merge)]) == [WRITTEN]
        assert now() == expected


# ------------------------------------------------------------ a call, and a batch


def test_a_call_is_written_in_the_order_of_kinds_and_answered_in_its_own(store: Store) -> None:
    store.journal.write([start("w")])
    results = store.journal.write(
        [
            finish("w"),
            start("child", guard_workflow_id="w", guard_epoch=1),
            start("stray", guard_workflow_id="w", guard_epoch=9),
            attributes("w", '{"a": 1}', merge=True),
            attributes("w", '{"b": 2}', merge=True),
            checkpoint("w", 1),
            checkpoint("w", 2, epoch=9),
        ]
    )
    assert results == [WRITTEN, (None, 1), None, WRITTEN, WRITTEN, WRITTEN, None]
    row = store.workflows.load("w")
    assert row is not None
    assert row.attributes is not None
    assert json.loads(row.attributes) == {"a": 1, "b": 2}


def test_of_two_records_for_the_same_thing_the_first_wins(store: Store) -> None:
    store.journal.write([start("w"), start("x")])
    results = in_one_batch(
        store,
        [checkpoint("w", 1, output="a")],
        [checkpoint("w", 1, output="b"), checkpoint("w", 2)],
        [start("n", name="one")],
        [start("n", name="two")],
        [finish("x", output="a")],
        [finish("x", output="b")],
    )
    assert results == [[WRITTEN], [None, WRITTEN], [(None, 1)], [None], [WRITTEN], [None]]
    step, workflow, new = store.steps.recorded("w", 1), store.workflows.load("x"), store.workflows.load("n")
    assert step is not None
    assert workflow is not None
    assert new is not None
    assert (step.output, workflow.output, new.name) == ("a", "a", "one")


def test_a_batch_tells_every_record_apart(store: Store) -> None:
    ids = [f"w{n}" for n in range(300)]
    assert store.journal.write([start(each, timeout_ms=1_000 if n % 2 else None) for n, each in enumerate(ids)])
    results = store.journal.write([checkpoint(each, 1, epoch=1 if n % 3 else 2) for n, each in enumerate(ids)])
    assert [result is not None for result in results] == [bool(n % 3) for n in range(300)]
    assert {each for each, steps in store.steps.history(ids).items() if steps} == {
        each for n, each in enumerate(ids) if n % 3
    }


AWKWARD = [
    "",
    "NULL",
    "null",
    "{}",
    "a,b",
    '"',
    "\\",
    '\\"',
    "{a}",
    "'",
    "\n\t\r\b\x01\x7f",
    "\u00a0\u2028",
    "😀 ü",
    " x ",
]


@pytest.mark.parametrize("batch", [1, len(AWKWARD)])
def test_every_text_comes_back_as_it_went(store: Store, batch: int) -> None:
    store.journal.write([start("w")])
    records = [checkpoint("w", n, output=text, error=None if n % 2 else text) for n, text in enumerate(AWKWARD)]
    for place in range(0, len(records), batch):
        assert None not in store.journal.write(records[place : place + batch])
    steps = store.steps.list("w")
    assert [step.output for step in steps] == AWKWARD
    assert [step.error for step in steps] == [None if n % 2 else text for n, text in enumerate(AWKWARD)]


def test_large_payloads(store: Store) -> None:
    store.journal.write([start("w")])
    large = '"\\' * 1_500_000
    assert store.journal.write([checkpoint("w", n, output=large) for n in (1, 2)]) == [WRITTEN] * 2
    assert [step.output == large for step in store.steps.list("w")] == [True, True]


# ------------------------------------------------------------ bad rows


@pytest.mark.parametrize("text", ["a\0b", "\0"])
def test_a_nul_is_refused_before_anything_is_written(store: Store, text: str) -> None:
    store.journal.write([start("w")])
    commits = store.journal.counters.commits
    for record in (checkpoint("w", 1, output=text), finish("w", output=text), start("x", inputs=text)):
        with pytest.raises(ValueRefused, match="NUL"):
            store.journal.write([record])
    assert store.journal.counters.commits == commits


@pytest.mark.parametrize(
    "bad",
    [
        checkpoint("w", 1, output="\ud800"),
        checkpoint("w", 1, started_at_ms=2**70),
        start("bad\ud800"),
        start("bad", priority=2**70),
    ],
)
def test_only_the_guilty_caller_of_a_batch_gets_the_error(store: Store, bad: Record) -> None:
    store.journal.write([start(f"w{n}") for n in range(7)] + [start("w")])
    calls: list[list[Record]] = [[checkpoint(f"w{n}", 1)] for n in range(7)]
    calls.insert(3, [checkpoint("w", 9), bad])
    outcomes = in_one_batch(store, *calls)
    guilty = outcomes.pop(3)
    assert isinstance(guilty, DBOSException)
    assert guilty.__cause__ is not None
    assert outcomes == [[WRITTEN]] * 7
    assert store.steps.list("w") == []  # the call of the guilty one is atomic
    assert store.journal.write([checkpoint("w", 1)]) == [WRITTEN]


# ------------------------------------------------------------ many callers


def test_a_thousand_threads_are_all_acknowledged(store: Store, open_store: OpenStore) -> None:
    ids = [f"w{n}" for n in range(1_000)]
    store.journal.write([start(each) for each in ids])
    results: dict[str, Results] = {}
    barrier = threading.Barrier(50)

    def write(mine: list[str]) -> None:
        barrier.wait()
        for each in mine:
            results[each] = store.journal.write([checkpoint(each, 1)])

    threads = [threading.Thread(target=write, args=(ids[n::50],)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {each: [WRITTEN] for each in ids}
    history = open_store().steps.history(ids)  # another process sees them all
    assert all(len(steps) == 1 for steps in history.values())


def test_a_thousand_coroutines_and_threads_share_batches(store: Store) -> None:
    ids = [f"w{n}" for n in range(1_000)]
    journal = store.journal
    journal.write([start(each) for each in ids])
    before = journal.counters.commits

    async def run(workflow_id: str) -> Results:
        loop = asyncio.get_running_loop()
        first = await journal.write_soon([checkpoint(workflow_id, 1)], loop)
        return first + await journal.write_soon([checkpoint(workflow_id, 2), finish(workflow_id)], loop)

    async def run_all() -> list[Results]:
        threads = [asyncio.to_thread(journal.write, [attributes(each, "{}")]) for each in ids[:20]]
        both = await asyncio.gather(asyncio.gather(*map(run, ids)), asyncio.gather(*threads))
        assert both[1] == [[WRITTEN]] * 20
        return both[0]

    assert asyncio.run(run_all()) == [[WRITTEN] * 3] * 1_000
    assert journal.counters.commits - before <= 60
    assert journal.counters.largest_batch > 100
    assert len(journal._pool.writer.lock._waiting) == 0


@pytest.mark.parametrize(("characters", "most"), [(10, MAX_BATCH_RECORDS), (100_000, 40)])
def test_a_batch_is_bounded(store: Store, characters: int, most: int) -> None:
    """By the number of its records, and by what they weigh."""
    store.journal.write([start("w")])
    count = 5 * most // 2

    async def write() -> None:
        loop, output = asyncio.get_running_loop(), "x" * characters
        with busy_writer(store):
            futures = [store.journal.write_soon([checkpoint("w", n, output=output)], loop) for n in range(count)]
        await asyncio.gather(*futures)

    asyncio.run(write())
    assert store.journal.counters.largest_batch == most
    assert len(store.steps.list("w")) == count


@pytest.mark.parametrize(("characters", "most"), [(0, MAX_QUEUED_RECORDS), (10, 100)])
def test_a_full_journal_makes_threads_wait_and_loses_nothing(
    store: Store, characters: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbos.store.journal.MAX_QUEUED_CHARACTERS", 1_000)
    journal, output = store.journal, "x" * characters
    journal.write([start("w")])
    waiting = threading.Event()

    def write() -> None:
        waiting.set()
        assert journal.write([checkpoint("w", 0)]) == [WRITTEN]

    async def fill() -> None:
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=write)
        with busy_writer(store):
            futures = [journal.write_soon([checkpoint("w", n, output=output)], loop) for n in range(1, most + 1)]
            thread.start()
            await asyncio.to_thread(waiting.wait)
            await asyncio.to_thread(eventually, lambda: journal._room._waiters)
            assert journal._queued_records == most
        assert await asyncio.gather(*futures) == [[WRITTEN]] * most
        await asyncio.to_thread(thread.join)

    asyncio.run(fill())
    assert store.steps.recorded("w", 0) is not None


# ------------------------------------------------------------ costs, in counts


def test_what_a_workflow_costs(store: Store) -> None:
    counters = store.journal.counters
    before = (counters.commits, counters.queries)
    store.journal.write([start("w")])
    store.journal.write([checkpoint("w", 1)])
    store.journal.write([checkpoint("w", 2)])
    store.journal.write([finish("w")])
    assert (counters.commits, counters.queries) == (before[0] + 4, before[1])
    assert counters.statements == counters.records == 4


def test_a_batch_of_one_kind_is_one_statement_on_postgres(store: Store) -> None:
    ids = [f"w{n}" for n in range(100)]
    store.journal.write([start(each) for each in ids])
    store.journal.write([checkpoint(each, 1) for each in ids])
    store.journal.write([checkpoint(each, 2) for each in ids] + [finish(each) for each in ids])
    counters = store.journal.counters
    assert counters.commits == 3
    assert counters.statements == (4 if store.dialect == "postgres" else counters.records)


# ------------------------------------------------------------ coroutines that left


def test_cancelled_futures_harm_nobody(store: Store) -> None:
    journal = store.journal
    journal.write([start("w")])

    async def leave() -> Results:
        loop = asyncio.get_running_loop()
        with busy_writer(store):
            cancelled = journal.write_soon([checkpoint("w", 1)], loop)
            kept = journal.write_soon([checkpoint("w", 2)], loop)
            assert [cancelled.cancel() for _ in range(2)] == [False, True]  # the first lets the result come before it
        await eventually_async(kept.done)
        return await kept

    assert asyncio.run(leave()) == [WRITTEN]
    assert store.steps.recorded("w", 1) is not None  # cancelling the wait does not take back the record


def test_closed_loops_harm_nobody(store: Store) -> None:
    journal = store.journal
    journal.write([start("w")])

    async def leave() -> None:
        journal.write_soon([checkpoint("w", 1)], asyncio.get_running_loop())

    with busy_writer(store):
        asyncio.run(leave())  # the loop is closed before anything is written
    eventually(lambda: store.steps.recorded("w", 1))
    assert journal.write([start("x")]) == [(None, 1)]


# ------------------------------------------------------------ closing


def test_a_closed_journal_accepts_nothing(store: Store) -> None:
    store.journal.write([start("w")])
    store.journal.close()
    store.journal.close()
    with pytest.raises(JournalClosed):
        store.journal.write([checkpoint("w", 1)])

    async def write_soon() -> None:
        with pytest.raises(JournalClosed):
            await store.journal.write_soon([checkpoint("w", 1)], asyncio.get_running_loop())

    asyncio.run(write_soon())
    assert store.steps.list("w") == []  # reads still work: the store itself is open


def test_closing_fails_what_is_queued_and_wakes_everyone(store: Store) -> None:
    journal = store.journal
    journal.write([start("w")])
    failures: list[Exception] = []

    def write() -> None:
        try:
            journal.write([checkpoint("w", 1)])
        except Exception as error:
            failures.append(error)

    async def close() -> None:
        future = journal.write_soon([checkpoint("w", 2)], asyncio.get_running_loop())
        eventually(lambda: journal._queued_records == 2)
        closing.start()
        with pytest.raises(JournalClosed):
            await future

    thread, closing = threading.Thread(target=write), threading.Thread(target=journal.close)
    with busy_writer(store):
        thread.start()
        asyncio.run(close())
        thread.join()
    closing.join()
    assert [type(failure) for failure in failures] == [JournalClosed]
    assert store.steps.list("w") == []


def test_no_thread_is_left(store: Store) -> None:
    thread = next(thread for thread in threading.enumerate() if thread is store.journal._thread)
    assert (thread.name, thread.daemon) == ("dbos-journal", True)
    store.close()
    assert not thread.is_alive()


def test_management_gets_its_turn_between_batches(store: Store) -> None:
    """On SQLite they share the writer: without a fair lock the journal could keep it for ever."""
    store.journal.write([start(f"w{n}") for n in range(20)])
    stop = threading.Event()

    def hammer(workflow_id: str) -> None:
        step = 0
        while not stop.is_set():
            step += 1
            store.journal.write([checkpoint(workflow_id, step)])

    threads = [threading.Thread(target=hammer, args=(f"w{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    try:
        for n in range(8, 20):
            assert store.workflows.cancel([f"w{n}"]) == [f"w{n}"]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
