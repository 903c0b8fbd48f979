"""The application that the executors of a world run: one workflow for each thing that a workflow may do.

Imported by `program.py`, and by nobody else: it registers as an application does.
"""

from __future__ import annotations

import asyncio
from typing import Any

from dbos import DBOS, Queue, SetEnqueueOptions
from dbos.runtime.context import current_step
from tests.simulation.program import PATIENCE_SECONDS, RATE, STAGE, Failure, begin, work

Queue("plain")
Queue("narrow", 2)
Queue("single", worker_concurrency=1)
Queue("rated", limiter=RATE)
Queue("parts", 1, partition_queue=True)
Queue("urgent", 1, priority_enabled=True)


@DBOS.step(name="plus")
def plus(a: int, b: int) -> int:
    work()
    return a + b


@DBOS.step(name="plus_async")
async def plus_async(a: int, b: int) -> int:
    await asyncio.sleep(begin())
    return a + b


@DBOS.step(name="shaky", retries_allowed=True, max_attempts=4, interval_seconds=0.05)
def shaky(failures: int) -> int:
    step = current_step()
    assert step is not None
    if step.current_attempt == 0:
        begin()
    if (step.current_attempt or 0) < failures:
        raise Failure("not yet")
    return failures


@DBOS.step(name="collapse")
def collapse(number: int) -> None:
    work()
    raise Failure(f"as always: {number}")


@DBOS.step(name="look_at_clock")
def look_at_clock() -> int:
    begin()
    assert STAGE.world is not None
    return STAGE.world.machine.now_ms()


@DBOS.workflow(name="add")
def add(numbers: tuple[int, ...]) -> int:
    total = 0
    for number in numbers:
        total = plus(total, number)
    return total


@DBOS.workflow(name="add_async")
async def add_async(numbers: tuple[int, ...]) -> int:
    total = 0
    for number in numbers:
        total = await plus_async(total, number)
        await DBOS.sleep_async(0.02)
    return total


@DBOS.workflow(name="family")
def family(numbers: tuple[int, ...]) -> int:
    handles = [DBOS.start_workflow(add, (number, 1)) for number in numbers[:2]]
    with SetEnqueueOptions(delay_seconds=0.4):
        handles += [DBOS.enqueue_workflow("plain", add, (number, 1)) for number in numbers[2:]]
    return sum(handle.get_result() for handle in handles)


@DBOS.workflow(name="stubborn")
def stubborn(failures: int) -> int:
    return shaky(failures) + plus(1, 0)


@DBOS.workflow(name="failing")
def failing(number: int) -> None:
    plus(number, 1)
    collapse(number)


@DBOS.workflow(name="nap")
def nap(seconds: float) -> bool:
    before = look_at_clock()
    DBOS.sleep(seconds)
    return look_at_clock() - before >= seconds * 1000


@DBOS.workflow(name="patient")
def patient(seconds: float) -> str:
    plus(1, 1)
    DBOS.sleep(seconds)
    return "too patient"


@DBOS.workflow(name="inbox")
def inbox(count: int) -> list[Any]:
    return [DBOS.recv("letters", timeout_seconds=PATIENCE_SECONDS) for _ in range(count)]


@DBOS.workflow(name="outbox")
def outbox(destination: str, count: int) -> int:
    for number in range(count):
        DBOS.send(destination, f"from a workflow {number}", "letters")
    return count


@DBOS.workflow(name="publish")
def publish(count: int) -> int:
    for number in range(count):
        DBOS.set_event("progress", number)
        DBOS.write_stream("values", number)
        plus(number, 1)
    DBOS.close_stream("values")
    return count


@DBOS.workflow(name="follow")
def follow(publisher: str) -> int | None:
    seen: int | None = DBOS.get_event(publisher, "progress", timeout_seconds=PATIENCE_SECONDS)
    return seen


@DBOS.workflow(name="bequeath")
def bequeath(number: int) -> int:
    child = DBOS.start_workflow(nap, 0.3)
    plus(number, 0)
    return number if child.get_result() else -1


@DBOS.workflow(name="bounced")
def bounced(value: int) -> int:
    return plus(value, 0)


@DBOS.workflow(name="tick")
def tick(scheduled: Any, context: Any) -> str:
    plus(1, 1)
    return str(scheduled)
