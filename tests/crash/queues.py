"""Workflows on queues, and what is done to them: enqueued by clients and by workflows, deduplicated, delayed."""

from __future__ import annotations

import asyncio
from typing import Any

from dbos import DBOS, EnqueueOptions, Queue, SetEnqueueOptions, SetWorkflowID
from dbos.error import DBOSQueueDeduplicatedError
from tests.crash.ledger import Ledger
from tests.crash.scenario import Drive, scenario

LONG_SECONDS = 3600.0  # whatever waits so long must be cut short: running by itself is a failure


@scenario(gives=["enqueued", "by name", "RUN-named"])
def enqueued(ledger: Ledger) -> Drive:
    """A client enqueues, by function and by name, and waits."""
    queue = Queue("crash-enqueued")

    @DBOS.step()
    def say(word: str) -> str:
        ledger.note()
        return word

    @DBOS.workflow(name="crash-speak")
    def speak(word: str) -> str:
        return say(word)

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            first = queue.enqueue(speak, "enqueued")
        options: EnqueueOptions = {
            "workflow_name": "crash-speak",
            "queue_name": "crash-enqueued",
            "workflow_id": f"{run_id}-named",
        }
        second = DBOS.enqueue_workflow_with_options(options, "by name")
        return [first.get_result(), second.get_result(), second.workflow_id]

    return drive


@scenario(gives=(14, ["RUN-1", "RUN-2", "RUN-3"]))
def fan_out(ledger: Ledger) -> Drive:
    """A workflow enqueues its children and gathers what they came to."""
    queue = Queue("crash-fan-out", concurrency=2)

    @DBOS.step()
    def square(number: int) -> int:
        ledger.note()
        return number * number

    @DBOS.workflow()
    def child(number: int) -> int:
        return square(number)

    @DBOS.workflow()
    def parent() -> tuple[int, list[str]]:
        handles = [queue.enqueue(child, number) for number in (1, 2, 3)]
        return sum(handle.get_result() for handle in handles), [handle.workflow_id for handle in handles]

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return parent()

    return drive


@scenario(gives=(14, ["RUN-1", "RUN-2", "RUN-3"]))
def async_fan_out(ledger: Ledger) -> Drive:
    """The same in async style, all at once."""
    queue = Queue("crash-async-fan-out")

    @DBOS.step()
    async def square(number: int) -> int:
        ledger.note()
        return number * number

    @DBOS.workflow()
    async def child(number: int) -> int:
        return await square(number)

    @DBOS.workflow()
    async def parent() -> tuple[int, list[str]]:
        handles = await asyncio.gather(*(queue.enqueue_async(child, number) for number in (1, 2, 3)))
        results = await asyncio.gather(*(handle.get_result() for handle in handles))
        return sum(results), [handle.workflow_id for handle in handles]

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await parent()

    return drive


@scenario(gives=["RUN-1", "refused RUN-2", "RUN-1", "done"])
def deduplicated_children(ledger: Ledger) -> Drive:
    """A workflow is refused a second child under one deduplication id, and is given the first one instead."""
    queue = Queue("crash-deduplicated")

    @DBOS.step()
    def work() -> str:
        ledger.note()
        return "done"

    @DBOS.workflow()
    def child() -> str:
        return work()

    @DBOS.workflow()
    def parent(deduplication_id: str) -> list[str]:
        # Delayed, so that the first child holds its deduplication id until all is said.
        with SetEnqueueOptions(deduplication_id=deduplication_id, delay_seconds=LONG_SECONDS):
            said = [queue.enqueue(child).workflow_id]
            try:
                queue.enqueue(child)
            except DBOSQueueDeduplicatedError as refusal:
                said.append(f"refused {refusal.workflow_id}")
            with SetEnqueueOptions(duplication_policy="return-existing"):
                holder = queue.enqueue(child)
        DBOS.set_workflow_delay(holder.workflow_id, delay_seconds=0)
        return [*said, holder.workflow_id, holder.get_result()]

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return parent(f"{run_id}-slot")

    return drive


@scenario(gives=["done", 1])
def delayed(ledger: Ledger) -> Drive:
    """A client enqueues with a long delay, sees it wait, and cuts it short."""
    queue = Queue("crash-delayed")

    @DBOS.step()
    def work() -> str:
        ledger.note()
        return "done"

    @DBOS.workflow()
    def task() -> str:
        return work()

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id), SetEnqueueOptions(delay_seconds=LONG_SECONDS):
            handle = queue.enqueue(task)
        DBOS.list_queued_workflows(queue_name="crash-delayed")
        DBOS.set_workflow_delay(run_id, delay_seconds=0)
        return [handle.get_result(), handle.get_status().recovery_attempts and 1]

    return drive


@scenario(gives=[2, 3, True])
def kept_queues(ledger: Ledger) -> Drive:
    """A client registers a queue, changes it, reads it, lists it, and deletes it."""

    def drive(run_id: str) -> Any:
        name = f"{run_id}queue"
        concurrency = DBOS.register_queue(name, concurrency=2, on_conflict="always_update").concurrency
        queue = DBOS.retrieve_queue(name)
        assert queue is not None
        queue.set_concurrency(3)
        read = queue.concurrency
        listed = name in [each.name for each in DBOS.list_queues()]
        DBOS.delete_queue(name)
        return [concurrency, read, listed]

    return drive
