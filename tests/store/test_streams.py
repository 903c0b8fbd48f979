"""Streams in the store: offsets without a gap, in order, each written once, by whoever may write and nobody else."""

from __future__ import annotations

import threading

import pytest

from dbos.model.stream import StreamPage, StreamValue, position_id
from dbos.store.database import ValueRefused
from dbos.store.store import Store
from tests.store.conftest import OpenStore
from tests.store.records import RUNNABLE, checkpoint, finish, owner, start, stream_end, stream_value
from tests.support.raw_sql import run_sql


def values(store: Store, workflow_id: str = "w", key: str = "s") -> list[str]:
    """What a stream holds, after a look at its offsets."""
    page = store.streams.page(workflow_id, key, 0, 100_000)
    assert page is not None
    assert [value.offset for value in page.values] == list(range(len(page.values)))
    return [value.value for value in page.values]


def steps(store: Store, workflow_id: str = "w") -> list[tuple[int, str]]:
    return [(step.function_id, step.function_name) for step in store.steps.list(workflow_id)]


# ---------------------------------------------------------------- writing


def test_a_value_and_its_step_are_one_write(store: Store) -> None:
    store.journal.write([start("w")])
    assert store.journal.write([stream_value("w", 1, value="1")]) == [()]
    assert store.journal.write([stream_value("w", 2, value='"two"')]) == [()]
    assert values(store) == ["1", '"two"']
    assert steps(store) == [(1, "DBOS.writeStream"), (2, "DBOS.writeStream")]
    (first, _) = store.steps.list("w")
    assert (first.output, first.error, first.epoch) == (None, None, 1)
    assert first.started_at_epoch_ms == first.completed_at_epoch_ms == 1_700_000_000_000


def test_streams_of_other_keys_and_workflows_count_for_themselves(store: Store) -> None:
    store.journal.write([start("w"), start("x")])
    batch = [stream_value(workflow_id, n, key=key) for n in (1, 2) for workflow_id in "wx" for key in ("s", "t")]
    batch = [record._replace(function_id=number) for number, record in enumerate(batch)]
    assert store.journal.write(batch) == [()] * 8
    for workflow_id in "wx":
        for key in ("s", "t"):
            assert values(store, workflow_id, key) == ["1", "2"]


def test_values_of_a_batch_keep_their_order(store: Store) -> None:
    store.journal.write([start("w")])
    store.journal.write([stream_value("w", 1)])
    assert store.journal.write([stream_value("w", n) for n in range(2, 500)]) == [()] * 498
    assert values(store) == [str(n) for n in range(1, 500)]


def test_a_write_from_inside_a_step_has_a_token_and_no_step_of_its_own(store: Store, database_url: str) -> None:
    store.journal.write([start("w")])
    inside = [stream_value("w", 7, value=f"{n}", token=f"t{n}", step_attempt=n) for n in range(3)]
    assert store.journal.write(inside) == [()] * 3
    assert values(store) == ["0", "1", "2"]
    assert steps(store) == []
    rows = run_sql(database_url, "select function_id, epoch, step_attempt, token from streams order by token")
    assert [tuple(row) for row in rows] == [(7, 1, 0, "t0"), (7, 1, 1, "t1"), (7, 1, 2, "t2")]
    assert store.streams.holds("t1")
    assert not store.streams.holds("t3")


def test_what_was_written_before_is_refused(store: Store) -> None:
    """As after a commit whose reply was lost: the same records come again."""
    store.journal.write([start("w")])
    batch = [stream_value("w", 1), stream_value("w", 9, value="inside", token="t"), stream_value("w", 2)]
    assert store.journal.write(batch) == [(), (), ()]
    assert store.journal.write(batch) == [None, None, None]
    assert store.journal.write(batch[:1]) == store.journal.write(batch[1:2]) == [None]
    assert store.journal.write([*batch, stream_value("w", 3)]) == [None, None, None, ()]
    assert values(store) == ["1", "inside", "2", "3"]


def test_a_step_that_is_recorded_writes_nothing(store: Store) -> None:
    store.journal.write([start("w")])
    store.journal.write([checkpoint("w", 1)])
    assert store.journal.write([stream_value("w", 1), stream_value("w", 2)]) == [None, ()]
    assert values(store) == ["2"]
    assert steps(store) == [(1, "step"), (2, "DBOS.writeStream")]


@pytest.mark.parametrize("copies", [1, 2])
def test_nothing_is_written_by_a_stale_epoch_or_after_the_end(store: Store, copies: int) -> None:
    store.journal.write([start("w")])
    store.journal.write([stream_value("w", 1)])
    assert store.workflows.take_over(owner("there"), ["local"], RUNNABLE, 10)
    stale = [stream_value("w", n) for n in range(2, 2 + copies)]
    assert store.journal.write(stale) == [None] * copies
    assert store.journal.write([record._replace(token=f"t{record.function_id}") for record in stale]) == [None] * copies
    assert store.journal.write([*stale, stream_value("w", 2, epoch=2)]) == [None] * copies + [()]
    store.journal.write([finish("w", 2)])
    assert store.journal.write([stream_value("w", 3 + n, epoch=2) for n in range(copies)]) == [None] * copies
    assert values(store) == ["1", "2"]
    assert steps(store) == [(1, "DBOS.writeStream"), (2, "DBOS.writeStream")]


def test_the_last_values_and_the_outcome_go_together(store: Store) -> None:
    store.journal.write([start("w")])
    assert store.journal.write([finish("w"), stream_value("w", 1), stream_end("w", 2)]) == [(), (), ()]
    assert len(values(store)) == 2


def test_nothing_follows_the_end_of_a_stream(store: Store) -> None:
    store.journal.write([start("w")])
    assert store.journal.write([stream_value("w", 1), stream_end("w", 2), stream_value("w", 3)]) == [(), (), None]
    assert store.journal.write([stream_value("w", 4)]) == [None]
    assert store.journal.write([stream_end("w", 5, token="t")]) == [None]
    assert store.journal.write([stream_value("w", 6), stream_value("w", 7, key="t")]) == [None, ()]
    assert steps(store) == [(1, "DBOS.writeStream"), (2, "DBOS.closeStream"), (7, "DBOS.writeStream")]
    assert store.streams.is_closed("w", "s")
    assert not store.streams.is_closed("w", "t")
    assert not store.streams.is_closed("w", "unheard of")


def test_one_value_that_cannot_be_stored_harms_no_other(store: Store) -> None:
    store.journal.write([start("w")])
    with pytest.raises(ValueRefused):
        store.journal.write([stream_value("w", 1, value="a\0b")])
    with pytest.raises(ValueRefused):
        store.journal.write([stream_value("w", 1, key="a\ud800b"), stream_value("w", 2)])
    assert store.journal.write([stream_value("w", 1)]) == [()]
    assert values(store) == ["1"]


def test_writers_of_several_processes_leave_no_gap(open_store: OpenStore) -> None:
    """What the lock of the workflow's row is for, though only one of them should think that it may write."""
    stores = [open_store() for _ in range(4)]
    stores[0].journal.write([start("w")])
    written: list[str] = []

    def write(number: int) -> None:
        for n in range(50):
            value, token = f"{number}-{n}", f"{number}:{n}"
            record = stream_value("w", 1, value=value, token=token)
            while stores[number].journal.write([record]) != [()] and not stores[number].streams.holds(token):
                pass  # counted before the other's commit, and found its place taken: once more
            written.append(value)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(len(stores))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = values(stores[0])
    assert sorted(found) == sorted(written)
    for number in range(len(stores)):
        assert [each for each in found if each.startswith(f"{number}-")] == [f"{number}-{n}" for n in range(50)]


# ---------------------------------------------------------------- reading


def test_a_page_says_where_the_stream_stands(store: Store) -> None:
    assert store.streams.page("w", "s", 0, 10) is None
    store.journal.write([start("w")])
    assert store.streams.page("w", "s", 0, 10) == StreamPage([], over=False)
    store.journal.write([stream_value("w", n) for n in range(10)])
    page = store.streams.page("w", "s", 3, 2)
    assert page == StreamPage([StreamValue(3, "3", "json"), StreamValue(4, "4", "json")], over=False)
    store.journal.write([stream_end("w", 11), finish("w")])
    page = store.streams.page("w", "s", 9, 1_000)
    assert page is not None
    assert page.over
    assert [(value.offset, value.closes) for value in page.values] == [(9, False), (10, True)]
    assert store.streams.page("w", "s", 11, 10) == StreamPage([], over=True)


def test_behind_the_end_of_a_stream_it_is_over_though_the_workflow_runs(store: Store) -> None:
    store.journal.write([start("w")])
    store.journal.write([stream_value("w", 1), stream_end("w", 2)])
    page = store.streams.page("w", "s", 1, 10)
    assert page is not None
    assert (len(page.values), page.over) == (1, False)
    assert store.streams.page("w", "s", 2, 10) == StreamPage([], over=True)
    assert store.streams.page("w", "s", 99, 10) == StreamPage([], over=True)
    assert store.streams.page("w", "other", 99, 10) == StreamPage([], over=False)


def test_readers_are_told_in_one_query_where_something_has_arrived(store: Store) -> None:
    store.journal.write([start("w"), start("x")])
    key = 'a "key", [and] ünïcode'
    store.journal.write([stream_value("w", n, key=key) for n in range(3)] + [stream_end("x", 1)])
    there = [position_id("w", key, 0), position_id("w", key, 2), position_id("x", "s", 0), position_id("x", "s", 99)]
    missing = [position_id("w", key, 3), position_id("w", "s", 0), position_id("y", key, 0)]
    queries = store.journal.counters.queries
    assert sorted(store.streams.reached([*missing, *there])) == sorted(there)
    assert store.journal.counters.queries == queries + 1
    assert store.streams.reached([]) == []
