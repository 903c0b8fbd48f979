"""api.md §9: a workflow that starts, with the last input, when its input has stopped arriving."""

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dbos import (
    DBOS,
    DBOSClient,
    DBOSConfiguredInstance,
    DBOSContextSetAuth,
    Debouncer,
    DebouncerClient,
    Queue,
    SetEnqueueOptions,
    SetWorkflowAttributes,
    SetWorkflowID,
    SetWorkflowTimeout,
    error,
)
from tests.support.fixture_types import Launch, Replay
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually

LONG = 3600.0


@pytest.fixture
def client(launch: Launch, database_url: str) -> Iterator[DBOSClient]:
    launch()
    with DBOSClient(system_database_url=database_url) as made:
        yield made


def let_start(workflow_id: str) -> None:
    """The period is over."""
    DBOS.set_workflow_delay(workflow_id, delay_seconds=0)


# ---------------------------------------------------------------- cycles


def test_it_runs_once_with_the_last_input(launch: Launch) -> None:
    ran: list[str] = []

    @DBOS.workflow()
    def process(text: str, *, suffix: str = "") -> str:
        ran.append(text + suffix)
        return text + suffix

    debouncer = Debouncer.create(process)
    launch()
    handles = [debouncer.debounce("user", LONG, text) for text in "abc"]
    handles.append(debouncer.debounce("user", LONG, "d", suffix="!"))
    assert len({handle.workflow_id for handle in handles}) == 1
    status = handles[0].get_status()
    assert (status.status, status.queue_name) == ("DELAYED", "_dbos_internal_queue")
    assert status.deduplication_id == f"{status.name}-user"
    assert status.input == {"args": ("d",), "kwargs": {"suffix": "!"}}
    debouncer.debounce("user", 0.05, "e")
    assert [handle.get_result() for handle in handles] == ["e"] * 4
    assert ran == ["e"]
    assert handles[0].get_status().deduplication_id is None


def test_the_next_call_after_the_start_begins_anew(launch: Launch) -> None:
    started, go_on = threading.Event(), threading.Event()
    ran: list[int] = []

    @DBOS.workflow()
    def process(number: int) -> int:
        ran.append(number)
        started.set()
        go_on.wait(20)
        return number

    debouncer = Debouncer.create(process)
    launch()
    first = debouncer.debounce("key", 0, 1)
    assert started.wait(20)
    second = debouncer.debounce("key", LONG, 2)  # while the first is running
    assert second.workflow_id != first.workflow_id
    go_on.set()
    assert first.get_result() == 1
    assert debouncer.debounce("key", 0, 3).workflow_id == second.workflow_id
    assert second.get_result() == 3
    assert ran == [1, 3]


def test_keys_are_apart(launch: Launch) -> None:
    @DBOS.workflow()
    def process(text: str) -> str:
        return text

    @DBOS.workflow()
    def other(text: str) -> str:
        return f"other {text}"

    one, two = Debouncer.create(process), Debouncer.create(other)
    launch()
    handles = [one.debounce("a", 0.01, "a"), one.debounce("b", 0.01, "b"), two.debounce("a", 0.01, "c")]
    assert [handle.get_result() for handle in handles] == ["a", "b", "other c"]


def test_it_never_starts_before_its_time_and_not_after_its_deadline(launch: Launch) -> None:
    @DBOS.workflow()
    def process() -> None: ...

    calm, hurried = Debouncer.create(process), Debouncer.create(process, debounce_timeout_sec=0.3)
    launch()
    began = time.monotonic()
    calm.debounce("calm", 0.4).get_result()
    assert time.monotonic() - began >= 0.4
    handle = hurried.debounce("hurried", LONG)
    status = handle.get_status()
    assert status.delay_until_epoch_ms is not None
    assert status.delay_until_epoch_ms - status.created_at == 300
    hurried.debounce("hurried", LONG)  # pushes no further
    handle.get_result()


def test_it_waits_on_a_queue(launch: Launch) -> None:
    @DBOS.workflow()
    def process(text: str) -> str:
        return text

    queue = Queue("calm", concurrency=1)
    by_queue, by_name = Debouncer.create(process, queue=queue), Debouncer.create(process, queue="calm")
    launch()
    first = by_queue.debounce("key", LONG, "a")
    assert by_name.debounce("key", 0.01, "b").workflow_id == first.workflow_id
    assert first.get_result() == "b"
    assert first.get_status().queue_name == "calm"


def test_coroutines_by_function_and_by_name(launch: Launch) -> None:
    @DBOS.workflow(name="async-process")
    async def process(text: str) -> str:
        await asyncio.sleep(0)
        return text

    typed, named = Debouncer.create_async(process), Debouncer[Any, Any]("async-process")
    launch()

    async def main() -> list[str]:
        first = await typed.debounce_async("key", LONG, "a")
        second = await named.debounce_async("key", 0.01, "b")
        assert first.workflow_id == second.workflow_id
        return [await first.get_result(), await second.get_result()]

    assert asyncio.run(main()) == ["b", "b"]
    assert Debouncer.create(process).debounce("key", 0.01, "c").get_result() == "c"


def test_instances_of_a_class_are_apart(launch: Launch) -> None:
    @DBOS.dbos_class()
    class Reader(DBOSConfiguredInstance):
        @DBOS.workflow()
        def read(self, page: int) -> str:
            return f"{self.config_name} {page}"

    one, two = Reader("one"), Reader("two")
    launch()
    handles = [Debouncer.create(each.read).debounce("key", 0.01, 7) for each in (one, two)]
    assert [handle.get_result() for handle in handles] == ["one 7", "two 7"]


# ---------------------------------------------------------------- what is asked around the first call


def test_what_is_asked_around_the_first_call_holds(launch: Launch) -> None:
    @DBOS.workflow()
    def process(number: int) -> Any:
        return number, DBOS.authenticated_user

    debouncer = Debouncer.create(process, queue="asked")
    Queue("asked", priority_enabled=True)
    launch()
    with (
        SetWorkflowID("mine"),
        SetWorkflowTimeout(500),
        SetEnqueueOptions(priority=7),
        SetWorkflowAttributes({"team": "a"}),
        DBOSContextSetAuth("ada", ["admin"]),
    ):
        first = debouncer.debounce("key", LONG, 1)
    with SetEnqueueOptions(priority=9), SetWorkflowTimeout(1):
        second = debouncer.debounce("key", LONG, 2)
    assert first.workflow_id == second.workflow_id == "mine"
    status = first.get_status()
    assert (status.priority, status.workflow_timeout_ms, status.attributes) == (7, 500_000, {"team": "a"})
    let_start("mine")
    assert first.get_result() == (2, "ada")


def test_an_id_names_one_cycle(launch: Launch) -> None:
    @DBOS.workflow()
    def process(number: int) -> int:
        return number

    @DBOS.workflow()
    def other() -> None: ...

    debouncer = Debouncer.create(process)
    launch()
    for number in (1, 2):  # the second finds its own row waiting
        with SetWorkflowID("mine"):
            handle = debouncer.debounce("key", LONG, number)
        assert handle.workflow_id == "mine"
    let_start("mine")
    assert handle.get_result() == 2
    with SetWorkflowID("mine"):  # an id is an idempotency key: that workflow has run
        assert debouncer.debounce("key", 0, 3).get_result() == 2
    with SetWorkflowID("mine", workflow_id_reuse_policy="reject"), pytest.raises(error.DBOSWorkflowIDInUseError):
        debouncer.debounce("key", 0, 4)
    with SetWorkflowID("other"):
        other()
    with SetWorkflowID("other"), pytest.raises(error.DBOSConflictingWorkflowError):
        debouncer.debounce("key", 0, 5)


# ---------------------------------------------------------------- inside workflows


def test_in_a_workflow_it_is_a_child(launch: Launch, replay: Replay) -> None:
    @DBOS.workflow(name="process")
    def process(number: int) -> int:
        return number

    @DBOS.workflow()
    def parent() -> list[str]:
        return [debouncer.debounce("key", LONG, number).workflow_id for number in range(3)]

    @DBOS.workflow()
    async def parent_async() -> list[str]:
        return [(await debouncer.debounce_async("key", LONG, number)).workflow_id for number in range(3)]

    debouncer = Debouncer.create(process)
    launch()
    for number, run in enumerate((parent, parent_async)):
        with SetWorkflowID(f"parent-{number}"):
            handle = DBOS.start_workflow(run)  # type: ignore[call-overload]
        children = [f"parent-{number}-1"] * 3
        assert handle.get_result() == children
        steps = DBOS.list_workflow_steps(handle.workflow_id)
        assert [step["function_name"] for step in steps] == ["process"] * 3
        assert [step["child_workflow_id"] for step in steps] == children
        status = DBOS.get_workflow_status(children[0])
        assert status is not None
        assert (status.parent_workflow_id, status.input) == (f"parent-{number}", {"args": (2,), "kwargs": {}})
        let_start(children[0])
        assert DBOS.get_result(children[0]) == 2
        assert replay(handle.workflow_id).get_result() == children  # nothing is debounced again
    assert [each.status for each in DBOS.list_workflows(name="process")] == ["SUCCESS"] * 2


def test_a_workflow_whose_id_was_used_before_is_heard(launch: Launch, database_url: str) -> None:
    ran: list[str] = []

    @DBOS.workflow()
    def collect(text: str) -> None:
        ran.append(text)

    @DBOS.workflow()
    def type_in(text: str) -> str:
        return Debouncer.create(collect).debounce("key", LONG, text).workflow_id

    launch()
    with SetWorkflowID("w"):
        child = type_in("first")
    run_sql(database_url, "delete from operation_outputs where workflow_uuid = 'w'")
    run_sql(database_url, "delete from workflow_status where workflow_uuid = 'w'")
    with SetWorkflowID("w"):
        assert type_in("second") == child
    let_start(child)
    DBOS.retrieve_workflow(child).get_result()
    assert ran == ["second"]


def test_a_step_cannot_debounce(launch: Launch) -> None:
    @DBOS.workflow()
    def process() -> None: ...

    @DBOS.step()
    def step() -> None:
        debouncer.debounce("key", 0)

    @DBOS.workflow()
    def parent() -> None:
        step()

    debouncer = Debouncer.create(process)
    launch()
    with pytest.raises(error.DBOSException, match=r"Cannot debounce workflow .*process from within a step"):
        parent()


def test_a_refusal_in_a_workflow_is_replayed(launch: Launch, replay: Replay) -> None:
    @DBOS.workflow(name="process")
    def process() -> None: ...

    @DBOS.workflow()
    def parent() -> str:
        try:
            debouncer.debounce("key", LONG)
        except error.DBOSQueueDeduplicatedError as refusal:
            return str(refusal)
        return "accepted"

    debouncer = Debouncer.create(process, queue="held")
    launch()
    with SetEnqueueOptions(deduplication_id="process-key", delay_seconds=LONG):
        holder = DBOS.enqueue_workflow("held", process)
    handle = DBOS.start_workflow(parent)
    told = handle.get_result()
    assert "process-key" in told
    DBOS.cancel_workflow(holder.workflow_id)
    assert replay(handle.workflow_id).get_result() == told


# ---------------------------------------------------------------- many callers


def test_many_callers_share_one_workflow(launch: Launch) -> None:
    ran: list[Any] = []

    @DBOS.workflow()
    def process(value: Any) -> None:
        ran.append(value)

    debouncer = Debouncer.create(process)
    launch()

    async def call(caller: int) -> set[str]:
        return {(await debouncer.debounce_async("key", LONG, (caller, n))).workflow_id for n in range(10)}

    async def main() -> set[str]:
        return set().union(*(await asyncio.gather(*(call(caller) for caller in range(20)))))

    (workflow_id,) = asyncio.run(main())
    debouncer.debounce("key", 0, "last")
    DBOS.get_result(workflow_id)
    assert ran == ["last"]


def test_while_it_starts_again_and_again_no_call_is_lost(launch: Launch) -> None:
    """Every call ends in the workflow it was told, which runs once; the last call of all has run in the end."""
    ran: dict[str, Any] = {}

    @DBOS.workflow()
    def process(value: Any) -> None:
        assert DBOS.workflow_id is not None
        assert DBOS.workflow_id not in ran
        ran[DBOS.workflow_id] = value

    debouncer = Debouncer.create(process)
    launch()
    told: dict[Any, str] = {}

    def call(caller: int) -> None:
        for number in range(25):
            told[caller, number] = debouncer.debounce("key", 0.01, (caller, number)).workflow_id

    threads = [threading.Thread(target=call, args=(caller,)) for caller in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    told["last"] = debouncer.debounce("key", 0, "last").workflow_id
    assert len(told) == 101
    eventually(lambda: set(ran) == set(told.values()))
    assert all(told[tuple(value) if value != "last" else value] == workflow_id for workflow_id, value in ran.items())
    assert ran[told["last"]] == "last"


# ---------------------------------------------------------------- clients


def test_a_client_debounces(client: DBOSClient, launch: Launch) -> None:
    @DBOS.workflow(name="process")
    def process(text: str) -> str:
        return text

    Queue("outside")
    launch()
    debouncer = DebouncerClient(client, {"workflow_name": "process", "queue_name": "outside"})
    first = debouncer.debounce("key", LONG, "a")
    assert first.get_status().queue_name == "outside"
    assert Debouncer.create(process, queue="outside").debounce("key", LONG, "b").workflow_id == first.workflow_id

    async def main() -> str:
        handle = await debouncer.debounce_async("key", 0.01, "c")
        assert handle.workflow_id == first.workflow_id
        result: str = await handle.get_result()
        return result

    assert asyncio.run(main()) == "c"
    plain = DebouncerClient(client, {"workflow_name": "process"}, queue="outside")  # type: ignore[typeddict-item]
    assert plain.debounce("other", 0.01, "d").get_result() == "d"
    internal = DebouncerClient(client, {"workflow_name": "process"}, debounce_timeout_sec=0.05)  # type: ignore[typeddict-item]
    assert internal.debounce("third", LONG, "e").get_result() == "e"
    owned = DebouncerClient(
        client,
        {"workflow_name": "process", "queue_name": "outside", "priority": 3, "authenticated_user": "ada"},
        application_name="test-app",
    ).debounce("fourth", 0.01, "f")
    assert owned.get_result() == "f"
    status = owned.get_status()
    assert (status.application_name, status.priority, status.authenticated_user) == ("test-app", 3, "ada")


def test_what_a_client_cannot_ask(client: DBOSClient) -> None:
    with pytest.raises(KeyError):
        DebouncerClient(client, {"queue_name": "q"})  # type: ignore[typeddict-item]
    with pytest.raises(error.DBOSException, match="nonsense"):
        DebouncerClient(client, {"workflow_name": "w", "queue_name": "q", "nonsense": 1})  # type: ignore[typeddict-unknown-key]
    for option in ({"deduplication_id": "d"}, {"delay_seconds": 5.0}):
        debouncer = DebouncerClient(client, {"workflow_name": "w", "queue_name": "q", **option})  # type: ignore[typeddict-item]
        with pytest.raises(error.DBOSException, match="A debouncer decides"):
            debouncer.debounce("key", 1)
    with pytest.raises(ValueError, match="debounce_key"):
        DebouncerClient(client, {"workflow_name": "w", "queue_name": "q"}).debounce("", 1)


# ---------------------------------------------------------------- bad input


def test_before_launch(database_url: str) -> None:
    DBOS.destroy(destroy_registry=True)

    @DBOS.workflow()
    def process() -> None: ...

    with pytest.raises(error.DBOSException, match="launch"):
        Debouncer.create(process).debounce("key", 1)
    with pytest.raises(error.DBOSException, match="launch"):
        asyncio.run(Debouncer[Any, Any]("process").debounce_async("key", 1))
    DBOS.destroy(destroy_registry=True)


def test_bad_input_is_refused_before_anything_is_written(launch: Launch, database_url: str) -> None:
    @DBOS.workflow()
    def process(value: object = None) -> None: ...

    Queue("parts", partition_queue=True)
    launch()
    debouncer = Debouncer.create(process)
    for period in (-1, float("nan"), float("inf"), "1", True, None, 10**12, 10**400):
        with pytest.raises(ValueError, match="debounce_period_sec"):
            debouncer.debounce("key", period)  # type: ignore[arg-type]
    for key in ("", None, 5):
        with pytest.raises(ValueError, match="debounce_key"):
            debouncer.debounce(key, 1)  # type: ignore[arg-type]
    for key in ("a\0b", "\ud800", "x" * 600):
        with pytest.raises(error.DBOSException):
            debouncer.debounce(key, 1)
    for timeout in (-1, float("nan"), "1"):
        with pytest.raises(ValueError, match="debounce_timeout_sec"):
            Debouncer.create(process, debounce_timeout_sec=timeout)  # type: ignore[type-var]
    with pytest.raises(error.DBOSWorkflowFunctionNotFoundError):
        Debouncer.create(lambda: None)
    with pytest.raises(error.DBOSException, match="The option 'workflow_name' must"):
        Debouncer("")
    with pytest.raises(error.DBOSException, match="reserved"):
        Debouncer.create(process, queue="_dbos_internal_queue")
    with pytest.raises(error.DBOSException, match="queue of a debouncer"):
        Debouncer.create(process, queue=5)  # type: ignore[type-var]
    with pytest.raises(error.DBOSException, match="partitioned"):
        Debouncer.create(process, queue="parts").debounce("key", 1)
    for options in ({"deduplication_id": "d"}, {"delay_seconds": 1.0}, {"duplication_policy": "reject"}):
        with SetEnqueueOptions(**options), pytest.raises(error.DBOSException, match="A debouncer decides"):  # type: ignore[arg-type]
            debouncer.debounce("key", 1)
    with pytest.raises(error.DBOSSerializationError):
        debouncer.debounce("key", 1, threading.Lock())
    assert run_sql(database_url, "select count(*) from workflow_status")[0][0] == 0
