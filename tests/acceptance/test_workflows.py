"""api.md §3.1, §3.2, §3.4, §3.11 - §3.13: calling and starting workflows, their ids and their status."""

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from dbos import DBOS, Queue, SetWorkflowAttributes, SetWorkflowID, WorkflowStatus, WorkflowStatusString, error
from tests.support.fixture_types import Launch, Replay
from tests.support.raw_sql import count_rows
from tests.support.waiting import Gate


def status_of(workflow_id: str) -> WorkflowStatus:
    status = DBOS.get_workflow_status(workflow_id)
    assert status is not None
    return status


@DBOS.step()
def undecorated_by_now() -> None:
    """Registered with a registry that no test launches."""


# ---------------------------------------------------------------- colours


def test_every_way_to_run_a_workflow(launch: Launch) -> None:
    @DBOS.workflow()
    def plain(number: int, *, factor: int = 1) -> int:
        return number * factor

    @DBOS.workflow()
    async def coroutine(number: int, *, factor: int = 1) -> int:
        await asyncio.sleep(0)
        return number * factor

    launch()
    assert plain(2, factor=3) == 6
    assert asyncio.run(coroutine(2, factor=3)) == 6
    assert DBOS.start_workflow(plain, 2, factor=3).get_result() == 6
    assert DBOS.start_workflow(coroutine, 2, factor=3).get_result() == 6

    async def on_a_loop() -> list[int]:
        return [
            plain(2, factor=3),
            await coroutine(2, factor=3),
            await (await DBOS.start_workflow_async(plain, 2, factor=3)).get_result(),
            await (await DBOS.start_workflow_async(coroutine, 2, factor=3)).get_result(),
        ]

    assert asyncio.run(on_a_loop()) == [6, 6, 6, 6]
    assert {(s.status, s.output) for s in DBOS.list_workflows()} == {("SUCCESS", 6)}
    assert len(DBOS.list_workflows()) == 8


@pytest.mark.parametrize("way", ["call", "start", "enqueue"])
def test_a_decorator_in_between_may_take_other_arguments(launch: Launch, replay: Replay, way: str) -> None:
    """`functools.wraps` shows the signature of what is wrapped, and that is not what callers go by."""

    def inject(func: Callable[..., str]) -> Callable[..., str]:
        @functools.wraps(func)
        def wrapper(*args: Any, loud: bool, **kwargs: Any) -> str:
            found = func("db", *args, **kwargs)
            return found.upper() if loud else found

        return wrapper

    @DBOS.workflow()
    @inject
    def workflow(connection: str, item: str) -> str:
        return f"{item} in {connection}"

    queue = Queue("q")
    launch()
    with SetWorkflowID("w"):
        match way:
            case "call":
                assert workflow("hat", loud=True) == "HAT IN DB"
            case "start":
                assert DBOS.start_workflow(workflow, "hat", loud=True).get_result() == "HAT IN DB"
            case "enqueue":
                assert queue.enqueue(workflow, "hat", loud=True).get_result() == "HAT IN DB"
    assert status_of("w").input == {"args": ("hat",), "kwargs": {"loud": True}}
    if way != "enqueue":
        assert replay("w").get_result() == "HAT IN DB"
    with pytest.raises(TypeError, match="loud"):
        DBOS.start_workflow(workflow, "hat")


def test_where_a_workflow_runs(launch: Launch) -> None:
    @DBOS.workflow()
    def plain() -> int:
        return threading.get_ident()

    @DBOS.workflow()
    async def coroutine() -> int:
        return id(asyncio.get_running_loop())

    launch()
    assert plain() == threading.get_ident()
    assert DBOS.start_workflow(plain).get_result() != threading.get_ident()

    async def main() -> None:
        here = id(asyncio.get_running_loop())
        assert await coroutine() == here
        assert await (await DBOS.start_workflow_async(coroutine)).get_result() == here
        assert await (await DBOS.start_workflow_async(plain)).get_result() != threading.get_ident()
        assert await asyncio.to_thread(lambda: DBOS.start_workflow(coroutine).get_result()) != here

    asyncio.run(main())


def test_mixed_colours_inside_workflows(launch: Launch) -> None:
    @DBOS.step()
    def plain_step(number: int) -> int:
        return number + 1

    @DBOS.step()
    async def coroutine_step(number: int) -> int:
        return number + 10

    @DBOS.workflow()
    def plain_child(number: int) -> int:
        return plain_step(number)

    @DBOS.workflow()
    async def coroutine_child(number: int) -> int:
        return await coroutine_step(plain_step(number))

    @DBOS.workflow()
    async def coroutine_parent() -> list[int]:
        return [
            plain_child(0),
            await coroutine_child(0),
            await (await DBOS.start_workflow_async(plain_child, 1)).get_result(),
            await (await DBOS.start_workflow_async(coroutine_child, 1)).get_result(),
            await asyncio.to_thread(plain_step, 5),
        ]

    @DBOS.workflow()
    def plain_parent() -> list[int]:
        return [
            plain_child(0),
            DBOS.start_workflow(plain_child, 1).get_result(),
            DBOS.start_workflow(coroutine_child, 1).get_result(),
        ]

    launch()
    assert asyncio.run(coroutine_parent()) == [1, 11, 2, 12, 6]
    assert plain_parent() == [1, 2, 12]


# ---------------------------------------------------------------- ids


def test_an_id_is_generated_or_given(launch: Launch) -> None:
    @DBOS.workflow()
    def workflow() -> str | None:
        return DBOS.workflow_id

    launch()
    first, second = workflow(), workflow()
    assert first is not None
    assert first != second
    with SetWorkflowID("mine"):
        assert workflow() == "mine"
    assert DBOS.workflow_id is None


def test_an_id_is_for_the_first_workflow_of_its_block(launch: Launch, caplog: pytest.LogCaptureFixture) -> None:
    @DBOS.workflow()
    def workflow() -> str | None:
        return DBOS.workflow_id

    launch()
    with SetWorkflowID("first"):
        assert workflow() == "first"
        other = workflow()
        assert DBOS.start_workflow(workflow).workflow_id not in ("first", other)
    assert other != "first"
    assert any("SetWorkflowID" in record.getMessage() for record in caplog.records)
    with SetWorkflowID("outer"):
        with SetWorkflowID("inner"):
            assert workflow() == "inner"
        assert workflow() == "outer"


@pytest.mark.parametrize("start", [False, True])
def test_an_id_runs_once(launch: Launch, start: bool) -> None:
    ran: list[int] = []

    @DBOS.workflow()
    def workflow(number: int) -> int:
        ran.append(number)
        return number

    launch()
    for number in (1, 2, 3):
        with SetWorkflowID("once"):
            result = DBOS.start_workflow(workflow, number).get_result() if start else workflow(number)
        assert result == 1
    assert ran == [1]
    status = status_of("once")
    assert status.input == {"args": (1,), "kwargs": {}}
    assert status.recovery_attempts == 1


def test_a_failed_id_fails_again_without_running(launch: Launch) -> None:
    ran: list[int] = []

    @DBOS.workflow()
    def workflow() -> None:
        ran.append(1)
        raise KeyError("lost")

    launch()
    for _ in range(2):
        with SetWorkflowID("once"), pytest.raises(KeyError, match="lost"):
            workflow()
    with SetWorkflowID("once"):
        handle = DBOS.start_workflow(workflow)
    with pytest.raises(KeyError, match="lost"):
        handle.get_result()
    assert ran == [1]


def test_an_id_survives_a_restart(launch: Launch) -> None:
    ran: list[int] = []

    @DBOS.workflow()
    def workflow() -> int:
        ran.append(1)
        return len(ran)

    for _ in range(3):
        launch()
        with SetWorkflowID("once"):
            assert workflow() == 1
    assert ran == [1]


def test_a_second_start_attaches_to_what_runs(launch: Launch) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def plain() -> int:
            gate.pass_through()
            return gate.passes

        launch()
        with SetWorkflowID("shared"):
            first = DBOS.start_workflow(plain)
        gate.wait_for_arrival()
        with SetWorkflowID("shared"):
            second = DBOS.start_workflow(plain)
        answers: list[int] = []

        def call() -> None:
            with SetWorkflowID("shared"):
                answers.append(plain())

        caller = threading.Thread(target=call)
        caller.start()
        assert second.get_status().status == "PENDING"
        gate.open()
        caller.join()
    assert (first.get_result(), second.get_result(), answers) == (1, 1, [1])
    assert gate.passes == 1
    assert status_of("shared").recovery_attempts == 1


def test_many_threads_start_one_id_once(launch: Launch) -> None:
    ran: list[int] = []

    @DBOS.workflow()
    def workflow() -> int:
        ran.append(1)
        return 7

    launch()
    answers: list[int] = []
    barrier = threading.Barrier(8)

    def call() -> None:
        barrier.wait()
        with SetWorkflowID("race"):
            answers.append(workflow())

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [7] * 8
    assert ran == [1]


def test_an_id_belongs_to_one_function(launch: Launch, database_url: str) -> None:
    @DBOS.workflow(name="ship")
    def ship() -> None: ...

    @DBOS.workflow(name="refund")
    def refund() -> None:
        raise AssertionError("must not run")

    @DBOS.workflow(name="refund_async")
    async def refund_async() -> None:
        raise AssertionError("must not run")

    launch()
    with SetWorkflowID("order-1"):
        ship()
    before = status_of("order-1")
    rows = count_rows(database_url)
    for attempt in (refund, lambda: DBOS.start_workflow(refund), lambda: asyncio.run(refund_async())):
        with SetWorkflowID("order-1"), pytest.raises(error.DBOSConflictingWorkflowError) as caught:
            attempt()
        assert "Workflow already exists with a different function name" in str(caught.value)
        assert "ship" in str(caught.value)
        assert "refund" in str(caught.value)
    assert status_of("order-1") == before
    assert count_rows(database_url) == rows


def test_the_same_name_in_another_class_is_a_conflict(launch: Launch) -> None:
    @DBOS.workflow(name="run")
    def run() -> None: ...

    launch()
    with SetWorkflowID("same"):
        run()

    @DBOS.dbos_class("Runner")
    class Runner:
        @classmethod
        @DBOS.workflow(name="run")
        def run(cls) -> None:
            raise AssertionError("must not run")

    with SetWorkflowID("same"), pytest.raises(error.DBOSConflictingWorkflowError, match="different class name"):
        Runner.run()


def test_an_existing_id_can_be_rejected(launch: Launch, database_url: str) -> None:
    ran: list[int] = []

    @DBOS.workflow()
    def workflow(number: int) -> int:
        ran.append(number)
        return number

    launch()
    with SetWorkflowID("new", workflow_id_reuse_policy="reject"):
        assert workflow(1) == 1
    rows = count_rows(database_url)
    for call in (workflow, lambda number: DBOS.start_workflow(workflow, number)):
        with SetWorkflowID("new", workflow_id_reuse_policy="reject"):
            with pytest.raises(error.DBOSWorkflowIDInUseError) as caught:
                call(2)
        assert error.is_workflow_id_in_use_error(caught.value)
        assert (caught.value.workflow_id, caught.value.workflow_status) == ("new", "SUCCESS")
        assert "workflow" in caught.value.workflow_name
    with SetWorkflowID("new", workflow_id_reuse_policy="return-existing"):
        assert workflow(3) == 1
    assert ran == [1]
    assert count_rows(database_url) == rows
    with pytest.raises(error.DBOSException, match="overwrite"):
        SetWorkflowID("new", workflow_id_reuse_policy="overwrite")  # type: ignore[arg-type]


def test_a_rejection_in_a_workflow_is_replayed(launch: Launch, replay: Replay) -> None:
    @DBOS.workflow()
    def child() -> None: ...

    @DBOS.workflow()
    def parent() -> str:
        try:
            with SetWorkflowID("taken", workflow_id_reuse_policy="reject"):
                child()
        except error.DBOSWorkflowIDInUseError as refusal:
            return f"refused {refusal.workflow_status}"
        return "accepted"

    launch()
    with SetWorkflowID("parent"):
        assert parent() == "accepted"
    with SetWorkflowID("second"):
        assert parent() == "refused SUCCESS"
    assert replay("second").get_result() == "refused SUCCESS"
    assert replay("parent").get_result() == "accepted"
    (step,) = DBOS.list_workflow_steps("second")
    assert error.is_workflow_id_in_use_error(step["error"])


# ---------------------------------------------------------------- names


def test_names_are_qualified_or_chosen(launch: Launch) -> None:
    @DBOS.workflow()
    def workflow() -> None: ...

    @DBOS.workflow(name="chosen")
    def other() -> None: ...

    launch()
    workflow()
    other()
    prefix = "test_names_are_qualified_or_chosen.<locals>."
    assert [status.name for status in DBOS.list_workflows()] == [prefix + "workflow", "chosen"]


def test_a_bare_step_runs_as_a_temporary_workflow(launch: Launch, replay: Replay) -> None:
    ran: list[int] = []

    @DBOS.step(name="work")
    def step(number: int) -> int:
        ran.append(number)
        return number + 1

    @DBOS.step(name="work_async")
    async def step_async(number: int) -> int:
        return number + 2

    launch()
    with SetWorkflowID("temporary"):
        assert DBOS.start_workflow(step, 1).get_result() == 2
    assert DBOS.start_workflow(step_async, 1).get_result() == 3
    assert [status.name for status in DBOS.list_workflows()] == ["<temp>.work", "<temp>.work_async"]
    (only,) = DBOS.list_workflow_steps("temporary")
    assert (only["function_id"], only["function_name"], only["output"]) == (1, "work", 2)
    assert replay("temporary").get_result() == 2
    assert ran == [1]


def test_a_plain_function_cannot_be_started(launch: Launch, database_url: str) -> None:
    def plain() -> None: ...

    launch()
    with pytest.raises(error.DBOSWorkflowFunctionNotFoundError, match="plain"):
        DBOS.start_workflow(plain)
    with pytest.raises(error.DBOSWorkflowFunctionNotFoundError):
        DBOS.start_workflow(lambda: None)

    async def start() -> None:
        await DBOS.start_workflow_async(plain)

    with pytest.raises(error.DBOSWorkflowFunctionNotFoundError):
        asyncio.run(start())
    assert count_rows(database_url)["workflow_status"] == 0


def test_a_function_of_another_registry_cannot_be_started(launch: Launch, database_url: str) -> None:
    launch()
    with pytest.raises(error.DBOSException):
        DBOS.start_workflow(undecorated_by_now)
    assert count_rows(database_url)["workflow_status"] == 0


# ---------------------------------------------------------------- status


def test_the_status_of_a_workflow(launch: Launch) -> None:
    with Gate() as gate:

        @DBOS.workflow(name="work")
        def workflow(first: int, second: str = "b", *, third: float) -> list[Any]:
            gate.pass_through()
            return [first, second, third]

        launch()
        started_ms = int(time.time() * 1000)
        with SetWorkflowID("full"):
            handle = DBOS.start_workflow(workflow, 1, "x", third=2.5)
        gate.wait_for_arrival()
        running = handle.get_status()
        assert running.status == "PENDING"
        assert (running.output, running.error, running.completed_at) == (None, None, None)
    handle.get_result()
    status = handle.get_status()
    assert isinstance(status, WorkflowStatus)
    assert status.workflow_id == handle.workflow_id == handle.get_workflow_id() == "full"
    assert (status.status, status.name) == ("SUCCESS", "work")
    assert status.status == WorkflowStatusString.SUCCESS == WorkflowStatusString(status.status)
    assert [each.workflow_id for each in DBOS.list_workflows(status=WorkflowStatusString.SUCCESS)] == ["full"]
    assert vars(status)["workflow_id"] == "full"  # for those who write it as JSON
    assert status.input == {"args": (1, "x"), "kwargs": {"third": 2.5}}
    assert (status.output, status.error) == ([1, "x", 2.5], None)
    assert status.created_at is not None
    assert abs(status.created_at - started_ms) < 20_000
    assert status.completed_at is not None
    assert status.updated_at is not None
    assert status.created_at <= status.completed_at
    assert status.created_at <= status.updated_at
    assert (status.executor_id, status.app_version) == ("local", DBOS.application_version)
    assert (status.application_name, status.recovery_attempts, status.priority) == ("test-app", 1, 0)
    assert status.was_forked_from is False
    assert status.app_id == ""
    unset = """class_name config_name authenticated_user assumed_role authenticated_roles queue_name workflow_timeout_ms
        workflow_deadline_epoch_ms deduplication_id queue_partition_key forked_from parent_workflow_id dequeued_at
        delay_until_epoch_ms attributes schedule_name shard_key parent_shard_key"""
    assert {name: getattr(status, name) for name in unset.split()} == dict.fromkeys(unset.split())


def test_an_unknown_workflow_has_no_status(launch: Launch) -> None:
    launch()
    assert DBOS.get_workflow_status("nobody") is None
    assert asyncio.run(DBOS.get_workflow_status_async("nobody")) is None
    assert DBOS.list_workflow_steps("nobody") == []


def test_a_status_asked_for_in_a_workflow_is_recorded(launch: Launch, replay: Replay) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def child() -> None:
            gate.pass_through()

        @DBOS.workflow()
        def parent() -> list[str]:
            handle = DBOS.start_workflow(child)
            first = handle.get_status().status
            gate.open()
            handle.get_result()
            return [first, handle.get_status().status]

        launch()
        with SetWorkflowID("parent"):
            assert parent() == ["PENDING", "SUCCESS"]
    assert [step["function_name"] for step in DBOS.list_workflow_steps("parent")][1:] == [
        "DBOS.getStatus",
        "DBOS.getResult",
        "DBOS.getStatus",
    ]
    assert replay("parent").get_result() == ["PENDING", "SUCCESS"]


def test_a_background_failure_is_logged(launch: Launch, caplog: pytest.LogCaptureFixture) -> None:
    @DBOS.workflow()
    def workflow() -> None:
        raise ValueError("in the dark")

    launch()
    handle = DBOS.start_workflow(workflow)
    with pytest.raises(ValueError, match="in the dark"):
        handle.get_result()
    DBOS.destroy(workflow_completion_timeout_sec=20)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert handle.workflow_id in record.getMessage()


# ---------------------------------------------------------------- attributes


def test_attributes_are_for_the_workflows_of_a_block(launch: Launch) -> None:
    @DBOS.workflow(name="child")
    def child() -> None: ...

    @DBOS.workflow(name="parent")
    def parent() -> None:
        child()

    launch()
    attributes = {"customer": "C1", "nested": {"a": [1, None, 2.5]}, "ü": "\U0001f600"}
    with SetWorkflowAttributes(attributes):
        parent()
        DBOS.start_workflow(parent).get_result()
        with SetWorkflowAttributes({"other": 1}):
            child()
        with SetWorkflowAttributes(None):
            child()
    child()
    assert [(status.name, status.attributes) for status in DBOS.list_workflows()] == [
        ("parent", attributes),
        ("child", None),
        ("parent", attributes),
        ("child", None),
        ("child", {"other": 1}),
        ("child", None),
        ("child", None),
    ]


def test_attributes_can_be_replaced_and_merged(launch: Launch) -> None:
    @DBOS.workflow()
    def workflow() -> None: ...

    launch()
    with SetWorkflowID("w"):
        workflow()
    DBOS.update_workflow_attributes("w", {"a": 1, "b": {"x": 1}})
    assert status_of("w").attributes == {"a": 1, "b": {"x": 1}}
    DBOS.update_workflow_attributes("w", {"b": {"y": 2}, "c": None}, merge=True)
    assert status_of("w").attributes == {"a": 1, "b": {"y": 2}, "c": None}
    asyncio.run(DBOS.update_workflow_attributes_async("w", {"only": True}))
    assert status_of("w").attributes == {"only": True}
    DBOS.update_workflow_attributes("w", None)
    assert status_of("w").attributes is None
    DBOS.update_workflow_attributes("w", {"first": 1}, merge=True)
    assert status_of("w").attributes == {"first": 1}
    DBOS.update_workflow_attributes("nobody", {"a": 1})
    assert DBOS.get_workflow_status("nobody") is None


def test_updating_attributes_in_a_workflow_is_a_step(launch: Launch, replay: Replay) -> None:
    @DBOS.step()
    def in_a_step() -> None:
        assert DBOS.workflow_id is not None
        DBOS.update_workflow_attributes(DBOS.workflow_id, {"stage": "step"}, merge=True)

    @DBOS.workflow()
    def workflow() -> None:
        assert DBOS.workflow_id is not None
        DBOS.update_workflow_attributes(DBOS.workflow_id, {"stage": "begun", "by": "me"})
        in_a_step()

    launch()
    with SetWorkflowID("w"):
        workflow()
    assert status_of("w").attributes == {"stage": "step", "by": "me"}
    names = [step["function_name"] for step in DBOS.list_workflow_steps("w")]
    assert names == ["DBOS.updateWorkflowAttributes", in_a_step.__qualname__]
    DBOS.update_workflow_attributes("w", {"stage": "after"})
    replay("w").get_result()
    assert status_of("w").attributes == {"stage": "after"}
