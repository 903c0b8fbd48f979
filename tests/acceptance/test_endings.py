"""How attempts end without ending their workflows: destroyed, abandoned, superseded, or overtaken before they began."""

import asyncio
import gc
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from dbos import DBOS, SetWorkflowID, SetWorkflowTimeout, error
from dbos.api import assembly
from dbos.api.launched import launched_engine
from dbos.runtime.executor import Executor
from dbos.services import recovery
from dbos.store.executors import Executors
from dbos.store.records import Checkpoint, FinishWorkflow, Record, StartWorkflow
from dbos.testing.shifting import Shift
from tests.support.fixture_types import Launch, Replay
from tests.support.raw_sql import run_sql
from tests.support.waiting import Gate, eventually, eventually_async


def engine() -> Executor:
    running = launched_engine()
    assert running is not None
    return running


def statuses(url: str) -> Counter[str]:
    return Counter(row[0] for row in run_sql(url, "select status from workflow_status"))


# ---------------------------------------------------------------- destroy


def test_destroying_leaves_everything_that_waits_to_the_next_launch(launch: Launch, database_url: str) -> None:
    @DBOS.workflow()
    def sleeper() -> None:
        DBOS.sleep(300)

    @DBOS.workflow()
    async def dreamer() -> None:
        await DBOS.sleep_async(300)

    @DBOS.workflow()
    def parent() -> None:
        DBOS.start_workflow(sleeper).get_result()

    @DBOS.workflow()
    def first_of_two() -> None:
        DBOS.wait_first([DBOS.start_workflow(sleeper), DBOS.start_workflow(dreamer)])

    launch()
    for _ in range(100):
        DBOS.start_workflow(dreamer)
    for _ in range(20):
        DBOS.start_workflow(sleeper)
        DBOS.start_workflow(parent)
        DBOS.start_workflow(first_of_two)
    asleep = "select count(*) from operation_outputs where function_name = 'DBOS.sleep'"
    eventually(lambda: run_sql(database_url, asleep)[0][0] == 100 + 20 + 20 + 40)
    DBOS.destroy()
    assert set(statuses(database_url)) == {"PENDING"}
    assert run_sql(database_url, "select * from operation_outputs where error is not null") == []


def test_what_a_launch_leaves_goes_on_with_the_next_though_it_could_not_say_goodbye(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is slow just then takes no notice of its end; the next launch in this process knows of it."""
    retire = Executors.retire

    def retire_late(executors: Executors, instance: str) -> None:
        eventually(executors._pool._closing.is_set)
        retire(executors, instance)

    with Gate() as gate:

        @DBOS.workflow()
        def held() -> str:
            gate.pass_through()
            return "done"

        launch(executor_lease_sec=3600.0)
        with SetWorkflowID("w"):
            DBOS.start_workflow(held)
        gate.wait_for_arrival()
        with monkeypatch.context() as patch:
            patch.setattr(assembly, "FAREWELL_SECONDS", 0.05)
            patch.setattr(Executors, "retire", retire_late)
            DBOS.destroy()
        launch(executor_lease_sec=3600.0)
        gate.wait_for_arrival(2)
    assert DBOS.get_result("w") == "done"


def test_whoever_waits_while_destroy_waits_still_hears(launch: Launch) -> None:
    gate = Gate()

    @DBOS.workflow()
    def slow() -> str:
        gate.pass_through()
        return "slow"

    @DBOS.workflow()
    def waiting() -> Any:
        return DBOS.get_result("slow")

    launch()
    with SetWorkflowID("slow"):
        DBOS.start_workflow(slow)
    handle = DBOS.start_workflow(waiting)
    attempt = engine().attempt_of(handle.workflow_id)
    opener = threading.Timer(0.2, gate.open)
    opener.start()
    DBOS.destroy(workflow_completion_timeout_sec=30)
    opener.join()
    assert attempt is not None
    assert attempt.outcome is not None
    assert attempt.outcome.value == "slow"


# ---------------------------------------------------------------- abandoned coroutines


def test_a_coroutine_that_is_collected_leaves_others_their_context(launch: Launch) -> None:
    @DBOS.workflow()
    async def abandoned() -> None:
        await asyncio.Event().wait()

    @DBOS.step()
    def one() -> int | None:
        return DBOS.step_id

    @DBOS.workflow()
    def bystander() -> list[Any]:
        before = [DBOS.workflow_id, one()]
        gc.collect()
        return [*before, DBOS.workflow_id, one()]

    launch()
    loop = asyncio.new_event_loop()

    async def begin() -> None:
        task = asyncio.ensure_future(abandoned())
        await eventually_async(engine().active)
        del task

    loop.run_until_complete(begin())
    loop.set_exception_handler(lambda *_: None)  # "task was destroyed but it is pending" is what this is about
    loop.close()
    with SetWorkflowID("bystander"):
        assert bystander() == ["bystander", 1, "bystander", 2]


# ---------------------------------------------------------------- taken over


def test_taking_over_more_than_a_batch_takes_each_once(
    launch: Launch, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()

    @DBOS.workflow()
    async def held() -> None:
        await gate.pass_through_async()

    launch()
    monkeypatch.setattr(recovery, "BATCH", 4)
    with gate:
        for _ in range(9):
            DBOS.start_workflow(held)
        taken = DBOS._recover_pending_workflows([DBOS.executor_id])
        assert len({handle.workflow_id for handle in taken}) == 9
        assert run_sql(database_url, "select distinct epoch from workflow_status") == [(2,)]


def test_superseded_attempts_keep_no_thread(launch: Launch) -> None:
    @DBOS.workflow()
    def sleeper() -> None:
        DBOS.sleep(300)

    launch()
    for _ in range(10):
        DBOS.start_workflow(sleeper)
    for _ in range(3):
        assert len(DBOS._recover_pending_workflows([DBOS.executor_id])) == 10
    eventually(lambda: sum(1 for each in engine().active().values() if each.epoch == 4) == 10)
    threads = engine().threads
    eventually(lambda: threads._busy == 10)


def test_our_own_rows_are_never_adopted_by_ourselves(launch: Launch, database_url: str) -> None:
    gate = Gate()

    @DBOS.workflow()
    def held() -> None:
        gate.pass_through()

    launch(executor_lease_sec=3600.0)
    with gate:
        handle = DBOS.start_workflow(held)
        run_sql(database_url, "update executors set lease_expires_at_ms = 0")
        owner, runnable = engine().owner, engine().registry.runnable()
        assert engine().store.workflows.adopt(owner, runnable, 10) == []
    handle.get_result()
    assert gate.passes == 1


def test_a_start_whose_reply_was_lost_is_not_run_again_if_others_finished_it(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []

    @DBOS.step()
    def pay() -> int:
        ran.append("pay")
        return 1

    @DBOS.workflow()
    def order() -> int:
        return pay()

    launch()
    journal = engine().store.journal
    write = journal.write

    def write_and_lose_the_reply(records: Sequence[Record]) -> Any:
        results = write(records)
        if not isinstance(records[0], StartWorkflow):
            return results
        order_id = records[0].workflow_id
        monkeypatch.setattr(journal, "write", write)
        engine().store.workflows.take_over(engine().owner, [DBOS.executor_id], engine().registry.runnable(), 10)
        write((Checkpoint(order_id, 2, 1, pay.__qualname__, "2", None, "json", None, 1, 1),))
        write((FinishWorkflow(order_id, 2, "SUCCESS", "2", None, "json"),))
        return [None]

    monkeypatch.setattr(journal, "write", write_and_lose_the_reply)
    assert order() == 2
    assert ran == []


# ---------------------------------------------------------------- what goes on beside it


@pytest.mark.owner("makes the table that moves the time of a database")
def test_a_cancelled_workflow_in_a_long_step_costs_no_statements(launch: Launch) -> None:
    gate, shift = Gate(), Shift()

    @DBOS.step()
    def long() -> None:
        gate.pass_through()

    @DBOS.workflow()
    def bounded() -> None:
        long()

    with shift.installed(), gate:
        launch()
        with SetWorkflowTimeout(3600):
            handle = DBOS.start_workflow(bounded)
        gate.wait_for_arrival()
        shift.forward(3_600_000)
        with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
            handle.get_result()
        counters = engine().store.journal.counters
        before, begun = counters.queries, time.monotonic()
        time.sleep(1.0)  # a second of doing nothing
        assert counters.queries - before < 20 * (time.monotonic() - begun)


def test_statuses_and_listings_are_recorded_without_pickle(launch: Launch) -> None:
    @DBOS.workflow()
    def child(x: int) -> int:
        return x

    @DBOS.workflow()
    def looker() -> list[Any]:
        handle = DBOS.start_workflow(child, 5)
        handle.get_result()
        steps = DBOS.list_workflow_steps(DBOS.workflow_id or "")
        listed = DBOS.list_workflows(workflow_ids=[handle.workflow_id])
        return [handle.get_status().output, listed[0].output, steps[0]["function_name"]]

    launch(allow_pickle=False)
    assert looker() == [5, 5, child.__qualname__]


def test_waiting_for_a_set_of_tasks_keeps_the_order_of_the_list(launch: Launch, replay: Replay) -> None:
    @DBOS.step()
    async def work(i: int) -> int:
        await asyncio.sleep(0.02 * (4 - i))
        return i

    @DBOS.workflow()
    async def racing() -> list[int]:
        pending: Any = [asyncio.create_task(work(i)) for i in range(4)]
        order = []
        while pending:
            done, pending = await DBOS.asyncio_wait(pending, return_when=asyncio.FIRST_COMPLETED)
            order += sorted(task.result() for task in done)
        return order

    @DBOS.workflow()
    async def unordered() -> None:
        await DBOS.asyncio_wait({asyncio.get_running_loop().create_future() for _ in range(4)})

    async def main() -> list[int]:
        with pytest.raises(error.DBOSException, match="takes a list"):
            await unordered()
        with SetWorkflowID("racing"):
            return await racing()

    launch()
    order = asyncio.run(main())
    assert sorted(order) == [0, 1, 2, 3]
    for _ in range(3):
        assert replay("racing").get_result() == order
