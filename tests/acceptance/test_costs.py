"""What things cost, counted and not timed: commits, queries, threads and connections.

Background services ask the database now and then, and on a busy machine a step may have to make sure that its workflow
is still its own. Both can only add reads: the cheapest of several runs counts.
"""

import asyncio
import dataclasses
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from dbos import DBOS, SetWorkflowID, error
from dbos.api.launched import launched_engine
from dbos.runtime import context
from dbos.runtime.executor import Executor
from dbos.services.listener import Listener
from dbos.store.database import Counters, StoreSettings
from dbos.store.steps import Steps
from dbos.store.store import Store
from tests.store import records
from tests.support.fixture_types import Launch
from tests.support.waiting import PATIENCE_SECONDS, Gate, at_best, eventually, eventually_async
from tests.support.warm_python import WarmPython

RUNS = 20


def counters() -> Counters:
    engine = launched_engine()
    assert engine is not None
    return dataclasses.replace(engine.store.journal.counters)


def stop_services() -> None:
    """Stop what asks the store now and then by itself: on a slow machine no run would be without it."""
    assert DBOS._instance is not None
    assert DBOS._instance._running is not None
    for service in DBOS._instance._running.services:
        service.stop()


def cost_of(run: Callable[[], Any]) -> Counters:
    """What the cheapest of several runs costs; the first one without a read will do. Services have stopped."""
    stop_services()
    costs: list[Counters] = []
    while len(costs) < RUNS and not (costs and costs[-1].queries == 0):
        before = counters()
        run()
        after = counters()
        costs.append(
            Counters(
                commits=after.commits - before.commits,
                records=after.records - before.records,
                statements=after.statements - before.statements,
                queries=after.queries - before.queries,
            )
        )
    return min(costs, key=lambda cost: (cost.queries, cost.commits))


@pytest.fixture
def steps_of() -> dict[str, Callable[[int], None]]:
    """Workflows of so many trivial steps, in both colours."""

    @DBOS.step()
    def step() -> int:
        return 1

    @DBOS.step()
    async def step_async() -> int:
        return 1

    @DBOS.workflow()
    def plain(number: int) -> None:
        for _ in range(number):
            step()

    @DBOS.workflow()
    async def coroutine(number: int) -> None:
        for _ in range(number):
            await step_async()

    def await_coroutine(number: int) -> None:
        asyncio.run(coroutine(number))  # type: ignore[arg-type]

    return {
        "plain": plain,
        "coroutine": await_coroutine,
        "started": lambda number: DBOS.start_workflow(plain, number).get_result(),
        "started coroutine": lambda number: DBOS.start_workflow(coroutine, number).get_result(),
    }


FORMS = ["plain", "coroutine", "started", "started coroutine"]


# ---------------------------------------------------------------- commits


@pytest.fixture
def launched(launch: Launch, steps_of: dict[str, Callable[[int], None]]) -> dict[str, Callable[[int], None]]:
    launch()
    return steps_of


@pytest.mark.parametrize("form", FORMS)
def test_one_step_costs_one_commit(launched: dict[str, Callable[[int], None]], database_url: str, form: str) -> None:
    run = launched[form]
    few, many = cost_of(lambda: run(1)), cost_of(lambda: run(11))
    assert many.commits - few.commits == 10
    assert many.records - few.records == 10
    assert many.queries == few.queries
    if database_url.startswith("postgresql"):
        assert many.statements - few.statements == 10


@pytest.mark.parametrize("form", FORMS)
def test_a_fresh_workflow_of_two_steps_costs_four_commits_and_no_read(
    launched: dict[str, Callable[[int], None]], form: str
) -> None:
    cost = cost_of(lambda: launched[form](2))
    assert (cost.commits, cost.records) == (4, 4)
    assert cost.queries == 0


def test_a_child_costs_three_commits(launch: Launch) -> None:
    """Its start together with the step that records it; its outcome; and its result in the parent."""

    @DBOS.workflow()
    def child() -> int:
        return 1

    @DBOS.workflow()
    def parent(number: int) -> None:
        for _ in range(number):
            child()

    launch(use_listen_notify=False)  # to wake others is a query now and then
    few, many = cost_of(lambda: parent(1)), cost_of(lambda: parent(6))
    assert many.commits - few.commits == 15
    assert many.queries == few.queries == 0


def test_concurrent_steps_share_commits(launch: Launch) -> None:
    @DBOS.step()
    async def step() -> None: ...

    @DBOS.workflow()
    async def workflow() -> None:
        await asyncio.gather(*(step() for _ in range(200)))

    async def many() -> None:
        await asyncio.gather(*(workflow() for _ in range(5)))

    launch()
    before = counters()
    asyncio.run(many())
    after = counters()
    assert after.records - before.records == 5 * 202
    assert after.commits - before.commits < 200


# ---------------------------------------------------------------- recovery


def test_recovery_loads_all_histories_in_one_query(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 50
    with Gate() as gate:

        @DBOS.step()
        def step() -> int:
            return 1

        @DBOS.workflow()
        def workflow() -> int:
            total = step() + step()
            gate.pass_through()
            return total + step()

        launch()
        for number in range(count):
            with SetWorkflowID(f"w{number}"):
                DBOS.start_workflow(workflow)
        gate.wait_for_arrival(count)
        asked: list[tuple[str, Any]] = []
        for name in ("history", "recorded"):
            monkeypatch.setattr(Steps, name, spy(asked, name, getattr(Steps, name)))
        launch()
        gate.wait_for_arrival(2 * count)
        assert [(name, len(arguments[0])) for name, arguments in asked] == [("history", count)]
        gate.open()
        assert [DBOS.get_result(f"w{number}") for number in range(count)] == [3] * count


def spy(asked: list[tuple[str, Any]], name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: Any, *arguments: Any) -> Any:
        asked.append((name, arguments))
        return original(self, *arguments)

    return call


# ---------------------------------------------------------------- threads and connections


def connections(database_url: str) -> int:
    """How many sessions of ours the server has."""
    if not database_url.startswith("postgresql"):
        return 0
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        ).fetchone()
    assert row is not None
    return int(row[0])


def new_threads(before: set[threading.Thread]) -> list[str]:
    return sorted(thread.name for thread in set(threading.enumerate()) - before)


def many_waiters(database_url: str) -> int:
    """Ten thousand where each could cost a connection to a server; a file has the same code above it, and fewer."""
    return 10_000 if database_url.startswith("postgres") else 2_000


def test_ten_thousand_waiting_workflows_need_few_threads_and_connections(launch: Launch, database_url: str) -> None:
    count = many_waiters(database_url)
    waiting: list[str] = []

    @DBOS.workflow()
    async def awaited() -> str:
        await DBOS.sleep_async(1000)
        return "never"

    @DBOS.workflow()
    async def waits_for_a_result(number: int) -> str:
        waiting.append("result")
        try:
            return await DBOS.get_result_async("awaited")
        except error.DBOSAwaitedWorkflowCancelledError:
            return "told"

    @DBOS.workflow()
    async def sleeps(number: int) -> str:
        waiting.append("sleep")
        await DBOS.sleep_async(1000)
        return "never"

    launch(sys_db_pool_size=8)

    async def main() -> None:
        before = set(threading.enumerate())
        with SetWorkflowID("awaited"):
            await DBOS.start_workflow_async(awaited)
        starts = (
            DBOS.start_workflow_async((sleeps, waits_for_a_result)[number % 2], number) for number in range(count)
        )
        handles = await asyncio.gather(*starts)
        await eventually_async(lambda: len(waiting) == count)
        assert len(new_threads(before)) <= 8, new_threads(before)
        assert await asyncio.to_thread(connections, database_url) <= 8
        await DBOS.cancel_workflow_async("awaited")
        assert {await handle.get_result() for handle in handles[1::2]} == {"told"}
        await DBOS.cancel_workflows_async([handle.workflow_id for handle in handles[::2]])
        for handle in handles[:10:2]:
            with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
                await handle.get_result()
        assert len(new_threads(before)) <= 8, new_threads(before)

    asyncio.run(main())


@pytest.mark.parametrize("depth", [1, 4])
def test_parents_do_not_starve_their_children(launch: Launch, depth: int) -> None:
    @DBOS.workflow()
    def workflow(level: int) -> int:
        if level == 0:
            return 0
        handles = [DBOS.start_workflow(workflow, level - 1) for _ in range(2)]
        return 1 + max(handle.get_result() for handle in handles)

    launch(max_executor_threads=1)
    assert DBOS.start_workflow(workflow, depth).get_result() == depth


def test_the_number_of_threads_is_bounded(launch: Launch) -> None:
    running: list[int] = []
    lock = threading.Lock()
    peak: list[int] = []
    with Gate() as gate:

        @DBOS.workflow()
        def workflow() -> None:
            with lock:
                running.append(1)
                peak.append(len(running))
            gate.pass_through()
            time.sleep(0.01)
            with lock:
                running.pop()

        launch(max_executor_threads=3)
        handles = [DBOS.start_workflow(workflow) for _ in range(20)]
        gate.wait_for_arrival(3)
    for handle in handles:
        handle.get_result()
    assert max(peak) == 3


def test_a_workflow_in_the_background_keeps_no_thread_while_its_outcome_is_written(launch: Launch) -> None:
    all_started = threading.Event()
    bodies = itertools.count(1)

    @DBOS.workflow()
    def workflow() -> None:
        number = next(bodies)
        if number == 1:
            assert all_started.wait(10)
            writer.acquire()  # from here on nothing is written
        elif number == 5:
            writer.release()  # reached by the only thread, though no outcome is durable yet

    launch(max_executor_threads=1)
    engine = launched_engine()
    assert engine is not None
    writer = engine.store._pool.writer.lock
    handles = [DBOS.start_workflow(workflow) for _ in range(5)]
    all_started.set()
    for handle in handles:
        handle.get_result()
    assert next(bodies) == 6


def test_an_outcome_is_told_while_other_workflows_have_all_the_threads(launch: Launch) -> None:
    second_waits, second_runs, told = threading.Event(), threading.Event(), threading.Event()

    @DBOS.workflow()
    def first() -> str:
        assert second_waits.wait(10)
        writer.acquire()  # from here on nothing is written
        return "told"

    @DBOS.workflow()
    def second() -> bool:
        second_runs.set()
        return told.wait(PATIENCE_SECONDS)

    launch(max_executor_threads=1)
    engine = launched_engine()
    assert engine is not None
    writer = engine.store._pool.writer.lock
    handle, other = DBOS.start_workflow(first), DBOS.start_workflow(second)
    second_waits.set()
    assert second_runs.wait(10)
    writer.release()
    assert handle.get_result() == "told"
    told.set()
    assert other.get_result()  # it had the only thread until then


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_log_that_breaks_leaves_nobody_waiting_for_other_workflows(launch: Launch) -> None:
    class Breaking(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            if "Exception encountered" in record.getMessage():
                raise OSError("no log")
            return True

    bodies = threading.Barrier(10)

    @DBOS.workflow()
    def fails() -> None:
        if bodies.wait(10) == 0:
            writer.acquire()  # so that the outcomes share a batch
        bodies.wait(10)
        raise ValueError("failed")

    launch()
    engine = launched_engine()
    assert isinstance(engine, Executor)
    writer = engine.store._pool.writer.lock
    breaking = Breaking()
    logging.getLogger("dbos").addFilter(breaking)
    try:
        for _ in range(bodies.parties):
            DBOS.start_workflow(fails)
        eventually(lambda: len(engine.store.journal._queue) >= bodies.parties - 1)
        writer.release()
        assert engine.wait_until_idle(PATIENCE_SECONDS)
    finally:
        logging.getLogger("dbos").removeFilter(breaking)


def test_an_outcome_is_told_when_the_system_has_no_thread_left(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(work: object) -> None:
        raise RuntimeError("the system has no thread left")

    @DBOS.workflow()
    def workflow() -> str:
        return "told"

    launch(max_executor_threads=1)
    engine = launched_engine()
    assert isinstance(engine, Executor)
    monkeypatch.setattr(engine.resuming, "submit", refuse)
    handle = DBOS.start_workflow(workflow)
    assert engine.wait_until_idle(PATIENCE_SECONDS)
    assert handle.get_result() == "told"


# ---------------------------------------------------------------- how soon another process is heard

OTHER_PROCESS = """
import sys, time
from dbos import DBOS
DBOS(config={"name": "test-app", "system_database_url": sys.argv[1], "executor_id": "other", "log_level": "ERROR"})
DBOS.launch()
print("ready", flush=True)
for line in sys.stdin:
    DBOS.cancel_workflow(line.strip())
    print(time.time(), flush=True)
DBOS.destroy()
"""

Canceller = Callable[[str], float]
"""Cancels a workflow; when that was done."""


@pytest.fixture
def canceller(database_url: str, warm_python: WarmPython) -> Iterator[Canceller]:
    """Another process, which cancels what it is told to."""
    (stdin, orders), (answers, stdout) = (os.pipe(), os.pipe())
    with os.fdopen(orders, "w") as orders_file, os.fdopen(answers) as answers_file:
        with os.fdopen(stdin) as theirs, os.fdopen(stdout, "w") as theirs_too:
            other = warm_python.start(["-c", OTHER_PROCESS, database_url], stdin=theirs, stdout=theirs_too)
        assert answers_file.readline() == "ready\n"

        def cancel(workflow_id: str) -> float:
            print(workflow_id, file=orders_file, flush=True)
            return float(answers_file.readline())

        yield cancel
    assert other.wait(20) == 0


@pytest.mark.parametrize("pause_seconds", [0.0, 0.03, 0.5])
@pytest.mark.parametrize("use_listen_notify", [False, True])
def test_a_cancellation_elsewhere_keeps_the_next_step_from_starting(
    launch: Launch, canceller: Canceller, pause_seconds: float, use_listen_notify: bool
) -> None:
    """100 ms after another process has cancelled a workflow, no step of it starts any more."""
    started: list[float] = []

    @DBOS.step()
    def step() -> None:
        started.append(time.time())

    @DBOS.workflow()
    def workflow() -> None:
        while True:
            step()
            time.sleep(pause_seconds)

    def delay_seconds() -> float:
        """From when the cancellation was done to when the last step began."""
        started.clear()
        handle = DBOS.start_workflow(workflow)
        eventually(lambda: len(started) >= 2)
        cancelled_at = canceller(handle.workflow_id)
        with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
            handle.get_result()
        assert launched_engine().wait_until_idle(20)
        return max(started) - cancelled_at

    launch(use_listen_notify=use_listen_notify)
    assert at_best(delay_seconds, 0.1) <= 0.1


def test_a_sleeper_hears_of_its_cancellation_elsewhere(launch: Launch, canceller: Canceller) -> None:
    @DBOS.workflow()
    async def workflow() -> None:
        await DBOS.sleep_async(1000)

    launch()
    handle = DBOS.start_workflow(workflow)
    canceller(handle.workflow_id)
    begun = time.monotonic()
    with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
        handle.get_result()
    DBOS.destroy(workflow_completion_timeout_sec=20)
    assert time.monotonic() - begun < 10


# ---------------------------------------------------------------- many who want to know the same at the same time


@pytest.mark.parametrize("asleep", [True, False])
def test_a_thousand_cancellations_elsewhere_are_heard_of_by_a_few_queries(
    launch: Launch, database_url: str, asleep: bool
) -> None:
    """Also by those that are just about to sleep, and find their record of it refused."""
    sleeping: list[int] = []

    @DBOS.workflow()
    async def workflow(number: int) -> None:
        await DBOS.sleep_async(0)
        sleeping.append(number)
        await DBOS.sleep_async(1000)

    async def main() -> None:
        handles = await asyncio.gather(*(DBOS.start_workflow_async(workflow, number) for number in range(1_000)))
        engine = launched_engine()
        if asleep:
            await eventually_async(lambda: len(sleeping) == len(handles))
        with Store.open(StoreSettings(url=database_url)) as elsewhere:
            before = counters().queries
            await asyncio.to_thread(elsewhere.workflows.cancel, [handle.workflow_id for handle in handles])
            await eventually_async(lambda: not engine.active())
            assert counters().queries - before < 200

    launch()
    asyncio.run(main())


@pytest.mark.parametrize("fresh_seconds", [0.0, 1000.0])
def test_a_thousand_workflows_find_out_together_that_they_are_cancelled(
    launch: Launch, database_url: str, monkeypatch: pytest.MonkeyPatch, fresh_seconds: float
) -> None:
    """With nobody to tell them: as their next step begins (they know nothing fresh), or as its record is refused."""
    monkeypatch.setattr(context, "FRESH_SECONDS", fresh_seconds)
    monkeypatch.setattr(Listener, "_probe", lambda self: setattr(self, "_probed_at", time.monotonic()))
    count = 1_000
    arrived: list[int] = []
    begun: list[int] = []

    @DBOS.step()
    async def step(number: int) -> None:
        begun.append(number)

    cancelled = asyncio.Event()

    @DBOS.workflow()
    async def workflow(number: int) -> None:
        arrived.append(number)
        await cancelled.wait()
        await step(number)

    async def main() -> None:
        handles = [await DBOS.start_workflow_async(workflow, number) for number in range(count)]
        await eventually_async(lambda: len(arrived) == count)
        with Store.open(StoreSettings(url=database_url)) as elsewhere:
            elsewhere.workflows.cancel([handle.workflow_id for handle in handles])
        before = counters().queries
        cancelled.set()
        await eventually_async(lambda: not launched_engine().active())
        for handle in handles[:3]:
            with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
                await handle.get_result()
        assert counters().queries - before < count / 10

    launch()
    asyncio.run(main())
    assert len(begun) == (0 if fresh_seconds == 0 else count)


def test_a_thousand_who_wait_for_workflows_elsewhere_read_their_outcomes_together(
    launch: Launch, database_url: str
) -> None:
    count = 1_000
    ids = [f"w{number}" for number in range(count)]

    async def main() -> None:
        with Store.open(StoreSettings(url=database_url)) as elsewhere:
            elsewhere.journal.write([records.start(each) for each in ids])
            handles = [await DBOS.retrieve_workflow_async(each) for each in ids]
            waiting = asyncio.gather(*(handle.get_result() for handle in handles))
            await eventually_async(lambda: len(launched_engine().waiters.waiting_for("workflow")) == count)
            before = counters().queries
            elsewhere.journal.write([records.finish(each) for each in ids])
            assert await waiting == ["done"] * count
            assert counters().queries - before < count / 5

    launch()
    asyncio.run(main())
