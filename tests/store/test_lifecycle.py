"""Opening, closing, dropping: what must be there, what must be refused, and that nothing is left behind."""

from __future__ import annotations

import gc
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest
import sqlalchemy

from dbos.error import DBOSInitializationError
from dbos.model.queue import QueueSpec
from dbos.store.database import JournalClosed, StoreClosed, StoreSettings
from dbos.store.hints import ANYTHING
from dbos.store.store import Store
from tests.store.conftest import OpenStore
from tests.store.records import RUNNABLE, checkpoint, finish, owner, start
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually


def use_everything(store: Store) -> None:
    """Every kind of session comes into being."""
    store.executors.register(owner(), "host", 1, "then", lease_seconds=30)
    assert store.journal.write([start("w")]) == [(None, 1)]
    assert store.journal.write([checkpoint("w", 1), finish("w")]) == [(), ()]
    assert store.workflows.load("w") is not None
    assert store.workflows.resume(["w"]) == []
    store.hints.publish("workflow", ["w"])
    store.hints.receive(0.01, 0.001)
    assert abs(store.now_ms() - time.time() * 1000) < 60_000


def connections(direct_url: str) -> int:
    """Those of the library: one that looked before may not have left the server's list yet."""
    with psycopg.connect(direct_url, autocommit=True) as connection:
        row = connection.execute(
            "select count(*) from pg_stat_activity"
            " where datname = current_database() and application_name = 'dbos_transact'"
        ).fetchone()
        assert row is not None
        return int(row[0])


@pytest.mark.owner("truncates")
def test_nothing_is_left_behind(database_url: str, direct_url: str) -> None:
    for _ in range(2):  # the first round imports and caches
        gc.collect()
        threads, files = set(threading.enumerate()), set(os.listdir("/proc/self/fd"))
        for _ in range(5):
            store = Store.open(StoreSettings(url=database_url))
            use_everything(store)
            store.close()
            store.close()
            Store.truncate(StoreSettings(url=database_url))
        gc.collect()
    assert set(threading.enumerate()) <= threads  # one of an earlier test may have ended meanwhile
    assert set(os.listdir("/proc/self/fd")) <= files
    if database_url.startswith("postgres"):
        eventually(lambda: connections(direct_url) == 0)  # a pooler keeps them for some seconds
    else:
        path = Path(database_url.removeprefix("sqlite:///"))
        assert [file.name for file in path.parent.iterdir()] == [path.name]  # the last to leave folded the log away


def test_a_closed_store_refuses_everything(store: Store) -> None:
    store.close()
    with pytest.raises(StoreClosed):
        store.workflows.load("w")
    with pytest.raises(StoreClosed):
        store.claims.claim(QueueSpec("q"), owner(), RUNNABLE, 1)
    with pytest.raises(JournalClosed):
        store.journal.write([start("w")])
    store.hints.publish("workflow", ["w"])
    assert store.hints.receive(0, 0.001) == []


def test_what_was_written_is_there_when_opened_again(open_store: OpenStore) -> None:
    with open_store() as first:
        first.journal.write([start("w")])
    assert open_store().workflows.standing("w") == ("PENDING", 1)


@pytest.mark.owner("counts connections, and there somebody else has just migrated")
@pytest.mark.parametrize("size", [1, 2, 3, 20])
def test_every_size_of_pool_works_and_is_kept(
    open_store: OpenStore, direct_url: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(pool_size=size)
    monkeypatch.setattr(type(store._pool.database), "opening_seconds", 0.0)  # whoever would wait opens another
    use_everything(store)
    store.journal.write([start(f"w{n}") for n in range(30)])

    def look(n: int) -> None:
        for step in range(5):
            assert store.workflows.standing(f"w{n}") == ("PENDING", 1)
            assert store.journal.write([checkpoint(f"w{n}", step)]) == [()]

    if store.dialect == "postgres":
        eventually(lambda: connections(direct_url) <= size)  # the one that migrated has left the server's list
    threads = [threading.Thread(target=look, args=(n,)) for n in range(30)]
    for thread in threads:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in threads):
        if store.dialect == "postgres":
            most = max(most, connections(direct_url))
        else:
            threads[-1].join(0.01)
    for thread in threads:
        thread.join()
    assert most <= min(size, 6)


def test_a_read_does_not_wait_for_the_journal(store: Store) -> None:
    store.journal.write([start("w")])
    with store._pool.writer.lock:
        assert store.workflows.standing("w") == ("PENDING", 1)


# ------------------------------------------------------------ drop and truncate


@pytest.mark.owner("truncates")
def test_truncating_keeps_the_schema(store: Store, database_url: str) -> None:
    use_everything(store)
    Store.truncate(StoreSettings(url=database_url))
    for table in ("workflow_status", "operation_outputs", "executors"):
        assert run_sql(database_url, f"select count(*) from {table}") == [(0,)]
    assert store.journal.write([start("w")]) == [(None, 1)]  # even under a store that is open


@pytest.mark.owner("drops the database")
def test_dropping(open_store: OpenStore, database_url: str) -> None:
    settings = StoreSettings(url=database_url)
    with open_store() as store:
        store.journal.write([start("w")])
    Store.drop(settings)
    Store.drop(settings)
    Store.truncate(settings)  # nothing there is fine
    if database_url.startswith("sqlite"):
        assert list(Path(database_url.removeprefix("sqlite:///")).parent.iterdir()) == []
    assert open_store().workflows.load("w") is None  # created anew


# ------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    "url", ["mysql://host/db", "sqlite://", "sqlite:///:memory:", "sqlite:////no/such/dir/x.sqlite"]
)
def test_unusable_addresses(url: str) -> None:
    with pytest.raises(DBOSInitializationError):
        Store.open(StoreSettings(url=url))


def test_an_unreachable_server_is_named_without_its_password() -> None:
    url = "postgresql://user:hunter2@127.0.0.1:1/db"
    with pytest.raises(DBOSInitializationError) as caught:
        Store.open(StoreSettings(url=url, connect_args={"connect_timeout": 2}))
    assert "user@127.0.0.1:1/db" in str(caught.value)
    assert caught.value.__cause__ is not None
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__!r}"


def test_a_malformed_address_is_not_repeated() -> None:
    with pytest.raises(DBOSInitializationError) as caught:
        Store.open(StoreSettings(url="postgresql://user:hunter%2@127.0.0.1/db"))
    assert "hunter" not in f"{caught.value} {caught.value.__cause__!r}"


def test_a_file_that_is_no_database_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"important notes, no database\n" * 50)
    before = path.read_bytes()
    with pytest.raises(DBOSInitializationError, match="not a database"):
        Store.open(StoreSettings(url=f"sqlite:///{path}"))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.owner("there the tables exist")
def test_verifying_only(open_store: OpenStore, database_url: str) -> None:
    with pytest.raises(DBOSInitializationError, match="run_migrations"):
        open_store(run_migrations=False)
    if database_url.startswith("sqlite"):
        assert not Path(database_url.removeprefix("sqlite:///")).exists()
    open_store().close()
    assert open_store(run_migrations=False).workflows.load("w") is None


@pytest.mark.owner("creates databases")
def test_a_missing_postgres_database_is_created_or_missed(postgres_url: str) -> None:
    url = postgres_url + quote("_more \"quoted'")
    try:
        with pytest.raises(DBOSInitializationError):
            Store.open(StoreSettings(url=url, run_migrations=False))
        with Store.open(StoreSettings(url=url)) as store:
            use_everything(store)
    finally:
        Store.drop(StoreSettings(url=url))
    with pytest.raises(DBOSInitializationError):
        Store.open(StoreSettings(url=url, run_migrations=False))


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_postgres(postgres_url: str, scheme: str) -> None:
    with Store.open(StoreSettings(url=f"{scheme}://{postgres_url.partition('://')[2]}")) as store:
        assert store.dialect == "postgres"


@pytest.mark.parametrize("schema", ["dbos", "Mixed Case", 'qu"ote', "ünï"])
def test_every_schema_and_several_side_by_side(postgres_url: str, schema: str) -> None:
    with Store.open(StoreSettings(url=postgres_url, schema=schema)) as store:
        use_everything(store)
        with Store.open(StoreSettings(url=postgres_url, schema="beside")) as beside:
            assert beside.workflows.load("w") is None
            use_everything(beside)
        Store.truncate(StoreSettings(url=postgres_url, schema="beside"))
        assert store.workflows.load("w") is not None


def shown(postgres_url: str, name: str, **settings: object) -> str:
    with Store.open(StoreSettings(url=postgres_url, **settings)) as store:
        return str(store._pool.read_within(10, f"select current_setting('{name}')")[0][0])


def test_the_name_of_our_connections(postgres_url: str) -> None:
    assert shown(postgres_url, "application_name") == "dbos_transact"
    assert shown(postgres_url, "application_name", connect_args={"application_name": "mine"}) == "mine"


@pytest.mark.own_session("settings of a session")
def test_idle_transactions_are_ended(postgres_url: str) -> None:
    shown_timeout = partial(shown, postgres_url, "idle_in_transaction_session_timeout")
    assert shown_timeout() == "1min"
    assert shown_timeout(idle_transaction_timeout_seconds=0) == "0"
    assert shown_timeout(idle_transaction_timeout_seconds=2.5) == "2500ms"


@pytest.mark.owner("creates roles")
def test_a_role_that_may_only_run_workflows(postgres_url: str) -> None:
    parts = urlsplit(postgres_url)
    role = "worker_of_" + parts.path.strip("/")
    worker_url = parts._replace(netloc=f"{role}:pass@{parts.hostname}:{parts.port}").geturl()
    run_sql(postgres_url, f"create role {role} login password 'pass'")
    try:
        Store.migrate(StoreSettings(url=postgres_url), application_role=role)
        with Store.open(StoreSettings(url=worker_url)) as store:
            use_everything(store)
        for forbidden in ("drop table workflow_status", "delete from dbos_migrations"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                run_sql(worker_url, forbidden)
        with pytest.raises(DBOSInitializationError, match="permission denied"):
            Store.open(StoreSettings(url=worker_url, schema="another"))
        with pytest.raises(DBOSInitializationError, match="nobody"):
            Store.migrate(StoreSettings(url=postgres_url), application_role="nobody")
    finally:
        run_sql(postgres_url, f"drop owned by {role}")
        run_sql(postgres_url, f"drop role {role}")


def test_arguments_of_the_driver_that_are_not_to_choose_are_ignored(database_url: str, open_store: OpenStore) -> None:
    chosen: dict[str, object] = {"autocommit": False}
    if database_url.startswith("postgresql"):
        chosen |= {"conninfo": "host=elsewhere", "row_factory": None, "cursor_factory": None}
    else:
        chosen |= {"database": "elsewhere", "isolation_level": "EXCLUSIVE", "check_same_thread": True}
    use_everything(open_store(connect_args=chosen))


# ------------------------------------------------------------ a supplied engine


@pytest.fixture
def engine(database_url: str) -> Iterator[sqlalchemy.Engine]:
    engine = sqlalchemy.create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    yield engine
    engine.dispose()


def test_a_supplied_engine_lends_its_connections_and_lives_on(engine: sqlalchemy.Engine, open_store: OpenStore) -> None:
    connected: list[object] = []
    sqlalchemy.event.listen(engine, "connect", lambda connection, record: connected.append(connection))
    with open_store(url="", engine=engine) as store:
        use_everything(store)
        assert len(connected) >= 3
        eventually(lambda: engine.pool.checkedout() == 0)
    with engine.connect() as connection:
        table = "dbos.workflow_status" if store.dialect == "postgres" else "workflow_status"
        assert connection.execute(sqlalchemy.text(f"select count(*) from {table}")).scalar() == 1


def test_an_engine_of_another_driver_is_refused(tmp_path: Path) -> None:
    class Stranger:
        driver_connection = object()

        def detach(self) -> None:
            pass

    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'x.sqlite'}")
    engine.raw_connection = Stranger
    with pytest.raises(DBOSInitializationError, match="sqlite3"):
        Store.open(StoreSettings(url="", engine=engine))
    engine.dispose()


def test_an_engine_whose_hooks_fail_is_waited_for(database_url: str, open_store: OpenStore) -> None:
    """Such as one that fetches a password that changes by the hour."""
    engine = sqlalchemy.create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    with open_store(url="", engine=engine) as store:
        failures = [OSError("no password today"), KeyError("password")]

        @sqlalchemy.event.listens_for(engine, "do_connect")
        def fetch_password(*_: object) -> None:
            if failures:
                raise failures.pop()

        assert store.now_ms() > 0
        assert failures == []
    engine.dispose()


def test_an_engine_whose_pool_is_exhausted_is_waited_for(database_url: str, open_store: OpenStore) -> None:
    url = database_url.replace("postgresql://", "postgresql+psycopg://")
    engine = sqlalchemy.create_engine(url, pool_size=1, max_overflow=0, pool_timeout=0.01)
    with open_store(url="", engine=engine) as store:
        store.journal.write([start("w")])
        held = engine.connect()
        answers: list[object] = []
        thread = threading.Thread(target=lambda: answers.append(store.workflows.standing("w")))
        thread.start()
        thread.join(0.1)
        assert answers == []
        held.close()
        thread.join(20)
    assert answers == [("PENDING", 1)]
    engine.dispose()


# ------------------------------------------------------------ fork


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # that is the point
def test_a_forked_child_may_not_use_the_store(store: Store) -> None:
    use_everything(store)
    before = store.workflows.load("w")
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            errors = []
            for work in (
                lambda: store.journal.write([start("child")]),
                lambda: store.workflows.load("w"),
                lambda: store.workflows.cancel(["w"]),
            ):
                try:
                    work()
                except StoreClosed as error:
                    errors.append("forked" in str(error))
            assert store.hints.receive(0, 0.001) in ([], [ANYTHING])
            store.close()
            gc.collect()
            os.write(writer, repr(errors).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        assert answer.read() == "[True, True, True]"
    assert store.workflows.load("w") == before  # the parent goes on as if nothing had happened
    assert store.journal.write([start("x")]) == [(None, 1)]


def test_sqlite_shares_its_file_with_the_application(sqlite_url: str) -> None:
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as application:
        application.execute("create table orders (id integer)")
        application.execute("insert into orders values (1)")
        application.commit()
        with Store.open(StoreSettings(url=sqlite_url)) as store:
            use_everything(store)
            assert application.execute("select count(*) from orders").fetchone() == (1,)
            assert application.execute("select count(*) from workflow_status").fetchone() == (1,)
