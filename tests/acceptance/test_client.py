"""api.md §15: a program that runs no workflows itself, and asks those that do through the database."""

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dbos import DBOS, DBOSClient, EnqueueOptions, Queue, SendMessage, SetWorkflowID, WorkflowHandle, error
from dbos.api.launched import launched_engine
from tests.support.fixture_types import Launch
from tests.support.raw_sql import run_sql
from tests.support.waiting import Gate, eventually

Connect = Callable[..., DBOSClient]


@pytest.fixture
def connect(database_url: str) -> Iterator[Connect]:
    """Make clients of the test's database; they end with the test."""
    clients: list[DBOSClient] = []

    def make(**arguments: Any) -> DBOSClient:
        clients.append(DBOSClient(system_database_url=database_url, **arguments))
        return clients[-1]

    yield make
    for client in clients:
        client.destroy()


@pytest.fixture
def listening(connect: Connect) -> Callable[[], DBOSClient]:
    """A client whose waiting ends at once on both databases."""
    return lambda: connect(use_listen_notify=True)


# ---------------------------------------------------------------- finding, looking, waiting


def test_a_client_sees_what_the_application_does(launch: Launch, connect: Connect) -> None:
    @DBOS.step(name="step")
    def step() -> int:
        return 1

    @DBOS.workflow(name="workflow")
    def workflow(number: int) -> int:
        return step() + number

    launch()
    with SetWorkflowID("seen"):
        workflow(41)
    client = connect()
    handle = client.retrieve_workflow("seen")
    assert handle.get_result() == client.get_result("seen") == 42
    assert handle.get_status().input == {"args": (41,), "kwargs": {}}
    status = client.get_workflow_status("seen")
    assert status is not None
    assert (status.status, status.output) == ("SUCCESS", 42)
    assert [each.workflow_id for each in client.list_workflows()] == ["seen"]
    assert [each["function_name"] for each in client.list_workflow_steps("seen")] == ["step"]
    client.update_workflow_attributes("seen", {"team": "a"})
    assert [each.attributes for each in client.list_workflows(name="workflow")] == [{"team": "a"}]

    async def main() -> None:
        found = await client.retrieve_workflow_async("seen")
        assert await found.get_result() == await client.get_result_async("seen") == 42
        assert (await found.get_status()).name == "workflow"
        assert [each.workflow_id for each in await client.list_workflows_async(status="SUCCESS")] == ["seen"]
        assert len(await client.list_workflow_steps_async("seen")) == 1
        assert await client.get_workflow_status_async("nobody") is None
        await client.check_connection_async()

    asyncio.run(main())
    client.check_connection()


def test_a_listening_client_hears_at_once(launch: Launch, listening: Callable[[], DBOSClient]) -> None:
    """A thread and a coroutine wait; both are woken long before they would have looked by themselves."""
    gate = Gate()

    @DBOS.workflow()
    def waits() -> float:
        gate.pass_through()
        return time.monotonic()

    launch()
    client = listening()
    with gate:
        first, second = (DBOS.start_workflow(waits).workflow_id for _ in range(2))
        gate.wait_for_arrival(2)
        told: list[float] = []

        def listen() -> None:
            finished_at = client.get_result(first, polling_interval_sec=30)
            told.append(time.monotonic() - finished_at)

        async def listen_async() -> None:
            finished_at = await client.get_result_async(second, polling_interval_sec=30)
            told.append(time.monotonic() - finished_at)

        threads = [threading.Thread(target=listen), threading.Thread(target=lambda: asyncio.run(listen_async()))]
        for thread in threads:
            thread.start()
        engine = client._connection.open()
        eventually(lambda: set(engine.waiters.waiting_for("workflow")) == {first, second})
        gate.open()
        for thread in threads:
            thread.join(20)
    assert len(told) == 2
    assert max(told) < 10


def test_a_client_that_does_not_listen_asks(launch: Launch, connect: Connect) -> None:
    gate = Gate()

    @DBOS.workflow()
    def waits(name: str) -> str:
        if name == "slow":
            gate.pass_through()
        return name

    launch()
    client = connect()
    with gate:
        handles = [DBOS.start_workflow(waits, name) for name in ("slow", "quick")]
        seen = [client.retrieve_workflow(each.workflow_id) for each in handles]
        assert client.wait_first(seen) is seen[1]

        async def first() -> str:
            both = [await client.retrieve_workflow_async(each.workflow_id) for each in handles]
            return (await client.wait_first_async(both)).workflow_id

        assert asyncio.run(first()) == handles[1].workflow_id
        gate.open()
        assert [each.get_result(polling_interval_sec=0.01) for each in seen] == ["slow", "quick"]


def test_errors_and_cancellations_are_those_of_the_workflow(launch: Launch, connect: Connect) -> None:
    gate = Gate()

    @DBOS.workflow()
    def fails() -> None:
        raise KeyError("lost")

    @DBOS.workflow()
    def runs() -> None:
        gate.pass_through()
        DBOS.sleep(0)

    launch()
    client = connect()
    handle = DBOS.start_workflow(fails)
    with pytest.raises(KeyError, match="lost"):
        client.get_result(handle.workflow_id)
    with gate:
        running = DBOS.start_workflow(runs)
        gate.wait_for_arrival()
        client.cancel_workflow(running.workflow_id)
        with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
            client.get_result(running.workflow_id)
    with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
        running.get_result()
    resumed = client.resume_workflow(running.workflow_id)
    assert resumed.get_result(polling_interval_sec=0.01) is None
    with pytest.raises(error.DBOSNonExistentWorkflowError):
        client.retrieve_workflow("nobody")
    with pytest.raises(error.DBOSNonExistentWorkflowError):
        client.resume_workflows([running.workflow_id, "nobody"])

    async def steer() -> None:
        await client.cancel_workflows_async([running.workflow_id])  # finished: nothing happens
        (again,) = await client.resume_workflows_async([running.workflow_id])
        assert await again.get_result() is None
        with pytest.raises(error.DBOSNonExistentWorkflowError):
            await client.resume_workflow_async("nobody")

    asyncio.run(steer())


def test_listings_show_the_applications_own(launch: Launch, connect: Connect) -> None:
    @DBOS.workflow()
    def workflow() -> None: ...

    launch()
    workflow()
    assert len(connect().list_workflows()) == 1
    assert len(connect(application_name="test-app").list_workflows()) == 1
    other = connect(application_name="another-app")
    assert other.list_workflows() == []
    assert len(other.list_workflows(application_name="test-app")) == 1


# ---------------------------------------------------------------- enqueueing


def test_a_client_enqueues_by_name(launch: Launch, connect: Connect) -> None:
    @DBOS.workflow(name="add")
    def add(one: int, *, other: int) -> int:
        return one + other

    queue = Queue("sums")
    launch()
    client = connect()
    options: EnqueueOptions = {"workflow_name": "add", "queue_name": queue.name, "workflow_id": "sum"}
    handle = client.enqueue(options, 1, other=2)
    assert (handle.workflow_id, handle.get_result()) == ("sum", 3)
    assert client.enqueue(options, 5, other=5).get_result() == 3  # the id is there already
    status = handle.get_status()
    assert (status.queue_name, status.app_version) == ("sums", DBOS.application_version)
    with pytest.raises(error.DBOSConflictingWorkflowError):
        client.enqueue({**options, "workflow_name": "subtract"}, 1)
    with pytest.raises(KeyError):
        client.enqueue({"workflow_name": "add"})  # type: ignore[typeddict-item]

    async def main() -> int:
        with SetWorkflowID("another"):
            started = await client.enqueue_async({"workflow_name": "add", "queue_name": "sums"}, 3, other=4)
        assert started.workflow_id == "another"
        result: int = await started.get_result()
        return result

    assert asyncio.run(main()) == 7


def test_many_are_enqueued_by_one_commit(launch: Launch, connect: Connect) -> None:
    @DBOS.workflow(name="echo")
    def echo(value: object, *, loud: bool = False) -> object:
        return str(value).upper() if loud else value

    Queue("many")
    launch()
    client = connect()
    options: EnqueueOptions = {"workflow_name": "echo", "queue_name": "many"}
    counters = client._connection.open().store.journal.counters
    before = counters.commits, counters.queries
    handles = client.enqueue_bulk([(options, (number,)) for number in range(100)])
    assert (counters.commits, counters.queries) == (before[0] + 1, before[1])
    assert [handle.get_result() for handle in handles] == list(range(100))
    (loud,) = client.enqueue_bulk([(options, ["a"], {"loud": True})])
    assert loud.get_result() == "A"
    assert client.enqueue_bulk([]) == []

    async def main() -> list[object]:
        started = await client.enqueue_bulk_async([(options, ("x",)), (options, ("y",))])
        return [await each.get_result() for each in started]

    assert asyncio.run(main()) == ["x", "y"]


def test_of_many_the_refused_one_is_told_when_the_others_are_in(launch: Launch, connect: Connect) -> None:
    launch()
    client = connect()
    one: EnqueueOptions = {"workflow_name": "later", "queue_name": "elsewhere", "deduplication_id": "d"}
    two: EnqueueOptions = {"workflow_name": "later", "queue_name": "elsewhere", "workflow_id": "two"}
    with pytest.raises(error.DBOSQueueDeduplicatedError):
        client.enqueue_bulk([(one, ()), (one, ()), (two, ())])
    assert len(client.list_queued_workflows()) == 2
    assert client.retrieve_workflow("two").get_status().status == "ENQUEUED"
    before = len(client.list_workflows())
    for bad in ([(two,)], [(two, "ab")], [two], [({**two, "priority": 0}, ())], [({**two, "nonsense": 1}, ())]):
        with pytest.raises(error.DBOSException):
            client.enqueue_bulk([(one, ()), *bad])  # type: ignore[list-item]
    assert len(client.list_workflows()) == before


def test_delays_are_changed_from_outside(launch: Launch, connect: Connect) -> None:
    @DBOS.workflow(name="late")
    def late() -> str:
        return "ran"

    Queue("delayed")
    launch()
    client = connect()
    handle = client.enqueue({"workflow_name": "late", "queue_name": "delayed", "delay_seconds": 3600})
    assert handle.get_status().status == "DELAYED"
    client.set_workflow_delay(handle.workflow_id, delay_seconds=0)
    assert handle.get_result() == "ran"


def test_queues_are_defined_from_outside(launch: Launch, connect: Connect) -> None:
    @DBOS.workflow(name="work")
    def work() -> str:
        return "done"

    launch()
    client = connect(application_name="test-app")
    queue = client.register_queue("defined", global_concurrency=2)
    assert [each.name for each in client.list_queues()] == ["defined"]
    assert client.enqueue({"workflow_name": "work", "queue_name": "defined"}).get_result() == "done"
    queue.set_concurrency(3)
    found = client.retrieve_queue("defined")
    assert found is not None
    assert found.concurrency == 3
    assert client.register_queue("defined", global_concurrency=9, on_conflict="never_update").concurrency == 3
    with pytest.raises(error.DBOSException, match="no application version"):
        client.register_queue("defined", on_conflict="update_if_latest_version")
    client.delete_queue("defined")
    assert client.retrieve_queue("defined") is None


# ---------------------------------------------------------------- messages, events, streams


def test_a_client_talks_with_workflows(launch: Launch, connect: Connect) -> None:
    @DBOS.workflow(name="talks")
    def talks() -> list[object]:
        DBOS.set_event("progress", 1)
        heard = [DBOS.recv("greeting", 20), DBOS.recv(timeout_seconds=20), DBOS.recv(timeout_seconds=0)]
        for value in heard:
            DBOS.write_stream("heard", value)
        DBOS.close_stream("heard")
        return heard

    launch()
    client = connect(use_listen_notify=True)
    handle = DBOS.start_workflow(talks)
    workflow_id = handle.workflow_id
    assert client.get_event(workflow_id, "progress", timeout_seconds=20) == 1
    for _ in range(2):
        client.send(workflow_id, "hello", "greeting", "key")  # the fourth is the idempotency key
    client.send_bulk([SendMessage(workflow_id, "bulk")])
    assert list(client.read_stream(workflow_id, "heard")) == ["hello", "bulk", None]
    assert client.read_stream_offset(workflow_id, "heard", 1) == "bulk"
    assert client.get_all_events(workflow_id) == {"progress": 1}

    async def main() -> list[object]:
        assert await client.get_event_async(workflow_id, "progress") == 1
        await client.send_async(workflow_id, "too late")
        assert await client.read_stream_offset_async(workflow_id, "heard", 0) == "hello"
        return [value async for value in client.read_stream_async(workflow_id, "heard", offset=1)]

    assert asyncio.run(main()) == ["bulk", None]
    assert handle.get_result() == ["hello", "bulk", None]
    with pytest.raises(error.DBOSNonExistentWorkflowError):
        client.send("nobody", "hello")
    with pytest.raises(error.DBOSException):
        client.read_stream("", "key")


# ---------------------------------------------------------------- beside an application in the same process


def test_inside_a_workflow_its_calls_are_nobodys_steps(launch: Launch, connect: Connect) -> None:
    gate = Gate()

    @DBOS.workflow()
    def other() -> str:
        gate.pass_through()
        return "done"

    @DBOS.workflow()
    def asks(workflow_id: str) -> Any:
        seen = client.retrieve_workflow(workflow_id)
        assert DBOS.workflow_id == "asks"
        return seen.get_result(), len(client.list_workflows()), DBOS.workflow_id

    @DBOS.workflow()
    async def asks_async(workflow_id: str) -> Any:
        seen = await client.retrieve_workflow_async(workflow_id)
        assert DBOS.workflow_id == "asks-async"
        return await seen.get_result(), len(await client.list_workflows_async()), DBOS.workflow_id

    launch(max_executor_threads=1)
    client = connect()
    with gate:
        handle = DBOS.start_workflow(other)
        gate.wait_for_arrival()
        gate.open()
        assert handle.get_result() == "done"
    with SetWorkflowID("asks"):
        assert DBOS.start_workflow(asks, handle.workflow_id).get_result() == ("done", 2, "asks")
    with SetWorkflowID("asks-async"):
        assert DBOS.start_workflow(asks_async, handle.workflow_id).get_result() == ("done", 3, "asks-async")
    assert DBOS.list_workflow_steps("asks") == DBOS.list_workflow_steps("asks-async") == []


def test_who_waits_through_a_client_lends_his_thread(launch: Launch, connect: Connect) -> None:
    """The only thread waits for a workflow that needs it."""

    @DBOS.workflow()
    def needs_the_thread() -> str:
        return "ran"

    @DBOS.workflow()
    def has_the_thread() -> Any:
        started = DBOS.start_workflow(needs_the_thread)
        return client.get_result(started.workflow_id, polling_interval_sec=0.01)

    launch(max_executor_threads=1)
    client = connect()
    assert DBOS.start_workflow(has_the_thread).get_result() == "ran"


def test_handles_belong_to_their_client(launch: Launch, connect: Connect) -> None:
    @DBOS.workflow()
    def workflow() -> int:
        return 1

    launch()
    started = DBOS.start_workflow(workflow)
    handle = connect().retrieve_workflow(started.workflow_id)
    started.get_result()
    DBOS.destroy()
    assert launched_engine() is None
    assert handle.get_result() == 1
    assert isinstance(handle, WorkflowHandle)


# ---------------------------------------------------------------- the connection


@pytest.mark.owner("there the tables exist")
def test_a_client_never_creates_anything(fresh_database_url: str) -> None:
    with pytest.raises(error.DBOSInitializationError, match=r"a client never|does not exist"):
        DBOSClient(system_database_url=fresh_database_url)
    lazy = DBOSClient(system_database_url=fresh_database_url, lazy=True)
    for _ in range(2):
        with pytest.raises(error.DBOSInitializationError):
            lazy.list_workflows()
    lazy.destroy()
    if fresh_database_url.startswith("postgresql"):
        tables = run_sql(fresh_database_url, "select 1 from information_schema.schemata where schema_name = 'dbos'")
        assert tables == []


def test_an_unreachable_database_is_named_at_once() -> None:
    with pytest.raises(error.DBOSInitializationError, match=r"127\.0\.0\.1:1/nowhere"):
        DBOSClient(system_database_url="postgresql://user:secret@127.0.0.1:1/nowhere")


def test_a_lazy_client_connects_with_its_first_call(launch: Launch, connect: Connect) -> None:
    launch()
    client = connect(lazy=True)
    assert client._connection._connected is None
    assert asyncio.run(client.list_workflows_async()) == []
    assert client._connection._connected is not None


def test_many_threads_open_a_lazy_client_once(launch: Launch, connect: Connect) -> None:
    launch()
    client = connect(lazy=True)
    engines: list[object] = []
    threads = [threading.Thread(target=lambda: engines.append(client._connection.open())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(engines) == 8
    assert len({id(each) for each in engines}) == 1


def test_a_destroyed_client_says_so_and_lets_go_of_everybody(launch: Launch, connect: Connect) -> None:
    gate = Gate()

    @DBOS.workflow()
    def waits() -> None:
        gate.pass_through()

    launch()
    client = connect()
    before = set(threading.enumerate())
    with gate:
        handle = DBOS.start_workflow(waits)
        answers: list[BaseException] = []

        def wait() -> None:
            try:
                client.get_result(handle.workflow_id)
            except error.DBOSException as refusal:
                answers.append(refusal)

        thread = threading.Thread(target=wait)
        thread.start()
        eventually(lambda: client._connection.open().waiters.waiting_for("workflow"))
        client.destroy()
        thread.join(20)
        assert "The client was destroyed" in str(answers[0])
    client.destroy()
    with pytest.raises(error.DBOSException, match="The client was destroyed"):
        client.list_workflows()
    with pytest.raises(error.DBOSException, match="The client was destroyed"):
        asyncio.run(client.list_workflows_async())
    handle.get_result()
    ours = [each.name for each in set(threading.enumerate()) - before if each.name.startswith("dbos-listener")]
    assert ours == []


def test_a_with_block_ends_a_client(launch: Launch, database_url: str) -> None:
    launch()
    with DBOSClient(database_url) as client:
        client.check_connection()
    with pytest.raises(error.DBOSException):
        client.check_connection()


@pytest.mark.own_session("a pooler replaces what the server ends, and tells nobody")
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)  # a file does not hang up
def test_an_impatient_client_is_told_of_a_lost_connection(launch: Launch, connect: Connect, database_url: str) -> None:
    launch()
    impatient, patient = connect(retry_connection_errors=False), connect()
    for client in (impatient, patient):
        client.list_workflows()
    run_sql(
        database_url,
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() "
        "and pid <> pg_backend_pid()",
    )
    with pytest.raises(error.DBOSException, match="Postgres fails"):
        impatient.list_workflows()
    assert impatient.list_workflows() == patient.list_workflows() == []
    patient.check_connection()


def test_a_supplied_engine_is_used_and_kept(launch: Launch, database_url: str) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    launch()
    url = database_url.replace("postgresql://", "postgresql+psycopg://")
    engine = sqlalchemy.create_engine(url)
    with DBOSClient(system_database_engine=engine) as client:
        assert client.list_workflows() == []
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("select 1")).scalar() == 1
    engine.dispose()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "Nothing says where the system database is"),
        ({"application_database_url": "sqlite:///app.sqlite"}, "Nothing says where the system database is"),
        ({"system_database_url": 5}, "system_database_url"),
        ({"system_database_url": "mysql://localhost/x"}, "a database URL"),
        ({"system_database_url": "sqlite:///x", "system_database_pool_size": 0}, "system_database_pool_size=0"),
        ({"system_database_url": "sqlite:///x", "dbos_system_schema": "a b"}, "dbos_system_schema"),
        ({"system_database_url": "sqlite:///x", "application_name": "X"}, "application_name"),
        ({"system_database_url": "sqlite:///x", "lazy": "yes"}, "lazy"),
        ({"system_database_url": "sqlite:///x", "serializer": int}, "serializer"),
        ({"system_database_url": "sqlite:///x", "observability_query_timeout_sec": -1}, "observability"),
        ({"system_database_url": "sqlite:///x", "sharding": True}, "not supported"),
        ({"system_database_url": "sqlite:///x", "lazy": True, "use_listen_notify": True}, "cannot listen"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(error.DBOSException, match=words):
        DBOSClient(**arguments)


def test_secrets_of_a_bad_url_do_not_show() -> None:
    with pytest.raises(error.DBOSInitializationError) as caught:
        DBOSClient(system_database_url="mysql://user:secret@localhost/x")
    assert "secret" not in str(caught.value)


def test_blocking_calls_are_refused_where_they_would_block_an_event_loop(launch: Launch, connect: Connect) -> None:
    launch()
    client = connect()

    async def main() -> None:
        with pytest.raises(RuntimeError, match="wait_first_async"):
            client.wait_first([WorkflowHandle("x")])
        with pytest.raises(RuntimeError, match="event loop is running"):
            client.get_result("x")
        assert client.list_workflows() == []

    asyncio.run(main())
    with pytest.raises(error.DBOSException, match="not sharded"):
        client.list_workflows(shard_key="a")
    with pytest.raises(error.DBOSException):
        client.get_result("")


# ---------------------------------------------------------------- the shape of the class


def operations() -> list[str]:
    return [name for name in dir(DBOSClient) if not name.startswith("_") and name != "destroy"]


def parameters(function: Callable[..., Any]) -> list[tuple[str, Any]]:
    given = inspect.signature(function).parameters.values()
    return [(each.name, each.default) for each in given if each.name not in ("self", "existing_workflow")]


def test_every_operation_has_both_faces() -> None:
    names = operations()
    assert {"enqueue", "trigger_schedule"} < set(names)
    for name in names:
        if not name.endswith(("_async", "_in_transaction")):  # the latter work on the connection of a blocking caller
            one, other = getattr(DBOSClient, name), getattr(DBOSClient, f"{name}_async")
            assert parameters(one) == parameters(other)
            assert inspect.iscoroutinefunction(other) or name == "read_stream"
            assert not inspect.iscoroutinefunction(one)
            assert other.__name__ == f"{name}_async"


DIFFERENT = {"create_schedule", "create_schedule_async", "register_queue", "register_queue_async"}


@pytest.mark.parametrize("name", [each for each in operations() if hasattr(DBOS, each) and each not in DIFFERENT])
def test_shared_operations_have_one_signature(name: str) -> None:
    assert parameters(getattr(DBOSClient, name)) == parameters(getattr(DBOS, name))
