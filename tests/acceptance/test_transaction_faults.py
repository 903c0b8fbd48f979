"""Transactions under faults: lost replies, lost connections, duplicate executions, cancellations, busy files."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from dbos import DBOS, AsyncSQLAlchemyDatasource, SetWorkflowID, SQLAlchemyDatasource, WorkflowHandle, error
from dbos.api.launched import current_engine
from dbos.runtime.operation import Operation
from dbos.runtime.patience import Patience
from dbos.userdata.database import UserDatabase
from tests.acceptance.hostile_settings import change_defaults
from tests.acceptance.user_database import INSERT, create_table, notes, witnesses, write
from tests.support.fixture_types import Launch
from tests.support.proxy import CutPhase, PostgresProxy
from tests.support.raw_sql import run_sql
from tests.support.waiting import Gate, eventually

LONG_SECONDS = 60


@pytest.fixture
def user_url(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[str]:
    """A database of the user's, of the dialect of the system database."""
    sqlite = database_url.startswith("sqlite")
    url = f"sqlite:///{tmp_path / 'user.sqlite'}" if sqlite else request.getfixturevalue("postgres_url")
    create_table(url)
    yield url
    DBOS.destroy()


@pytest.fixture
def proxied(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresProxy]:
    """A way to the user's database that can be cut. Nothing but transactions goes there: a sweep commits as well."""
    monkeypatch.setattr("dbos.services.forgetting.Forgetting._sweep", lambda *_: None)
    create_table(postgres_url)
    with PostgresProxy(postgres_url) as proxy:
        yield proxy
        DBOS.destroy()


# ---------------------------------------------------------------- lost replies and lost connections


@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("kind", ["transaction", "datasource"])
def test_a_commit_whose_reply_was_lost_is_found_out(
    launch: Launch, proxied: PostgresProxy, postgres_url: str, phase: CutPhase, kind: str
) -> None:
    runs = []

    def body(session: Any) -> int:
        runs.append(1)
        session.execute(INSERT, {"note": "once"})
        return len(runs)

    note: Callable[[], int]
    if kind == "transaction":
        note = DBOS.transaction(name="note")(lambda: body(DBOS.sql_session))
    else:
        datasource = SQLAlchemyDatasource.create(proxied.url)
        note = datasource.transaction(lambda: body(datasource.sql_session()))

    @DBOS.workflow()
    def work() -> int:
        return note()

    launch(application_database_url=proxied.url)
    cut = proxied.cut_at_commit(1, phase)
    with SetWorkflowID("w"):
        assert work() == (2 if phase == "before" else 1)
    assert cut.done.is_set()
    assert len(runs) == (2 if phase == "before" else 1)
    assert notes(postgres_url) == ["once"]
    assert witnesses(postgres_url, f"{kind}_outputs") == [("w", 1, False)]
    if kind == "datasource":
        datasource.close()


@pytest.mark.parametrize("phase", ["before", "after"])
def test_the_error_of_a_failed_transaction_survives_a_lost_reply(
    launch: Launch, proxied: PostgresProxy, postgres_url: str, phase: CutPhase
) -> None:
    runs = []

    @DBOS.transaction()
    def fail() -> None:
        runs.append(1)
        write("lost")
        raise KeyError("only once")

    launch(application_database_url=proxied.url)
    cut = proxied.cut_at_commit(1, phase)
    with SetWorkflowID("w"), pytest.raises(KeyError, match="only once"):
        fail()
    assert cut.done.is_set()
    assert len(runs) == 1
    assert notes(postgres_url) == []
    assert witnesses(postgres_url) == [("w", 1, True)]


@pytest.mark.parametrize("statement", ["insert into ledger", "transaction_outputs"])
@pytest.mark.parametrize("phase", ["before", "after"])
def test_a_connection_lost_before_the_commit_costs_another_try(
    launch: Launch, proxied: PostgresProxy, postgres_url: str, statement: str, phase: CutPhase
) -> None:
    @DBOS.transaction()
    def note() -> None:
        write("once")

    launch(application_database_url=proxied.url)
    cut = proxied.cut_at(1, phase, containing=statement)
    with SetWorkflowID("w"):
        note()
    assert cut.done.is_set()
    assert notes(postgres_url) == ["once"]
    assert witnesses(postgres_url) == [("w", 1, False)]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """How often a transaction has waited for another try."""
    gate, pause = Gate(), Patience.pause
    gate.open()

    def noted(patience: Patience) -> Operation[None]:
        gate.pass_through()
        return pause(patience)

    monkeypatch.setattr(Patience, "pause", noted)
    return gate


def test_an_outage_is_waited_for(launch: Launch, proxied: PostgresProxy, postgres_url: str, pauses: Gate) -> None:
    @DBOS.transaction()
    def note() -> str:
        write("once")
        return "done"

    launch(application_database_url=proxied.url)
    note()
    proxied.refuse()
    proxied.cut_now()
    handle = DBOS.start_workflow(note)
    pauses.wait_for_arrival(3)
    proxied.heal()
    assert handle.get_result() == "done"
    assert notes(postgres_url) == ["once"] * 2


@pytest.mark.parametrize(
    ("kind", "default", "expected"),
    [("transaction", "off", "on"), ("datasource", "off", "on"), ("datasource", "local", "local")],
)
def test_what_is_recorded_elsewhere_is_durable_here(
    launch: Launch,
    postgres_url: str,
    direct_url: str,
    kind: str,
    default: str,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The step is in another database when a crash of this one would take back what was not on disk."""
    monkeypatch.setattr("dbos.services.forgetting.Forgetting._sweep", lambda *_: None)  # it commits as well
    create_table(postgres_url)
    change_defaults(direct_url, {"synchronous_commit": default})
    datasource = SQLAlchemyDatasource.create(postgres_url)
    session = (lambda: DBOS.sql_session) if kind == "transaction" else datasource.sql_session
    decorate: Any = DBOS.transaction(name="note") if kind == "transaction" else datasource.transaction(name="note")
    seen: list[tuple[str, str]] = []

    def shown(connection: Any) -> str:
        return str(connection.execute(sqlalchemy.text("show synchronous_commit")).scalar())

    @decorate
    def note() -> None:
        seen.append(("inside", shown(session())))

    @DBOS.workflow()
    def work() -> None:
        note()

    def look(connection: Any) -> None:
        if seen:
            seen.append(("at the commit", shown(connection)))

    launch(application_database_url=postgres_url)
    sqlalchemy.event.listen(sqlalchemy.Engine, "commit", look)
    try:
        work()
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "commit", look)
    assert seen == [("inside", default), ("at the commit", expected)]
    DBOS.destroy()
    datasource.close()


# ---------------------------------------------------------------- duplicate executions


def take_over(workflow_id: str) -> WorkflowHandle[Any]:
    """Have the workflow executed once more, as if its executor had been taken for dead."""
    taken = [handle.workflow_id for handle in DBOS._recover_pending_workflows([DBOS.executor_id])]
    assert workflow_id in taken
    return WorkflowHandle(workflow_id)


class Duplicate:
    """A workflow of a transaction and a step, executed twice at the same time."""

    def __init__(self, level: str, gates: list[Gate]) -> None:
        self.gates = gates
        self.runs: list[int] = []
        self.later: list[str] = []
        lock = threading.Lock()

        @DBOS.transaction(level)
        def note() -> int:
            with lock:
                number = len(self.runs)
                self.runs.append(number)
            write("effect")
            self.gates[number].pass_through()
            return number

        @DBOS.step()
        def after(number: int) -> int:
            self.later.append(threading.current_thread().name)
            return number

        @DBOS.workflow()
        def work() -> int:
            return after(note())

        self.work = work

    def check(self, user_url: str, winner: int) -> None:
        assert WorkflowHandle("w").get_result() == winner
        eventually(lambda: not current_engine().active())
        assert notes(user_url) == ["effect"]
        assert witnesses(user_url) == [("w", 1, False)]
        assert len(self.later) == 1, "whoever lost went on to the next step"
        assert [step["output"] for step in DBOS.list_workflow_steps("w")] == [winner, winner]


@pytest.mark.parametrize("level", ["READ COMMITTED", "SERIALIZABLE"])
def test_a_zombie_that_commits_first_wins_its_transaction_and_stops(
    launch: Launch, database_url: str, user_url: str, level: str
) -> None:
    """The owner replays what the zombie wrote and goes on; the zombie writes nothing more."""
    zombie_gate, owner_gate = Gate(), Gate()
    twice = Duplicate(level, [zombie_gate, owner_gate])
    launch(application_database_url=user_url)
    with zombie_gate, owner_gate:
        with SetWorkflowID("w"):
            zombie = DBOS.start_workflow(twice.work)
        zombie_gate.wait_for_arrival()
        take_over("w")
        if database_url.startswith("postgres"):  # a file has one writer: there the owner waits for the zombie
            owner_gate.wait_for_arrival()
        zombie_gate.open()
        eventually(lambda: witnesses(user_url))
        owner_gate.open()
        assert zombie.get_result() == 0
    twice.check(user_url, winner=0)


@pytest.mark.parametrize("level", ["READ COMMITTED", "SERIALIZABLE"])
def test_a_zombie_that_commits_second_takes_its_writes_back_and_stops(
    launch: Launch, postgres_url: str, level: str
) -> None:
    create_table(postgres_url)
    zombie_gate, owner_gate = Gate(), Gate()
    owner_gate.open()
    twice = Duplicate(level, [zombie_gate, owner_gate, owner_gate])
    launch(application_database_url=postgres_url)
    with zombie_gate:
        with SetWorkflowID("w"):
            zombie = DBOS.start_workflow(twice.work)
        zombie_gate.wait_for_arrival()
        assert take_over("w").get_result() == 1
        zombie_gate.open()
        assert zombie.get_result() == 1
    twice.check(postgres_url, winner=1)
    assert twice.runs == [0, 1]
    DBOS.destroy()


def test_a_zombie_that_fails_after_the_owner_succeeded_changes_nothing(launch: Launch, postgres_url: str) -> None:
    create_table(postgres_url)
    gate = Gate()
    runs: list[int] = []
    later: list[str] = []

    @DBOS.transaction("READ COMMITTED")
    def note() -> str:
        runs.append(1)
        if len(runs) == 1:
            gate.pass_through()
            raise KeyError("too late")
        write("effect")
        return "noted"

    @DBOS.workflow()
    def work() -> str:
        try:
            return note()
        except KeyError:
            later.append("caught")
            return "went on"

    launch(application_database_url=postgres_url)
    with gate:
        with SetWorkflowID("w"):
            zombie = DBOS.start_workflow(work)
        gate.wait_for_arrival()
        assert take_over("w").get_result() == "noted"
        gate.open()
        assert zombie.get_result() == "noted"
    eventually(lambda: not current_engine().active())
    assert later == []
    assert notes(postgres_url) == ["effect"]
    assert witnesses(postgres_url) == [("w", 1, False)]
    DBOS.destroy()


def test_whoever_lost_his_workflow_elsewhere_stops_at_the_transaction(
    launch: Launch, database_url: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process took the workflow and did the transaction, and nobody told this one: the witness does."""
    monkeypatch.setattr("dbos.runtime.context.FRESH_SECONDS", float(LONG_SECONDS))
    create_table(postgres_url)
    gate = Gate()
    later: list[str] = []

    @DBOS.transaction("READ COMMITTED", name="note")
    def note() -> str:
        write("taken back")
        gate.pass_through()
        return "ours"

    @DBOS.step()
    def after(word: str) -> None:
        later.append(word)

    @DBOS.workflow()
    def work() -> str:
        word = note()
        after(word)
        return word

    launch(application_database_url=postgres_url, notification_listener_polling_interval_sec=LONG_SECONDS)
    monkeypatch.setattr("dbos.services.listener.Listener._probe", lambda listener: None)
    with gate:
        with SetWorkflowID("w"):
            handle = DBOS.start_workflow(work)
        gate.wait_for_arrival()
        ((life,),) = run_sql(database_url, "select owner_xid from workflow_status")
        run_sql(database_url, "update workflow_status set epoch = epoch + 1, executor_instance = 'elsewhere'")
        run_sql(
            postgres_url,
            "insert into transaction_outputs"
            " (workflow_uuid, function_id, function_name, output, serialization, life, epoch, txn_snapshot, created_at)"
            " values ('w', 1, 'note', '\"theirs\"', 'json', ?, 2, '', 0)",
            life,
        )
        run_sql(
            database_url,
            "insert into operation_outputs (workflow_uuid, function_id, function_name, output, serialization, epoch)"
            " values ('w', 1, 'note', '\"theirs\"', 'json', 2)",
        )
        gate.open()
        eventually(lambda: not current_engine().active())
    assert later == []
    assert notes(postgres_url) == []
    run_sql(database_url, "update workflow_status set status = 'SUCCESS', output = '1', completed_at = 1")
    assert handle.get_status().output is not None
    DBOS.destroy()


@pytest.mark.parametrize("fails", [False, True])
def test_whoever_was_deleted_takes_nothing_from_a_younger_workflow_of_his_id(
    launch: Launch, database_url: str, postgres_url: str, fails: bool
) -> None:
    """Another process deleted his workflow and began it anew, at the same epoch, and did the transaction."""
    create_table(postgres_url)
    gate = Gate()
    later: list[str] = []

    @DBOS.transaction("READ COMMITTED", name="note")
    def note() -> str:
        write("taken back")
        gate.pass_through()
        if fails:
            raise KeyError("too late")
        return "ours"

    @DBOS.step()
    def after(word: str) -> None:
        later.append(word)

    @DBOS.workflow()
    def work() -> str:
        try:
            word = note()
        except KeyError:
            word = "caught"
        after(word)
        return word

    launch(application_database_url=postgres_url)
    with gate:
        with SetWorkflowID("w"):
            DBOS.start_workflow(work)
        gate.wait_for_arrival()
        run_sql(database_url, "update workflow_status set owner_xid = 'younger'")
        run_sql(
            postgres_url,
            "insert into transaction_outputs"
            " (workflow_uuid, function_id, function_name, output, serialization, life, epoch, txn_snapshot, created_at)"
            " values ('w', 1, 'note', '\"theirs\"', 'json', 'younger', 1, '', 0)",
        )
        gate.open()
        eventually(lambda: not current_engine().active())
    assert later == []
    assert notes(postgres_url) == []
    assert run_sql(postgres_url, "select life, output from transaction_outputs") == [("younger", '"theirs"')]
    assert run_sql(database_url, "select status from workflow_status") == [("PENDING",)]
    assert DBOS.list_workflow_steps("w") == []
    DBOS.destroy()


@pytest.mark.parametrize("fails", [False, True])
def test_an_older_workflow_of_the_same_id_gives_way(
    launch: Launch, database_url: str, user_url: str, fails: bool
) -> None:
    """It was deleted by somebody who could not reach this database; neither its success nor its failure is ours."""

    @DBOS.transaction(name="note")
    def note() -> str:
        write("ours")
        if fails:
            raise KeyError("ours")
        return "ours"

    launch(application_database_url=user_url)
    run_sql(
        user_url,
        "insert into transaction_outputs"
        " (workflow_uuid, function_id, function_name, output, serialization, life, epoch, txn_snapshot, created_at)"
        " values ('w', 1, 'another', '\"theirs\"', 'json', 'older', 7, '', 0)",
    )
    with SetWorkflowID("w"):
        if fails:
            with pytest.raises(KeyError, match="ours"):
                note()
        else:
            assert note() == "ours"
    assert notes(user_url) == ([] if fails else ["ours"])
    assert witnesses(user_url) == [("w", 1, fails)]
    ((life,),) = run_sql(user_url, "select life from transaction_outputs")
    assert run_sql(database_url, "select owner_xid from workflow_status") == [(life,)]


# ---------------------------------------------------------------- cancellations


def test_what_was_committed_while_the_workflow_was_cancelled_is_not_done_again(
    launch: Launch, database_url: str, user_url: str
) -> None:
    gate = Gate()
    runs = []

    @DBOS.transaction()
    def note() -> str:
        runs.append(1)
        write("once")
        gate.pass_through()
        return "noted"

    @DBOS.workflow()
    def work() -> str:
        return note()

    launch(application_database_url=user_url)
    with gate:
        with SetWorkflowID("w"):
            handle = DBOS.start_workflow(work)
        gate.wait_for_arrival()
        DBOS.cancel_workflow("w")
        gate.open()
        with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
            handle.get_result()
        eventually(lambda: not current_engine().active())
    assert DBOS.resume_workflow("w").get_result() == "noted"
    assert runs == [1]
    assert notes(user_url) == ["once"]


# ---------------------------------------------------------------- busy files


def test_a_busy_file_is_waited_for(launch: Launch, sqlite_url: str, tmp_path: Path, pauses: Gate) -> None:
    user = tmp_path / "user.sqlite"
    create_table(f"sqlite:///{user}")

    @DBOS.transaction()
    def note() -> None:
        write("once")

    launch(system_database_url=sqlite_url, application_database_url=f"sqlite:///{user}")
    with closing(sqlite3.connect(user, isolation_level=None)) as other:
        other.execute("begin immediate")
        handle = DBOS.start_workflow(note)
        pauses.wait_for_arrival(3)
        assert notes(f"sqlite:///{user}") == []
        other.execute("rollback")
    handle.get_result()
    assert notes(f"sqlite:///{user}") == ["once"]


@pytest.mark.parametrize("kind", ["transaction", "datasource", "async datasource"])
def test_a_commit_that_finds_the_file_busy_is_taken_back(
    launch: Launch, sqlite_url: str, tmp_path: Path, kind: str
) -> None:
    """Who reads the file lets everybody write, and nobody commit: the next try does not continue that transaction."""
    url = f"sqlite:///{tmp_path / 'user.sqlite'}"
    create_table(url)
    runs: list[int] = []

    def numbered() -> dict[str, str]:
        runs.append(len(runs) + 1)
        if len(runs) == 1:
            reader.execute("begin")
            reader.execute("select * from counter").fetchall()
        if len(runs) == 4:
            reader.execute("rollback")
        return {"note": str(runs[-1])}

    call: Callable[[], Any]
    if kind == "transaction":
        call = DBOS.transaction(name="note")(lambda: DBOS.sql_session.execute(INSERT, numbered()) and None)
        launch(system_database_url=sqlite_url, application_database_url=url)
    elif kind == "datasource":  # outside of workflows, where no witness tells what is there
        plain = SQLAlchemyDatasource.create(url)
        call = plain.transaction(lambda: plain.sql_session().execute(INSERT, numbered()) and None)
    else:

        async def main() -> None:
            options = {"poolclass": sqlalchemy.AsyncAdaptedQueuePool, "pool_size": 1}
            datasource = await AsyncSQLAlchemyDatasource.create(url, options)

            @datasource.transaction
            async def note() -> None:
                await datasource.sql_session().execute(INSERT, numbered())

            await note()
            await datasource.close()

        call = lambda: asyncio.run(main())  # noqa: E731
    with closing(sqlite3.connect(tmp_path / "user.sqlite", isolation_level=None, check_same_thread=False)) as reader:
        call()
        assert notes(url) == [str(runs[-1])]
        assert len(runs) >= 4
        reader.execute("begin immediate")  # nobody keeps the file
        reader.execute("rollback")
    DBOS.destroy()
    if kind == "datasource":
        plain.close()


def test_a_transaction_on_the_file_of_the_system_database_starves_nobody(launch: Launch, sqlite_url: str) -> None:
    """While it holds the file, others wait; whoever waits goes on at once when it is done; and nobody deadlocks."""
    create_table(sqlite_url)
    gate = Gate()

    @DBOS.transaction()
    def hold() -> None:
        write("held")
        gate.pass_through()

    @DBOS.step()
    def step(number: int) -> int:
        return number

    @DBOS.transaction()
    def note(number: int) -> int:
        write(str(number))
        return number

    @DBOS.workflow()
    def work(number: int) -> int:
        return step(number) + note(number)

    launch(system_database_url=sqlite_url)
    with gate:
        holder = DBOS.start_workflow(hold)
        gate.wait_for_arrival()
        results: list[int] = []
        others = [threading.Thread(target=lambda n=n: results.append(work(n))) for n in range(8)]  # type: ignore[misc]
        for other in others:
            other.start()
        assert DBOS.list_workflows()  # reading goes on
        gate.open()
        for other in others:
            other.join(LONG_SECONDS)
    holder.get_result()
    assert sorted(results) == [2 * n for n in range(8)]
    assert sorted(notes(sqlite_url)) == sorted(["held", *map(str, range(8))])


# ---------------------------------------------------------------- long ones


def test_a_transaction_that_took_long_asks_before_it_commits(
    launch: Launch, database_url: str, user_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that witnesses of finished workflows may be forgotten after a while: nobody still runs beside them."""
    monkeypatch.setattr("dbos.runtime.transaction.LONG_SECONDS", 0.0)
    gate = Gate()

    @DBOS.transaction()
    def note() -> None:
        write("lost")
        gate.pass_through()

    @DBOS.workflow()
    def work() -> None:
        note()

    launch(application_database_url=user_url)
    with gate:
        with SetWorkflowID("w"):
            handle = DBOS.start_workflow(work)
        gate.wait_for_arrival()
        DBOS.cancel_workflow("w")
        gate.open()
        with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
            handle.get_result()
        eventually(lambda: not current_engine().active())
    assert notes(user_url) == []
    assert witnesses(user_url) == []


# ---------------------------------------------------------------- what has no witness


def test_a_failure_that_cannot_be_witnessed_is_still_what_it_was(
    launch: Launch, database_url: str, user_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    @DBOS.transaction()
    def fail() -> None:
        raise KeyError("the cause")

    def testify(*_: Any) -> bool:
        raise PermissionError("not allowed")

    launch(application_database_url=user_url)
    monkeypatch.setattr(UserDatabase, "testify", testify)
    with SetWorkflowID("w"), pytest.raises(KeyError, match="the cause"):
        fail()
    assert witnesses(user_url) == []
    assert isinstance(DBOS.list_workflow_steps("w")[0]["error"], KeyError)
