"""api.md §8.4: durable sleep."""

import asyncio
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from dbos import DBOS, DBOSClient, SetWorkflowID, error
from dbos.api.launched import current_engine
from dbos.services import recovery
from dbos.testing import shifting
from dbos.testing.shifting import Shift
from tests.support.fixture_types import Launch, Replay
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually

FOREVER = 1000.0
HOUR = 3600


@pytest.mark.parametrize("coroutine", [False, True])
def test_a_sleep_is_a_step_whose_output_is_when_it_ends(launch: Launch, replay: Replay, coroutine: bool) -> None:
    @DBOS.workflow()
    def plain() -> None:
        DBOS.sleep(0.1)

    @DBOS.workflow()
    async def slow() -> None:
        await DBOS.sleep_async(0.1)

    launch()
    before, begun = time.time(), time.monotonic()
    with SetWorkflowID("w"):
        if coroutine:
            asyncio.run(slow())
        else:
            plain()
    assert time.monotonic() - begun >= 0.1
    (step,) = DBOS.list_workflow_steps("w")
    assert (step["function_id"], step["function_name"], step["error"]) == (1, "DBOS.sleep", None)
    assert before + 0.05 <= step["output"] <= time.time() + 0.05
    assert replay("w").get_result() is None
    assert DBOS.list_workflow_steps("w") == [step]


def test_no_sleep_is_short(launch: Launch) -> None:
    """Not even by the part of a millisecond that the clock does not show."""
    elapsed: list[float] = []

    @DBOS.workflow()
    def workflow() -> None:
        for _ in range(10):
            begun = time.monotonic()
            DBOS.sleep(0.02)
            elapsed.append(time.monotonic() - begun)

    launch()
    workflow()
    assert min(elapsed) >= 0.02


@pytest.mark.owner("makes the table that moves the time of a database")
def test_who_sleeps_through_a_suspension_of_the_machine_wakes_up_with_it(
    launch: Launch, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clocks of the database and of the wall go on for an hour, and the monotonic one stands still."""

    @DBOS.workflow()
    def workflow() -> str:
        DBOS.sleep(HOUR)
        return "awake"

    monkeypatch.setattr(recovery, "SWEEP_SECONDS", 0.05)
    with Shift().installed():
        launch(executor_lease_sec=HOUR)
        handle = DBOS.start_workflow(workflow)
        eventually(lambda: DBOS.list_workflow_steps(handle.workflow_id))
        run_sql(database_url, "update dbos_test_clock set ahead_ms = ?", HOUR * 1000)
        clocks = SimpleNamespace(monotonic=time.monotonic, time=lambda: time.time() + HOUR)
        monkeypatch.setattr(recovery, "time", clocks)
        eventually(lambda: handle.get_status().output == "awake")


@pytest.mark.owner("makes the table that moves the time of a database")
def test_a_clock_that_is_read_while_time_moves_moves_once(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the renewal of the lease reads it, at any moment."""
    readings: list[threading.Thread] = []
    write = shifting._write

    def write_and_read(*arguments: Any, **values: Any) -> None:
        write(*arguments, **values)
        readings.append(threading.Thread(target=current_engine().clock.synchronise))
        readings[-1].start()
        readings[-1].join(0.2)  # it ends here only if it sees the time of the database moved, and ours not yet

    shift = Shift()
    with shift.installed():
        launch()
        begun_ms = current_engine().clock.now_ms()
        monkeypatch.setattr(shifting, "_write", write_and_read)
        shift.forward(HOUR * 1000)
        for reading in readings:
            reading.join()
        assert HOUR * 1000 <= current_engine().clock.now_ms() - begun_ms < 2 * HOUR * 1000
        assert readings


@pytest.mark.owner("makes the table that moves the time of a database")
def test_who_opens_a_store_while_time_moves_does_not_move_it_back(
    launch: Launch, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients: list[threading.Thread] = []
    write = shifting._write

    def connect() -> None:
        DBOSClient(system_database_url=database_url).destroy()

    def write_while_somebody_connects(*arguments: Any, **values: Any) -> None:
        write(*arguments, **values)
        if not clients:
            clients.append(threading.Thread(target=connect))
            clients[0].start()
            clients[0].join(0.5)  # it ends here only if it does not wait for the move

    shift = Shift()
    with shift.installed():
        launch()
        monkeypatch.setattr(shifting, "_write", write_while_somebody_connects)
        shift.forward(HOUR * 1000)
        clients[0].join()
    assert run_sql(database_url, "select ahead_ms from dbos_test_clock") == [(HOUR * 1000,)]


@pytest.mark.parametrize("seconds", [0, -5, -0.0])
def test_no_time_at_all_is_recorded_too(launch: Launch, seconds: float) -> None:
    @DBOS.workflow()
    def workflow() -> None:
        DBOS.sleep(seconds)

    launch()
    with SetWorkflowID("w"):
        workflow()
    assert [step["function_name"] for step in DBOS.list_workflow_steps("w")] == ["DBOS.sleep"]


@pytest.mark.owner("makes the table that moves the time of a database")
def test_a_restart_does_not_prolong_a_sleep(launch: Launch) -> None:
    """Of two hours: the process ends after each of them."""

    @DBOS.workflow()
    def workflow() -> None:
        DBOS.sleep(2 * HOUR)

    shift = Shift()
    with shift.installed():
        launch()
        with SetWorkflowID("w"):
            DBOS.start_workflow(workflow)
        (step,) = eventually(lambda: DBOS.list_workflow_steps("w"))
        for _ in range(2):
            assert DBOS.retrieve_workflow("w").get_status().status == "PENDING"
            shift.forward(HOUR * 1000)
            launch()
        eventually(lambda: DBOS.retrieve_workflow("w").get_status().status == "SUCCESS")
        assert DBOS.list_workflow_steps("w") == [step]


def test_the_recorded_time_counts_in_a_replay(launch: Launch, replay: Replay) -> None:
    seconds = [0.0]

    @DBOS.workflow()
    def workflow() -> str:
        DBOS.sleep(seconds[0])
        return "awake"

    launch()
    with SetWorkflowID("w"):
        workflow()
    seconds[0] = FOREVER  # a sleep that began again would never end
    assert replay("w").get_result() == "awake"


@pytest.mark.parametrize("coroutine", [False, True])
def test_a_cancellation_wakes_the_sleeper(launch: Launch, coroutine: bool) -> None:
    @DBOS.workflow()
    def plain() -> None:
        DBOS.sleep(FOREVER)

    @DBOS.workflow()
    async def slow() -> None:
        await DBOS.sleep_async(FOREVER)

    launch()
    handle = DBOS.start_workflow(slow if coroutine else plain)
    eventually(lambda: DBOS.list_workflow_steps(handle.workflow_id))
    begun = time.monotonic()
    DBOS.cancel_workflow(handle.workflow_id)
    with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
        handle.get_result()
    DBOS.destroy(workflow_completion_timeout_sec=20)
    assert time.monotonic() - begun < 10


def test_a_sleep_needs_a_workflow_and_a_number(launch: Launch) -> None:
    refused: list[str] = []

    @DBOS.workflow()
    def workflow() -> None:
        for seconds in (float("nan"), float("inf"), 10**400, None, "1"):
            try:
                DBOS.sleep(seconds)  # type: ignore[arg-type]
            except error.DBOSException as refusal:
                refused.append(str(refusal))
        DBOS.sleep(0)

    launch()
    with pytest.raises(error.DBOSException, match="within a workflow"):
        DBOS.sleep(0)
    with pytest.raises(error.DBOSException, match="within a workflow"):
        asyncio.run(DBOS.sleep_async(0))
    with SetWorkflowID("w"):
        workflow()
    assert len(refused) == 5
    assert [step["function_id"] for step in DBOS.list_workflow_steps("w")] == [1]
