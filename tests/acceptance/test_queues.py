"""api.md §3.7, §6.2 - §6.7: what becomes of enqueued workflows, in the process that enqueues them."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from dbos import (
    DBOS,
    DBOSConfiguredInstance,
    DBOSContextSetAuth,
    Queue,
    SetEnqueueOptions,
    SetWorkflowID,
    SetWorkflowTimeout,
    WorkflowStatus,
    error,
)
from dbos.testing.shifting import Shift
from tests.support.fixture_types import Launch
from tests.support.waiting import Gate, eventually


@pytest.fixture
def queue(launch: Launch) -> Queue:
    return Queue("q")


def status_of(workflow_id: str) -> WorkflowStatus:
    status = DBOS.get_workflow_status(workflow_id)
    assert status is not None
    return status


# ---------------------------------------------------------------- running


def test_enqueued_workflows_run(launch: Launch, queue: Queue) -> None:
    """On threads and an event loop of ours, never on the caller's."""

    @DBOS.workflow()
    def plain(number: int) -> tuple[int, int]:
        return number, threading.get_ident()

    @DBOS.workflow()
    async def coroutine(number: int) -> tuple[int, int]:
        await asyncio.sleep(0)
        return number, id(asyncio.get_running_loop())

    @DBOS.step()
    def step(number: int) -> int:
        return number

    launch()
    assert queue.enqueue(plain, 1).get_result()[0] == 1
    assert queue.enqueue(plain, 1).get_result()[1] != threading.get_ident()
    assert queue.enqueue(coroutine, 2).get_result()[0] == 2
    handle = queue.enqueue(step, 3)
    assert handle.get_result() == 3
    assert [step["function_name"] for step in DBOS.list_workflow_steps(handle.workflow_id)] == [step.__qualname__]
    status = handle.get_status()
    assert (status.status, status.queue_name, status.executor_id) == ("SUCCESS", "q", DBOS.executor_id)
    assert (status.recovery_attempts, status.app_version) == (1, DBOS.application_version)
    assert status.created_at is not None
    assert status.dequeued_at is not None
    assert status.created_at <= status.dequeued_at

    async def main() -> tuple[int, int]:
        handle = await queue.enqueue_async(coroutine, 4)
        number, loop = await handle.get_result()
        assert loop != id(asyncio.get_running_loop())
        return number, await (await DBOS.enqueue_workflow_async("q", step, 5)).get_result()

    assert asyncio.run(main()) == (4, 5)


def test_methods_run_on_their_instance(launch: Launch, queue: Queue) -> None:
    @DBOS.dbos_class()
    class Shop(DBOSConfiguredInstance):
        @DBOS.workflow()
        def sell(self, what: str) -> str:
            return f"{what} in {self.config_name}"

        @classmethod
        @DBOS.workflow()
        def count(cls) -> str:
            return cls.__name__

        @staticmethod
        @DBOS.workflow()
        def add(one: int, other: int) -> int:
            return one + other

    shop = Shop("berlin")
    launch()
    assert queue.enqueue(shop.sell, "tea").get_result() == "tea in berlin"
    assert queue.enqueue(Shop.count).get_result() == "Shop"
    assert queue.enqueue(Shop.add, 20, other=22).get_result() == 42
    options: Any = {"workflow_name": Shop.sell.__qualname__, "class_name": Shop.__qualname__, "queue_name": "q"}
    handle = DBOS.enqueue_workflow_with_options({**options, "instance_name": "berlin"}, "milk")
    assert handle.get_result() == "milk in berlin"


def test_a_workflow_waits_for_its_queue(launch: Launch) -> None:
    @DBOS.workflow()
    def task() -> str:
        return "done"

    launch()
    handle = DBOS.enqueue_workflow("later", task)
    kept = DBOS.enqueue_workflow("kept", task)
    assert [handle.get_status().status, kept.get_status().status] == ["ENQUEUED", "ENQUEUED"]
    Queue("later")
    DBOS.register_queue("kept")
    assert [handle.get_result(), kept.get_result()] == ["done", "done"]


def test_errors_reach_whoever_waits(launch: Launch, queue: Queue) -> None:
    @DBOS.workflow()
    def fails() -> None:
        raise KeyError("lost")

    launch()
    handle = queue.enqueue(fails)
    with pytest.raises(KeyError, match="lost"):
        handle.get_result()
    assert handle.get_status().status == "ERROR"


def test_an_enqueued_workflow_runs_on_behalf_of_who_enqueued_it(launch: Launch, queue: Queue) -> None:
    @DBOS.workflow()
    def who() -> Any:
        return DBOS.authenticated_user, DBOS.authenticated_roles

    launch()
    with DBOSContextSetAuth("ada", ["admin"]):
        handle = queue.enqueue(who)
    assert handle.get_result() == ("ada", ["admin"])
    options: Any = {"workflow_name": who.__qualname__, "queue_name": "q", "authenticated_user": "bob"}
    assert DBOS.enqueue_workflow_with_options(options).get_result() == ("bob", None)


def test_a_fan_out_is_gathered(launch: Launch, queue: Queue) -> None:
    @DBOS.workflow()
    def square(number: int) -> int:
        return number * number

    @DBOS.workflow()
    def total(numbers: list[int]) -> int:
        return sum(handle.get_result() for handle in [queue.enqueue(square, number) for number in numbers])

    @DBOS.workflow()
    async def total_async(numbers: list[int]) -> int:
        handles = await asyncio.gather(*(queue.enqueue_async(square, number) for number in numbers))
        return sum(await asyncio.gather(*(handle.get_result() for handle in handles)))

    launch()
    assert total([1, 2, 3]) == 14
    assert asyncio.run(total_async([1, 2, 3])) == 14  # type: ignore[arg-type]
    assert queue.enqueue(total, [1, 2]).get_result() == 5  # a queue without limits carries its own fan-out


# ---------------------------------------------------------------- options, and what they come to


def test_what_has_no_priority_comes_first(launch: Launch) -> None:
    order: list[str] = []
    gate = Gate()

    @DBOS.workflow()
    def task(name: str) -> None:
        if name == "first":
            gate.pass_through()
        order.append(name)

    queue = Queue("serial", concurrency=1, priority_enabled=True)
    launch()
    handles = [queue.enqueue(task, "first")]
    gate.wait_for_arrival()
    for name, priority in (("late", 100), ("early", 1), ("early too", 1)):
        with SetEnqueueOptions(priority=priority):
            handles.append(queue.enqueue(task, name))
    handles.append(queue.enqueue(task, "none"))
    gate.open()
    for handle in handles:
        handle.get_result()
    assert order == ["first", "none", "early", "early too", "late"]


def test_priorities_are_honoured_on_any_queue(launch: Launch, queue: Queue, caplog: pytest.LogCaptureFixture) -> None:
    @DBOS.workflow()
    def task() -> None:
        pass

    name = f"undeclared-{id(caplog)}"
    Queue(name)
    launch()
    with SetEnqueueOptions(priority=3):
        for _ in range(2):
            assert DBOS.enqueue_workflow(name, task).get_status().priority == 3
    warnings = [record.getMessage() for record in caplog.records if name in record.getMessage()]
    assert warnings == [
        f"Workflows on queue {name} have priorities, which are honoured here. Say priority_enabled=True where it is "
        "declared: older releases refuse them without"
    ]


def test_a_deduplication_id_is_free_again_at_the_end(launch: Launch, queue: Queue) -> None:
    gates = {"returns": Gate(), "fails": Gate()}

    @DBOS.workflow()
    def task(how: str) -> str:
        gates[how].pass_through()
        if how == "fails":
            raise ValueError(how)
        return how

    launch()
    for how in ("returns", "fails"):
        with SetEnqueueOptions(deduplication_id="d"):
            handle = queue.enqueue(task, how)
            gates[how].wait_for_arrival()
            with pytest.raises(error.DBOSQueueDeduplicatedError):  # a running one holds it as well
                queue.enqueue(task, how)
        assert handle.get_status().deduplication_id == "d"
        gates[how].open()
        if how == "fails":
            with pytest.raises(ValueError, match=how):
                handle.get_result()
        else:
            assert handle.get_result() == how
        assert handle.get_status().deduplication_id is None
    with SetEnqueueOptions(deduplication_id="d"):
        assert queue.enqueue(task, "returns").get_result() == "returns"


def test_options_are_not_for_what_the_workflow_enqueues_itself(launch: Launch, queue: Queue) -> None:
    @DBOS.workflow()
    def child() -> None:
        pass

    @DBOS.workflow()
    def parent() -> str:
        return queue.enqueue(child).workflow_id

    launch()
    with SetEnqueueOptions(priority=5, deduplication_id="d", delay_seconds=0.01), SetWorkflowID("p"):
        handle = queue.enqueue(parent)
    grandchild = status_of(handle.get_result())
    assert (grandchild.workflow_id, grandchild.priority, grandchild.deduplication_id) == ("p-1", 0, None)


@pytest.mark.owner("makes the table that moves the time of a database")
def test_a_delayed_workflow_runs_when_its_time_has_come(launch: Launch, queue: Queue) -> None:
    @DBOS.workflow()
    def task() -> str:
        return "done"

    shift = Shift()
    with shift.installed():
        launch()
        with SetEnqueueOptions(delay_seconds=3600):
            handle = queue.enqueue(task)
        assert handle.get_status().status == "DELAYED"
        shift.forward(3_600_000)
        assert handle.get_result() == "done"
        status = handle.get_status()
    assert status.created_at is not None
    assert status.dequeued_at is not None
    assert status.dequeued_at >= status.created_at + 3_600_000


def test_a_delay_can_be_cut_short(launch: Launch, queue: Queue) -> None:
    @DBOS.workflow()
    def task() -> str:
        return "done"

    launch()
    with SetEnqueueOptions(delay_seconds=3600):
        shortened, resumed, cancelled = queue.enqueue(task), queue.enqueue(task), queue.enqueue(task)
    DBOS.set_workflow_delay(shortened.workflow_id, delay_seconds=0)
    assert shortened.get_result() == "done"
    assert DBOS.resume_workflow(resumed.workflow_id).get_result() == "done"
    DBOS.cancel_workflow(cancelled.workflow_id)
    with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
        cancelled.get_result()


def test_another_version_is_waited_for(launch: Launch, queue: Queue) -> None:
    @DBOS.workflow(name="task")
    def task() -> str:
        return "done"

    launch(application_version="1")
    with SetEnqueueOptions(app_version="2"):
        later = queue.enqueue(task)
    now = queue.enqueue(task)
    assert now.get_result() == "done"
    assert later.get_status().status == "ENQUEUED"
    launch(application_version="2")
    assert later.get_result() == "done"
    open_to_all = DBOS.enqueue_workflow_with_options({"workflow_name": "task", "queue_name": "q"})
    assert open_to_all.get_result() == "done"
    assert open_to_all.get_status().app_version == "2"


def test_resuming_onto_a_queue(launch: Launch, queue: Queue) -> None:
    @DBOS.workflow()
    def task() -> str:
        return "done"

    launch()
    with SetEnqueueOptions(delay_seconds=3600):
        handle = queue.enqueue(task)
    DBOS.cancel_workflow(handle.workflow_id)
    assert handle.get_status().queue_name is None
    DBOS.register_queue("other")
    resumed = DBOS.resume_workflow(handle.workflow_id, queue_name="other")
    assert resumed.get_result() == "done"
    assert resumed.get_status().queue_name == "other"


# ---------------------------------------------------------------- timeouts


def test_the_time_of_an_enqueued_workflow_runs_from_its_start(launch: Launch) -> None:
    gate = Gate()

    @DBOS.workflow()
    def holder() -> None:
        gate.pass_through()

    @DBOS.workflow()
    def task() -> None:
        DBOS.sleep(60)

    queue = Queue("serial", concurrency=1)
    launch()
    first = queue.enqueue(holder)
    gate.wait_for_arrival()
    with SetWorkflowTimeout(0.5):
        second = queue.enqueue(task)
    waiting = second.get_status()
    assert (waiting.workflow_timeout_ms, waiting.workflow_deadline_epoch_ms) == (500, None)
    gate.open()
    first.get_result()
    started = eventually(lambda: [each for each in [second.get_status()] if each.status != "ENQUEUED"])[0]
    with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
        second.get_result()
    assert second.get_status().status == "CANCELLED"
    deadline = second.get_status().workflow_deadline_epoch_ms
    assert deadline is not None
    assert started.created_at is not None
    assert deadline >= started.created_at + 500
    if started.status == "PENDING":  # else this thread was asleep meanwhile; the row says no more when it started
        assert started.dequeued_at is not None
        assert deadline == started.dequeued_at + 500


@pytest.mark.owner("makes the table that moves the time of a database")
def test_children_on_a_queue_end_with_their_parent(launch: Launch, queue: Queue) -> None:
    @DBOS.workflow()
    def child() -> None:
        DBOS.sleep(100_000)

    @DBOS.workflow()
    def parent() -> None:
        queue.enqueue(child)
        DBOS.sleep(100_000)

    shift = Shift()
    with shift.installed():
        launch()
        with SetWorkflowTimeout(3600), SetWorkflowID("p"):
            handle = queue.enqueue(parent)
        eventually(lambda: DBOS.get_workflow_status("p-1"))
        shift.forward(3_600_000)
        with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
            handle.get_result()
        with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
            DBOS.retrieve_workflow("p-1").get_result()
    assert status_of("p-1").workflow_deadline_epoch_ms == status_of("p").workflow_deadline_epoch_ms


# ---------------------------------------------------------------- what cannot be asked


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"priority": 0}, "Invalid priority 0. Priority must be between 1~2147483647."),
        ({"priority": 2**31}, "Invalid priority 2147483648"),
        ({"priority": -1}, "Invalid priority -1"),
        ({"priority": True}, "Invalid priority True"),
        ({"priority": "high"}, "Invalid priority high"),
        ({"delay_seconds": -1}, "Invalid delay -1"),
        ({"delay_seconds": float("nan")}, "Invalid delay nan"),
        ({"delay_seconds": 1e12}, "Invalid delay"),
        ({"deduplication_id": ""}, "deduplication_id must be a non-empty string"),
        ({"deduplication_id": 7}, "deduplication_id must be a non-empty string"),
        ({"deduplication_id": "a\0b"}, "NUL"),
        ({"deduplication_id": "x" * 513}, "at most 512 bytes"),
        ({"queue_partition_key": ""}, "queue_partition_key must be a non-empty string"),
        ({"app_version": "\ud800"}, "surrogate"),
        ({"duplication_policy": "replace"}, "Unknown duplication_policy 'replace'"),
    ],
    ids=lambda each: str(each)[:30],
)
def test_impossible_options_are_refused(launch: Launch, options: dict[str, Any], what: str) -> None:
    with pytest.raises(error.DBOSException) as caught:
        SetEnqueueOptions(**options)
    assert what in str(caught.value)
    launch()
    with pytest.raises(error.DBOSException) as caught:
        DBOS.enqueue_workflow_with_options({"workflow_name": "w", "queue_name": "q", **options})  # type: ignore[typeddict-item]
    assert what in str(caught.value)
    assert DBOS.list_workflows() == []


def refused_calls(queue: Queue, task: Callable[..., None]) -> list[tuple[Callable[[], Any], type[Exception], str]]:
    wrong: Any = {"workflow_name": "w", "queue_name": "q"}

    def with_options(**options: Any) -> Callable[[], Any]:
        return lambda: DBOS.enqueue_workflow_with_options({**wrong, **options})

    def enqueue_with(**options: Any) -> None:
        with SetEnqueueOptions(**options):
            queue.enqueue(task)

    options: Any = {"workflow_name": "w"}
    nameless: Any = {"queue_name": "q"}
    return [
        (lambda: queue.enqueue(len, "abc"), error.DBOSWorkflowFunctionNotFoundError, "not a DBOS function"),
        (lambda: queue.enqueue(task, 1, 2, 3), TypeError, "task"),
        (lambda: queue.enqueue(task, threading.Lock()), error.DBOSSerializationError, "args"),
        (lambda: enqueue_with(duplication_policy="return-existing"), error.DBOSException, "deduplication_id"),
        (lambda: enqueue_with(queue_partition_key="p"), error.DBOSException, "not partitioned"),
        (lambda: DBOS.enqueue_workflow_with_options(options), KeyError, "queue_name"),
        (lambda: DBOS.enqueue_workflow_with_options(nameless), error.DBOSException, "workflow_name"),
        (lambda: DBOS.enqueue_workflow_with_options(7), error.DBOSException, "dict"),  # type: ignore[arg-type]
        (with_options(urgent=True), error.DBOSException, "urgent"),
        (with_options(workflow_id=""), error.DBOSException, "empty"),
        (with_options(workflow_id="w", workflow_id_reuse_policy="maybe"), error.DBOSException, "maybe"),
        (with_options(workflow_timeout=-1), error.DBOSException, "Timeouts must be positive"),
        (with_options(attributes=7), error.DBOSException, "attributes"),
        (with_options(authenticated_roles="admin"), error.DBOSException, "roles"),
        (with_options(class_name=7), error.DBOSException, "7"),
        (with_options(shard_key="s"), error.DBOSException, "sharded"),
        (lambda: DBOS.set_workflow_delay("w"), error.DBOSException, "either"),
        (lambda: DBOS.set_workflow_delay("w", delay_seconds=1, delay_until_epoch_ms=1), error.DBOSException, "either"),
        (lambda: DBOS.set_workflow_delay("w", delay_seconds=-1), error.DBOSException, "Invalid delay"),
        (lambda: DBOS.set_workflow_delay("w", delay_until_epoch_ms=-1), error.DBOSException, "delay_until"),
        (lambda: DBOS.set_workflow_delay("w", delay_until_epoch_ms=2**70), error.DBOSException, "delay_until"),
        (lambda: DBOS.set_workflow_delay("", delay_seconds=1), error.DBOSException, "empty"),
        (lambda: DBOS.list_queued_workflows(limit=-1), error.DBOSException, "limit"),
        (lambda: DBOS.list_queued_workflows(start_time="yesterday"), ValueError, "start_time"),
    ]


def test_impossible_calls_are_refused_before_anything_is_written(launch: Launch, queue: Queue) -> None:
    @DBOS.workflow()
    def task(one: Any = None) -> None:
        pass

    launch()
    for call, kind, what in refused_calls(queue, task):
        with pytest.raises(kind) as caught:
            call()
        assert what in str(caught.value)
    assert DBOS.list_workflows() == []
