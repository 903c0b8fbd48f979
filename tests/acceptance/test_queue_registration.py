"""api.md §6.1: queues declared in code and queues kept in the database, what they tell and what they refuse."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from dbos import DBOS, Queue, SetEnqueueOptions, error
from dbos.api.launched import launched_engine
from tests.support.fixture_types import Launch

Way = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Way:
    """Call an operation of DBOS by its name, in both colours: `call("register_queue", "q")`."""

    def sync(name: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(DBOS, name)(*args, **kwargs)

    def coroutine(name: str, *args: Any, **kwargs: Any) -> Any:
        operation: Coroutine[Any, Any, Any] = getattr(DBOS, f"{name}_async")(*args, **kwargs)
        return asyncio.run(operation)

    return sync if request.param == "sync" else coroutine


@pytest.fixture(params=["sync", "async"])
def setting(request: pytest.FixtureRequest) -> tuple[Way, Way]:
    """(read, write) of a setting, in both colours: `read(queue, "limiter")`, `write(queue, "limiter", value)`."""
    if request.param == "sync":
        return getattr, lambda queue, name, value: getattr(queue, f"set_{name}")(value)
    return (
        lambda queue, name: asyncio.run(getattr(queue, f"get_{name}_async")()),
        lambda queue, name, value: asyncio.run(getattr(queue, f"set_{name}_async")(value)),
    )


EVERYTHING: dict[str, Any] = {
    "concurrency": 10,
    "worker_concurrency": 5,
    "limiter": {"limit": 50, "period": 30},
    "partition_concurrency": 4,
    "partition_worker_concurrency": 2,
    "partition_limiter": {"limit": 5, "period": 1.5},
    "polling_interval_sec": 0.5,
    "priority_enabled": True,
}
NOTHING: dict[str, Any] = {
    **dict.fromkeys(EVERYTHING),
    "polling_interval_sec": 1.0,
    "priority_enabled": False,
    "partition_queue": False,
    "global_concurrency": None,
}
IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"concurrency": 0}, "concurrency"),
    ({"concurrency": -1}, "concurrency"),
    ({"concurrency": 1.5}, "concurrency"),
    ({"concurrency": True}, "concurrency"),
    ({"concurrency": 2**31}, "concurrency"),
    ({"worker_concurrency": 0}, "worker_concurrency"),
    ({"concurrency": 1, "worker_concurrency": 2}, "must not exceed"),
    ({"partition_concurrency": 1, "partition_worker_concurrency": 2}, "must not exceed"),
    ({"concurrency": 1, "global_concurrency": 2}, "two names"),
    ({"limiter": {"limit": 5}}, "limiter"),
    ({"limiter": {"limit": 0, "period": 1}}, "limit"),
    ({"limiter": {"limit": 1, "period": 0}}, "period"),
    ({"limiter": {"limit": 1, "period": float("nan")}}, "period"),
    ({"limiter": {"limit": 1, "period": 1e18}}, "period"),
    ({"limiter": {"limit": 1, "period": 10**400}}, "period"),
    ({"limiter": (5, 1)}, "limiter"),
    ({"partition_limiter": {"limit": 1, "period": -1}}, "partition_limiter"),
    ({"partition_queue": True, "partition_concurrency": 1}, "partition_queue"),
    ({"polling_interval_sec": 0}, "polling_interval_sec"),
    ({"polling_interval_sec": float("inf")}, "polling_interval_sec"),
    ({"polling_interval_sec": 10**400}, "polling_interval_sec"),
]
NAMES: list[tuple[Any, str]] = [
    ("", "non-empty"),
    (7, "non-empty"),
    ("_dbos_mine", "reserved"),
    ("a\0b", "NUL"),
    ("\ud800", "surrogate"),
    ("x" * 513, "512 bytes"),
]


# ---------------------------------------------------------------- declared in code


def test_a_declared_queue_tells_what_it_is(launch: Launch, setting: tuple[Way, Way]) -> None:
    read, _ = setting
    everything, nothing = Queue("everything", **EVERYTHING), Queue("nothing")
    assert {name: read(everything, name) for name in EVERYTHING} == EVERYTHING
    assert {name: read(nothing, name) for name in NOTHING} == NOTHING
    assert (everything.name, everything.application_name, repr(everything)) == (
        "everything",
        None,
        "Queue('everything')",
    )
    assert Queue("positional", 3, {"limit": 1, "period": 2}).limiter == {"limit": 1, "period": 2}
    assert Queue("global", global_concurrency=3).concurrency == 3


def test_a_declared_queue_cannot_be_changed(launch: Launch, setting: tuple[Way, Way]) -> None:
    _, write = setting
    queue = Queue("q", concurrency=1)
    launch()
    for name in NOTHING:
        with pytest.raises(error.DBOSException, match="only supported for queues registered"):
            write(queue, name, EVERYTHING.get(name))
    assert queue.concurrency == 1


def test_a_name_is_declared_once(launch: Launch) -> None:
    Queue("q")
    with pytest.raises(Exception, match="Queue q has already been declared"):
        Queue("q")
    launch()
    Queue("late")  # after launch is fine
    with pytest.raises(Exception, match="Queue late has already been declared"):
        Queue("late", 1)


def test_impossible_limits_are_refused(launch: Launch, call: Way) -> None:
    launch()
    for limits, what in IMPOSSIBLE:
        with pytest.raises(ValueError, match=what):
            Queue("q", **limits)
        with pytest.raises(ValueError, match=what):
            call("register_queue", "q", **limits)
    assert call("list_queues") == []
    Queue("q")


def test_impossible_names_are_refused(launch: Launch, call: Way) -> None:
    @DBOS.workflow()
    def task() -> None:
        pass

    launch()
    for name, what in NAMES:
        for declare in (Queue, lambda name: call("register_queue", name)):
            with pytest.raises(ValueError, match=what):
                declare(name)
        for operation, *args in (
            ("retrieve_queue", name),
            ("delete_queue", name),
            ("enqueue_workflow", name, task),
            ("enqueue_workflow_with_options", {"workflow_name": "task", "queue_name": name}),
            ("resume_workflow", "any"),
        ):
            keywords = {"queue_name": name} if operation == "resume_workflow" else {}
            with pytest.raises(error.DBOSException, match=what):
                call(operation, *args, **keywords)


def test_only_queues_can_be_listened_to(database_url: str, launch: Launch) -> None:
    with pytest.raises(error.DBOSException, match="Construct"):
        DBOS.listen_queues(["q"])
    DBOS(config={"name": "test-app", "system_database_url": database_url})
    wrong: list[Any] = ["q", [7], [None], Queue("q"), ["_dbos_internal_queue"], [""]]
    for queues in wrong:
        with pytest.raises(error.DBOSException):
            DBOS.listen_queues(queues)
    DBOS.listen_queues([Queue("r"), "later"])
    launch()
    with pytest.raises(error.DBOSException, match="before DBOS"):
        DBOS.listen_queues(["q"])


# ---------------------------------------------------------------- kept in the database


def test_a_kept_queue_is_found_everywhere(launch: Launch, call: Way, setting: tuple[Way, Way]) -> None:
    read, _ = setting
    Queue("declared")
    launch()
    queue = call("register_queue", "q", **EVERYTHING)
    assert isinstance(queue, Queue)
    assert {name: read(queue, name) for name in EVERYTHING} == EVERYTHING
    assert queue.application_name == "test-app"
    call("register_queue", "unlimited")
    assert [each.name for each in call("list_queues")] == ["q", "unlimited"]
    assert call("list_queues", application_name="other-app") == []
    again = call("retrieve_queue", "unlimited")
    assert {name: read(again, name) for name in NOTHING} == NOTHING
    assert call("retrieve_queue", "declared") is None
    launch(name="other-app")
    assert call("list_queues") == []
    assert [each.name for each in call("list_queues", application_name=["test-app"])] == ["q", "unlimited"]
    with pytest.raises(error.DBOSException, match="belongs to application 'test-app'"):
        call("register_queue", "q", on_conflict="never_update")


def test_settings_change_at_once_and_everywhere(launch: Launch, call: Way, setting: tuple[Way, Way]) -> None:
    read, write = setting
    launch()
    queue, other = call("register_queue", "q"), call("retrieve_queue", "q")
    for name, value in EVERYTHING.items():
        write(queue, name, value)
        assert read(other, name) == value
    for name in EVERYTHING:
        write(other, name, NOTHING[name])
        assert read(queue, name) == NOTHING[name]
    write(queue, "global_concurrency", 7)
    assert (read(other, "concurrency"), read(other, "global_concurrency")) == (7, 7)
    write(queue, "partition_queue", True)
    assert read(other, "partition_queue") is True


def test_what_cannot_be_is_not_set(launch: Launch, call: Way, setting: tuple[Way, Way]) -> None:
    read, write = setting
    launch()
    queue = call("register_queue", "q", concurrency=3, worker_concurrency=2)
    for name, value in (
        ("worker_concurrency", 4),
        ("concurrency", 1),
        ("concurrency", 0),
        ("limiter", {"limit": 1}),
        ("partition_limiter", {"limit": 1, "period": 0}),
        ("polling_interval_sec", 0),
    ):
        with pytest.raises(ValueError, match=name.partition("_")[0]):
            write(queue, name, value)
    assert (read(queue, "concurrency"), read(queue, "worker_concurrency"), read(queue, "limiter")) == (3, 2, None)


def test_registering_again(launch: Launch, call: Way) -> None:
    launch(application_version="1")
    assert call("register_queue", "q", concurrency=1).concurrency == 1
    assert call("register_queue", "q", concurrency=2).concurrency == 2
    assert call("register_queue", "q", concurrency=3, on_conflict="never_update").concurrency == 2
    launch(application_version="2")
    assert call("register_queue", "q", concurrency=4).concurrency == 4
    with pytest.raises(ValueError, match="on_conflict"):
        call("register_queue", "q", on_conflict="sometimes")
    assert call("register_queue", "q", concurrency=6, on_conflict="always_update").concurrency == 6


def test_a_deleted_queue_is_gone(launch: Launch, call: Way, setting: tuple[Way, Way]) -> None:
    read, write = setting
    launch()
    queue = call("register_queue", "q")
    assert call("delete_queue", "q") is None
    assert call("delete_queue", "q") is None
    assert call("retrieve_queue", "q") is None
    for refused in (lambda: read(queue, "limiter"), lambda: write(queue, "concurrency", 1)):
        with pytest.raises(error.DBOSException, match="Queue q not found in the database"):
            refused()


def test_before_launch_there_is_no_database(launch: Launch, call: Way) -> None:
    queue = Queue("q")

    @DBOS.workflow()
    def task() -> None:
        pass

    for operation, *args in (
        ("register_queue", "r"),
        ("retrieve_queue", "r"),
        ("list_queues",),
        ("delete_queue", "r"),
        ("enqueue_workflow", "q", task),
        ("enqueue_workflow_with_options", {"workflow_name": "task", "queue_name": "q"}),
        ("list_queued_workflows",),
    ):
        with pytest.raises(error.DBOSException, match="launch"):
            call(operation, *args)
    with pytest.raises(error.DBOSException, match="launch"):
        queue.enqueue(task)


def test_registering_is_no_step(launch: Launch) -> None:
    @DBOS.workflow()
    def parent() -> list[str]:
        DBOS.register_queue("q").set_concurrency(1)
        names = [queue.name for queue in DBOS.list_queues()]
        DBOS.delete_queue("q")
        return names

    launch()
    handle = DBOS.start_workflow(parent)
    assert handle.get_result() == ["q"]
    assert DBOS.list_workflow_steps(handle.workflow_id) == []


def test_blocking_properties_warn_on_an_event_loop(launch: Launch, caplog: pytest.LogCaptureFixture) -> None:
    launch()
    kept, declared = DBOS.register_queue("q"), Queue("r")

    async def main() -> None:
        assert declared.concurrency is None
        assert kept.limiter is None
        kept.set_concurrency(3)

    with caplog.at_level(logging.WARNING, logger="dbos"):
        asyncio.run(main())
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert ["get_limiter_async" in warnings[0], "set_concurrency_async" in warnings[1]] == [True, True]
    assert len(warnings) == 2


# ---------------------------------------------------------------- what the definition means for an enqueue


def test_partitioned_queues_need_a_key(launch: Launch, call: Way) -> None:
    @DBOS.workflow()
    def task() -> None:
        pass

    Queue("flag", partition_queue=True)
    Queue("limit", partition_concurrency=1)
    Queue("none")
    launch()
    call("register_queue", "kept", partition_worker_concurrency=1)
    call("register_queue", "open")
    for name in ("flag", "limit", "kept"):
        with pytest.raises(error.DBOSException, match=f"partitioned queue {name} without a partition key"):
            call("enqueue_workflow", name, task)
        with SetEnqueueOptions(queue_partition_key="p"):
            assert call("enqueue_workflow", name, task) is not None
        options = {"workflow_name": "task", "queue_name": name, "queue_partition_key": "p"}
        assert call("enqueue_workflow_with_options", options) is not None
        with SetEnqueueOptions(queue_partition_key="p", deduplication_id="d"):
            with pytest.raises(error.DBOSException, match="Deduplication is not supported for partitioned queues"):
                call("enqueue_workflow", name, task)
        with SetEnqueueOptions(deduplication_id="d"):
            with pytest.raises(error.DBOSException, match="Deduplication is not supported for partitioned queues"):
                call("enqueue_workflow", name, task)
        with pytest.raises(error.DBOSException, match="partition"):
            call("resume_workflow", "any", queue_name=name)
    with SetEnqueueOptions(queue_partition_key="p"):
        with pytest.raises(error.DBOSException, match="Queue none is not partitioned"):
            call("enqueue_workflow", "none", task)
        assert call("enqueue_workflow", "open", task) is not None  # it may get partitions
        assert call("enqueue_workflow", "unknown", task) is not None


def test_the_database_has_the_last_word(launch: Launch) -> None:
    @DBOS.workflow()
    def task() -> None:
        pass

    queue = Queue("q", partition_queue=True)
    launch()
    engine = launched_engine()
    assert engine is not None
    kept = DBOS.register_queue("q", concurrency=3)
    queue.enqueue(task)
    kept.set_partition_concurrency(1)
    with pytest.raises(error.DBOSException, match="without a partition key"):
        queue.enqueue(task)
    DBOS.delete_queue("q")
    with pytest.raises(error.DBOSException, match="without a partition key"):
        queue.enqueue(task)
    assert queue.partition_queue is True
