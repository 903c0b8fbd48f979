"""How many enqueued no-op workflows a second does one process drain, launch included? Asked of both colours.

The script starts itself a second time to enqueue them, in a process that is gone when the clock starts. It runs until
the last body has returned and no workflow of the queue is ENQUEUED or PENDING any more.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time

from session import Session

from dbos import DBOS

QUEUE = "drained"
CONFIRMATION_INTERVAL_SECONDS = 0.01

session = Session()
left = session.count
nothing_left = threading.Event()
counting = threading.Lock()


def count_down() -> None:
    global left
    with counting:
        left -= 1
        if left == 0:
            nothing_left.set()


@DBOS.workflow()
def blocking_no_op() -> None:
    count_down()


@DBOS.workflow()
async def async_no_op() -> None:
    count_down()


def fill(colour: str) -> None:
    """The other process: never dequeues, for it has no queue to listen to."""
    session.construct()
    DBOS.listen_queues([])
    DBOS.launch()
    DBOS.register_queue(QUEUE)
    workflow = {"sync": blocking_no_op, "async": async_no_op}[colour]
    for _ in range(session.count):
        DBOS.enqueue_workflow(QUEUE, workflow)


def unfinished() -> bool:
    found = DBOS.list_workflows(
        queue_name=QUEUE, status=["ENQUEUED", "PENDING"], load_input=False, load_output=False, limit=1
    )
    return bool(found)


def drain(colour: str) -> None:
    subprocess.run([sys.executable, *sys.argv, "--abandon", colour], check=True)

    started = time.perf_counter()
    session.launch()
    nothing_left.wait()
    while unfinished():
        time.sleep(CONFIRMATION_INTERVAL_SECONDS)
    session.report(session.count / (time.perf_counter() - started))


def main(colour: str) -> None:
    if session.abandon:
        fill(session.abandon)
        session.report(0)
    else:
        drain(colour)
