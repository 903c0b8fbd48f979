"""What a type checker must make of a program; `test_public_api.py` runs one over it. Nothing here is executed.

An ignored line is a mistake that the checker must find: an unused `type: ignore` is an error, too.
"""

from typing import Any, assert_type

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from dbos import (
    DBOS,
    AsyncSQLAlchemyDatasource,
    DBOSClient,
    DBOSConfig,
    DBOSConfiguredInstance,
    Debouncer,
    DebouncerClient,
    DuplicationPolicy,
    EnqueueOptions,
    Queue,
    QueueRateLimit,
    Serializer,
    SetEnqueueOptions,
    SetWorkflowID,
    SetWorkflowTimeout,
    SQLAlchemyDatasource,
    StepInfo,
    StepOptions,
    StepReservation,
    WorkflowHandle,
    WorkflowHandleAsync,
    WorkflowStatus,
)

config: DBOSConfig = {"name": "typed", "system_database_url": "sqlite:///typed.sqlite", "sys_db_pool_size": 5}
wrong: DBOSConfig = {"name": 3}  # type: ignore[typeddict-item]


class Reversed(Serializer):
    def serialize(self, data: Any) -> str:
        return repr(data)

    def deserialize(self, serialized_data: str) -> Any:
        return serialized_data


@DBOS.step(retries_allowed=True, max_attempts=5, should_retry=lambda error: True)
def plain_step(number: int) -> str:
    return str(number)


@DBOS.step(preemptible=True, timeout_seconds=1.5)
async def slow_step(number: int) -> bytes:
    return bytes(number)


@DBOS.required_roles(["admin"])
@DBOS.workflow()
def guarded(number: int) -> str:
    return str(number)


assert_type(guarded(3), str)


@DBOS.required_roles("admin", "user")  # type: ignore[call-arg]
def badly_guarded() -> None: ...


@DBOS.step(max_attempts="5")  # type: ignore[arg-type]
def wrong_step() -> None: ...


@DBOS.transaction("READ COMMITTED", name="insert")
def insert(note: str) -> int:
    assert_type(DBOS.sql_session, Session)
    return len(DBOS.sql_session.execute(text("select :note"), {"note": note}).all())


datasource = SQLAlchemyDatasource.create("sqlite:///typed.sqlite", {"echo": True})


@datasource.transaction
def bare(number: int) -> str:
    assert_type(datasource.sql_session(), Session)
    return str(number)


@datasource.transaction(name="count", isolation_level="REPEATABLE READ")
def count(number: int) -> bytes:
    return bytes(number)


@datasource.transaction(isolation_level="CHAOS")  # type: ignore[call-overload, untyped-decorator]
def chaos() -> None: ...


async def awaited(number: int) -> float:
    asynchronous = await AsyncSQLAlchemyDatasource.create("sqlite:///typed.sqlite")
    assert_type(asynchronous, AsyncSQLAlchemyDatasource)
    assert_type(asynchronous.sql_session(), AsyncSession)
    decorated = asynchronous.transaction(awaited)
    assert_type(await decorated(1), float)
    await decorated("1")  # type: ignore[arg-type]
    return await asynchronous.run_tx_step_async({"name": "n"}, awaited, number)


def datasources() -> None:
    assert_type(bare(1), str)
    assert_type(count(1), bytes)
    bare("1")  # type: ignore[arg-type]
    assert_type(datasource.run_tx_step({"isolation_level": "SERIALIZABLE"}, count, 1), bytes)


@DBOS.workflow(name="plain", max_recovery_attempts=None)
def plain(number: int, *, factor: float = 1.0) -> str:
    assert_type(plain_step(number), str)
    assert_type(insert("note"), int)
    insert(1)  # type: ignore[arg-type]
    assert_type(DBOS.run_step({"name": "sum"}, sum, [1, 2]), int)
    assert_type(DBOS.reserve_step(), StepReservation)
    DBOS.sleep(1.5)
    DBOS.sleep("1.5")  # type: ignore[arg-type]
    plain_step("1")  # type: ignore[arg-type]
    return plain_step(number)


@DBOS.workflow()
async def slow(number: int) -> bytes:
    options: StepOptions = {"name": "slow", "retries_allowed": True, "interval_seconds": 0.5}
    assert_type(await slow_step(number), bytes)
    assert_type(await DBOS.run_step_async(options, slow_step, number), bytes)
    assert_type(await DBOS.run_step_async(None, plain_step, number), str)
    await DBOS.run_step_async(None, plain_step, "1")  # type: ignore[call-overload]
    await DBOS.sleep_async(1)
    return await slow_step(number)


@DBOS.dbos_class()
class Shop(DBOSConfiguredInstance):
    def __init__(self, city: str) -> None:
        super().__init__(config_name=city)

    @DBOS.workflow()
    def sell(self, item: str) -> float:
        return len(item) / 2

    @classmethod
    @DBOS.workflow()
    def close(cls, hour: int) -> bool:
        return hour > 18


def synchronous() -> None:
    with SetWorkflowID("one"), SetWorkflowTimeout(10):
        assert_type(plain(1, factor=2.0), str)
    plain("1")  # type: ignore[arg-type]
    handle = DBOS.start_workflow(plain, 1, factor=2.0)
    assert_type(handle, WorkflowHandle[str])
    assert_type(handle.get_result(polling_interval_sec=0.5), str)
    assert_type(handle.get_status(), WorkflowStatus)
    assert_type(handle.get_status().recovery_attempts, int)
    DBOS.start_workflow(plain, "1")  # type: ignore[call-overload]
    assert_type(DBOS.start_workflow(slow, 1), WorkflowHandle[bytes])
    shop = Shop("Oslo")
    assert_type(shop.config_name, str)
    assert_type(shop.sell("hat"), float)
    assert_type(DBOS.start_workflow(shop.sell, "hat"), WorkflowHandle[float])
    assert_type(Shop.close(19), bool)
    assert_type(DBOS.wait_first([handle, handle]), WorkflowHandle[str])
    assert_type(DBOS.retrieve_workflow("one"), WorkflowHandle[Any])
    assert_type(DBOS.get_workflow_status("one"), WorkflowStatus | None)
    assert_type(DBOS.list_workflows(status=["ERROR"], limit=3, sort_desc=True), list[WorkflowStatus])
    assert_type(DBOS.list_workflow_steps("one", load_output=False), list[StepInfo])
    DBOS.list_workflows(colour="blue")  # type: ignore[call-arg]
    DBOS.cancel_workflow("one", cancel_children=True)
    assert_type(DBOS.resume_workflows(["one"]), list[WorkflowHandle[Any]])
    DBOS.update_workflow_attributes("one", {"a": 1}, merge=True)
    assert_type(DBOS.workflow_id, str | None)
    assert_type(DBOS.step_id, int | None)
    assert_type(DBOS.application_version, str)
    assert_type(DBOS(config=config), DBOS)


limiter: QueueRateLimit = {"limit": 50, "period": 30}
policy: DuplicationPolicy = "return-existing"
queue = Queue("typed", concurrency=3, limiter=limiter, partition_limiter={"limit": 1, "period": 0.5})
Queue("wrong", concurrency="3")  # type: ignore[arg-type]
options: EnqueueOptions = {"workflow_name": "plain", "queue_name": "typed", "priority": 1, "delay_seconds": 0.5}
nameless: EnqueueOptions = {"queue_name": "typed"}  # type: ignore[typeddict-item]


def queues() -> None:
    with SetEnqueueOptions(deduplication_id="d", duplication_policy=policy, priority=1, delay_seconds=1):
        assert_type(queue.enqueue(plain, 1, factor=2.0), WorkflowHandle[str])
    assert_type(queue.enqueue(slow, 1), WorkflowHandle[bytes])
    assert_type(queue.enqueue(plain_step, 1), WorkflowHandle[str])
    queue.enqueue(plain, "1")  # type: ignore[call-overload]
    SetEnqueueOptions(duplication_policy="replace")  # type: ignore[arg-type]
    assert_type(DBOS.enqueue_workflow("typed", plain, 1), WorkflowHandle[str])
    DBOS.enqueue_workflow("typed", plain, 1, 2)  # type: ignore[call-overload]
    assert_type(DBOS.enqueue_workflow_with_options(options, 1), WorkflowHandle[Any])
    assert_type(queue.name, str)
    assert_type(queue.concurrency, int | None)
    assert_type(queue.limiter, QueueRateLimit | None)
    assert_type(queue.polling_interval_sec, float)
    assert_type(DBOS.register_queue("kept", global_concurrency=3, on_conflict="never_update"), Queue)
    assert_type(DBOS.retrieve_queue("kept"), Queue | None)
    assert_type(DBOS.list_queues(), list[Queue])
    queue.set_worker_concurrency(3)
    queue.set_limiter({"limit": 1, "period": 2.0})
    queue.set_concurrency("3")  # type: ignore[arg-type]
    DBOS.listen_queues([queue, "kept"])
    assert_type(DBOS.list_queued_workflows(queue_name=["typed"]), list[WorkflowStatus])
    DBOS.set_workflow_delay("one", delay_seconds=1.5)


async def queues_async() -> None:
    assert_type(await queue.enqueue_async(slow, 1), WorkflowHandleAsync[bytes])
    assert_type(await DBOS.enqueue_workflow_async("typed", plain, 1), WorkflowHandleAsync[str])
    assert_type(await DBOS.enqueue_workflow_with_options_async(options), WorkflowHandleAsync[Any])
    assert_type(await queue.get_partition_limiter_async(), QueueRateLimit | None)
    await queue.set_partition_concurrency_async(None)
    assert_type(await DBOS.retrieve_queue_async("kept"), Queue | None)
    await queue.enqueue_async(slow, "1")  # type: ignore[call-overload]


async def asynchronous() -> None:
    assert_type(await slow(1), bytes)
    handle = await DBOS.start_workflow_async(slow, 1)
    assert_type(handle, WorkflowHandleAsync[bytes])
    assert_type(await handle.get_result(), bytes)
    assert_type(await handle.get_status(), WorkflowStatus)
    assert_type(await DBOS.start_workflow_async(plain, 1), WorkflowHandleAsync[str])
    assert_type(await DBOS.wait_first_async([handle]), WorkflowHandleAsync[bytes])
    assert_type(await DBOS.list_workflows_async(name="plain"), list[WorkflowStatus])
    assert_type(await DBOS.get_workflow_status_async("one"), WorkflowStatus | None)
    assert_type(await DBOS.resume_workflow_async("one"), WorkflowHandleAsync[Any])
    done, pending = await DBOS.asyncio_wait([slow_step(1)], timeout=1.0)
    assert len(done) + len(pending) == 1


def from_outside(client: DBOSClient) -> None:
    options: EnqueueOptions = {"workflow_name": "plain", "queue_name": "queue"}
    assert_type(client.enqueue(options, 1, key="x"), WorkflowHandle[Any])
    assert_type(client.enqueue_bulk([(options, (1,)), (options, [2], {"key": "x"})]), list[WorkflowHandle[Any]])
    assert_type(client.list_workflows(status="ERROR"), list[WorkflowStatus])
    assert_type(client.get_workflow_status("one"), WorkflowStatus | None)
    assert_type(client.retrieve_workflow("one"), WorkflowHandle[Any])
    client.list_workflows(colour="blue")  # type: ignore[call-arg]
    DBOSClient(pool=3)  # type: ignore[call-arg]
    debouncer = DebouncerClient(client, options, debounce_timeout_sec=5)
    assert_type(debouncer.debounce("key", 1.5, 1), WorkflowHandle[Any])


def debounced() -> None:
    assert_type(Debouncer.create(plain).debounce("key", 1, 5), WorkflowHandle[str])
    assert_type(Debouncer.create(slow).debounce("key", 1, 5), WorkflowHandle[bytes])
    Debouncer.create(plain).debounce("key", 1, "five")  # type: ignore[arg-type]
    Debouncer.create_async(plain)  # type: ignore[arg-type]


async def outside_asynchronous(client: DBOSClient) -> None:
    assert_type(await Debouncer.create_async(slow).debounce_async("key", 1, 5), WorkflowHandleAsync[bytes])
    assert_type(await client.list_workflows_async(), list[WorkflowStatus])
    assert_type(await client.enqueue_async({"workflow_name": "w", "queue_name": "q"}), WorkflowHandleAsync[Any])
