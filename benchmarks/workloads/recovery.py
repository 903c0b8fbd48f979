"""A process with many unfinished workflows was killed: how many a second does the next one finish, launch included?

The script starts itself a second time to be the victim: that process starts the workflows, waits until each has done
its first step, says so, and is killed by SIGKILL. The clock runs from before this process launches until every
workflow is SUCCESS.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
import uuid

from session import Session

from dbos import DBOS, SetWorkflowID

READY = "ready"
CONFIRMATION_INTERVAL_SECONDS = 0.02  # how often the listing is asked once every body has returned

session = Session()
prefix = session.abandon or uuid.uuid4().hex  # the database may have seen an earlier run
workflow_ids = [f"{prefix}-{number}" for number in range(session.count)]
arrived_numbers: set[int] = set()
everyone_arrived = threading.Event()


def arrive(number: int) -> None:
    arrived_numbers.add(number)
    if len(arrived_numbers) == session.count:
        everyone_arrived.set()


@DBOS.step()
async def before_the_crash(number: int) -> int:
    return number


@DBOS.step()
async def after_the_crash(number: int) -> int:
    return number + 1


@DBOS.workflow()
async def interrupted(number: int) -> int:
    first = await before_the_crash(number)
    if session.abandon:
        arrive(number)
        await asyncio.Event().wait()
    second = await after_the_crash(first)
    arrive(number)
    return second


async def leave_unfinished() -> None:
    """The victim: never returns."""
    session.launch()
    for number, workflow_id in enumerate(workflow_ids):
        with SetWorkflowID(workflow_id):
            await DBOS.start_workflow_async(interrupted, number)
    await asyncio.to_thread(everyone_arrived.wait)
    print(READY, flush=True)
    await asyncio.Event().wait()


def kill_a_victim() -> None:
    command = [sys.executable, __file__, "--database-url", session.database_url, "--count", str(session.count)]
    victim = subprocess.Popen([*command, "--abandon", prefix], stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None
    assert victim.stdout.readline().strip() == READY
    victim.send_signal(signal.SIGKILL)
    victim.wait()


def finished() -> int:
    return len(DBOS.list_workflows(workflow_ids=workflow_ids, status="SUCCESS", load_input=False, load_output=False))


def main() -> None:
    kill_a_victim()

    started = time.perf_counter()
    session.launch()
    everyone_arrived.wait()
    while finished() < session.count:
        time.sleep(CONFIRMATION_INTERVAL_SECONDS)

    session.report(session.count / (time.perf_counter() - started))


if session.abandon:
    asyncio.run(leave_unfinished())
else:
    main()
