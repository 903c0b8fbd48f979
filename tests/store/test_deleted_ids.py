"""An id that is used again after its workflow was deleted: whoever ran that one writes nothing into the new one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from dbos.store.database import StoreSettings
from dbos.store.deleting import EPOCHS_FORGOTTEN, EPOCHS_KEPT_MS
from dbos.store.forking import Fork
from dbos.store.store import Store
from tests.store.conftest import OpenStore
from tests.store.records import RUNNABLE, checkpoint, debounce, finish, owner, start
from tests.support.raw_sql import run_sql


def begin(store: Store) -> None:
    assert store.journal.write([start("w")]) == [(None, 1)]


def begin_enqueued(store: Store) -> None:
    assert store.journal.write([start("w", status="ENQUEUED", queue_name="queue")])[0] is not None


def begin_delayed(store: Store) -> None:
    assert store.journal.write([start("w", status="DELAYED", queue_name="queue", delay_ms=60_000)])[0] is not None


def begin_debounced(store: Store) -> None:
    assert store.journal.write([debounce(workflow_id="w")])[0] is not None


def begin_as_fork(store: Store) -> None:
    store.journal.write([start("origin")])
    assert store.workflows.fork([Fork("origin", 1, workflow_id="w", token="fork")])


def begin_imported(store: Store) -> None:
    """As it was when its first attempt had just begun."""
    store.journal.write([start("twin")])
    (exported,) = store.transfers.take_out(["twin"])
    exported["workflow_status"] |= {"workflow_uuid": "w", "owner_xid": "imported", "deduplication_id": None}
    store.transfers.bring_in([exported])


def epoch_of(store: Store) -> int:
    row = store.workflows.load("w")
    assert row is not None
    return row.epoch


def marks(url: str) -> list[tuple[str, int]]:
    rows = run_sql(url, "select workflow_uuid, next_epoch from deleted_workflows order by 1")
    return [(row[0], row[1]) for row in rows]


@pytest.mark.parametrize(
    ("again", "epoch"),
    [
        (lambda store: store.journal.write([start("w")]), 3),
        (begin_enqueued, 2),
        (begin_delayed, 2),
        (begin_debounced, 2),
        (begin_as_fork, 2),
        (begin_imported, 2),
    ],
    ids=["started", "enqueued", "delayed", "debounced", "forked", "imported"],
)
def test_who_ran_the_deleted_workflow_writes_nothing_into_the_next(
    store: Store, open_store: OpenStore, again: Callable[[Store], object], epoch: int
) -> None:
    stale = open_store()
    begin(stale)
    store.workflows.delete(["w"], False)
    again(store)
    assert epoch_of(store) == epoch
    assert stale.workflows.lost({"w": 1}) != []
    assert stale.journal.write([checkpoint("w", 1)]) == [None]
    assert stale.journal.write([finish("w")]) == [None]
    assert stale.journal.write([start("child", guard_workflow_id="w", guard_epoch=1)]) == [None]
    assert store.steps.list("w") == []


def test_epochs_go_on_through_every_life_and_change_of_hands(store: Store) -> None:
    begin(store)
    store.workflows.cancel(["w"])  # 2
    store.workflows.delete(["w"], False)
    assert store.journal.write([start("w")]) == [(None, 4)]
    store.workflows.take_over(owner("there"), ["local"], RUNNABLE, 10)  # 5
    store.workflows.delete(["w"], False)
    begin_enqueued(store)
    assert epoch_of(store) == 6
    store.workflows.delete(["w"], False)
    assert store.journal.write([start("w")]) == [(None, 8)]
    assert store.journal.write([checkpoint("w", 1, epoch=8), finish("w", 8)]) == [(), ()]
    assert store.journal.write([start("other")]) == [(None, 1)]  # every id has epochs of its own


def test_an_import_keeps_the_epoch_that_nobody_here_had(store: Store) -> None:
    begin(store)
    store.workflows.cancel(["w"])
    store.workflows.resume(["w"])
    (exported,) = store.transfers.take_out(["w"])
    store.workflows.delete(["w"], False)
    exported["workflow_status"]["epoch"] = 9
    store.transfers.bring_in([exported])
    assert epoch_of(store) == 9


def test_what_nobody_can_write_for_any_more_leaves_no_epoch(store: Store, database_url: str) -> None:
    store.journal.write([start(each) for each in ("old", "new", "running")])
    store.journal.write([finish("old"), finish("new")])
    run_sql(
        database_url,
        "update workflow_status set completed_at = completed_at - ? where workflow_uuid = 'old'",
        EPOCHS_KEPT_MS + 60_000,
    )
    store.workflows.delete(["old", "new", "running", "unknown"], False)
    assert marks(database_url) == [("new", 2), ("running", 2)]


def test_epochs_are_forgotten_by_later_deletions(store: Store, database_url: str) -> None:
    store.journal.write([start(each) for each in ("a", "b", "c", "d")])
    store.workflows.delete(["a", "b"], False)
    run_sql(
        database_url,
        "update deleted_workflows set deleted_at = deleted_at - ? where workflow_uuid = 'a'",
        EPOCHS_KEPT_MS + 60_000,
    )
    store.workflows.delete(["c"], False)
    assert marks(database_url) == [("b", 2), ("c", 2)]
    assert EPOCHS_FORGOTTEN > 200  # more than a batch of the retention leaves behind


def test_whoever_starts_while_the_workflow_is_being_deleted_finds_it_still_there(postgres_url: str) -> None:
    """Its insert would wait for the deletion, and begin at an epoch read before that. (SQLite has one writer.)"""
    with (
        Store.open(StoreSettings(url=postgres_url)) as store,
        ThreadPoolExecutor(1) as thread,
        psycopg.connect(postgres_url) as deleting,
    ):
        begin(store)
        deleting.execute("delete from dbos.workflow_status where workflow_uuid = 'w'")
        try:
            assert thread.submit(store.journal.write, [start("w")]).result(10) == [None]
        finally:
            deleting.rollback()
        assert epoch_of(store) == 1
