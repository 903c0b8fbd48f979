"""KeyboardInterrupt and SystemExit are no results: never journaled, and the row can be recovered."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from dbos import DBOS, Queue, SetWorkflowID
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually, eventually_async

Interruption = type[BaseException]


@pytest.fixture(params=[KeyboardInterrupt, SystemExit])
def interruption(request: pytest.FixtureRequest) -> Interruption:
    kind: Interruption = request.param
    return kind


class Application:
    """Workflows that are interrupted the first time, in a step or beside it."""

    def __init__(self, interruption: Interruption) -> None:
        self.runs = 0

        def interrupt_once() -> str:
            self.runs += 1
            if self.runs == 1:
                raise interruption
            return "done"

        @DBOS.step()
        def step() -> str:
            return interrupt_once()

        @DBOS.step()
        async def step_async() -> str:
            return interrupt_once()

        @DBOS.step()
        def before() -> None: ...

        @DBOS.step()
        async def before_async() -> None: ...

        @DBOS.workflow()
        def in_a_step() -> str:
            before()
            return step()

        @DBOS.workflow()
        def in_the_body() -> str:
            before()
            return interrupt_once()

        @DBOS.workflow()
        async def in_a_step_async() -> str:
            await before_async()
            return await step_async()

        @DBOS.workflow()
        async def in_the_body_async() -> str:
            await before_async()
            return interrupt_once()

        self.blocking = {"step": in_a_step, "body": in_the_body}
        self.awaitable = {"step": in_a_step_async, "body": in_the_body_async}


def assert_recoverable(url: str, dbos: type[DBOS], application: Application) -> None:
    assert run_sql(url, "select status, output, error, completed_at from workflow_status") == [
        ("PENDING", None, None, None)
    ]
    assert run_sql(url, "select function_id from operation_outputs") == [(1,)]
    assert [handle.workflow_id for handle in dbos._recover_pending_workflows(["local"])] == ["w"]
    assert dbos.retrieve_workflow("w").get_result() == "done"
    assert application.runs == 2


@pytest.mark.parametrize("place", ["step", "body"])
def test_a_direct_call(
    launch: Callable[..., type[DBOS]], database_url: str, interruption: Interruption, place: str
) -> None:
    application = Application(interruption)
    dbos = launch()
    with pytest.raises(interruption), SetWorkflowID("w"):
        application.blocking[place]()
    assert_recoverable(database_url, dbos, application)


@pytest.mark.parametrize("place", ["step", "body"])
def test_a_direct_call_of_a_coroutine(
    launch: Callable[..., type[DBOS]], database_url: str, interruption: Interruption, place: str
) -> None:
    application = Application(interruption)
    dbos = launch()

    async def call() -> Any:
        with SetWorkflowID("w"):
            return await application.awaitable[place]()

    with pytest.raises(interruption):
        asyncio.run(call())
    assert_recoverable(database_url, dbos, application)


@pytest.mark.parametrize("place", ["step", "body"])
@pytest.mark.parametrize("colour", ["blocking", "awaitable"])
def test_in_the_background(
    launch: Callable[..., type[DBOS]], database_url: str, interruption: Interruption, place: str, colour: str
) -> None:
    application = Application(interruption)
    workflows = getattr(application, colour)
    dbos = launch()
    with SetWorkflowID("w"):
        dbos.start_workflow(workflows[place])
    eventually(lambda: application.runs == 1 and not running_here(dbos, "w"))
    assert_recoverable(database_url, dbos, application)
    # And whoever carried it carries on: the thread, or the event loop.
    assert dbos.start_workflow(workflows["body"]).get_result() == "done"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_its_neighbours_go_on(launch: Callable[..., type[DBOS]], interruption: Interruption) -> None:
    """An interruption inside a task of its own ends the run of the event loop, which must go on."""
    arrived, go_on = threading.Event(), threading.Event()

    @DBOS.step()
    async def wait_for_gate() -> str:
        arrived.set()
        await eventually_async(go_on.is_set)
        return "unharmed"

    @DBOS.step(preemptible=True)
    async def interrupted() -> None:
        raise interruption

    @DBOS.workflow()
    async def neighbour() -> str:
        return await wait_for_gate()

    @DBOS.workflow()
    async def poison() -> None:
        await interrupted()

    dbos = launch()
    handle = dbos.start_workflow(neighbour)
    assert arrived.wait(10)
    poisoned = dbos.start_workflow(poison)
    eventually(lambda: not running_here(dbos, poisoned.workflow_id))
    go_on.set()
    assert handle.get_result() == "unharmed"
    assert poisoned.get_status().status == "PENDING"


@pytest.mark.parametrize(
    ("colour", "interruption"),
    [("blocking", SystemExit), ("awaitable", KeyboardInterrupt), ("awaitable", asyncio.CancelledError)],
    indirect=["interruption"],
)
def test_what_came_from_a_queue_frees_its_slot_at_once(
    launch: Callable[..., type[DBOS]], interruption: Interruption, colour: str
) -> None:
    """It waits in its queue again, and every try counts, so that what always does so is put aside in the end."""
    runs: list[str] = []

    def interrupt() -> None:
        runs.append("run")
        raise interruption

    @DBOS.workflow(max_recovery_attempts=2)
    def poison() -> None:
        interrupt()

    @DBOS.workflow(max_recovery_attempts=2)
    async def poison_async() -> None:
        interrupt()

    application = Application(interruption)
    queue = Queue("one at a time", concurrency=1)
    dbos = launch(executor_lease_sec=3600)
    with SetWorkflowID("w"):
        interrupted = queue.enqueue(getattr(application, colour)["step"])
    with SetWorkflowID("poison"):
        queue.enqueue({"blocking": poison, "awaitable": poison_async}[colour])
    after = queue.enqueue(application.blocking["body"])
    eventually(lambda: after.get_status().status == "SUCCESS")
    assert (interrupted.get_result(), after.get_result()) == ("done", "done")
    assert (application.runs, interrupted.get_status().recovery_attempts) == (3, 2)
    assert (len(runs), dbos.retrieve_workflow("poison").get_status().status) == (3, "MAX_RECOVERY_ATTEMPTS_EXCEEDED")


def running_here(dbos: type[DBOS], workflow_id: str) -> bool:
    """Does an attempt of this workflow run in this process?"""
    running = dbos._instance and dbos._instance._running
    assert running
    return running.engine.attempt_of(workflow_id) is not None
