"""api.md §1 and §22: construct, launch, destroy, reset, and decorated functions as plain callables."""

import asyncio
import inspect
import logging
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from dbos import DBOS, SetWorkflowID, error, run_dbos_database_migrations
from dbos.api.launched import launched_engine
from dbos.model.workflow import WorkflowRow
from tests.support.fixture_types import Launch
from tests.support.raw_sql import count_rows, run_sql
from tests.support.waiting import Gate, eventually

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


def messages(caplog: pytest.LogCaptureFixture, level: int = logging.DEBUG) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "dbos" and record.levelno >= level]


# ---------------------------------------------------------------- constructing


def test_there_is_one_application(launch: Launch, database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    config = {"name": "test-app", "system_database_url": database_url}
    first = DBOS(config=config)
    assert DBOS(config=dict(config)) is first
    assert messages(caplog, logging.WARNING) == []
    assert DBOS(config={**config, "name": "another"}) is first
    assert "keeps its configuration" in " ".join(messages(caplog, logging.WARNING))


def test_constructing_connects_nowhere(launch: Launch, tmp_path: Path) -> None:
    DBOS(config={"name": "test-app", "system_database_url": NOWHERE})
    DBOS.destroy()
    DBOS(config={"name": "test-app", "system_database_url": f"sqlite:///{tmp_path}/made-by-launch.sqlite"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("config", [None, {}, {"name": None}, {"name": "No Good"}])
def test_a_wrong_configuration_leaves_nothing_behind(launch: Launch, config: Any) -> None:
    with pytest.raises(error.DBOSInitializationError):
        DBOS(config=config)
    with pytest.raises(error.DBOSException):
        DBOS.launch()
    launch()


# ---------------------------------------------------------------- launching


def test_launch_needs_an_application(launch: Launch) -> None:
    with pytest.raises(error.DBOSException, match=r"DBOS\(config"):
        DBOS.launch()


def test_launching_twice_is_harmless(launch: Launch, caplog: pytest.LogCaptureFixture) -> None:
    launch()
    assert [text for text in messages(caplog) if text in ("Initializing DBOS", "DBOS launched!")] == [
        "Initializing DBOS",
        "DBOS launched!",
    ]
    DBOS.launch()
    assert "launched already" in " ".join(messages(caplog, logging.WARNING))


def test_before_launch_a_step_runs_and_a_workflow_says_what_is_missing(launch: Launch, database_url: str) -> None:
    @DBOS.step()
    def step(number: int) -> int:
        assert DBOS.step_id is None
        return number + 1

    @DBOS.workflow()
    def workflow() -> None:
        raise AssertionError("must not run")

    @DBOS.workflow()
    async def workflow_async() -> None:
        raise AssertionError("must not run")

    def refused() -> None:
        with pytest.raises(error.DBOSException, match="before DBOS was launched"):
            workflow()
        with pytest.raises(error.DBOSException, match="before DBOS was launched"):
            asyncio.run(workflow_async())
        with pytest.raises(error.DBOSException, match="before DBOS was launched"):
            DBOS.start_workflow(workflow)
        with pytest.raises(error.DBOSException, match="before DBOS was launched"):
            DBOS.list_workflows()
        assert DBOS.workflow_id is None
        assert DBOS.application_version == ""
        assert step(1) == 2

    refused()
    DBOS(config={"name": "test-app", "system_database_url": database_url})
    refused()
    launch()
    DBOS.destroy()
    refused()


def test_launch_on_a_running_event_loop(launch: Launch) -> None:
    @DBOS.workflow()
    async def workflow() -> str:
        return "done"

    async def main() -> str:
        launch()
        return await workflow()

    assert asyncio.run(main()) == "done"


def test_functions_may_be_decorated_after_launch(launch: Launch) -> None:
    launch()

    @DBOS.step()
    def step() -> str:
        return "late"

    @DBOS.workflow()
    def workflow() -> str:
        return step()

    assert workflow() == "late"
    assert DBOS.start_workflow(workflow).get_result() == "late"


@pytest.mark.owner("drops the database")
def test_launch_creates_what_is_missing_only_if_it_may(launch: Launch, database_url: str) -> None:
    DBOS.reset_system_database(system_database_url=database_url)
    with pytest.raises(error.DBOSInitializationError):
        launch(run_migrations=False)
    run_dbos_database_migrations(database_url)
    launch(run_migrations=False)
    assert count_rows(database_url) == {"workflow_status": 0, "operation_outputs": 0}


def test_migrating_twice_changes_nothing(launch: Launch, database_url: str) -> None:
    DBOS.migrate(database_url)

    @DBOS.workflow()
    def workflow() -> None: ...

    launch()
    workflow()
    DBOS.destroy()
    DBOS.migrate(database_url)
    assert count_rows(database_url)["workflow_status"] == 1
    with pytest.raises(error.DBOSInitializationError, match="Sharded"):
        run_dbos_database_migrations(database_url, sharding=True)


def test_a_launch_that_fails_can_be_repeated(launch: Launch, database_url: str, tmp_path: Path) -> None:
    DBOS(config={"name": "test-app", "system_database_url": f"sqlite:///{tmp_path}/missing/system.sqlite"})
    with pytest.raises(error.DBOSInitializationError, match="missing"):
        DBOS.launch()
    (tmp_path / "missing").mkdir()
    DBOS.launch()


# ---------------------------------------------------------------- destroying


def test_destroying_is_harmless_without_an_application(launch: Launch) -> None:
    DBOS.destroy()
    DBOS.destroy(destroy_registry=True)
    launch()
    DBOS.destroy()
    DBOS.destroy()


def test_destroying_takes_no_further_thread(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    launch()

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        DBOS.destroy()
    assert [each.name for each in threading.enumerate() if each.name.startswith("dbos")] == []


def test_what_destroy_interrupts_goes_on_after_the_next_launch(launch: Launch) -> None:
    ran: list[str] = []
    with Gate() as gate:

        @DBOS.step()
        def first() -> str:
            ran.append("first")
            return "a"

        @DBOS.step()
        def second() -> str:
            ran.append("second")
            return "b"

        @DBOS.workflow()
        def workflow() -> str:
            before = first()
            gate.pass_through()
            return before + second()

        launch()
        with SetWorkflowID("interrupted"):
            handle = DBOS.start_workflow(workflow)
        gate.wait_for_arrival()
        DBOS.destroy()
        with pytest.raises(error.DBOSException):
            handle.get_result()
        launch()
        gate.wait_for_arrival(2)
        assert DBOS.retrieve_workflow("interrupted").get_status().status == "PENDING"
        assert ran == ["first"]
    assert DBOS.get_result("interrupted") == "ab"
    assert ran == ["first", "second"]
    status = DBOS.retrieve_workflow("interrupted").get_status()
    assert (status.recovery_attempts, status.queue_name) == (2, None)


def test_who_waits_when_it_is_destroyed_is_told(launch: Launch) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def workflow() -> None:
            gate.pass_through()

        launch()
        handle = DBOS.start_workflow(workflow)

        async def wait_and_destroy() -> None:
            waiting = asyncio.create_task(DBOS.get_result_async(handle.workflow_id))
            await gate.wait_for_arrival_async()
            await asyncio.to_thread(DBOS.destroy)
            with pytest.raises(error.DBOSException):
                await waiting

        asyncio.run(wait_and_destroy())


def test_who_waits_for_his_turn_to_ask_when_it_is_destroyed_is_told(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who come while a question is under way are left to a reader, and by then there is none."""
    launch()
    question = launched_engine().load
    ask = question._ask_about_all
    with Gate() as gate, ThreadPoolExecutor(2) as pool:

        def ask_late(ids: Sequence[str]) -> Mapping[str, WorkflowRow]:
            gate.pass_through()
            return ask(ids)

        monkeypatch.setattr(question, "_ask_about_all", ask_late)
        first = pool.submit(DBOS.get_workflow_status, "first")
        gate.wait_for_arrival()
        second = pool.submit(DBOS.get_workflow_status, "second")
        eventually(lambda: question._asked)
        DBOS.destroy()
        gate.open()
        for asked in (first, second):
            with pytest.raises(error.DBOSException):
                asked.result(20)


def test_destroy_gives_running_workflows_the_time_it_is_told(launch: Launch, database_url: str) -> None:
    @DBOS.workflow()
    def workflow() -> str:
        DBOS.sleep(0.2)
        return "finished"

    launch()
    with SetWorkflowID("patient"):
        DBOS.start_workflow(workflow)
    DBOS.destroy(workflow_completion_timeout_sec=20)
    assert run_sql(database_url, "select status from workflow_status") == [("SUCCESS",)]


def test_a_new_registry_forgets_the_old_functions(launch: Launch, database_url: str) -> None:
    @DBOS.workflow()
    def workflow() -> None:
        raise AssertionError("must not run")

    launch()
    DBOS.destroy(destroy_registry=True)
    launch()
    with pytest.raises(error.DBOSException, match="before DBOS was launched"):
        workflow()
    with pytest.raises(error.DBOSException):
        DBOS.start_workflow(workflow)
    assert count_rows(database_url)["workflow_status"] == 0


def test_the_registry_survives_a_restart(launch: Launch) -> None:
    @DBOS.workflow()
    def workflow() -> int:
        return 1

    launch()
    version = DBOS.application_version
    assert workflow() == 1
    launch()
    assert workflow() == 1
    assert DBOS.application_version == version != ""
    assert len(DBOS.list_workflows()) == 2


# ---------------------------------------------------------------- resetting


@pytest.mark.owner("drops the database")
def test_a_reset_forgets_everything(launch: Launch, database_url: str) -> None:
    @DBOS.workflow()
    def workflow() -> None: ...

    for truncate in (False, True):
        launch()
        workflow()
        with pytest.raises(AssertionError, match="reset"):
            DBOS.reset_system_database()
        DBOS.destroy()
        DBOS(config={"name": "test-app", "system_database_url": database_url})
        DBOS.reset_system_database(truncate=truncate)
        DBOS.reset_system_database(truncate=truncate)  # nothing there: fine
        DBOS.launch()
        assert DBOS.list_workflows() == []


@pytest.mark.owner("drops the database")
def test_a_reset_takes_a_url(launch: Launch, database_url: str) -> None:
    @DBOS.workflow()
    def workflow() -> None: ...

    launch()
    workflow()
    DBOS.destroy()
    with pytest.raises(error.DBOSException, match="system_database_url"):
        DBOS.reset_system_database()
    DBOS.reset_system_database(system_database_url=database_url, truncate=True)
    assert count_rows(database_url)["workflow_status"] == 0
    DBOS.reset_system_database(system_database_url=database_url)
    launch()
    assert DBOS.list_workflows() == []


def test_the_fixture_of_the_documentation_runs_many_times(launch: Launch, sqlite_url: str) -> None:
    @DBOS.workflow()
    def workflow(number: int) -> int:
        return number

    for number in range(10):
        DBOS.destroy()
        DBOS(config={"name": "test-app", "system_database_url": sqlite_url})
        DBOS.reset_system_database()
        DBOS.launch()
        assert workflow(number) == number
        assert len(DBOS.list_workflows()) == 1


# ---------------------------------------------------------------- other members


def test_queues_to_listen_to_are_named_before_launch(launch: Launch, database_url: str) -> None:
    with pytest.raises(error.DBOSException):
        DBOS.listen_queues(["one"])
    DBOS(config={"name": "test-app", "system_database_url": database_url})
    DBOS.listen_queues(["one", "two"])
    DBOS.launch()
    with pytest.raises(error.DBOSException, match="before"):
        DBOS.listen_queues(["one"])


def test_there_is_one_alert_handler(launch: Launch) -> None:
    @DBOS.alert_handler
    def tell(rule_type: str, message: str, metadata: dict[str, str]) -> None: ...

    assert tell("WorkflowFailure", "", {}) is None
    with pytest.raises(error.DBOSException):
        DBOS.alert_handler(tell)
    DBOS.destroy(destroy_registry=True)
    launch()
    with pytest.raises(error.DBOSException, match="before"):
        DBOS.alert_handler(tell)


# ---------------------------------------------------------------- plain callables


def test_decorated_functions_look_like_the_plain_ones(launch: Launch) -> None:
    def plain(order: int, *, express: bool = False) -> str:
        """Ships an order."""
        return f"{order} {express}"

    async def coroutine(order: int) -> str:
        """Ships an order slowly."""
        return str(order)

    for decorate in (DBOS.workflow(), DBOS.step()):
        for func in (plain, coroutine):
            decorated = decorate(func)
            assert decorated.__name__ == func.__name__
            assert decorated.__qualname__ == func.__qualname__
            assert decorated.__doc__ == func.__doc__
            assert decorated.__wrapped__ is func
            assert inspect.signature(decorated) == inspect.signature(func)
            assert inspect.iscoroutinefunction(decorated) == inspect.iscoroutinefunction(func)


def test_the_methods_of_dbos_can_be_replaced_in_tests(launch: Launch) -> None:
    with patch.object(DBOS, "start_workflow", return_value="started") as start:
        assert DBOS.start_workflow(print) == "started"
    start.assert_called_once_with(print)
    with patch.object(DBOS, "sleep") as sleep:
        DBOS.sleep(1000)
    sleep.assert_called_once_with(1000)


def test_decorating_twice_does_not_raise(launch: Launch) -> None:
    @DBOS.step()
    @DBOS.workflow()
    def inner_workflow() -> int:
        return 1

    @DBOS.workflow()
    @DBOS.step()
    def inner_step() -> int:
        return 2

    launch()
    assert inner_workflow() == 1
    assert inner_step() == 2


def test_the_last_registration_of_a_name_wins_with_a_warning(launch: Launch, caplog: pytest.LogCaptureFixture) -> None:
    @DBOS.workflow(name="same")
    def first() -> int:
        return 1

    @DBOS.workflow(name="same")
    def second() -> int:
        return 2

    assert "Duplicate registration of function 'same'" in messages(caplog, logging.WARNING)
    launch()
    assert (second(), first()) == (2, 1)
    assert [status.name for status in DBOS.list_workflows()] == ["same", "same"]
