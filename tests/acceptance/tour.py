"""A tour of the library in one call, for tests that make the database difficult: does everything still come out?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from sqlalchemy import text

from dbos import DBOS, DBOSClient, Queue, SetWorkflowID, error

STEPS = 8  # drivers prepare a statement that they have seen five times

Tour = Callable[[str], dict[str, Any]]

EXPECTED: dict[str, Any] = {
    "steps": sum(range(STEPS)),
    "children": ["child 0", "child 1", "child 2"],
    "message": "grüße, 世界",
    "event": "set",
    "stream": [0, 1, 2],
    "transactions": STEPS,
    "coroutine": "awaited",
    "cancelled": "CANCELLED",
}


def define(database_url: str) -> Tour:
    """Declare its workflows. What comes back, called with a prefix for IDs, has to answer EXPECTED."""
    queue = Queue("tour", polling_interval_sec=0.2)

    @DBOS.step()
    def step(number: int) -> int:
        return number

    @DBOS.transaction()
    def transaction() -> int:
        return int(DBOS.sql_session.execute(text("select 1")).scalar_one())

    @DBOS.workflow()
    def child(number: int) -> str:
        return f"child {number}"

    @DBOS.workflow()
    async def coroutine() -> str:
        await DBOS.sleep_async(0.001)
        return "awaited"

    @DBOS.workflow()
    def cancelled() -> None:
        DBOS.recv("never", timeout_seconds=60)

    @DBOS.workflow()
    def everything() -> dict[str, Any]:
        children = [queue.enqueue(child, number) for number in range(3)]
        total = sum(step(number) for number in range(STEPS))
        for number in range(3):
            DBOS.write_stream("numbers", number)
        DBOS.close_stream("numbers")
        DBOS.set_event("state", "set")
        return {
            "steps": total,
            "children": [handle.get_result() for handle in children],
            "message": DBOS.recv("greeting", timeout_seconds=30),
            "transactions": sum(transaction() for _ in range(STEPS)),
        }

    def tour(prefix: str) -> dict[str, Any]:
        with SetWorkflowID(prefix):
            handle = DBOS.start_workflow(everything)
        with SetWorkflowID(f"{prefix}-cancelled"):
            doomed = DBOS.start_workflow(cancelled)
        with DBOSClient(system_database_url=database_url) as client:
            client.send(prefix, EXPECTED["message"], "greeting")
            client.cancel_workflow(f"{prefix}-cancelled")
            answer = handle.get_result()
            event = client.get_event(prefix, "state", timeout_seconds=30)
            stream = list(client.read_stream(prefix, "numbers"))
        try:
            doomed.get_result()
        except error.DBOSAwaitedWorkflowCancelledError:
            pass  # as it should
        return {
            **answer,
            "event": event,
            "stream": stream,
            "coroutine": asyncio.run(coroutine()),
            "cancelled": doomed.get_status().status,
        }

    return tour
