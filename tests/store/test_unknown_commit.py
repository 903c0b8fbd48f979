"""Unknown is not failed: a connection that breaks around a commit costs nobody a record, and writes nothing twice.

The client cannot tell a commit that never arrived from one whose acknowledgement was lost. The journal runs the batch
again, and the rows themselves tell whose they are.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest

from dbos.error import DBOSException
from dbos.model.queue import QueueSpec
from dbos.store.database import JournalClosed, Role, StoreClosed, StoreSettings
from dbos.store.records import Record
from dbos.store.store import Store
from tests.store.records import (
    RUNNABLE,
    attributes,
    checkpoint,
    event,
    finish,
    message,
    owner,
    receive,
    sent,
    start,
    stream_value,
)
from tests.support.postgres import PostgresCluster
from tests.support.proxy import CutPhase, PostgresProxy
from tests.support.waiting import PATIENCE_SECONDS, eventually


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[PostgresProxy]:
    with PostgresProxy(postgres_url) as proxy:
        yield proxy


@pytest.fixture
def store(proxy: PostgresProxy) -> Iterator[Store]:
    with Store.open(StoreSettings(url=proxy.url)) as store:
        store.journal.write([start("w"), start("x"), start("y")])
        store.journal.write([start("z"), message("y", '"first"'), message("y", '"second"')])
        yield store


BATCHES: list[Callable[[], list[Record]]] = [
    lambda: [start("new")],
    lambda: [checkpoint("w", 1)],
    lambda: [finish("w")],
    lambda: [attributes("w", '{"a": 1}', merge=True)],
    lambda: [message("w", message_id="m")],
    lambda: [message("w", message_id="m"), sent("x", 1, message("w", message_id="m"))],
    lambda: [receive("y", 1)],
    lambda: [checkpoint("w", 1), *event("w", 1, "1")],
    lambda: [stream_value("w", 1)],
    lambda: [stream_value("w", n, token=f"t{n}") for n in range(3)],
    lambda: [checkpoint("w", 1), stream_value("w", 2), stream_value("w", 1, token="t"), finish("w")],
    lambda: [checkpoint("w", 1), checkpoint("x", 1), start("new"), start("newer"), finish("y"), finish("z")],
]


def is_there(store: Store, record: Record) -> bool:
    """Did this very record land? By the marks that the runtime goes by."""
    match type(record).__name__:
        case "SendMessage":
            return store.messages.arrived(record[0], record[1]) == (True, True)
        case "ReceiveMessage":
            taken = [step.output for step in store.steps.list(record[0])]
            return taken == ['"first"'] and store.journal.write([receive(record[0], 2)]) == [('"second"', "json")]
        case "CheckpointSend":
            return [step.function_name for step in store.steps.list(record[0])] == ["DBOS.send"]
        case "SetEvent" | "KeepEvent":
            return store.events.all(record[0]) == [("k", "1", "json")]
    row = store.workflows.load(record[0])
    assert row is not None
    match type(record).__name__:
        case "StartWorkflow":
            return row.owner_xid == record[1]
        case "Checkpoint":
            step = store.steps.recorded(record[0], record[2])
            return step is not None and step.epoch == record[1] and step.output == record[4]
        case "FinishWorkflow":
            return (row.epoch, row.status, row.output) == (record[1], record[2], record[3])
        case "WriteStream":
            page = store.streams.page(record[0], record[2], 0, 10)
            assert page is not None
            return [value.value for value in page.values].count(str(record[3])) == 1
        case _:
            return row.attributes == '{"a": 1}'


@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("batch", BATCHES)
def test_a_record_survives_a_connection_cut_around_its_commit(
    store: Store, proxy: PostgresProxy, batch: Callable[[], list[Record]], phase: CutPhase
) -> None:
    records = batch()
    cut = proxy.cut_at(1, phase)
    results = store.journal.write(records)
    assert cut.done.is_set()
    assert all(is_there(store, record) for record in records)
    if phase == "before":
        assert None not in results  # nothing had arrived, so the second run was the first for the database
    # After: None says "ask the row whose it is", as `is_there` did.


def test_every_caller_of_a_broken_batch_goes_on(store: Store, proxy: PostgresProxy) -> None:
    store.journal.write([start(f"w{n}") for n in range(100)])
    cuts = [proxy.cut_at(n, phase) for n, phase in ((1, "before"), (2, "after"), (4, "before"))]
    results: dict[int, object] = {}

    def run(n: int) -> None:
        results[n] = [store.journal.write([checkpoint(f"w{n}", step)]) for step in range(5)]

    threads = [threading.Thread(target=run, args=(n,)) for n in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(cut.done.is_set() for cut in cuts)
    assert len(results) == 100
    history = store.steps.history([f"w{n}" for n in range(100)])
    assert all([step.function_id for step in steps] == list(range(5)) for steps in history.values())


def test_the_backend_dies_under_the_writer(store: Store, direct_url: str) -> None:
    with psycopg.connect(direct_url, autocommit=True) as admin:
        admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'dbos_transact' and datname = current_database()"
        )
    assert store.journal.write([checkpoint("w", 1)]) == [()]
    assert store.workflows.standing("w") == ("PENDING", 1)


def test_an_immediate_restart_of_the_server(postgres: PostgresCluster, postgres_url: str) -> None:
    with Store.open(StoreSettings(url=postgres_url)) as store:
        store.journal.write([start(f"w{n}") for n in range(8)])
        acknowledged: list[tuple[str, int]] = []
        stop = threading.Event()

        def run(workflow_id: str) -> None:
            step = 0
            while not stop.is_set():
                step += 1
                store.journal.write([checkpoint(workflow_id, step)])
                acknowledged.append((workflow_id, step))

        threads = [threading.Thread(target=run, args=(f"w{n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        eventually(lambda: len(acknowledged) > 50)
        postgres.restart("immediate")
        seen = len(acknowledged)
        eventually(lambda: len(acknowledged) > seen + 50)
        stop.set()
        for thread in threads:
            thread.join()
        history = store.steps.history([f"w{n}" for n in range(8)])
        recorded = {(workflow_id, step.function_id) for workflow_id, steps in history.items() for step in steps}
        assert recorded == set(acknowledged)


@pytest.mark.parametrize("phase", ["before", "after"])
def test_management_survives_a_cut(store: Store, proxy: PostgresProxy, phase: CutPhase) -> None:
    cut = proxy.cut_at(1, phase)
    assert store.workflows.cancel(["w"]) == ["w"]  # whichever of the two tries it was
    assert cut.done.is_set()
    assert store.workflows.standing("w") == ("CANCELLED", 2)

    cut = proxy.cut_at(1, phase)
    store.workflows.resume(["w"])
    assert cut.done.is_set()
    standing = store.workflows.standing("w")
    assert standing is not None
    assert standing[0] == "ENQUEUED"

    cut = proxy.cut_at(1, phase)
    claimed = store.claims.claim(QueueSpec("_dbos_internal_queue"), owner(), RUNNABLE, 10).rows
    assert cut.done.is_set()
    # After an unknown commit the claim may be ours without having been returned: then it shows up as an orphan.
    orphans = [workflow_id for workflow_id, _ in store.workflows.owned_by("here") if workflow_id == "w"]
    assert orphans == ["w"]
    assert claimed or store.workflows.adopt_orphans(owner(), orphans)


def test_an_outage_ends_with_the_store(store: Store, proxy: PostgresProxy) -> None:
    proxy.refuse()
    proxy.cut_now()
    failures: list[type[Exception]] = []

    def attempt(work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:
            failures.append(type(error))

    works: list[Callable[[], object]] = [
        lambda: store.journal.write([checkpoint("w", 1)]),
        lambda: store.journal.write([checkpoint("w", 2)]),
        lambda: store.workflows.load("w"),
        lambda: store.workflows.cancel(["w"]),
    ]
    threads = [threading.Thread(target=attempt, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    eventually(lambda: store._pool._outage_reported)
    assert all(thread.is_alive() for thread in threads)  # they keep trying
    store.close()
    for thread in threads:
        thread.join()
    assert sorted(failures, key=lambda kind: kind.__name__) == [JournalClosed, JournalClosed, StoreClosed, StoreClosed]


def test_a_server_that_falls_silent_does_not_hold_up_closing(store: Store, proxy: PostgresProxy) -> None:
    store.workflows.load("w")  # the reader is connected
    proxy.blackhole()
    failures: list[Exception] = []

    def attempt(work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:
            failures.append(error)

    threads = [
        threading.Thread(target=attempt, args=(lambda: store.journal.write([checkpoint("w", 1)]),)),
        threading.Thread(target=attempt, args=(lambda: store.workflows.load("w"),)),
    ]
    for thread in threads:
        thread.start()
    eventually(lambda: not store.journal._pool.writer.lock._free)
    store.close()
    for thread in threads:
        thread.join()
    assert [isinstance(failure, StoreClosed) for failure in failures] == [True, True]


def test_connections_that_do_not_open_do_not_hold_up_closing(proxy: PostgresProxy) -> None:
    """A pooler whose server is away lets its clients wait for minutes, if it is so set."""
    with Store.open(StoreSettings(url=proxy.url, connect_args={"connect_timeout": 50})) as store:
        store.journal.write([start("w")])
        works: list[Callable[[], object]] = [
            lambda: store.journal.write([checkpoint("w", 1)]),
            lambda: store.workflows.load("w"),
            lambda: store.hints.receive(50, 50),
        ]
        proxy.blackhole()
        proxy.cut_now()

        def attempt(work: Callable[[], object]) -> None:
            with contextlib.suppress(StoreClosed):
                work()

        threads = [threading.Thread(target=attempt, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        eventually(lambda: [each.name for each in threading.enumerate()].count("dbos-opening") == len(works))
        store.close()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        assert not any(thread.is_alive() for thread in threads)

        def nobody_opens() -> bool:
            proxy.cut_now()  # what is still waiting, or has only now begun to
            return "dbos-opening" not in [each.name for each in threading.enumerate()]

        eventually(nobody_opens)
        with pytest.raises(StoreClosed):
            store._pool.database.connect(Role.READER)


def test_a_lost_connection_is_replaced_where_there_are_no_more_threads(
    proxy: PostgresProxy, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_thread, refused = threading.Thread.start, []

    def start_if_possible(thread: threading.Thread) -> None:
        if thread.name == "dbos-opening":
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        start_thread(thread)

    monkeypatch.setattr(threading.Thread, "start", start_if_possible)
    proxy.cut_now()
    assert store.journal.write([checkpoint("w", 1)]) == [()]
    assert refused


def test_a_connection_that_is_refused_is_closed(
    store: Store, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = psycopg.connect(postgres_url, client_encoding="LATIN1")
    database = store._pool.database
    monkeypatch.setattr(database, "open", lambda role: (connection, True))
    with pytest.raises(DBOSException, match="UTF-8"):
        database.connect(Role.READER)
    assert connection.closed


@pytest.mark.own_session("there none are prepared")
def test_a_pooler_that_loses_prepared_statements(store: Store) -> None:
    store.journal.write([checkpoint("w", 0)])
    with store._pool.writer.lock:
        session = store._pool.writer.borrow()
        session._connection.execute("deallocate all")
    assert store.journal.write([checkpoint("w", 1)]) == [()]
    assert store.journal.write([checkpoint("w", 2), checkpoint("x", 2), finish("y")]) == [(), (), ()]
    assert not store._pool.database._prepares
