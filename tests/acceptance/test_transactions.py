"""Transactions: a step and the user's data, committed together, once."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy.orm
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, InvalidRequestError

from dbos import DBOS, DBOSConfiguredInstance, SetWorkflowID, error
from dbos.runtime import patience
from tests.acceptance.user_database import create_table, notes, witnesses, write
from tests.support.fixture_types import Launch, Replay
from tests.support.raw_sql import count_rows, run_sql

LEVELS = ("SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED")


@pytest.fixture(params=["same", "other"])
def user_url(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[str]:
    """Where the user's data are: in the system database, or in another one of the same dialect."""
    if request.param == "same":
        create_table(database_url)
        yield database_url
        return
    yield from _other_database(request, database_url, tmp_path)


@pytest.fixture
def other_url(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[str]:
    """Another database of the same dialect than that of the system tables."""
    yield from _other_database(request, database_url, tmp_path)


def _other_database(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[str]:
    if database_url.startswith("sqlite"):
        url = f"sqlite:///{tmp_path / 'user.sqlite'}"
    else:
        url = request.getfixturevalue("postgres_url")
    create_table(url)
    yield url
    DBOS.destroy()  # lets go of the database before it is dropped


# ---------------------------------------------------------------- together


def test_a_transaction_is_a_step_that_commits_with_the_users_data(
    launch: Launch, database_url: str, user_url: str
) -> None:
    @DBOS.transaction()
    def note(word: str) -> dict[str, Any]:
        write(word)
        return {"word": word, "step": DBOS.step_id, "workflow": DBOS.workflow_id}

    @DBOS.step()
    def plain() -> int:
        return 1

    @DBOS.workflow()
    def work() -> list[Any]:
        return [plain(), note("first"), note("second")]

    launch(application_database_url=user_url)
    with SetWorkflowID("w"):
        assert work() == [
            1,
            {"word": "first", "step": 2, "workflow": "w"},
            {"word": "second", "step": 3, "workflow": "w"},
        ]
    assert notes(user_url) == ["first", "second"]
    assert witnesses(user_url) == [("w", 2, False), ("w", 3, False)]
    steps = DBOS.list_workflow_steps("w")
    name = "test_a_transaction_is_a_step_that_commits_with_the_users_data.<locals>.note"
    assert [(step["function_id"], step["function_name"]) for step in steps[1:]] == [(2, name), (3, name)]
    assert steps[1]["output"] == {"word": "first", "step": 2, "workflow": "w"}
    for step in steps:
        assert step["started_at_epoch_ms"] <= step["completed_at_epoch_ms"]


def test_what_a_failing_transaction_wrote_is_taken_back_and_its_error_recorded(
    launch: Launch, database_url: str, user_url: str
) -> None:
    calls = []

    @DBOS.transaction()
    def fail(word: str) -> None:
        calls.append(word)
        write(word)
        raise KeyError(word)

    @DBOS.workflow()
    def work() -> str:
        try:
            fail("lost")
        except KeyError as missing:
            return f"caught {missing.args[0]}"
        return "nothing raised"

    launch(application_database_url=user_url)
    with SetWorkflowID("w"):
        assert work() == "caught lost"
    assert notes(user_url) == []
    assert calls == ["lost"]
    assert witnesses(user_url) == [("w", 1, True)]
    (step,) = DBOS.list_workflow_steps("w")
    assert isinstance(step["error"], KeyError)
    assert step["error"].args == ("lost",)


@pytest.mark.parametrize("fails", [False, True])
def test_a_crash_between_the_two_commits_is_repaired_on_replay(
    launch: Launch, database_url: str, user_url: str, replay: Replay, fails: bool
) -> None:
    calls = []

    @DBOS.transaction()
    def note(word: str) -> tuple[str, int]:
        calls.append(word)
        write(word)
        if fails:
            raise LookupError(word)
        return word, len(calls)

    @DBOS.workflow()
    def work() -> Any:
        try:
            return note("once")
        except LookupError as missing:
            return missing.args

    launch(application_database_url=user_url)
    with SetWorkflowID("w"):
        first = work()
    run_sql(database_url, "delete from operation_outputs")  # as if the process had died before the step was recorded
    assert replay("w").get_result() == first
    assert calls == ["once"]
    assert notes(user_url) == ([] if fails else ["once"])
    assert len(DBOS.list_workflow_steps("w")) == 1  # repaired


def test_the_witness_of_another_function_is_not_replayed(
    launch: Launch, database_url: str, user_url: str, replay: Replay
) -> None:
    """Here the code changed while the step was committed and not recorded yet."""
    first = True

    @DBOS.transaction()
    def debit() -> str:
        write("debit")
        return "debited"

    @DBOS.transaction()
    def credit() -> str:
        write("credit")
        return "credited"

    @DBOS.workflow()
    def work() -> str:
        return debit() if first else credit()

    launch(application_database_url=user_url)
    with SetWorkflowID("w"):
        work()
    run_sql(database_url, "delete from operation_outputs")
    first = False
    with pytest.raises(error.DBOSUnexpectedStepError, match="debit"):
        replay("w").get_result()
    assert notes(user_url) == ["debit"]
    assert DBOS.list_workflow_steps("w") == []


def test_a_recorded_transaction_is_replayed_without_its_database(
    launch: Launch, database_url: str, other_url: str, replay: Replay
) -> None:
    @DBOS.transaction()
    def note() -> str:
        write("once")
        return "noted"

    @DBOS.workflow()
    def work() -> str:
        return note()

    launch(application_database_url=other_url)
    with SetWorkflowID("w"):
        work()
    run_sql(other_url, "drop table transaction_outputs")
    assert replay("w").get_result() == "noted"
    assert notes(other_url) == ["once"]


def test_a_reused_id_sees_no_witness_of_an_older_life(launch: Launch, database_url: str, user_url: str) -> None:
    @DBOS.transaction()
    def note() -> int:
        write("again")
        return len(notes_inside())

    def notes_inside() -> list[Any]:
        return list(DBOS.sql_session.execute(text("select note from ledger")))

    @DBOS.workflow()
    def child() -> int:
        return note()

    @DBOS.workflow()
    def parent() -> list[int]:
        return [note(), child()]

    launch(application_database_url=user_url)
    with SetWorkflowID("w"):
        assert parent() == [1, 2]
    for table in ("operation_outputs", "workflow_status"):
        run_sql(database_url, f"delete from {table}")
    with SetWorkflowID("w"):
        assert parent() == [3, 4]
    assert len(notes(user_url)) == 4
    assert witnesses(user_url) == [("w", 1, False), ("w-2", 1, False)]


def test_a_result_that_cannot_be_stored_takes_everything_back(launch: Launch, database_url: str, user_url: str) -> None:
    @DBOS.transaction()
    def note() -> Any:
        write("lost")
        return threading.Lock()

    @DBOS.workflow()
    def work() -> None:
        note()

    launch(application_database_url=user_url)
    with pytest.raises(error.DBOSSerializationError):
        work()
    assert notes(user_url) == []
    assert witnesses(user_url) == []


def test_an_object_of_the_session_can_be_returned(launch: Launch, database_url: str) -> None:
    create_table(database_url)

    @DBOS.transaction()
    def rows() -> list[Any]:
        write("first")
        return [tuple(row) for row in DBOS.sql_session.execute(text("select note from ledger"))]

    launch()
    assert rows() == [("first",)]


# ---------------------------------------------------------------- outside of workflows, and started


def test_outside_a_workflow_it_is_a_workflow_of_one_step(launch: Launch, database_url: str, user_url: str) -> None:
    @DBOS.transaction(name="note")
    def note(word: str) -> str:
        write(word)
        return word

    launch(application_database_url=user_url)
    for _ in range(2):
        with SetWorkflowID("w"):
            assert note("once") == "once"
    handle = DBOS.start_workflow(note, "started")
    assert handle.get_result() == "started"
    assert [each.name for each in DBOS.list_workflows()] == ["<temp>.note"] * 2
    assert [step["function_name"] for step in DBOS.list_workflow_steps("w")] == ["note"]
    assert notes(user_url) == ["once", "started"]


def test_a_temporary_workflow_of_a_transaction_is_recovered(
    launch: Launch, database_url: str, user_url: str, replay: Replay
) -> None:
    @DBOS.transaction()
    def note(word: str) -> str:
        write(word)
        return word

    launch(application_database_url=user_url)
    with SetWorkflowID("w"):
        note("once")
    run_sql(database_url, "delete from operation_outputs")
    assert replay("w").get_result() == "once"
    assert notes(user_url) == ["once"]


def test_coroutines_call_transactions_by_to_thread(launch: Launch, database_url: str, user_url: str) -> None:
    @DBOS.transaction()
    def note(word: str) -> int | None:
        write(word)
        return DBOS.step_id

    @DBOS.step()
    async def before() -> None: ...

    @DBOS.workflow()
    async def work() -> list[int | None]:
        await before()
        return [await asyncio.to_thread(note, "one"), await asyncio.to_thread(note, "two")]

    launch(application_database_url=user_url)
    with SetWorkflowID("w"):
        assert asyncio.run(work()) == [2, 3]  # type: ignore[arg-type]
    assert notes(user_url) == ["one", "two"]
    assert witnesses(user_url) == [("w", 2, False), ("w", 3, False)]


def test_methods_can_be_transactions(launch: Launch, database_url: str, user_url: str) -> None:
    @DBOS.dbos_class()
    class Shop(DBOSConfiguredInstance):
        @DBOS.transaction()
        def sell(self, item: str) -> str:
            write(f"{self.config_name} sells {item}")
            return self.config_name

        @classmethod
        @DBOS.transaction("READ COMMITTED")
        def close(cls) -> str:
            write("closed")
            return cls.__name__

    shop = Shop("oslo")
    launch(application_database_url=user_url)
    assert shop.sell("hat") == "oslo"
    assert Shop.close() == "Shop"
    assert DBOS.start_workflow(shop.sell, "coat").get_result() == "oslo"
    assert notes(user_url) == ["oslo sells hat", "closed", "oslo sells coat"]


# ---------------------------------------------------------------- isolation


@pytest.mark.parametrize("level", LEVELS)
def test_every_isolation_level_works(launch: Launch, database_url: str, user_url: str, level: str) -> None:
    @DBOS.transaction(level)
    def look() -> str | None:
        write(level)
        if database_url.startswith("sqlite"):
            return "serializable"
        shown: str = DBOS.sql_session.execute(text("show transaction_isolation")).scalar_one()
        return shown

    launch(application_database_url=user_url)
    assert look() == ("serializable" if database_url.startswith("sqlite") else level.lower())
    assert notes(user_url) == [level]


@pytest.mark.parametrize("level", ["SERIALIZABLE", "REPEATABLE READ"])
def test_clashing_transactions_are_run_again_until_none_is_lost(
    launch: Launch, database_url: str, user_url: str, level: str
) -> None:
    """Five at once read the same value: only one of them can commit what it made of it."""
    together = threading.Barrier(5)
    runs = []

    @DBOS.transaction(level)
    def increment() -> int:
        runs.append(DBOS.workflow_id)
        session = DBOS.sql_session
        n: int = session.execute(text("select n from counter where id = 1")).scalar_one()
        if runs.count(DBOS.workflow_id) == 1 and database_url.startswith("postgres"):
            together.wait(20)
        session.execute(text("update counter set n = :n where id = 1"), {"n": n + 1})
        return n + 1

    launch(application_database_url=user_url)
    handles = [DBOS.start_workflow(increment) for _ in range(5)]
    assert sorted(handle.get_result() for handle in handles) == [1, 2, 3, 4, 5]
    assert run_sql(user_url, "select n from counter") == [(5,)]
    assert len(witnesses(user_url)) == 5
    assert len(runs) >= (9 if database_url.startswith("postgres") else 5)


def test_a_deadlock_is_overcome(launch: Launch, postgres_url: str) -> None:
    create_table(postgres_url)
    run_sql(postgres_url, "insert into counter (id, n) values (2, 0)")
    both = threading.Barrier(2)
    runs = []

    @DBOS.transaction("READ COMMITTED")
    def cross(first: int, second: int) -> None:
        runs.append(DBOS.workflow_id)
        change = text("update counter set n = n + 1 where id = :id")
        DBOS.sql_session.execute(change, {"id": first})
        if runs.count(DBOS.workflow_id) == 1:
            both.wait(20)
        DBOS.sql_session.execute(change, {"id": second})

    launch(application_database_url=postgres_url)
    handles = [DBOS.start_workflow(cross, 1, 2), DBOS.start_workflow(cross, 2, 1)]
    for handle in handles:
        handle.get_result()
    assert run_sql(postgres_url, "select n from counter order by id") == [(2,), (2,)]
    assert len(runs) == 3
    DBOS.destroy()


def test_whoever_waits_for_the_end_of_many_tries_is_told_why(
    launch: Launch, user_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at once, for most trouble is over by then, and not with every try; however long the function takes."""
    monkeypatch.setattr(patience, "REPORTED_SECONDS", (0.2, 1_000.0))
    failed_at: list[float] = []
    tries_when_told = []

    def told() -> list[str]:
        return [record.message for record in caplog.records if "is tried again" in record.message]

    @DBOS.transaction()
    def unlucky() -> None:
        if told():
            tries_when_told.append(time.monotonic() - failed_at[0])
        if not failed_at:
            time.sleep(0.3)
        if len(tries_when_told) < 3:
            failed_at.append(time.monotonic())
            raise LookupError("an error of the function") from Clash("could not serialize access")

    launch(application_database_url=user_url)
    with SetWorkflowID("w"):
        unlucky()
    (words,) = told()
    assert "unlucky of workflow w is tried again, for " in words
    assert words.endswith(" s now: an error of the function")
    assert min(tries_when_told) >= 0.2


class Clash(Exception):
    """As drivers of Postgres tell it."""

    sqlstate = "40001"


def test_other_errors_of_the_database_are_answers(launch: Launch, database_url: str, user_url: str) -> None:
    runs = []

    @DBOS.transaction()
    def insert_twice() -> None:
        runs.append(1)
        write("lost")
        DBOS.sql_session.execute(text("insert into counter (id, n) values (1, 7)"))

    @DBOS.transaction()
    def misspell() -> None:
        runs.append(2)
        DBOS.sql_session.execute(text("selekt 1"))

    @DBOS.workflow()
    def work() -> int:
        with pytest.raises(IntegrityError):
            insert_twice()
        with pytest.raises(sqlalchemy.exc.DBAPIError):
            misspell()
        return len(runs)

    launch(application_database_url=user_url)
    with SetWorkflowID("w"):
        assert work() == 2
    assert notes(user_url) == []
    assert witnesses(user_url) == [("w", 1, True), ("w", 2, True)]
    assert isinstance(DBOS.list_workflow_steps("w")[0]["error"], IntegrityError)


def test_pending_changes_that_fail_when_they_are_flushed_are_answers_too(
    launch: Launch, database_url: str, user_url: str
) -> None:
    class Base(sqlalchemy.orm.DeclarativeBase): ...

    class Counter(Base):
        __tablename__ = "counter"
        id = sqlalchemy.Column(sqlalchemy.Integer, primary_key=True)
        n = sqlalchemy.Column(sqlalchemy.Integer)

    @DBOS.transaction()
    def add(identifier: int) -> Any:
        counter = Counter(id=identifier, n=7)
        DBOS.sql_session.add(counter)
        return identifier

    launch(application_database_url=user_url)
    with pytest.raises(IntegrityError):
        add(1)
    assert add(2) == 2
    assert run_sql(user_url, "select id, n from counter order by id") == [(1, 0), (2, 7)]


# ---------------------------------------------------------------- misuse


def test_only_the_library_commits(launch: Launch, database_url: str, user_url: str) -> None:
    @DBOS.transaction()
    def commit() -> None:
        write("lost")
        DBOS.sql_session.commit()

    @DBOS.transaction()
    def roll_back() -> None:
        write("lost")
        DBOS.sql_session.rollback()
        write("lost, too")

    @DBOS.transaction()
    def roll_back_and_leave() -> str:
        write("lost")
        DBOS.sql_session.rollback()
        return "left"

    @DBOS.transaction()
    def commit_beneath() -> None:
        write("lost")
        DBOS.sql_session.connection().commit()

    @DBOS.transaction()
    def save_point() -> None:
        write("kept")
        with DBOS.sql_session.begin_nested():
            write("kept, too")
        point = DBOS.sql_session.begin_nested()
        write("lost")
        point.rollback()

    launch(application_database_url=user_url)
    for misuse in (commit, roll_back, roll_back_and_leave, commit_beneath):
        with pytest.raises(InvalidRequestError, match="closed transaction inside context manager"):
            misuse()
        assert notes(user_url) == []
    save_point()
    assert notes(user_url) == ["kept", "kept, too"]


def test_a_commit_that_is_refused_takes_nothing_back(launch: Launch, user_url: str) -> None:
    @DBOS.transaction()
    def go_on() -> None:
        write("before")
        with pytest.raises(InvalidRequestError, match="closed transaction inside context manager"):
            DBOS.sql_session.commit()
        write("after")

    launch(application_database_url=user_url)
    go_on()
    assert notes(user_url) == ["before", "after"]


def test_sql_session_is_only_there_inside_a_transaction(launch: Launch) -> None:
    @DBOS.step()
    def step() -> None:
        with pytest.raises(error.DBOSNoTransactionError):
            _ = DBOS.sql_session

    @DBOS.workflow()
    def work() -> None:
        with pytest.raises(AssertionError):
            _ = DBOS.sql_session
        step()

    with pytest.raises(error.DBOSException, match="inside a transaction"):
        _ = DBOS.sql_session
    launch()
    work()


def test_transactions_and_steps_nest_only_as_they_can(launch: Launch, database_url: str) -> None:
    create_table(database_url)

    @DBOS.transaction()
    def inner() -> None:
        raise AssertionError("must not run")

    @DBOS.step()
    def step() -> str:
        write("of the transaction")
        return "plain"

    @DBOS.transaction()
    def outer(what: Callable[[], Any]) -> Any:
        return what()

    @DBOS.step()
    def step_around() -> None:
        inner()

    @DBOS.workflow()
    def work() -> str:
        with pytest.raises(error.DBOSException, match="inside a transaction"):
            outer_inner()
        with pytest.raises(error.DBOSException, match="must be called from within a workflow"):
            step_around()
        return outer_step()

    @DBOS.transaction()
    def outer_inner() -> None:
        inner()

    @DBOS.transaction()
    def outer_step() -> str:
        return step()

    launch()
    with SetWorkflowID("w"):
        assert work() == "plain"
    assert notes(database_url) == ["of the transaction"]
    assert len(DBOS.list_workflow_steps("w")) == 3


CALLS_INSIDE = {
    "DBOS.getStatus": lambda: DBOS.get_workflow_status("w"),
    "DBOS.listWorkflows": DBOS.list_workflows,
    "DBOS.cancelWorkflow": lambda: DBOS.cancel_workflow("x"),
    "DBOS.getResult": lambda: DBOS.get_result("x"),
    "DBOS.updateWorkflowAttributes": lambda: DBOS.update_workflow_attributes("x", {}),
    "DBOS.setEvent": lambda: DBOS.set_event("k", 1),
    "DBOS.send": lambda: DBOS.send("x", 1),
}


@pytest.mark.parametrize("name", CALLS_INSIDE)
def test_calls_to_the_system_database_are_refused_inside(launch: Launch, database_url: str, name: str) -> None:
    create_table(database_url)
    call = CALLS_INSIDE[name]

    @DBOS.transaction()
    def inside() -> None:
        write("locked")
        call()

    launch()
    with pytest.raises(error.DBOSException, match=f"Invalid call to `{name}` inside a transaction"):
        inside()
    assert notes(database_url) == []


def test_no_workflow_starts_inside(launch: Launch, database_url: str) -> None:
    create_table(database_url)

    @DBOS.workflow()
    def other() -> None: ...

    @DBOS.transaction()
    def inside() -> None:
        write("locked")
        DBOS.start_workflow(other)

    launch()
    with pytest.raises(error.DBOSException, match=r"other.*inside"):
        inside()
    assert count_rows(database_url)["workflow_status"] == 1


def test_what_cannot_be_a_transaction_is_refused_at_decoration() -> None:
    async def coroutine() -> None: ...

    def plain() -> None: ...

    with pytest.raises(error.DBOSException, match="is a coroutine function"):
        DBOS.transaction()(coroutine)
    for level in ("CHAOS", "serializable", None, 3):
        with pytest.raises(error.DBOSException, match="isolation level"):
            DBOS.transaction(level)  # type: ignore[arg-type]
    with pytest.raises(error.DBOSException, match="parentheses"):
        DBOS.transaction(plain)  # type: ignore[arg-type]


def test_a_function_is_a_step_or_a_transaction(launch: Launch) -> None:
    def function() -> None: ...

    def another() -> None: ...

    with pytest.raises(error.DBOSConflictingRegistrationError, match="conflicting function type"):
        DBOS.step()(DBOS.transaction()(function))
    with pytest.raises(error.DBOSConflictingRegistrationError, match="conflicting function type"):
        DBOS.transaction()(DBOS.step()(another))
    DBOS.step(name="shared")(another)
    with pytest.raises(error.DBOSConflictingRegistrationError, match="conflicting function type"):
        DBOS.transaction(name="shared")(function)


# ---------------------------------------------------------------- where the database is


def test_the_two_databases_may_be_of_different_dialects(launch: Launch, sqlite_url: str, postgres_url: str) -> None:
    @DBOS.transaction()
    def note() -> str:
        write("noted")
        return "noted"

    for system, user in ((sqlite_url, postgres_url), (postgres_url, sqlite_url)):
        create_table(user)
        launch(system_database_url=system, application_database_url=user, db_engine_kwargs={"connect_args": {}})
        assert note() == "noted"
        assert notes(user) == ["noted"]
    DBOS.destroy()


def test_the_old_name_of_the_url_works(launch: Launch, other_url: str) -> None:
    @DBOS.transaction()
    def note() -> None:
        write("noted")

    with pytest.warns(DeprecationWarning, match="application_database_url"):
        launch(database_url=other_url)
    note()
    assert notes(other_url) == ["noted"]


def test_the_engine_of_the_system_database_is_used_as_it_is(launch: Launch, database_url: str) -> None:
    create_table(database_url)
    engine = sqlalchemy.create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))

    @DBOS.transaction()
    def whose() -> bool:
        write("noted")
        return DBOS.sql_session.get_bind() is engine

    launch(system_database_url=None, system_database_engine=engine)
    assert whose() is True
    DBOS.destroy()
    with engine.connect() as connection:  # not disposed of
        assert connection.execute(text("select note from ledger")).scalar() == "noted"
    engine.dispose()


@pytest.mark.owner("there the schema exists")
def test_a_table_of_another_library_is_refused(launch: Launch, other_url: str) -> None:
    @DBOS.transaction()
    def note() -> None: ...

    if other_url.startswith("postgres"):
        run_sql(other_url, "create schema dbos")
    run_sql(other_url, "create table transaction_outputs (workflow_uuid text, function_id integer, output text)")
    with pytest.raises(error.DBOSInitializationError, match="another library"):
        launch(application_database_url=other_url)
    assert run_sql(other_url, "select * from transaction_outputs") == []


def test_without_migrations_the_table_must_be_there(launch: Launch, database_url: str, other_url: str) -> None:
    @DBOS.transaction()
    def note() -> None:
        write("noted")

    launch(application_database_url=other_url)
    launch(application_database_url=other_url, run_migrations=False)
    note()
    DBOS.destroy()
    run_sql(other_url, "drop table transaction_outputs")
    with pytest.raises(error.DBOSInitializationError, match="migrations are off"):
        launch(application_database_url=other_url, run_migrations=False)


def test_a_database_that_cannot_be_reached_is_said_at_launch(launch: Launch, tmp_path: Path) -> None:
    @DBOS.transaction()
    def note() -> None: ...

    for url in (f"sqlite:///{tmp_path}/missing/user.sqlite", "postgresql://user:secret@127.0.0.1:1/nowhere"):
        with pytest.raises(error.DBOSInitializationError, match="cannot be used") as caught:
            launch(application_database_url=url)
        assert "secret" not in str(caught.value)


def test_without_transactions_nothing_of_sqlalchemy_is_loaded(database_url: str) -> None:
    program = (
        "import sys\nfrom dbos import DBOS\n"
        f"DBOS(config={{'name': 'lean', 'system_database_url': {database_url!r}}})\n"
        "DBOS.workflow()(lambda: 1)\nDBOS.launch()\nDBOS.destroy()\n"
        "sys.exit('sqlalchemy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0


def test_a_failed_transaction_is_tried_again_when_its_workflow_is_resumed(launch: Launch, user_url: str) -> None:
    broken = [True]

    @DBOS.transaction()
    def note() -> str:
        write("written")
        if broken:
            raise ValueError("not today")
        return "noted"

    @DBOS.workflow()
    def work() -> str:
        return note()

    launch(application_database_url=user_url)
    with SetWorkflowID("w"), pytest.raises(ValueError):
        work()
    broken.clear()
    assert DBOS.resume_workflow("w").get_result() == "noted"
    assert notes(user_url) == ["written"]
