"""Datasources: transactions on databases of the user's own, with and without a launched application."""

import asyncio
import gc
import sqlite3
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, InvalidRequestError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker

from dbos import (
    DBOS,
    AsyncSQLAlchemyDatasource,
    DatasourceOptions,
    DBOSContextSetAuth,
    Serializer,
    SetWorkflowID,
    SQLAlchemyDatasource,
    error,
)
from dbos.api.launched import current_engine
from dbos.services.forgetting import Forgetting
from dbos.userdata import engines
from dbos.userdata.database import UserDatabase
from tests.acceptance.user_database import INSERT, create_table, notes, witnesses
from tests.support.fixture_types import Launch, Replay
from tests.support.raw_sql import run_sql

TABLE = "datasource_outputs"


@pytest.fixture
def user_url(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[str]:
    """A database of the user's, of the dialect of the system database."""
    sqlite = database_url.startswith("sqlite")
    url = f"sqlite:///{tmp_path / 'user.sqlite'}" if sqlite else request.getfixturevalue("postgres_url")
    create_table(url)
    yield url
    DBOS.destroy()


class Both:
    """A datasource of either colour, driven alike."""

    def __init__(self, url: str, awaited: bool, **options: Any) -> None:
        self.awaited = awaited
        self.datasource: Any = None
        if awaited:
            self.datasource = asyncio.run(AsyncSQLAlchemyDatasource.create(url, **options))
        else:
            self.datasource = SQLAlchemyDatasource.create(url, **options)

    def close(self) -> None:
        self.run(self.datasource.close)

    def run(self, call: Callable[..., Any], *args: Any) -> Any:
        """Call, or await on a loop of its own."""
        if not self.awaited:
            return call(*args)

        async def main() -> Any:
            return await call(*args)

        return asyncio.run(main())

    def body(self, work: Callable[[Callable[[str], Any]], Any]) -> Callable[..., Any]:
        """The function of a transaction: `work` is given a function that writes a note."""
        datasource = self.datasource
        if not self.awaited:

            def plain(*args: Any) -> Any:
                return work(lambda note: datasource.sql_session().execute(INSERT, {"note": note}), *args)

            return plain

        async def coroutine(*args: Any) -> Any:
            pending: list[str] = []
            try:
                result = work(pending.append, *args)
            finally:
                for note in pending:
                    await datasource.sql_session().execute(INSERT, {"note": note})
            return result

        return coroutine

    def step(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A workflow body's call of a transaction, as a workflow of one step after another."""
        if not self.awaited:

            @DBOS.workflow()
            def plain(times: int = 1) -> Any:
                return [function() for _ in range(times)]

            return plain

        @DBOS.workflow()
        async def coroutine(times: int = 1) -> Any:
            return [await function() for _ in range(times)]

        return coroutine

    def run_tx_step(self, options: DatasourceOptions | None, function: Callable[..., Any], *args: Any) -> Any:
        name = "run_tx_step_async" if self.awaited else "run_tx_step"
        return getattr(self.datasource, name)(options, function, *args)


@pytest.fixture(params=["plain", "async"])
def both(request: pytest.FixtureRequest, user_url: str) -> Iterator[Both]:
    """A datasource of either colour on the user's database. What it leaves open is an error, found by collecting it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what other tests left is not this one's
        gc.collect()
    datasource = Both(user_url, request.param == "async")
    yield datasource
    DBOS.destroy()
    datasource.close()
    gc.collect()


# ---------------------------------------------------------------- inside and outside of workflows


def test_outside_a_workflow_it_is_a_plain_transaction(both: Both, user_url: str) -> None:
    def work(write: Callable[[str], None]) -> Any:
        write("noted")
        return DBOS.step_id, DBOS.workflow_id

    function = both.datasource.transaction(both.body(work))
    assert both.run(function) == (None, None)
    assert notes(user_url) == ["noted"]
    assert witnesses(user_url, TABLE) == []


def test_outside_a_workflow_a_failure_takes_everything_back(both: Both, user_url: str) -> None:
    def work(write: Callable[[str], None]) -> None:
        write("lost")
        raise KeyError("lost")

    function = both.datasource.transaction(isolation_level="READ COMMITTED")(both.body(work))
    with pytest.raises(KeyError):
        both.run(function)
    assert notes(user_url) == []


def test_a_failure_is_tried_again_when_its_workflow_is_resumed(launch: Launch, both: Both, user_url: str) -> None:
    broken = [True]

    def work(write: Callable[[str], None]) -> None:
        write("written")
        if broken:
            raise ValueError("not today")

    workflow = both.step(both.datasource.transaction(both.body(work)))
    launch()
    with SetWorkflowID("w"), pytest.raises(ValueError):
        both.run(workflow)
    broken.clear()
    DBOS.resume_workflow("w").get_result()
    assert notes(user_url) == ["written"]
    assert [row[2] for row in witnesses(user_url, TABLE)] == [False]


def test_inside_a_workflow_it_is_a_step_with_a_witness(launch: Launch, both: Both, user_url: str) -> None:
    def work(write: Callable[[str], None]) -> Any:
        write("noted")
        return DBOS.step_id, DBOS.workflow_id

    function = both.datasource.transaction(name="note")(both.body(work))
    workflow = both.step(function)
    launch()
    with SetWorkflowID("w"):
        assert both.run(workflow, 2) == [(1, "w"), (2, "w")]
    assert notes(user_url) == ["noted"] * 2
    assert witnesses(user_url, TABLE) == [("w", 1, False), ("w", 2, False)]
    assert [step["function_name"] for step in DBOS.list_workflow_steps("w")] == ["note"] * 2
    assert DBOS.list_workflow_steps("w")[0]["output"] == (1, "w")


def test_any_function_can_be_run_as_a_transaction(launch: Launch, both: Both, user_url: str) -> None:
    def work(write: Callable[[str], None], word: str) -> str:
        write(word)
        return word.upper()

    function = both.body(work)
    workflow = both.step(lambda: both.run_tx_step({"name": "upper"}, function, "word"))
    launch()
    assert both.run(both.run_tx_step, None, function, "outside") == "OUTSIDE"
    with SetWorkflowID("w"):
        assert both.run(workflow) == ["WORD"]
    assert [step["function_name"] for step in DBOS.list_workflow_steps("w")] == ["upper"]
    assert notes(user_url) == ["outside", "word"]


@pytest.mark.parametrize("fails", [False, True])
def test_a_crash_between_the_two_commits_is_repaired_on_replay(
    launch: Launch, both: Both, user_url: str, database_url: str, replay: Replay, fails: bool
) -> None:
    calls = []

    def work(write: Callable[[str], None]) -> str:
        calls.append(1)
        write("once")
        if fails:
            raise LookupError("always")
        return "done"

    workflow = both.step(both.datasource.transaction(both.body(work)))
    launch()
    with SetWorkflowID("w"):
        try:
            both.run(workflow)
        except LookupError:
            assert fails
    run_sql(database_url, "delete from operation_outputs")
    handle = replay("w")
    if fails:
        with pytest.raises(LookupError, match="always"):
            handle.get_result()
    else:
        assert handle.get_result() == ["done"]
    assert calls == [1]
    assert notes(user_url) == ([] if fails else ["once"])
    assert witnesses(user_url, TABLE) == [("w", 1, fails)]
    assert len(DBOS.list_workflow_steps("w")) == 1


def test_the_witness_of_another_function_is_not_replayed(
    launch: Launch, both: Both, user_url: str, database_url: str, replay: Replay
) -> None:
    named = "debit"

    def work(write: Callable[[str], None]) -> str:
        write(named)
        return "done"

    body = both.body(work)
    functions = {name: both.datasource.transaction(name=name)(body) for name in ("debit", "credit")}

    def either() -> Any:
        return functions[named]()

    workflow = both.step(either)
    launch()
    with SetWorkflowID("w"):
        both.run(workflow)
    run_sql(database_url, "delete from operation_outputs")
    named = "credit"
    with pytest.raises(error.DBOSUnexpectedStepError, match="debit"):
        replay("w").get_result()
    assert notes(user_url) == ["debit"]


def test_inside_a_step_it_is_a_plain_transaction_of_its_own(launch: Launch, both: Both, user_url: str) -> None:
    def work(write: Callable[[str], None]) -> Any:
        write("noted")
        return DBOS.step_id

    function = both.datasource.transaction(both.body(work))
    if both.awaited:

        @DBOS.step()
        async def coroutine_step() -> Any:
            return await function()

        step: Callable[..., Any] = coroutine_step
    else:

        @DBOS.step()
        def plain_step() -> Any:
            return function()

        step = plain_step
    workflow = both.step(step)
    launch()
    with SetWorkflowID("w"):
        assert both.run(workflow) == [1]
    assert notes(user_url) == ["noted"]
    assert witnesses(user_url, TABLE) == []
    assert len(DBOS.list_workflow_steps("w")) == 1


def around(both: Both, inner: Callable[[], Any]) -> Callable[[], Any]:
    """A transaction that writes a note, and runs another one."""
    datasource = both.datasource
    if not both.awaited:

        def plain() -> Any:
            datasource.sql_session().execute(INSERT, {"note": "outer"})
            return inner()

        return datasource.transaction(plain)  # type: ignore[no-any-return]

    async def coroutine() -> Any:
        await datasource.sql_session().execute(INSERT, {"note": "outer"})
        return await inner()

    return datasource.transaction(coroutine)  # type: ignore[no-any-return]


@pytest.mark.parametrize("inside", [True, False], ids=["in a workflow", "on its own"])
def test_one_inside_another_reads_what_was_there_before(
    launch: Launch, both: Both, user_url: str, inside: bool
) -> None:
    datasource, query = both.datasource, text("select count(*) from ledger")
    if both.awaited:

        async def count_async() -> Any:
            return (await datasource.sql_session().execute(query)).scalar()

        inner = datasource.transaction(count_async)
    else:

        def count() -> Any:
            return datasource.sql_session().execute(query).scalar()

        inner = datasource.transaction(count)
    outer = around(both, inner)
    workflow = both.step(outer)
    launch()
    assert both.run(workflow if inside else outer) == ([0] if inside else 0)
    assert notes(user_url) == ["outer"]


@pytest.mark.parametrize("inside", [True, False], ids=["in a workflow", "on its own"])
def test_one_that_waits_for_what_the_one_around_it_holds_gives_up(
    launch: Launch, both: Both, user_url: str, inside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not user_url.startswith("sqlite"):
        return  # there only the same rows clash, and a server has its own limits for that
    monkeypatch.setattr("dbos.runtime.patience.NESTED_SECONDS", 0.1)
    outer = around(both, both.datasource.transaction(both.body(lambda write: write("inner"))))
    workflow = both.step(outer)
    launch()
    with pytest.raises(error.DBOSException, match=r"waited 0\.1 s inside another one"):
        both.run(workflow if inside else outer)
    assert notes(user_url) == []


def test_five_at_once_lose_nothing(both: Both, user_url: str) -> None:
    datasource = both.datasource

    async def increment_async() -> int:
        session = datasource.sql_session()
        n: int = (await session.execute(text("select n from counter where id = 1"))).scalar_one()
        await asyncio.sleep(0)
        await session.execute(text("update counter set n = :n where id = 1"), {"n": n + 1})
        return n + 1

    def increment() -> int:
        session = datasource.sql_session()
        n: int = session.execute(text("select n from counter where id = 1")).scalar_one()
        session.execute(text("update counter set n = :n where id = 1"), {"n": n + 1})
        return n + 1

    async def all_async() -> list[int]:
        function = datasource.transaction(increment_async)
        return list(await asyncio.gather(*(function() for _ in range(5))))

    async def all_plain() -> list[int]:
        function = datasource.transaction(increment)
        return list(await asyncio.gather(*(asyncio.to_thread(function) for _ in range(5))))

    assert sorted(asyncio.run(all_async() if both.awaited else all_plain())) == [1, 2, 3, 4, 5]
    assert run_sql(user_url, "select n from counter") == [(5,)]


def test_other_errors_are_answers(launch: Launch, both: Both, user_url: str) -> None:
    def work(write: Callable[[str], Any]) -> None:
        write(None)  # type: ignore[arg-type]

    workflow = both.step(both.datasource.transaction(both.body(work)))
    launch()
    with SetWorkflowID("w"), pytest.raises(IntegrityError):
        both.run(workflow)
    assert witnesses(user_url, TABLE) == [("w", 1, True)]


def test_the_function_does_not_end_its_transaction(both: Both, user_url: str) -> None:
    datasource = both.datasource

    async def commit_async() -> None:
        await datasource.sql_session().execute(INSERT, {"note": "lost"})
        await datasource.sql_session().commit()

    def commit() -> None:
        datasource.sql_session().execute(INSERT, {"note": "lost"})
        datasource.sql_session().commit()

    with pytest.raises(InvalidRequestError, match="closed transaction inside context manager"):
        both.run(datasource.transaction(commit_async if both.awaited else commit))
    assert notes(user_url) == []


# ---------------------------------------------------------------- creating


def test_an_engine_and_a_sessionmaker_of_the_users_are_used(user_url: str) -> None:
    engine = sqlalchemy.create_engine(user_url.replace("postgresql://", "postgresql+psycopg://"))
    sessions = sessionmaker(engine, info={"whose": "the user's"})
    datasource = SQLAlchemyDatasource.create(None, engine=engine, sessionmaker=sessions)

    @datasource.transaction
    def work(end: bool) -> Any:
        session = datasource.sql_session()
        session.execute(INSERT, {"note": "noted"})
        if end:
            session.commit()
        return session.info["whose"], session.get_bind() is engine

    assert work(False) == ("the user's", True)
    with pytest.raises(InvalidRequestError):
        work(True)
    datasource.close()
    with engine.connect() as connection:
        assert connection.execute(text("select count(*) from ledger")).scalar() == 1
    engine.dispose()


def test_an_async_engine_and_a_sessionmaker_of_the_users_are_used(user_url: str) -> None:
    scheme = {"postgresql": "postgresql+psycopg", "sqlite": "sqlite+aiosqlite"}[user_url.partition("://")[0]]
    engine = create_async_engine(f"{scheme}://{user_url.partition('://')[2]}", poolclass=sqlalchemy.NullPool)
    sessions = async_sessionmaker(engine, info={"whose": "the user's"})

    async def main() -> None:
        datasource = await AsyncSQLAlchemyDatasource.create(None, engine=engine, sessionmaker=sessions)

        @datasource.transaction
        async def work() -> Any:
            await datasource.sql_session().execute(INSERT, {"note": "noted"})
            return datasource.sql_session().info["whose"]

        assert await work() == "the user's"
        await engine.dispose()

    asyncio.run(main())
    assert notes(user_url) == ["noted"]


def test_the_serializer_is_that_of_the_witnesses(launch: Launch, user_url: str) -> None:
    class Shouting(Serializer):
        def serialize(self, data: Any) -> str:
            return str(data).upper()

        def deserialize(self, serialized_data: str) -> Any:
            return serialized_data

        def name(self) -> str:
            return "shouting"

    datasource = SQLAlchemyDatasource.create(user_url, serializer=Shouting())
    workflow = DBOS.workflow()(lambda: datasource.run_tx_step({"name": "say"}, lambda: "hello"))
    launch()
    assert workflow() == "hello"
    assert run_sql(user_url, f"select output, serialization from {TABLE}") == [("HELLO", "shouting")]
    datasource.close()


@pytest.mark.owner("migrates")
def test_migrations_are_run_or_verified(both: Both, user_url: str) -> None:
    datasource = both.datasource
    both.run(datasource.verify_migrations)
    run_sql(user_url, f"drop table {TABLE}")
    with pytest.raises(error.DBOSInitializationError, match="migrations are off"):
        both.run(datasource.verify_migrations)
    with pytest.raises(error.DBOSInitializationError, match="migrations are off"):
        Both(user_url, both.awaited, run_migrations=False)
    both.run(datasource.run_migrations)
    both.run(datasource.run_migrations)
    both.run(datasource.verify_migrations)
    run_sql(user_url, f"drop table {TABLE}")
    both.run(lambda: type(datasource).migrate(user_url))
    Both(user_url, both.awaited, run_migrations=False).close()


def test_a_role_is_granted_what_transactions_take(postgres_url: str) -> None:
    role = f"role_{postgres_url[-8:]}"
    run_sql(postgres_url, f"create role {role}")
    SQLAlchemyDatasource.migrate(postgres_url, schema="elsewhere", application_role=role)
    granted = run_sql(
        postgres_url,
        "select privilege_type from information_schema.role_table_grants"
        " where grantee = ? and table_schema = 'elsewhere' and table_name = 'datasource_outputs' order by 1",
        role,
    )
    assert [kind for (kind,) in granted] == ["DELETE", "INSERT", "SELECT", "UPDATE"]
    run_sql(postgres_url, f"drop owned by {role}")
    run_sql(postgres_url, f"drop role {role}")


@pytest.mark.parametrize("verb", ["begin immediate", "begin"], ids=["writes", "reads"])
@pytest.mark.parametrize("awaited", [False, True], ids=["plain", "async"])
def test_a_file_that_others_use_is_waited_for_when_a_datasource_is_created(
    tmp_path: Path, awaited: bool, verb: str
) -> None:
    """As when two processes start at the same time."""
    url = f"sqlite:///{tmp_path / 'user.sqlite'}"
    create_table(url)
    tried = threading.Event()
    with closing(sqlite3.connect(tmp_path / "user.sqlite", isolation_level=None)) as other:
        other.execute(verb)
        other.execute("select * from counter").fetchall()

        def create() -> None:
            Both(url, awaited).close()

        with ThreadPoolExecutor() as pool, pytest.MonkeyPatch.context() as patch:

            def is_busy(error: Exception, since: float) -> bool:
                tried.set()
                return engines.is_busy(error, since)  # type: ignore[arg-type]

            for module in ("database", "asynchronous"):
                patch.setattr(f"dbos.userdata.{module}.is_busy", is_busy)
            creating = pool.submit(create)
            assert tried.wait(20)
            other.execute("rollback")
            creating.result()
    assert run_sql(url, f"select count(*) from {TABLE}") == [(0,)]


def test_a_file_that_is_kept_from_everybody_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbos.userdata.engines.BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(tmp_path / "user.sqlite", isolation_level=None)) as other:
        other.execute("begin immediate")
        with pytest.raises(error.DBOSInitializationError, match="database is locked"):
            SQLAlchemyDatasource.create(f"sqlite:///{tmp_path / 'user.sqlite'}")


# ---------------------------------------------------------------- misuse


def test_a_protected_step_stays_so_as_a_transaction(launch: Launch, both: Both) -> None:
    def work(write: Callable[[str], None]) -> str:
        return "secret"

    protected = DBOS.required_roles(["user"])(DBOS.step()(both.body(work)))
    workflow = both.step(lambda: both.run_tx_step(None, protected))
    launch()
    with pytest.raises(error.DBOSNotAuthorizedError):
        both.run(both.run_tx_step, None, protected)
    with DBOSContextSetAuth("eve", ["guest"]), pytest.raises(error.DBOSNotAuthorizedError):
        both.run(workflow)
    with DBOSContextSetAuth("bob", ["user"]):
        assert both.run(workflow)[0] == "secret"


def test_functions_of_the_wrong_colour_are_refused(both: Both) -> None:
    async def coroutine() -> None: ...

    def plain() -> None: ...

    wrong = plain if both.awaited else coroutine
    with pytest.raises(error.DBOSException, match="function to be a transaction"):
        both.datasource.transaction(wrong)
    with pytest.raises(error.DBOSException, match="function to be a transaction"):
        both.run(both.run_tx_step, None, wrong)


def test_options_that_do_not_exist_are_refused(both: Both) -> None:
    function = both.body(lambda write: None)
    with pytest.raises(error.DBOSException, match="isolation level"):
        both.datasource.transaction(isolation_level="CHAOS")(function)
    with pytest.raises(error.DBOSException, match="Unknown datasource options"):
        both.run(both.run_tx_step, {"retries": 3}, function)


def test_the_session_is_only_there_inside(both: Both) -> None:
    with pytest.raises(AssertionError):
        both.datasource.sql_session()
    with pytest.raises(error.DBOSNoTransactionError):
        both.datasource.sql_session()


def test_each_datasource_has_its_own_session(user_url: str) -> None:
    outer, inner = SQLAlchemyDatasource.create(user_url), SQLAlchemyDatasource.create(user_url)

    @inner.transaction
    def inside() -> bool:
        return inner.sql_session() is not outer.sql_session()

    @outer.transaction
    def outside() -> bool:
        with pytest.raises(error.DBOSNoTransactionError):
            inner.sql_session()
        with pytest.raises(error.DBOSNoTransactionError):
            _ = DBOS.sql_session
        return True

    @outer.transaction
    def around() -> bool:
        if user_url.startswith("sqlite"):
            return True  # the inner one would wait for the lock that the outer one holds
        return inside()

    assert outside()
    assert around()
    outer.close()
    inner.close()


def test_a_database_that_cannot_be_used_is_said_when_it_is_created(tmp_path: Path) -> None:
    for url in ("mysql://h/d", "sqlite://", "nonsense", f"sqlite:///{tmp_path}/missing/x.sqlite"):
        with pytest.raises(error.DBOSInitializationError, match="cannot be used"):
            SQLAlchemyDatasource.create(url)
        with pytest.raises(error.DBOSInitializationError, match="cannot be used"):
            asyncio.run(AsyncSQLAlchemyDatasource.create(url))
    with pytest.raises(error.DBOSException, match="needs a database_url"):
        SQLAlchemyDatasource.create(None)


# ---------------------------------------------------------------- cancellation


def test_what_was_committed_is_recorded_before_a_cancellation_strikes(
    launch: Launch, user_url: str, database_url: str, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that is cancelled while it commits: the workflow sees what a replay will see."""
    datasource = asyncio.run(AsyncSQLAlchemyDatasource.create(user_url))
    running: list[asyncio.Task[Any]] = []
    commit = UserDatabase.commit

    def commit_while_cancelled(database: UserDatabase, session: Any) -> None:
        if running:
            running.pop().cancel()
        commit(database, session)

    @datasource.transaction
    async def note() -> str:
        await datasource.sql_session().execute(INSERT, {"note": "once"})
        return "noted"

    @DBOS.workflow()
    async def work() -> str:
        task = asyncio.ensure_future(note())
        running.append(task)
        try:
            return await task
        except asyncio.CancelledError:
            return "cancelled"

    launch()
    monkeypatch.setattr(UserDatabase, "commit", commit_while_cancelled)
    with SetWorkflowID("w"):
        live = asyncio.run(work())  # type: ignore[arg-type]
    assert running == []
    assert notes(user_url) == ["once"]
    assert len(DBOS.list_workflow_steps("w")) == 1
    assert replay("w").get_result() == live == "noted"


# ---------------------------------------------------------------- forgetting


def test_old_witnesses_go_once_nobody_can_ask_for_them(
    launch: Launch, both: Both, user_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not before: one that is young, or of a step that is not recorded, of a running or of an unknown workflow."""

    def work(write: Callable[[str], Any]) -> None:
        write("noted")

    workflow = both.step(both.datasource.transaction(both.body(work)))
    launch()
    for workflow_id in ("ended", "running", "unrecorded", "unknown"):
        with SetWorkflowID(workflow_id):
            both.run(workflow, 2)
    run_sql(
        database_url,
        "update workflow_status set status = 'PENDING', completed_at = null where workflow_uuid = 'running'",
    )
    run_sql(database_url, "delete from operation_outputs where workflow_uuid = 'unrecorded' and function_id = 2")
    run_sql(database_url, "delete from workflow_status where workflow_uuid = 'unknown'")
    before = witnesses(user_url, TABLE)
    assert len(before) == 8
    service = Forgetting(current_engine())
    assert service.poll() is not None
    assert witnesses(user_url, TABLE) == before
    monkeypatch.setattr("dbos.services.forgetting.KEPT_SECONDS", -3600.0)
    monkeypatch.setattr("dbos.services.forgetting.PAGE", 1)
    service.poll()
    gone = set(before) - set(witnesses(user_url, TABLE))
    assert gone == {("ended", 1, False), ("ended", 2, False), ("unrecorded", 1, False)}
    assert notes(user_url) == ["noted"] * 8
