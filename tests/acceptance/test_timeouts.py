"""api.md §3.7: timeouts, deadlines, and who inherits them."""

import asyncio
import threading
import time

import pytest

from dbos import DBOS, SetWorkflowID, SetWorkflowTimeout, WorkflowStatus, error
from dbos.testing.shifting import Shift
from tests.support.fixture_types import Launch
from tests.support.raw_sql import run_sql
from tests.support.waiting import Gate, eventually

FOREVER = 1000.0
HOUR = 3600


def status_of(workflow_id: str) -> WorkflowStatus:
    return DBOS.retrieve_workflow(workflow_id).get_status()


def test_a_workflow_past_its_deadline_is_cancelled(launch: Launch) -> None:
    reached: list[str] = []

    @DBOS.step()
    def step() -> None:
        reached.append("step")

    @DBOS.workflow()
    def plain() -> None:
        DBOS.sleep(FOREVER)
        step()

    @DBOS.workflow()
    async def coroutine() -> None:
        await DBOS.sleep_async(FOREVER)
        step()

    launch()
    begun = time.monotonic()
    with SetWorkflowTimeout(0.2), SetWorkflowID("direct"):
        with pytest.raises(error.DBOSAwaitedWorkflowCancelledError, match="was cancelled"):
            plain()
    with SetWorkflowTimeout(0.2), SetWorkflowID("awaited"):
        with pytest.raises(error.DBOSAwaitedWorkflowCancelledError, match="was cancelled"):
            asyncio.run(coroutine())
    with SetWorkflowTimeout(0.2), SetWorkflowID("started"):
        handle = DBOS.start_workflow(coroutine)
    with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
        handle.get_result()
    assert time.monotonic() - begun < 15
    assert reached == []
    for workflow_id in ("direct", "awaited", "started"):
        status = status_of(workflow_id)
        assert (status.status, status.workflow_timeout_ms) == ("CANCELLED", 200)
        assert status.created_at is not None
        assert status.completed_at is not None
        assert status.workflow_deadline_epoch_ms is not None
        assert 0 <= status.workflow_deadline_epoch_ms - status.created_at - 200 < 100
        assert status.workflow_deadline_epoch_ms <= status.completed_at


def test_a_busy_workflow_stops_at_its_next_step(launch: Launch) -> None:
    reached: list[str] = []
    with Gate() as gate:

        @DBOS.step()
        def step() -> None:
            reached.append("step")

        @DBOS.workflow()
        def workflow() -> None:
            try:
                gate.pass_through()
                step()
            except Exception as caught:
                reached.append(repr(caught))

        launch()
        with SetWorkflowTimeout(0.1):
            handle = DBOS.start_workflow(workflow)
        with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
            DBOS.get_result(handle.workflow_id)
    with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
        handle.get_result()
    assert reached == []


def test_a_workflow_in_time_is_left_alone(launch: Launch) -> None:
    @DBOS.workflow()
    def workflow() -> str:
        DBOS.sleep(0.01)
        return "in time"

    launch()
    with SetWorkflowTimeout(FOREVER):
        assert workflow() == "in time"
        assert DBOS.start_workflow(workflow).get_result() == "in time"
    assert {status.workflow_timeout_ms for status in DBOS.list_workflows()} == {1_000_000}


def test_a_timeout_is_checked(launch: Launch) -> None:
    with pytest.raises(Exception, match=r"Invalid workflow timeout -1. Timeouts must be positive\."):
        SetWorkflowTimeout(-1)
    for wrong in (float("nan"), float("inf"), "1", True, 1e12, 10**400):
        with pytest.raises(error.DBOSException, match="Invalid workflow timeout"):
            SetWorkflowTimeout(wrong)  # type: ignore[arg-type]
    SetWorkflowTimeout(0)
    SetWorkflowTimeout(None)


def test_children_share_the_deadline_of_their_parent(launch: Launch) -> None:
    @DBOS.workflow(name="child")
    def child() -> None: ...

    @DBOS.workflow(name="parent")
    def parent() -> None:
        child()
        DBOS.start_workflow(child).get_result()
        with SetWorkflowTimeout(50):
            child()
        with SetWorkflowTimeout(None):
            child()

    launch()
    with SetWorkflowTimeout(FOREVER), SetWorkflowID("p"):
        parent()
    top, called, started, own, free = DBOS.list_workflows()
    assert top.workflow_timeout_ms == 1_000_000
    for inherited in (called, started):
        assert inherited.workflow_timeout_ms is None
        assert inherited.workflow_deadline_epoch_ms == top.workflow_deadline_epoch_ms is not None
    assert own.workflow_timeout_ms == 50_000
    assert own.created_at is not None
    assert own.workflow_deadline_epoch_ms is not None
    assert 0 <= own.workflow_deadline_epoch_ms - own.created_at - 50_000 < 100
    assert (free.workflow_timeout_ms, free.workflow_deadline_epoch_ms) == (None, None)


@pytest.mark.owner("makes the table that moves the time of a database")
@pytest.mark.parametrize("coroutine", [False, True])
def test_parent_and_children_expire_together(launch: Launch, coroutine: bool) -> None:
    @DBOS.workflow(name="detached")
    def detached() -> str:
        return "free"

    @DBOS.workflow(name="child")
    def child() -> None:
        DBOS.sleep(2 * HOUR)

    @DBOS.workflow(name="parent")
    def parent() -> None:
        with SetWorkflowTimeout(None):
            detached()
        child()

    @DBOS.workflow(name="child_async")
    async def child_async() -> None:
        await DBOS.sleep_async(2 * HOUR)

    @DBOS.workflow(name="parent_async")
    async def parent_async() -> None:
        with SetWorkflowTimeout(None):
            detached()
        await child_async()

    shift = Shift()

    def expire() -> None:
        eventually(lambda: DBOS.list_workflow_steps("p-3"))  # it sleeps
        shift.forward(HOUR * 1000)

    with shift.installed():
        launch()
        expiring = threading.Thread(target=expire, daemon=True)
        expiring.start()
        with SetWorkflowTimeout(HOUR), SetWorkflowID("p"):
            with pytest.raises(error.DBOSAwaitedWorkflowCancelledError) as caught:
                if coroutine:
                    asyncio.run(parent_async())
                else:
                    parent()
        expiring.join()
    assert caught.value.workflow_id == "p"
    statuses = {status.workflow_id: status.status for status in DBOS.list_workflows()}
    assert statuses == {"p": "CANCELLED", "p-1": "SUCCESS", "p-3": "CANCELLED"}


def test_a_deadline_survives_a_restart(launch: Launch) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def workflow() -> None:
            gate.pass_through()
            DBOS.sleep(FOREVER)

        launch()
        with SetWorkflowTimeout(1.0), SetWorkflowID("w"):
            DBOS.start_workflow(workflow)
        gate.wait_for_arrival()
        deadline = status_of("w").workflow_deadline_epoch_ms
        launch()
        gate.open()
        with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
            DBOS.get_result("w")
    status = status_of("w")
    assert status.workflow_deadline_epoch_ms == deadline is not None
    assert status.completed_at is not None
    assert 0 <= status.completed_at - deadline < 5_000


def test_a_deadline_that_passed_meanwhile_is_enforced(launch: Launch, database_url: str) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def workflow() -> None:
            gate.pass_through()
            DBOS.sleep(FOREVER)

        launch()
        with SetWorkflowTimeout(FOREVER), SetWorkflowID("w"):
            DBOS.start_workflow(workflow)
        gate.wait_for_arrival()
        DBOS.destroy()
        run_sql(database_url, "update workflow_status set workflow_deadline_epoch_ms = 1000")
        launch()
        with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
            DBOS.get_result("w")


@pytest.mark.owner("makes the table that moves the time of a database")
def test_a_deadline_fires_even_if_nobody_can_run_the_workflow(launch: Launch, database_url: str) -> None:
    shift = Shift()
    with shift.installed(), Gate() as gate:

        @DBOS.workflow()
        def workflow() -> None:
            gate.pass_through()
            DBOS.sleep(0)

        launch(application_version="old")
        with SetWorkflowTimeout(HOUR), SetWorkflowID("w"):
            DBOS.start_workflow(workflow)
        gate.wait_for_arrival()
        launch(application_version="new")
        shift.forward(HOUR * 1000)
        eventually(lambda: status_of("w").status == "CANCELLED")


@pytest.mark.owner("makes the table that moves the time of a database")
def test_a_resumed_workflow_gets_its_time_anew(launch: Launch) -> None:
    shift = Shift()
    with shift.installed(), Gate() as gate:

        @DBOS.workflow()
        def workflow() -> str:
            if gate.passes == 0:
                gate.pass_through()
            DBOS.sleep(0)
            return "second time"

        launch()
        with SetWorkflowTimeout(HOUR), SetWorkflowID("w"):
            handle = DBOS.start_workflow(workflow)
        gate.wait_for_arrival()
        shift.forward(HOUR * 1000)
        with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
            DBOS.get_result("w")
        first_deadline = status_of("w").workflow_deadline_epoch_ms
        gate.open()
        with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
            handle.get_result()
        assert DBOS.resume_workflow("w").get_result() == "second time"
    status = status_of("w")
    assert status.workflow_timeout_ms == HOUR * 1000
    assert status.workflow_deadline_epoch_ms is not None
    assert first_deadline is not None
    assert status.workflow_deadline_epoch_ms > first_deadline


def test_a_resumed_workflow_is_cancelled_again(launch: Launch) -> None:
    @DBOS.workflow()
    def workflow() -> None:
        DBOS.sleep(FOREVER)

    launch()
    with SetWorkflowTimeout(0.15), SetWorkflowID("w"), pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
        workflow()
    with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
        DBOS.resume_workflow("w").get_result()
    assert status_of("w").status == "CANCELLED"
