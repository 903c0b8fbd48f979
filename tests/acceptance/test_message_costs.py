"""What messages and events cost, counted and not timed; see test_costs.py."""

import asyncio
import threading
from typing import Any

import pytest

from dbos import DBOS, SendMessage, SetWorkflowID, error
from dbos.api.launched import current_engine
from tests.acceptance.test_costs import connections, cost_of, counters, many_waiters, new_threads
from tests.support.fixture_types import Launch
from tests.support.waiting import PATIENCE_SECONDS, Gate, eventually, eventually_async

FOREVER = 1000.0


@pytest.mark.parametrize("coroutine", [False, True])
def test_a_message_that_is_there_is_received_in_one_round_trip(launch: Launch, coroutine: bool) -> None:
    costs: list[Any] = []

    def receive() -> None:
        assert DBOS.recv("t", FOREVER) == "hello"

    async def receive_async() -> None:
        assert await DBOS.recv_async("t", FOREVER) == "hello"

    with Gate() as gate:

        @DBOS.workflow()
        def plain() -> None:
            gate.pass_through()
            costs.append(cost_of(receive))

        @DBOS.workflow()
        async def slow() -> None:
            await gate.pass_through_async()
            before = counters()
            await receive_async()
            after = counters()
            costs.append(after.commits - before.commits)

        launch()
        with SetWorkflowID("w"):
            handle = DBOS.start_workflow(slow if coroutine else plain)
        gate.wait_for_arrival()
        DBOS.send_bulk([SendMessage("w", "hello", "t")] * 30)
        gate.open()
        handle.get_result()
    if coroutine:
        assert costs == [1]
    else:
        assert (costs[0].commits, costs[0].queries) == (1, 0)
        assert costs[0].statements == 2


def test_a_message_and_an_event_cost_one_commit_and_no_read(launch: Launch) -> None:
    found: list[Any] = []

    @DBOS.workflow()
    def target() -> None: ...

    @DBOS.workflow()
    def workflow() -> None:
        found.append(cost_of(lambda: DBOS.send("w", "hello")))
        found.append(cost_of(lambda: DBOS.set_event("k", 1)))

    launch(use_listen_notify=False)  # a hint to other processes would count as a query
    with SetWorkflowID("w"):
        target()
    found.append(cost_of(lambda: DBOS.send("w", "hello")))
    workflow()
    assert [(cost.commits, cost.queries) for cost in found] == [(1, 0)] * 3


def test_an_event_that_is_set_costs_one_query_and_in_a_workflow_one_commit(launch: Launch) -> None:
    found: list[Any] = []

    def look() -> None:
        assert DBOS.get_event("w", "k", FOREVER) == 1

    @DBOS.workflow()
    def target() -> None:
        DBOS.set_event("k", 1)

    @DBOS.workflow()
    def workflow() -> None:
        found.append(cost_of(look))

    launch(use_listen_notify=False)
    with SetWorkflowID("w"):
        target()
    found.append(cost_of(look))
    workflow()
    assert [(cost.commits, cost.queries) for cost in found] == [(0, 1), (1, 1)]


def test_a_wake_up_is_one_check(launch: Launch) -> None:
    """A receiver on another topic is not even woken."""

    @DBOS.workflow()
    async def receive(topic: str) -> Any:
        return await DBOS.recv_async(topic, FOREVER)

    launch(use_listen_notify=False, notification_listener_polling_interval_sec=FOREVER)
    with SetWorkflowID("w"):
        handle = DBOS.start_workflow(receive, "t")
    eventually(lambda: current_engine().waiters.waiting_for("message"))
    eventually(lambda: counters().commits == 2)  # the start, and the end of the wait: it is counted behind its commit
    before = counters()
    DBOS.send("w", "for somebody else", "u")
    DBOS.send("w", "hello", "t")
    assert handle.get_result() == "hello"
    assert current_engine().wait_until_idle(PATIENCE_SECONDS)  # a result is there a moment before it is counted
    after = counters()
    assert after.commits - before.commits == 4  # two sends, one receive, the end


def test_ten_thousand_waiting_coroutines_need_few_threads_and_connections(launch: Launch, database_url: str) -> None:
    count = many_waiters(database_url)

    @DBOS.workflow()
    async def receives(number: int) -> Any:
        return await DBOS.recv_async("t", FOREVER)

    @DBOS.workflow()
    async def listens(number: int) -> Any:
        return await DBOS.get_event_async("publisher", "k", FOREVER)

    @DBOS.workflow()
    async def publisher() -> None:
        await DBOS.set_event_async("k", "hello")

    launch(sys_db_pool_size=8)

    async def main() -> None:
        before = set(threading.enumerate())
        starts = (DBOS.start_workflow_async((receives, listens)[number % 2], number) for number in range(count))
        handles = await asyncio.gather(*starts)
        waiters = current_engine().waiters
        await eventually_async(lambda: len(waiters.waiting_for("message")) == count // 2)
        await eventually_async(lambda: waiters.anyone_for("event"))
        assert len(new_threads(before)) <= 8, new_threads(before)
        assert await asyncio.to_thread(connections, database_url) <= 8
        queries = counters().queries
        with SetWorkflowID("publisher"):
            await publisher()
        assert {await handle.get_result() for handle in handles[1::2]} == {"hello"}
        assert counters().queries - queries < count // 10  # of five times as many readers
        receivers = handles[::2]
        heard, cancelled = receivers[: count // 5], receivers[count // 5 :]
        await DBOS.send_bulk_async([SendMessage(each.workflow_id, "hello", "t") for each in heard])
        assert {await handle.get_result() for handle in heard} == {"hello"}
        await DBOS.cancel_workflows_async([handle.workflow_id for handle in cancelled])
        with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
            await cancelled[-1].get_result()
        assert len(new_threads(before)) <= 8, new_threads(before)

    asyncio.run(main())
