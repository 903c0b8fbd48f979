"""api.md §6.2, §6.4 - §6.7: what enqueueing writes, whom it attaches to, and how a workflow's enqueues replay.

Nobody serves the queues here: what is looked at is what waits in them.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from dbos import (
    DBOS,
    DBOSContextSetAuth,
    EnqueueOptions,
    Queue,
    SetEnqueueOptions,
    SetWorkflowAttributes,
    SetWorkflowID,
    SetWorkflowTimeout,
    WorkflowHandle,
    WorkflowStatus,
    error,
)
from dbos.api.launched import current_registry
from tests.support.fixture_types import Launch, Replay
from tests.support.raw_sql import count_rows, run_sql

Enqueue = Callable[..., str]


@pytest.fixture
def launch(launch: Launch) -> Launch:
    """Launch DBOS as a process that listens to no queue."""
    current_registry().listened_queues = ()
    return launch


@pytest.fixture
def queue(launch: Launch) -> Queue:
    return Queue("q")


@pytest.fixture(params=["queue", "queue_async", "name", "name_async"])
def enqueue(request: pytest.FixtureRequest, queue: Queue) -> Enqueue:
    """Every way to enqueue a function on the queue `q`: `enqueue(func, *args)` returns the id."""

    async def async_way(way: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
        handle = await way(*args, **kwargs)
        assert type(handle).__name__ == "WorkflowHandleAsync"
        return str(handle.get_workflow_id())

    ways: dict[str, Enqueue] = {
        "queue": lambda *args, **kwargs: queue.enqueue(*args, **kwargs).get_workflow_id(),
        "queue_async": lambda *args, **kwargs: asyncio.run(async_way(queue.enqueue_async, *args, **kwargs)),
        "name": lambda *args, **kwargs: DBOS.enqueue_workflow("q", *args, **kwargs).get_workflow_id(),
        "name_async": lambda *args, **kwargs: asyncio.run(async_way(DBOS.enqueue_workflow_async, "q", *args, **kwargs)),
    }
    return ways[request.param]


@pytest.fixture
def task(launch: Launch) -> Callable[..., str]:
    @DBOS.workflow(name="task")
    def task(text: str = "") -> str:
        return text

    return task


def status_of(workflow_id: str) -> WorkflowStatus:
    status = DBOS.get_workflow_status(workflow_id)
    assert status is not None
    return status


def rows_of(database_url: str) -> int:
    return count_rows(database_url)["workflow_status"]


def steps_of(workflow_id: str) -> list[tuple[int, str, str | None]]:
    return [
        (step["function_id"], step["function_name"], step["child_workflow_id"])
        for step in DBOS.list_workflow_steps(workflow_id)
    ]


# ---------------------------------------------------------------- from plain code


def test_what_is_enqueued_waits(launch: Launch, enqueue: Enqueue, task: Callable[..., str]) -> None:
    launch()
    status = status_of(enqueue(task, text="a"))
    assert (status.status, status.queue_name, status.name) == ("ENQUEUED", "q", "task")
    assert status.input == {"args": (), "kwargs": {"text": "a"}}
    assert (status.app_version, status.priority, status.deduplication_id) == (DBOS.application_version, 0, None)
    assert (status.executor_id, status.recovery_attempts, status.queue_partition_key) == (None, 0, None)
    assert (status.workflow_timeout_ms, status.workflow_deadline_epoch_ms, status.dequeued_at) == (None, None, None)


def test_coroutine_functions_and_bare_steps_are_enqueued(launch: Launch, enqueue: Enqueue) -> None:
    @DBOS.workflow(name="coroutine")
    async def coroutine() -> None:
        pass

    @DBOS.step(name="step")
    def step() -> None:
        pass

    launch()
    assert status_of(enqueue(coroutine)).name == "coroutine"
    assert status_of(enqueue(step)).name == "<temp>.step"


def test_methods_are_enqueued_with_their_class(launch: Launch, enqueue: Enqueue) -> None:
    from dbos import DBOSConfiguredInstance

    @DBOS.dbos_class("Shop")
    class Shop(DBOSConfiguredInstance):
        @DBOS.workflow(name="sell")
        def sell(self, what: str) -> str:
            return what

    launch()
    status = status_of(enqueue(Shop("berlin").sell, "tea"))
    assert (status.name, status.class_name, status.config_name) == ("sell", "Shop", "berlin")
    assert status.input == {"args": ("tea",), "kwargs": {}}


def test_requests_of_the_context_are_stored(launch: Launch, enqueue: Enqueue, task: Callable[..., str]) -> None:
    launch()
    with SetWorkflowID("w"), SetWorkflowTimeout(2.5), SetWorkflowAttributes({"a": 1}):
        with DBOSContextSetAuth("ada", ["admin"]), SetEnqueueOptions(priority=7, deduplication_id="d", app_version="v"):
            assert enqueue(task) == "w"
    status = status_of("w")
    assert (status.workflow_timeout_ms, status.workflow_deadline_epoch_ms) == (2500, None)
    assert (status.attributes, status.authenticated_user, status.authenticated_roles) == ({"a": 1}, "ada", ["admin"])
    assert (status.priority, status.deduplication_id, status.app_version) == (7, "d", "v")


def test_a_delay_is_counted_by_the_clock_of_the_database(
    launch: Launch, enqueue: Enqueue, task: Callable[..., str]
) -> None:
    launch()
    with SetEnqueueOptions(delay_seconds=3600):
        status = status_of(enqueue(task))
    assert status.status == "DELAYED"
    assert status.created_at is not None
    assert status.delay_until_epoch_ms == status.created_at + 3_600_000
    with SetEnqueueOptions(delay_seconds=0):
        assert status_of(enqueue(task)).status == "ENQUEUED"


def test_a_queue_need_not_exist(launch: Launch, task: Callable[..., str]) -> None:
    launch()
    handle = DBOS.enqueue_workflow("nowhere", task, "a")
    assert status_of(handle.workflow_id).queue_name == "nowhere"


# ---------------------------------------------------------------- ids


def test_an_id_that_exists_is_returned_and_nothing_written(
    launch: Launch, enqueue: Enqueue, task: Callable[..., str], database_url: str
) -> None:
    launch()
    for _ in range(2):
        with SetWorkflowID("w"):
            assert enqueue(task, "first") == "w"
    with SetWorkflowID("w"):
        assert DBOS.enqueue_workflow("another", task, "second").workflow_id == "w"
    assert (status_of("w").queue_name, status_of("w").input) == ("q", {"args": ("first",), "kwargs": {}})
    with SetWorkflowID("started"):
        assert task("here") == "here"
    with SetWorkflowID("started"):
        assert WorkflowHandle[str](enqueue(task)).get_result() == "here"
    assert rows_of(database_url) == 2


def test_an_id_of_another_function_is_a_conflict(launch: Launch, enqueue: Enqueue, task: Callable[..., str]) -> None:
    @DBOS.workflow(name="other")
    def other() -> None:
        pass

    launch()
    with SetWorkflowID("w"):
        enqueue(task)
    with SetWorkflowID("w"), pytest.raises(error.DBOSConflictingWorkflowError, match=r"task.*other"):
        enqueue(other)


def test_an_id_in_use_can_be_refused(launch: Launch, enqueue: Enqueue, task: Callable[..., str]) -> None:
    launch()
    with SetWorkflowID("w"):
        enqueue(task)
    with SetWorkflowID("w", workflow_id_reuse_policy="reject"), pytest.raises(error.DBOSWorkflowIDInUseError) as caught:
        enqueue(task)
    assert (caught.value.workflow_id, caught.value.workflow_status) == ("w", "ENQUEUED")


# ---------------------------------------------------------------- deduplication


def test_one_unfinished_workflow_per_deduplication_id(
    launch: Launch, enqueue: Enqueue, task: Callable[..., str], database_url: str
) -> None:
    launch()
    with SetWorkflowID("first"), SetEnqueueOptions(deduplication_id="d"):
        enqueue(task)
    with SetWorkflowID("first"), SetEnqueueOptions(deduplication_id="d"):
        assert enqueue(task) == "first"  # the very same workflow
    with SetWorkflowID("second"), SetEnqueueOptions(deduplication_id="d"):
        with pytest.raises(error.DBOSQueueDeduplicatedError) as caught:
            enqueue(task)
    refusal = caught.value
    assert (refusal.workflow_id, refusal.queue_name, refusal.deduplication_id) == ("second", "q", "d")
    assert "Workflow second was deduplicated due to an existing workflow in queue q with deduplication ID d." in str(
        refusal
    )
    with SetEnqueueOptions(deduplication_id="d"):
        DBOS.enqueue_workflow("elsewhere", task)  # an id counts within its queue
    with SetEnqueueOptions(deduplication_id="e"):
        enqueue(task)
    enqueue(task)
    assert rows_of(database_url) == 4


def test_a_cancelled_workflow_frees_its_deduplication_id(
    launch: Launch, enqueue: Enqueue, task: Callable[..., str]
) -> None:
    launch()
    with SetEnqueueOptions(deduplication_id="d"):
        DBOS.cancel_workflow(enqueue(task))
        enqueue(task)
        with pytest.raises(error.DBOSQueueDeduplicatedError):
            enqueue(task)


def test_the_holder_can_be_returned_instead(launch: Launch, enqueue: Enqueue, task: Callable[..., str]) -> None:
    launch()
    with SetEnqueueOptions(deduplication_id="d", duplication_policy="return-existing"):
        first = enqueue(task, "a")
        assert enqueue(task, "b") == first
        assert status_of(first).input == {"args": ("a",), "kwargs": {}}
        DBOS.cancel_workflow(first)
        assert enqueue(task) != first
    with SetEnqueueOptions(deduplication_id="d", duplication_policy="reject"):
        with pytest.raises(error.DBOSQueueDeduplicatedError):
            enqueue(task)


def test_a_holder_that_ends_while_we_ask_makes_room(
    launch: Launch, queue: Queue, task: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever was finished before the call is never returned, and no slot is taken for full that is not."""
    from dbos.store.workflows import Workflows

    launch()
    with SetEnqueueOptions(deduplication_id="d", duplication_policy="return-existing"):
        first = queue.enqueue(task).workflow_id
        ask = Workflows.deduplicated

        def end_first(self: Workflows, queue_name: str, deduplication_id: str) -> str | None:
            self.cancel([first])
            return ask(self, queue_name, deduplication_id)

        monkeypatch.setattr(Workflows, "deduplicated", end_first)
        second = queue.enqueue(task).workflow_id
    assert second != first
    assert (status_of(first).status, status_of(second).status) == ("CANCELLED", "ENQUEUED")


# ---------------------------------------------------------------- nesting


def test_options_nest_and_end_with_their_block(launch: Launch, enqueue: Enqueue, task: Callable[..., str]) -> None:
    launch()
    with SetEnqueueOptions(priority=1, app_version="v"):
        with SetEnqueueOptions(priority=2):
            inner = status_of(enqueue(task))
        outer = status_of(enqueue(task))
    outside = status_of(enqueue(task))
    assert (inner.priority, inner.app_version) == (2, "v")
    assert (outer.priority, outer.app_version) == (1, "v")
    assert (outside.priority, outside.app_version) == (0, DBOS.application_version)


def test_start_refuses_what_only_a_queue_can_do(launch: Launch, task: Callable[..., str], database_url: str) -> None:
    launch()
    for options in (
        {"priority": 1},
        {"deduplication_id": "d"},
        {"queue_partition_key": "p"},
        {"delay_seconds": 1},
        {"duplication_policy": "return-existing"},
    ):
        with SetEnqueueOptions(**options):  # type: ignore[arg-type]
            with pytest.raises(error.DBOSException, match=next(iter(options))):
                DBOS.start_workflow(task)
            assert task("called") == "called"
    assert rows_of(database_url) == 5
    with SetEnqueueOptions(app_version="v"):
        handle = DBOS.start_workflow(task, "started")
    assert (handle.get_result(), handle.get_status().app_version) == ("started", "v")


# ---------------------------------------------------------------- from workflows


def test_an_enqueued_child_is_a_step_and_replays(
    launch: Launch, queue: Queue, task: Callable[..., str], replay: Replay, database_url: str
) -> None:
    @DBOS.workflow(name="parent")
    def parent() -> list[str]:
        with SetWorkflowID("mine"):
            own = queue.enqueue(task, "a").workflow_id
        with SetEnqueueOptions(deduplication_id="d"):
            deduplicated = DBOS.enqueue_workflow("q", task, "b").workflow_id
        options: EnqueueOptions = {"workflow_name": "elsewhere", "queue_name": "r"}
        return [
            queue.enqueue(task).workflow_id,
            own,
            deduplicated,
            DBOS.enqueue_workflow_with_options(options).workflow_id,
        ]

    launch()
    with SetWorkflowID("p"):
        children = parent()
    assert children == ["p-3", "mine", "p-2", "p-4"]
    expected = [(1, "task", "mine"), (2, "task", "p-2"), (3, "task", "p-3"), (4, "elsewhere", "p-4")]
    assert steps_of("p") == expected
    assert {status_of(child).parent_workflow_id for child in children} == {"p"}
    assert replay("p").get_result() == children
    assert steps_of("p") == expected
    assert rows_of(database_url) == 5


def test_children_inherit_the_deadline_and_nothing_else(launch: Launch, queue: Queue, task: Callable[..., str]) -> None:
    @DBOS.workflow(name="parent")
    def parent() -> list[str]:
        heir = queue.enqueue(task).workflow_id
        with SetWorkflowTimeout(None):
            free = queue.enqueue(task).workflow_id
        with SetWorkflowTimeout(5):
            bounded = queue.enqueue(task).workflow_id
        return [heir, free, bounded]

    launch()
    with SetWorkflowTimeout(600), SetWorkflowAttributes({"a": 1}), DBOSContextSetAuth("ada", None):
        with SetEnqueueOptions(priority=3, app_version="v"), SetWorkflowID("p"):
            heir, free, bounded = (status_of(each) for each in parent())
    deadline = status_of("p").workflow_deadline_epoch_ms
    assert deadline is not None
    times = [(each.workflow_timeout_ms, each.workflow_deadline_epoch_ms) for each in (heir, free, bounded)]
    assert times == [(None, deadline), (None, None), (5000, None)]
    assert (heir.priority, heir.attributes, heir.authenticated_user) == (0, None, "ada")
    assert heir.app_version == DBOS.application_version


def test_a_recorded_refusal_is_raised_again(
    launch: Launch, queue: Queue, task: Callable[..., str], replay: Replay
) -> None:
    @DBOS.workflow(name="parent")
    def parent() -> tuple[str, str, str]:
        with SetEnqueueOptions(deduplication_id="d"):
            try:
                queue.enqueue(task)
            except error.DBOSQueueDeduplicatedError as refusal:
                return refusal.workflow_id, refusal.queue_name, refusal.deduplication_id
        return "", "", ""

    launch()
    with SetEnqueueOptions(deduplication_id="d"):
        holder = queue.enqueue(task).workflow_id
    with SetWorkflowID("p"):
        assert parent() == ("p-1", "q", "d")
    DBOS.cancel_workflow(holder)  # there is room now, but the replay does not know
    assert replay("p").get_result() == ("p-1", "q", "d")
    assert steps_of("p") == [(1, "task", None)]


def test_the_holder_a_workflow_was_given_is_given_again(
    launch: Launch, queue: Queue, task: Callable[..., str], replay: Replay, database_url: str
) -> None:
    @DBOS.workflow(name="parent")
    async def parent() -> str:
        with SetEnqueueOptions(deduplication_id="d", duplication_policy="return-existing"):
            return (await queue.enqueue_async(task)).workflow_id

    launch()
    with SetEnqueueOptions(deduplication_id="d"):
        holder = queue.enqueue(task).workflow_id
    with SetWorkflowID("p"):
        assert asyncio.run(parent()) == holder  # type: ignore[arg-type]
    assert steps_of("p") == [(1, "task", holder)]
    DBOS.cancel_workflow(holder)
    assert replay("p").get_result() == holder
    assert rows_of(database_url) == 2


def test_steps_may_not_enqueue(launch: Launch, queue: Queue, task: Callable[..., str], database_url: str) -> None:
    @DBOS.step()
    def step() -> None:
        queue.enqueue(task)

    @DBOS.workflow(name="parent")
    def parent() -> None:
        step()

    launch()
    with pytest.raises(error.DBOSException, match=r"enqueue workflow task from within a step .of workflow parent"):
        parent()
    assert rows_of(database_url) == 1


def test_a_cancelled_workflow_enqueues_nothing_more(
    launch: Launch, queue: Queue, task: Callable[..., str], database_url: str
) -> None:
    @DBOS.workflow(name="parent")
    def parent() -> None:
        run_sql(database_url, "update workflow_status set epoch = epoch + 1, status = 'CANCELLED', completed_at = 1")
        with SetWorkflowID("child"):
            queue.enqueue(task)

    launch()
    with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
        parent()
    assert DBOS.get_workflow_status("child") is None


# ---------------------------------------------------------------- by options


@pytest.mark.parametrize("way", ["sync", "async"])
def test_options_say_everything(launch: Launch, way: str) -> None:
    launch()
    options: EnqueueOptions = {
        "workflow_name": "elsewhere",
        "queue_name": "q",
        "workflow_id": "w",
        "class_name": "Shop",
        "instance_name": "berlin",
        "app_version": "v",
        "workflow_timeout": 1.5,
        "delay_seconds": 60,
        "deduplication_id": "d",
        "priority": 9,
        "authenticated_user": "ada",
        "authenticated_roles": ["admin"],
        "attributes": {"a": 1},
        "max_recovery_attempts": 3,
    }
    with SetWorkflowID("ignored"), SetEnqueueOptions(priority=1), SetWorkflowTimeout(9):
        if way == "sync":
            assert DBOS.enqueue_workflow_with_options(options, 1, b=2).workflow_id == "w"
        else:
            handle = asyncio.run(DBOS.enqueue_workflow_with_options_async(options, 1, b=2))
            assert handle.workflow_id == "w"
    status = status_of("w")
    assert (status.status, status.queue_name, status.name) == ("DELAYED", "q", "elsewhere")
    assert (status.class_name, status.config_name, status.app_version) == ("Shop", "berlin", "v")
    assert (status.workflow_timeout_ms, status.deduplication_id, status.priority) == (1500, "d", 9)
    assert (status.authenticated_user, status.authenticated_roles) == ("ada", ["admin"])
    assert (status.attributes, status.input) == ({"a": 1}, {"args": (1,), "kwargs": {"b": 2}})


def test_options_leave_the_version_open(launch: Launch) -> None:
    launch()
    with SetWorkflowID("w"), SetEnqueueOptions(priority=1):
        handle = DBOS.enqueue_workflow_with_options({"workflow_name": "elsewhere", "queue_name": "q"})
    status = handle.get_status()
    assert (handle.workflow_id, status.app_version, status.priority) == ("w", None, 0)
    assert (status.application_name, status.status) == ("test-app", "ENQUEUED")


def test_another_application_can_be_asked(launch: Launch) -> None:
    launch()
    options: EnqueueOptions = {"workflow_name": "elsewhere", "queue_name": "q", "application_name": "other-app"}
    assert DBOS.enqueue_workflow_with_options(options).get_status().application_name == "other-app"


# ---------------------------------------------------------------- delays and listings


@pytest.mark.parametrize("way", ["sync", "async"])
def test_delays_can_be_changed(launch: Launch, queue: Queue, task: Callable[..., str], way: str) -> None:
    def change(workflow_id: str, **times: Any) -> None:
        if way == "sync":
            DBOS.set_workflow_delay(workflow_id, **times)
        else:
            asyncio.run(DBOS.set_workflow_delay_async(workflow_id, **times))

    launch()
    with SetEnqueueOptions(delay_seconds=3600):
        workflow_id = queue.enqueue(task).workflow_id
    change(workflow_id, delay_until_epoch_ms=5_000_000_000_000)
    assert status_of(workflow_id).delay_until_epoch_ms == 5_000_000_000_000
    change(workflow_id, delay_seconds=7200)
    status = status_of(workflow_id)
    assert status.delay_until_epoch_ms == (status.updated_at or 0) + 7_200_000
    waiting = queue.enqueue(task).workflow_id
    change(waiting, delay_seconds=5)
    change("unknown", delay_seconds=5)
    assert (status_of(waiting).status, status_of(waiting).delay_until_epoch_ms) == ("ENQUEUED", None)


def test_changing_a_delay_is_a_step(launch: Launch, queue: Queue, task: Callable[..., str], replay: Replay) -> None:
    @DBOS.workflow(name="parent")
    def parent() -> None:
        DBOS.set_workflow_delay("w", delay_until_epoch_ms=5_000_000_000_000)

    launch()
    with SetEnqueueOptions(delay_seconds=3600), SetWorkflowID("w"):
        queue.enqueue(task)
    with SetWorkflowID("p"):
        parent()
    assert status_of("w").delay_until_epoch_ms == 5_000_000_000_000
    DBOS.set_workflow_delay("w", delay_until_epoch_ms=6_000_000_000_000)
    replay("p").get_result()
    assert status_of("w").delay_until_epoch_ms == 6_000_000_000_000
    assert steps_of("p") == [(1, "DBOS.setWorkflowDelay", None)]


def test_what_waits_is_listed(launch: Launch, queue: Queue, task: Callable[..., str], replay: Replay) -> None:
    @DBOS.workflow(name="parent")
    def parent() -> int:
        return len(DBOS.list_queued_workflows())

    launch()
    task("not queued")
    first = queue.enqueue(task, "a").workflow_id
    with SetEnqueueOptions(delay_seconds=60):
        second = DBOS.enqueue_workflow("r", task, "b").workflow_id
    cancelled = queue.enqueue(task, "c").workflow_id
    DBOS.cancel_workflow(cancelled)
    listed = DBOS.list_queued_workflows()
    assert [each.workflow_id for each in listed] == [first, second]
    assert [each.workflow_id for each in DBOS.list_queued_workflows(sort_desc=True, limit=1)] == [second]
    assert [each.workflow_id for each in DBOS.list_queued_workflows(queue_name="r")] == [second]
    assert [each.workflow_id for each in DBOS.list_queued_workflows(queue_name=["q", "r"], status="ENQUEUED")] == [
        first
    ]
    assert DBOS.list_queued_workflows(status="SUCCESS") == []
    assert asyncio.run(DBOS.list_queued_workflows_async(load_input=False))[0].input is None
    with SetWorkflowID("p"):
        assert parent() == 2
    queue.enqueue(task)
    assert replay("p").get_result() == 2
    assert steps_of("p") == [(1, "DBOS.listQueuedWorkflows", None)]
