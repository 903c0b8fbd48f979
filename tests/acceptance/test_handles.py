"""api.md §3.5, §3.15, §3.16: handles, results, and waiting for the first of many."""

import asyncio
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dbos import DBOS, SetWorkflowID, WorkflowHandle, WorkflowHandleAsync, error
from dbos.api.launched import launched_engine
from tests.support.fixture_types import Launch, Replay
from tests.support.raw_sql import run_sql
from tests.support.waiting import Gate, eventually, eventually_async


def test_a_result_can_be_asked_for_many_times(launch: Launch) -> None:
    @DBOS.workflow()
    def plain() -> list[int]:
        return [1]

    @DBOS.workflow()
    async def coroutine() -> list[int]:
        return [2]

    launch()
    handle = DBOS.start_workflow(plain)
    assert [handle.get_result(), handle.get_result(polling_interval_sec=0.01)] == [[1], [1]]

    async def main() -> None:
        started = await DBOS.start_workflow_async(coroutine)
        assert await asyncio.gather(*(started.get_result() for _ in range(5))) == [[2]] * 5
        assert await started.get_result(polling_interval_sec=0.01) == [2]
        assert (await started.get_status()).status == "SUCCESS"

    asyncio.run(main())


def test_handles_survive_pickle(launch: Launch) -> None:
    @DBOS.workflow()
    def workflow() -> str:
        return "result"

    @DBOS.workflow()
    def returns_a_handle() -> WorkflowHandle[str]:
        return DBOS.start_workflow(workflow)

    launch()
    handle = DBOS.start_workflow(workflow)
    copy = pickle.loads(pickle.dumps(handle))
    assert type(copy) is WorkflowHandle
    assert (copy.workflow_id, copy.get_result()) == (handle.workflow_id, "result")
    assert returns_a_handle().get_result() == "result"

    async def main() -> str:
        started = await DBOS.start_workflow_async(workflow)
        copied = pickle.loads(pickle.dumps(started))
        assert type(copied) is WorkflowHandleAsync
        return await copied.get_result()

    assert asyncio.run(main()) == "result"


@pytest.mark.parametrize("interval", [0, -1, float("nan"), "1", None])
def test_a_polling_interval_is_positive(launch: Launch, interval: Any) -> None:
    @DBOS.workflow()
    def workflow() -> None: ...

    launch()
    handle = DBOS.start_workflow(workflow)
    with pytest.raises(ValueError, match="polling_interval_sec"):
        handle.get_result(polling_interval_sec=interval)
    with pytest.raises(ValueError, match="polling_interval_sec"):
        DBOS.wait_first([handle], polling_interval_sec=interval)


def test_results_by_id(launch: Launch) -> None:
    @DBOS.workflow()
    def works() -> int:
        return 5

    @DBOS.workflow()
    def fails() -> None:
        raise KeyError("broken")

    launch()
    with SetWorkflowID("works"):
        works()
    with SetWorkflowID("fails"), pytest.raises(KeyError):
        fails()
    assert DBOS.get_result("works") == DBOS.retrieve_workflow("works").get_result() == 5
    with pytest.raises(KeyError, match="broken"):
        DBOS.get_result("fails")

    async def main() -> None:
        assert await DBOS.get_result_async("works") == 5
        assert await (await DBOS.retrieve_workflow_async("works")).get_result() == 5
        with pytest.raises(KeyError, match="broken"):
            await DBOS.get_result_async("fails")

    asyncio.run(main())


def test_an_unknown_workflow(launch: Launch) -> None:
    launch()
    for call in (
        lambda: DBOS.retrieve_workflow("nobody"),
        lambda: DBOS.get_result("nobody"),
        lambda: asyncio.run(DBOS.retrieve_workflow_async("nobody")),
        lambda: asyncio.run(DBOS.get_result_async("nobody")),
        lambda: WorkflowHandle("nobody").get_status(),
    ):
        with pytest.raises(error.DBOSNonExistentWorkflowError, match="nobody"):
            call()


def test_a_handle_can_wait_for_a_workflow_to_exist(launch: Launch) -> None:
    @DBOS.workflow()
    def workflow() -> str:
        return "at last"

    launch()

    async def main() -> None:
        handle = await DBOS.retrieve_workflow_async("later", existing_workflow=False)
        waiting = asyncio.create_task(handle.get_result(polling_interval_sec=0.01))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        with SetWorkflowID("later"):
            await DBOS.start_workflow_async(workflow)
        assert await waiting == "at last"

    asyncio.run(main())
    with pytest.raises(error.DBOSNonExistentWorkflowError):
        DBOS.retrieve_workflow("never", existing_workflow=False).get_status()


def test_a_workflow_that_disappears_while_waited_for(launch: Launch, database_url: str) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def workflow() -> None:
            gate.pass_through()
            DBOS.sleep(0)

        launch()
        handle = DBOS.start_workflow(workflow)
        gate.wait_for_arrival()
        run_sql(database_url, "delete from workflow_status where workflow_uuid = ?", handle.workflow_id)
        with pytest.raises(error.DBOSNonExistentWorkflowError):
            DBOS.get_result(handle.workflow_id, polling_interval_sec=0.01)
    with pytest.raises(error.DBOSNonExistentWorkflowError):
        handle.get_result(polling_interval_sec=0.01)


def test_results_in_a_workflow_are_recorded(launch: Launch, replay: Replay) -> None:
    @DBOS.workflow()
    def other() -> int:
        return 3

    @DBOS.step()
    def asks_in_a_step() -> int:
        return DBOS.get_result("other")

    @DBOS.workflow()
    def workflow() -> list[int]:
        return [DBOS.get_result("other"), DBOS.retrieve_workflow("other").get_result(), asks_in_a_step()]

    launch()
    with SetWorkflowID("other"):
        other()
    with SetWorkflowID("w"):
        assert workflow() == [3, 3, 3]
    assert [step["function_name"] for step in DBOS.list_workflow_steps("w")] == [
        "DBOS.getResult",
        "DBOS.getStatus",
        "DBOS.getResult",
        asks_in_a_step.__qualname__,
    ]
    assert replay("w").get_result() == [3, 3, 3]


def test_a_shard_key_is_refused(launch: Launch) -> None:
    @DBOS.workflow()
    def workflow() -> None: ...

    launch()
    with SetWorkflowID("w"):
        workflow()
    assert WorkflowHandle("w").shard_key is None
    assert DBOS.get_result("w", shard_key=None) is None
    for call in (
        lambda: DBOS.get_result("w", shard_key="k"),
        lambda: DBOS.retrieve_workflow("w", shard_key="k"),
        lambda: DBOS.get_workflow_status("w", shard_key="k"),
        lambda: DBOS.cancel_workflow("w", shard_key="k"),
        lambda: DBOS.resume_workflow("w", shard_key="k"),
    ):
        with pytest.raises(error.DBOSException, match="not sharded"):
            call()


# ---------------------------------------------------------------- the first of many


def test_the_first_of_many(launch: Launch) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def slow() -> str:
            gate.pass_through()
            return "slow"

        @DBOS.workflow()
        def fast() -> str:
            return "fast"

        @DBOS.workflow()
        def failing() -> str:
            raise ValueError("ended, too")

        launch()
        slow_one, fast_one = DBOS.start_workflow(slow), DBOS.start_workflow(fast)
        assert DBOS.wait_first([slow_one, fast_one]) is fast_one
        failed = DBOS.start_workflow(failing)
        assert DBOS.wait_first([slow_one, failed], polling_interval_sec=0.01) is failed
        failed_too = DBOS.wait_first([failed, fast_one])
        assert failed_too is failed

        async def main() -> None:
            handles = [await DBOS.retrieve_workflow_async(each.workflow_id) for each in (slow_one, fast_one)]
            assert await DBOS.wait_first_async(handles) is handles[1]

        asyncio.run(main())
    assert slow_one.get_result() == "slow"
    with pytest.raises(ValueError, match="handles must not be empty"):
        DBOS.wait_first([])
    with pytest.raises(ValueError, match="handles must not be empty"):
        asyncio.run(DBOS.wait_first_async([]))
    for no_handles in ("id", ["id"], None, [slow_one, "id"]):
        with pytest.raises(error.DBOSException, match="takes a list of workflow handles, not"):
            DBOS.wait_first(no_handles)  # type: ignore[arg-type,type-var]


def test_a_workflow_that_may_still_come_has_not_ended(launch: Launch) -> None:
    @DBOS.workflow()
    def workflow() -> str:
        return "late"

    def late() -> WorkflowHandle[str]:
        return DBOS.retrieve_workflow("late", existing_workflow=False)

    with Gate() as gate:

        @DBOS.workflow()
        def slow() -> None:
            gate.pass_through()

        launch()
        handles = [late(), DBOS.start_workflow(slow)]
        with ThreadPoolExecutor(2) as pool:
            waiting = pool.submit(DBOS.wait_first, handles)
            polling = pool.submit(DBOS.wait_first, handles, polling_interval_sec=0.01)
            with pytest.raises(TimeoutError):
                polling.result(0.1)
            assert not waiting.done()
            with SetWorkflowID("late"):
                workflow()
            assert waiting.result(20) is polling.result(20) is handles[0]


def test_who_waits_for_a_workflow_that_is_deleted_is_told(launch: Launch, database_url: str) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def workflow() -> None:
            gate.pass_through()

        launch()
        with SetWorkflowID("w"):
            handle = DBOS.start_workflow(workflow)
        gate.wait_for_arrival()
        elsewhere = DBOS.retrieve_workflow("w")
        waiters = launched_engine().waiters
        with ThreadPoolExecutor(2) as pool:
            result = pool.submit(elsewhere.get_result)
            first = pool.submit(DBOS.wait_first, [elsewhere])
            eventually(lambda: len(waiters.waiting_for("workflow")) >= 1)
            with pytest.raises(TimeoutError):
                first.result(0.1)
            run_sql(database_url, "delete from workflow_status where workflow_uuid = 'w'")
            assert first.result(20) is elsewhere
            with pytest.raises(error.DBOSNonExistentWorkflowError):
                result.result(20)
        assert handle.workflow_id == "w"


@pytest.mark.parametrize("coroutine", [False, True])
def test_the_first_of_many_is_replayed(launch: Launch, replay: Replay, coroutine: bool) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def slow() -> str:
            gate.pass_through()
            return "slow"

        @DBOS.workflow()
        def fast() -> str:
            return "fast"

        @DBOS.workflow()
        def plain_race() -> str:
            handles = [DBOS.start_workflow(slow), DBOS.start_workflow(fast)]
            return DBOS.wait_first(handles).get_result()

        @DBOS.workflow()
        async def coroutine_race() -> str:
            handles = [await DBOS.start_workflow_async(slow), await DBOS.start_workflow_async(fast)]
            return await (await DBOS.wait_first_async(handles)).get_result()

        launch()
        with SetWorkflowID("race"):
            assert (asyncio.run(coroutine_race()) if coroutine else plain_race()) == "fast"
        third = DBOS.list_workflow_steps("race")[2]
        assert (third["function_name"], third["output"]) == ("DBOS.waitFirst", "race-2")
        gate.open()
        assert DBOS.get_result("race-1") == "slow"
        assert replay("race").get_result() == "fast"


def test_many_wait_for_one(launch: Launch) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def workflow() -> str:
            gate.pass_through()
            return "for all"

        launch()
        with SetWorkflowID("w"):
            DBOS.start_workflow(workflow)

        async def main() -> None:
            tasks = [asyncio.create_task(DBOS.get_result_async("w")) for _ in range(100)]
            await eventually_async(lambda: gate.passes)
            gate.open()
            assert await asyncio.gather(*tasks) == ["for all"] * 100

        asyncio.run(main())
