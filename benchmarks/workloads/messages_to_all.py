"""How many messages a second reach waiting async workflows, when all of them are sent to at once?"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time

from session import SETTLING_SECONDS, WARM_UP_WORKFLOWS, Session

from dbos import DBOS

arrivals = itertools.count(1)
everybody_is_here = threading.Event()


@DBOS.workflow()
async def receiver(receivers: int) -> object:
    if next(arrivals) == receivers:
        everybody_is_here.set()
    return await DBOS.recv_async("topic", timeout_seconds=120)


async def run(workflows: int) -> float:
    """Seconds from the first send to the last result."""
    global arrivals
    arrivals = itertools.count(1)
    everybody_is_here.clear()
    handles = await asyncio.gather(*(DBOS.start_workflow_async(receiver, workflows) for _ in range(workflows)))
    await asyncio.to_thread(everybody_is_here.wait)
    await asyncio.sleep(20 * SETTLING_SECONDS)  # until so many surely wait
    started = time.perf_counter()
    await asyncio.gather(*(DBOS.send_async(handle.get_workflow_id(), "message", "topic") for handle in handles))
    results = await asyncio.gather(*(handle.get_result() for handle in handles))
    assert results == ["message"] * workflows
    return time.perf_counter() - started


async def main() -> None:
    session = Session()
    session.launch()
    await run(WARM_UP_WORKFLOWS)
    session.report(session.count / await run(session.count))


asyncio.run(main())
