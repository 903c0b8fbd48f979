"""Promises around crashes and cancellation that no comparison of outcomes can see, each pinned down by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from dbos import DBOS, SetWorkflowID
from dbos.api import launched
from dbos.error import DBOSAwaitedWorkflowCancelledError, DBOSWorkflowIDInUseError
from dbos.store.records import StartWorkflow
from dbos.testing.crashing import Process
from tests.support.raw_sql import run_sql
from tests.support.waiting import Gate, eventually

LONG_SECONDS = 45.0  # longer than any test may take
WELL_BEFORE_SECONDS = 35.0  # time enough on a busy machine, a server to start included


@pytest.mark.timeout(WELL_BEFORE_SECONDS)
def test_a_recovered_sleep_ends_when_the_recorded_time_has_come(database_url: str) -> None:
    DBOS.destroy(destroy_registry=True)

    @DBOS.workflow()
    def sleeper() -> str:
        DBOS.sleep(LONG_SECONDS)
        return "awake"

    process = Process(database_url)
    process.launch()
    try:
        with SetWorkflowID("sleeper"):
            DBOS.start_workflow(sleeper)
        eventually(lambda: run_sql(database_url, "select 1 from operation_outputs"))
        process.kill()
        run_sql(database_url, "update operation_outputs set output = '1.0'")  # the first second of 1970
        process.launch()
        assert DBOS.get_result("sleeper") == "awake"
    finally:
        process.stop()
        DBOS.destroy(destroy_registry=True)


def test_no_step_begins_after_a_cancellation(launch: Callable[..., type[DBOS]]) -> None:
    gate, begun = Gate(), []

    @DBOS.step()
    def first() -> None:
        gate.pass_through()

    @DBOS.step()
    def second() -> None:
        begun.append("second")

    @DBOS.workflow()
    def work() -> None:
        try:
            first()
        finally:
            second()

    launch()
    with gate:
        handle = DBOS.start_workflow(work)
        gate.wait_for_arrival()
        DBOS.cancel_workflow(handle.workflow_id)
    with pytest.raises(DBOSAwaitedWorkflowCancelledError):
        handle.get_result()
    DBOS.destroy(workflow_completion_timeout_sec=10)  # the body has ended, whatever it did
    assert begun == []


def test_a_workflow_cancelled_elsewhere_starts_no_child(
    launch: Callable[..., type[DBOS]], monkeypatch: pytest.MonkeyPatch
) -> None:
    @DBOS.workflow()
    def child() -> None:
        pass

    @DBOS.workflow()
    def parent() -> None:
        child()

    launch()
    store = launched.current_engine().store
    write = store.journal.write

    def write_after_a_cancel(records: Sequence[Any]) -> Any:
        for record in records:
            if isinstance(record, StartWorkflow) and record.guard_workflow_id is not None:
                store.workflows.cancel([record.guard_workflow_id])  # as another process would, at the last moment
        return write(records)

    monkeypatch.setattr(store.journal, "write", write_after_a_cancel)
    with SetWorkflowID("parent"), pytest.raises(DBOSAwaitedWorkflowCancelledError):
        parent()
    assert [each.workflow_id for each in DBOS.list_workflows()] == ["parent"]


@pytest.mark.timeout(WELL_BEFORE_SECONDS)
def test_a_cancelled_task_leaves_its_workflow_to_the_process_it_ran_in(launch: Callable[..., type[DBOS]]) -> None:
    begun = []
    first_began = asyncio.Event()

    @DBOS.workflow()
    async def work() -> str:
        begun.append(DBOS.workflow_id)
        if len(begun) == 1:
            first_began.set()
            await asyncio.sleep(LONG_SECONDS)
        return "done"

    async def cancel_the_caller() -> None:
        with SetWorkflowID("left"):
            task = asyncio.ensure_future(work())
            await first_began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    launch(executor_lease_sec=0.5)
    asyncio.run(cancel_the_caller())
    assert DBOS.get_result("left") == "done"
    assert begun == ["left", "left"]


def test_each_caller_of_a_batch_gets_its_own_answer(launch: Callable[..., type[DBOS]]) -> None:
    @DBOS.workflow()
    async def work(number: int) -> int:
        return number

    async def start(number: int) -> bool:
        with SetWorkflowID(f"w{number}", workflow_id_reuse_policy="reject"):
            try:
                await DBOS.start_workflow_async(work, number)
            except DBOSWorkflowIDInUseError:
                return False
        return True

    async def start_all(numbers: range) -> list[bool]:
        return await asyncio.gather(*(start(number) for number in numbers))

    launch()
    assert asyncio.run(start_all(range(0, 60, 3))) == [True] * 20
    assert asyncio.run(start_all(range(60))) == [number % 3 != 0 for number in range(60)]
