"""api.md §10: event loops, concurrency inside a workflow, and `asyncio_wait`."""

import asyncio
import gc
import inspect
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from dbos import DBOS, SetWorkflowID, error
from tests.support.fixture_types import Launch, Replay
from tests.support.waiting import Gate, eventually_async


def recorded(workflow_id: str) -> list[tuple[int, str, Any]]:
    return [
        (step["function_id"], step["function_name"], step["output"]) for step in DBOS.list_workflow_steps(workflow_id)
    ]


# ---------------------------------------------------------------- numbers of concurrent steps


def test_gathered_steps_are_numbered_in_order_of_start(launch: Launch, replay: Replay) -> None:
    ran: list[int] = []

    @DBOS.step(name="step")
    async def step(number: int) -> int:
        ran.append(number)
        await asyncio.sleep(0.03 - number / 100)  # the last to start is the first to end
        return number

    @DBOS.workflow()
    async def workflow() -> list[int]:
        return await asyncio.gather(*(step(number) for number in range(3)))

    launch()

    async def main() -> None:
        with SetWorkflowID("w"):
            assert await workflow() == [0, 1, 2]

    asyncio.run(main())
    assert recorded("w") == [(1, "step", 0), (2, "step", 1), (3, "step", 2)]
    assert replay("w").get_result() == [0, 1, 2]
    assert ran == [0, 1, 2]


def test_a_failure_among_gathered_steps(launch: Launch, replay: Replay) -> None:
    @DBOS.step()
    async def step(number: int) -> int:
        if number == 1:
            raise ValueError("one")
        return number

    @DBOS.workflow()
    async def workflow() -> list[str]:
        return [repr(each) for each in await asyncio.gather(*map(step, range(3)), return_exceptions=True)]

    launch()

    async def main() -> None:
        with SetWorkflowID("w"):
            await workflow()

    asyncio.run(main())
    assert DBOS.get_result("w") == ["0", "ValueError('one')", "2"]
    assert replay("w").get_result() == ["0", "ValueError('one')", "2"]


def test_gathered_started_children(launch: Launch, replay: Replay) -> None:
    @DBOS.workflow(name="child")
    async def child(number: int) -> int:
        await asyncio.sleep(0.02 - number / 100)
        return number

    @DBOS.workflow()
    async def workflow() -> list[int]:
        handles = await asyncio.gather(*(DBOS.start_workflow_async(child, number) for number in range(3)))
        return await asyncio.gather(*(handle.get_result() for handle in handles))

    launch()

    async def main() -> None:
        with SetWorkflowID("w"):
            assert await workflow() == [0, 1, 2]

    asyncio.run(main())
    expected = [(number, "child", None) for number in (1, 2, 3)]
    expected += [(number + 4, "DBOS.getResult", number) for number in range(3)]
    assert recorded("w") == expected
    assert replay("w").get_result() == [0, 1, 2]
    assert len(DBOS.list_workflows()) == 4


def test_tasks_that_change_places_are_noticed(launch: Launch, replay: Replay) -> None:
    changed: list[bool] = []

    @DBOS.step(name="one")
    async def one() -> None: ...

    @DBOS.step(name="two")
    async def two() -> None: ...

    @DBOS.workflow()
    async def workflow() -> None:
        await asyncio.gather(*((two(), one()) if changed else (one(), two())))

    launch()

    async def main() -> None:
        with SetWorkflowID("w"):
            await workflow()

    asyncio.run(main())
    changed.append(True)
    with pytest.raises(error.DBOSUnexpectedStepError):
        replay("w").get_result()


# ---------------------------------------------------------------- asyncio_wait


def test_waiting_for_some_of_several(launch: Launch, replay: Replay) -> None:
    with Gate() as gate:

        @DBOS.step(name="fast")
        async def fast() -> str:
            return "fast"

        @DBOS.step(name="slow")
        async def slow() -> str:
            await gate.pass_through_async()
            return "slow"

        @DBOS.workflow()
        async def workflow() -> list[Any]:
            tasks = [asyncio.create_task(slow()), asyncio.create_task(fast())]
            done, pending = await DBOS.asyncio_wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            first = [sorted(task.result() for task in done), len(pending)]
            gate.open()
            done, pending = await DBOS.asyncio_wait(tasks)
            return [*first, sorted(task.result() for task in done), len(pending)]

        launch()

        async def main() -> None:
            with SetWorkflowID("w"):
                assert await workflow() == [["fast"], 1, ["fast", "slow"], 0]

        asyncio.run(main())
    assert recorded("w") == [
        (1, "DBOS.asyncio_wait", [1]),
        (2, "slow", "slow"),
        (3, "fast", "fast"),
        (4, "DBOS.asyncio_wait", [0, 1]),
    ]
    assert replay("w").get_result() == [["fast"], 1, ["fast", "slow"], 0]


def test_waiting_takes_coroutines_and_a_timeout(launch: Launch, replay: Replay) -> None:
    @DBOS.step()
    async def fails() -> None:
        raise ValueError("done, too")

    async def plain() -> str:
        return "plain"

    @DBOS.workflow()
    async def workflow() -> list[int]:
        done, pending = await DBOS.asyncio_wait([fails(), plain()])
        assert {repr(future.exception()) for future in done} == {"None", "ValueError('done, too')"}
        never = asyncio.get_running_loop().create_future()
        timed_out = await DBOS.asyncio_wait([never], timeout=0.01)
        never.cancel()
        return [len(done), len(pending), *map(len, timed_out)]

    launch()

    async def main() -> None:
        with SetWorkflowID("w"):
            assert await workflow() == [2, 0, 0, 1]
        done, pending = await DBOS.asyncio_wait([plain()])
        assert ([future.result() for future in done], pending) == (["plain"], set())

    asyncio.run(main())
    assert replay("w").get_result() == [2, 0, 0, 1]


# ---------------------------------------------------------------- what outlives its workflow


def test_a_task_that_outlives_its_workflow_records_nothing_more(launch: Launch) -> None:
    with Gate() as gate:
        tasks: list[asyncio.Task[Any]] = []

        @DBOS.step()
        async def step() -> None: ...

        @DBOS.workflow()
        async def child() -> None:
            raise AssertionError("must not run")

        async def later(call: Callable[[], Any]) -> None:
            await gate.pass_through_async()
            await call()

        @DBOS.workflow()
        async def workflow() -> str:
            tasks.extend(asyncio.create_task(later(call)) for call in (step, child))
            return "done"

        launch()

        async def main() -> None:
            with SetWorkflowID("w"):
                assert await workflow() == "done"
            await gate.wait_for_arrival_async(2)
            gate.open()
            for task in tasks:
                with pytest.raises(error.DBOSWorkflowConflictIDError):
                    await task

        asyncio.run(main())
    assert DBOS.list_workflow_steps("w") == []
    assert [status.workflow_id for status in DBOS.list_workflows()] == ["w"]


# ---------------------------------------------------------------- loops


def test_calls_that_wait_are_refused_on_a_running_loop(launch: Launch, replay: Replay) -> None:
    @DBOS.workflow()
    def plain() -> str:
        return "done"

    async def coroutine_function() -> None: ...

    @DBOS.workflow()
    async def workflow() -> str:
        handle = DBOS.start_workflow(plain)
        for call in (
            lambda: DBOS.sleep(0),
            handle.get_result,
            lambda: DBOS.get_result(handle.workflow_id),
            lambda: DBOS.wait_first([handle]),
            lambda: DBOS.run_step(None, coroutine_function),
        ):
            with pytest.raises(RuntimeError, match=r"[Uu]se await"):
                call()
        with pytest.raises(RuntimeError, match=r"Use await get_result_async\(workflow_id\)"):
            handle.get_result()  # a handle has no twin of it to name
        return "refused"

    launch()
    with SetWorkflowID("w"):
        assert asyncio.run(workflow()) == "refused"
    assert [step["function_id"] for step in DBOS.list_workflow_steps("w")] == [1]
    assert replay("w").get_result() == "refused"


def test_calls_that_only_look_warn_on_a_running_loop(
    launch: Launch, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbos.api.twins._warned", set())

    @DBOS.workflow()
    def workflow() -> None: ...

    launch()

    async def main() -> None:
        workflow()
        assert len(DBOS.list_workflows()) == len(await DBOS.list_workflows_async()) == 1
        assert len(DBOS.list_workflows()) == 1

    asyncio.run(main())
    assert len([record for record in caplog.records if "list_workflows_async" in record.getMessage()]) == 1


def test_a_cancelled_task_does_not_cancel_its_workflow(launch: Launch) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        async def workflow() -> str:
            await gate.pass_through_async()
            return "recovered"

        launch()

        async def main() -> None:
            with SetWorkflowID("w"):
                task = asyncio.ensure_future(workflow())
                await gate.wait_for_arrival_async()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())
        assert DBOS.retrieve_workflow("w").get_status().status == "PENDING"
        gate.open()
        launch()
        assert DBOS.get_result("w") == "recovered"


def test_a_cancellation_during_a_commit_strikes_at_whatever_the_task_waits_for_next(launch: Launch) -> None:
    @DBOS.workflow()
    def receiver() -> None:
        return DBOS.recv(timeout_seconds=60)

    launch()

    async def main() -> None:
        workflow_id = (await DBOS.start_workflow_async(receiver)).workflow_id
        endless = asyncio.get_running_loop().create_future()
        sent = []

        async def send_and_wait() -> None:
            await DBOS.send_async(workflow_id, "delivered")
            sent.append(asyncio.get_running_loop().time())
            await endless

        task = asyncio.ensure_future(send_and_wait())
        await asyncio.sleep(0)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 30)
        assert sent  # what is durable was seen
        assert task.cancelling() == 1
        assert await DBOS.get_result_async(workflow_id) == "delivered"

    asyncio.run(main())


def test_a_timeout_during_a_commit_is_not_lost(launch: Launch) -> None:
    @DBOS.workflow()
    def idle() -> None: ...

    launch()

    async def main() -> None:
        workflow_id = (await DBOS.start_workflow_async(idle)).workflow_id
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await DBOS.send_async(workflow_id, "too late")
                await asyncio.sleep(5)
        async with asyncio.timeout(0):
            await DBOS.send_async(workflow_id, "in time: nothing is awaited after it")
        await asyncio.sleep(0)  # and nothing is left of that cancellation
        await DBOS.send_async(workflow_id, "another")

    asyncio.run(main())


def test_a_loop_that_ends_leaves_its_workflows_to_recovery(launch: Launch) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        async def workflow() -> str:
            await gate.pass_through_async()
            return "recovered"

        launch()

        async def main() -> str:
            handle = await DBOS.start_workflow_async(workflow)
            await gate.wait_for_arrival_async()
            return handle.workflow_id

        workflow_id = asyncio.run(main())
        gate.open()
        assert DBOS.retrieve_workflow(workflow_id).get_status().status == "PENDING"
        launch()
        assert DBOS.get_result(workflow_id) == "recovered"


def test_a_started_coroutine_is_held_although_nobody_holds_its_handle(launch: Launch) -> None:
    """Not even what it waits for: a timer, say, would hold it as well."""
    awaited: list[weakref.ref[asyncio.Future[str]]] = []

    @DBOS.workflow()
    async def workflow() -> str:
        future = asyncio.get_running_loop().create_future()
        awaited.append(weakref.ref(future))
        return await future

    launch()

    async def main() -> None:
        workflow_id = (await DBOS.start_workflow_async(workflow)).workflow_id
        await eventually_async(lambda: awaited)
        gc.collect()
        future = awaited[0]()
        assert future is not None
        future.set_result("held")
        assert await DBOS.get_result_async(workflow_id) == "held"

    asyncio.run(main())


def test_a_task_that_waits_for_a_result_can_be_cancelled(launch: Launch) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        async def workflow() -> str:
            await gate.pass_through_async()
            return "unharmed"

        launch()

        async def main() -> None:
            handle = await DBOS.start_workflow_async(workflow)
            await gate.wait_for_arrival_async()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(handle.get_result(), 0.02)
            gate.open()
            assert await handle.get_result() == "unharmed"

        asyncio.run(main())


def test_the_event_loop_is_never_blocked(launch: Launch) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def plain() -> None:
            gate.pass_through()

        launch()
        ticks: list[int] = []

        async def tick() -> None:
            while True:
                ticks.append(1)
                await asyncio.sleep(0.001)

        async def main() -> None:
            ticking = asyncio.create_task(tick())
            handle = await DBOS.start_workflow_async(plain)
            waiting = asyncio.create_task(handle.get_result())
            before = len(ticks)
            await eventually_async(lambda: len(ticks) > before + 5)
            assert not waiting.done()
            gate.open()
            await waiting
            ticking.cancel()

        asyncio.run(main())


def parameters_of(func: Callable[..., Any]) -> list[tuple[Any, ...]]:
    return [(each.name, each.kind, each.default) for each in inspect.signature(func).parameters.values()]


def test_every_blocking_call_has_a_twin() -> None:
    """The exceptions are those of the documentation: lifecycle, decorators, and calls that cannot wait."""
    alone = {
        "launch", "destroy", "reset_system_database", "listen_queues", "alert_handler", "register_instance", "migrate",
        "workflow", "step", "transaction", "dbos_class", "required_roles", "default_required_roles", "reserve_step",
        "set_authentication", "asyncio_wait", "kafka_consumer", "scheduled",
    }  # fmt: skip
    members = {name: inspect.getattr_static(DBOS, name) for name in dir(DBOS) if not name.startswith("_")}
    names = {name for name, member in members.items() if isinstance(member, (staticmethod, classmethod))}
    blocking = {name for name in names if not name.endswith("_async")} - alone
    assert alone < names
    assert {f"{name}_async" for name in blocking} == {name for name in names if name.endswith("_async")}
    for name in blocking:
        plain, twin = getattr(DBOS, name), getattr(DBOS, f"{name}_async")
        assert inspect.iscoroutinefunction(twin) or name == "read_stream", name  # whose twin gives an async generator
        assert not inspect.iscoroutinefunction(plain), name
        assert parameters_of(plain) == parameters_of(twin), name
        assert plain.__name__ == name
        assert twin.__name__ == f"{name}_async"
        assert plain.__doc__, name
        assert twin.__doc__, name
