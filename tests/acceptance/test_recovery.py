"""api.md §3.8 - §3.10: recovery, dead letters, concurrent executions, and code that does not repeat itself."""

import asyncio
import logging
from typing import Any

import pytest

from dbos import DBOS, DBOSConfiguredInstance, DBOSContextSetAuth, SetWorkflowID, WorkflowStatus, error
from tests.support.fixture_types import Launch, Replay
from tests.support.raw_sql import run_sql
from tests.support.waiting import Gate, eventually


def status_of(workflow_id: str) -> WorkflowStatus:
    return DBOS.retrieve_workflow(workflow_id).get_status()


def errors_in(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR)


# ---------------------------------------------------------------- going on


@pytest.mark.parametrize("coroutine", [False, True])
def test_completed_steps_do_not_run_again(launch: Launch, coroutine: bool) -> None:
    ran: list[str] = []
    with Gate() as gate:

        @DBOS.step()
        def step(name: str) -> str:
            ran.append(name)
            return name

        @DBOS.step()
        def failing() -> None:
            ran.append("failing")
            raise ValueError("recorded")

        @DBOS.workflow()
        def plain(prefix: str, *, times: int) -> str:
            parts = [step(f"{prefix}{number}") for number in range(times)]
            try:
                failing()
            except ValueError as caught:
                parts.append(str(caught))
            gate.pass_through()
            return ",".join([*parts, step("last")])

        @DBOS.workflow()
        async def slow(prefix: str, *, times: int) -> str:
            parts = [step(f"{prefix}{number}") for number in range(times)]
            try:
                failing()
            except ValueError as caught:
                parts.append(str(caught))
            await gate.pass_through_async()
            return ",".join([*parts, step("last")])

        launch()
        with SetWorkflowID("w"), DBOSContextSetAuth("bob", ["clerk"]):
            DBOS.start_workflow(slow if coroutine else plain, "s", times=2)
        gate.wait_for_arrival()
        launch()
        gate.wait_for_arrival(2)
        gate.open()
        assert DBOS.get_result("w") == "s0,s1,recorded,last"
    assert ran == ["s0", "s1", "failing", "last"]
    status = status_of("w")
    assert (status.recovery_attempts, status.queue_name) == (2, None)
    assert (status.authenticated_user, status.authenticated_roles) == ("bob", ["clerk"])
    assert status.input == {"args": ("s",), "kwargs": {"times": 2}}


def test_the_identity_is_restored(launch: Launch) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def workflow() -> list[object]:
            gate.pass_through()
            return [DBOS.authenticated_user, DBOS.authenticated_roles, DBOS.workflow_id]

        launch()
        with SetWorkflowID("w"), DBOSContextSetAuth("eve", ["root"]):
            DBOS.start_workflow(workflow)
        gate.wait_for_arrival()
        launch()
        gate.open()
        assert DBOS.get_result("w") == ["eve", ["root"], "w"]


def test_only_this_executor_and_version_are_recovered(launch: Launch) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def workflow() -> str:
            gate.pass_through()
            return DBOS.application_version

        launch(application_version="one")
        with SetWorkflowID("w"):
            DBOS.start_workflow(workflow)
        gate.wait_for_arrival()
        launch(application_version="two")
        assert DBOS._recover_pending_workflows(["local"]) == []
        assert status_of("w").recovery_attempts == 1
        launch(application_version="one")
        gate.open()
        assert DBOS.get_result("w") == "one"
    assert status_of("w").recovery_attempts == 2


def test_another_application_is_left_alone(launch: Launch) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def workflow() -> str:
            gate.pass_through()
            return "mine"

        launch(name="first-app", application_version="v")
        with SetWorkflowID("w"):
            DBOS.start_workflow(workflow)
        gate.wait_for_arrival()
        launch(name="second-app", application_version="v")
        assert DBOS._recover_pending_workflows(["local"]) == []
        assert DBOS.list_workflows() == []
        launch(name="first-app", application_version="v")
        gate.open()
        assert DBOS.get_result("w") == "mine"


def test_a_row_of_an_executor_that_never_registered_waits_until_it_is_asked_for(
    launch: Launch, database_url: str
) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def workflow() -> str:
            gate.pass_through()
            return DBOS.executor_id

        launch(application_version="v")
        with SetWorkflowID("w"):
            DBOS.start_workflow(workflow)
        gate.wait_for_arrival()
        DBOS.destroy()
        run_sql(database_url, "update workflow_status set executor_id = 'elsewhere', executor_instance = 'unknown'")
        gate.open()
        launch(application_version="v", executor_id="heir")
        assert DBOS._recover_pending_workflows(["local"]) == []
        assert status_of("w").status == "PENDING"
        (handle,) = DBOS._recover_pending_workflows(["elsewhere"])
        assert (handle.workflow_id, handle.get_result()) == ("w", "heir")


def test_an_explicit_takeover_supersedes_what_runs(launch: Launch) -> None:
    first, second = Gate(), Gate()
    reached: list[str] = []
    with first, second:

        @DBOS.step()
        def step(name: str) -> str:
            reached.append(name)
            return name

        @DBOS.workflow()
        def workflow() -> str:
            who = "first" if first.passes == 0 else "second"
            (first if who == "first" else second).pass_through()
            return step(who)

        launch()
        with SetWorkflowID("w"):
            handle = DBOS.start_workflow(workflow)
        first.wait_for_arrival()
        (recovered,) = DBOS._recover_pending_workflows(["local"])
        second.wait_for_arrival()
        first.open()
        second.open()
        assert recovered.get_result() == handle.get_result() == "second"
    assert reached == ["second"]
    assert [step["output"] for step in DBOS.list_workflow_steps("w")] == ["second"]
    assert status_of("w").recovery_attempts == 2


def test_the_loser_of_a_takeover_delivers_the_result_of_the_winner(launch: Launch, database_url: str) -> None:
    first, second = Gate(), Gate()
    with first, second:

        @DBOS.workflow()
        async def workflow() -> str:
            who = "first" if first.passes == 0 else "second"
            await (first if who == "first" else second).pass_through_async()
            return who

        launch()

        async def main() -> str:
            with SetWorkflowID("w"):
                running = asyncio.create_task(workflow())  # type: ignore[arg-type]
                await first.wait_for_arrival_async()
            await asyncio.to_thread(DBOS._recover_pending_workflows, ["local"])
            await second.wait_for_arrival_async()
            first.open()
            second.open()
            return await running

        assert asyncio.run(main()) == "second"


# ---------------------------------------------------------------- what cannot be recovered


def test_an_unknown_function_is_reported_and_waits(launch: Launch, caplog: pytest.LogCaptureFixture) -> None:
    with Gate() as gate:

        @DBOS.workflow(name="known")
        def known() -> str:
            gate.pass_through()
            return "known"

        def lost() -> str:
            gate.pass_through()
            return "found again"

        start_lost = DBOS.workflow(name="lost")(lost)
        launch(application_version="v")
        for workflow_id, func in (("lost", start_lost), ("known", known)):
            with SetWorkflowID(workflow_id):
                DBOS.start_workflow(func)
        gate.wait_for_arrival(2)
        DBOS.destroy(destroy_registry=True)
        gate.open()
        DBOS.workflow(name="known")(lambda: "known")
        launch(application_version="v")
        assert DBOS.get_result("known") == "known"
        eventually(lambda: "function 'lost' is not registered" in errors_in(caplog))
        status = status_of("lost")
        assert (status.status, status.recovery_attempts) == ("PENDING", 1)
        DBOS.workflow(name="lost")(lost)
        assert DBOS.get_result("lost") == "found again"


def test_a_missing_instance_is_reported_and_the_others_go_on(launch: Launch, caplog: pytest.LogCaptureFixture) -> None:
    with Gate() as gate:

        def shops(*names: str) -> list[Any]:
            @DBOS.dbos_class("Shop")
            class Shop(DBOSConfiguredInstance):
                @DBOS.workflow(name="Shop.sell")
                def sell(self) -> str:
                    gate.pass_through()
                    return self.config_name

            return [Shop(name) for name in names]

        north, south = shops("north", "south")
        launch(application_version="v")
        for shop in (north, south):
            with SetWorkflowID(shop.config_name):
                DBOS.start_workflow(shop.sell)
        gate.wait_for_arrival(2)
        DBOS.destroy(destroy_registry=True)
        gate.open()
        shops("north")
        launch(application_version="v")
        assert DBOS.get_result("north") == "north"
        eventually(lambda: "south" in errors_in(caplog))
        assert "workflow south stays PENDING" in errors_in(caplog)
        status = status_of("south")
        assert (status.status, status.class_name, status.config_name) == ("PENDING", "Shop", "south")


def test_a_row_whose_arguments_are_rotten_is_reported_and_the_others_go_on(
    launch: Launch, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def workflow(number: int) -> int:
            gate.pass_through()
            return number

        launch()
        for number in (1, 2):
            with SetWorkflowID(f"w{number}"):
                DBOS.start_workflow(workflow, number)
        gate.wait_for_arrival(2)
        DBOS.destroy()
        run_sql(database_url, "update workflow_status set inputs = '{rotten' where workflow_uuid = 'w1'")
        gate.open()
        launch()
        assert DBOS.get_result("w2") == 2
        eventually(lambda: "w1" in errors_in(caplog))
        assert status_of("w1").status == "PENDING"


# ---------------------------------------------------------------- dead letters


def test_a_workflow_that_keeps_dying_is_put_aside(launch: Launch, caplog: pytest.LogCaptureFixture) -> None:
    with Gate() as gate:

        @DBOS.workflow(max_recovery_attempts=1)
        def workflow() -> str:
            gate.pass_through()
            return "resumed"

        launch()
        with SetWorkflowID("w"):
            DBOS.start_workflow(workflow)
        gate.wait_for_arrival(1)
        assert DBOS._recover_pending_workflows()[0].workflow_id == "w"
        gate.wait_for_arrival(2)
        assert status_of("w").recovery_attempts == 2
        assert DBOS._recover_pending_workflows() == []
        status = status_of("w")
        assert status.status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED"
        assert status.completed_at is not None
        assert "exceeded its maximum of 1 recovery attempts" in errors_in(caplog)
        with pytest.raises(error.DBOSAwaitedWorkflowMaxRecoveryAttemptsExceeded):
            DBOS.get_result("w")
        with SetWorkflowID("w"), pytest.raises(error.DBOSAwaitedWorkflowMaxRecoveryAttemptsExceeded):
            workflow()
        launch()
        assert status_of("w").status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED"
        assert gate.passes == 2
        gate.open()
        assert DBOS.resume_workflow("w").get_result() == "resumed"
    assert status_of("w").recovery_attempts == 1


def test_without_a_limit_a_workflow_is_recovered_for_ever(launch: Launch, database_url: str) -> None:
    with Gate() as gate:

        @DBOS.workflow(max_recovery_attempts=None)
        def workflow() -> str:
            gate.pass_through()
            return "done"

        launch()
        with SetWorkflowID("w"):
            DBOS.start_workflow(workflow)
        gate.wait_for_arrival()
        run_sql(database_url, "update workflow_status set recovery_attempts = 100000")
        DBOS._recover_pending_workflows()
        gate.open()
        assert DBOS.get_result("w") == "done"
    assert status_of("w").recovery_attempts == 100_001


def test_a_completed_workflow_is_never_put_aside(launch: Launch) -> None:
    @DBOS.workflow(max_recovery_attempts=0)
    def workflow() -> int:
        return 1

    launch()
    for _ in range(4):
        with SetWorkflowID("w"):
            assert workflow() == 1
        assert DBOS._recover_pending_workflows() == []
    assert status_of("w").status == "SUCCESS"


@pytest.mark.parametrize("limit", [-1, 1.5, "3", True])
def test_a_limit_is_checked_at_decoration(launch: Launch, limit: object) -> None:
    with pytest.raises(error.DBOSException, match="max_recovery_attempts"):
        DBOS.workflow(max_recovery_attempts=limit)  # type: ignore[arg-type]


# ---------------------------------------------------------------- determinism


def test_another_step_at_the_same_number_is_refused(launch: Launch, replay: Replay) -> None:
    ran: list[str] = []
    changed: list[bool] = []

    @DBOS.step(name="first")
    def first() -> None:
        ran.append("first")

    @DBOS.step(name="second")
    def second() -> None:
        ran.append("second")

    @DBOS.workflow()
    def workflow() -> None:
        if changed:
            second()
        first()

    launch()
    with SetWorkflowID("w"):
        workflow()
    changed.append(True)
    with pytest.raises(error.DBOSUnexpectedStepError, match="first") as caught:
        replay("w").get_result()
    assert "second" in str(caught.value)
    assert ran == ["first"]
    assert status_of("w").status == "ERROR"
    assert isinstance(status_of("w").error, error.DBOSUnexpectedStepError)


@pytest.mark.parametrize("now", ["sleep", "child", "status", "wait"])
def test_every_recorded_call_is_compared(launch: Launch, replay: Replay, now: str) -> None:
    @DBOS.step(name="step")
    def step() -> None: ...

    @DBOS.workflow(name="child")
    def child() -> None:
        raise AssertionError("must not run")

    calls = {
        "sleep": lambda: DBOS.sleep(1000),
        "child": child,
        "status": lambda: DBOS.get_workflow_status("w"),
        "wait": lambda: DBOS.get_result("w"),
    }
    changed: list[bool] = []

    @DBOS.workflow()
    def workflow() -> None:
        (calls[now] if changed else step)()

    launch()
    with SetWorkflowID("w"):
        workflow()
    changed.append(True)
    with pytest.raises(error.DBOSUnexpectedStepError):
        replay("w").get_result()
    assert [status.workflow_id for status in DBOS.list_workflows()] == ["w"]
