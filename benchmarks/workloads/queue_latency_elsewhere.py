"""The same, enqueued by another process: from its call to the start here, in milliseconds (the median).

The other process is this script once more. Both read the monotonic clock of the machine.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
import time

from session import Session

from dbos import DBOS

QUEUE = "idle"
PAUSES_SECONDS = 0.013, 0.031, 0.059, 0.101, 0.17  # out of step with whatever polls

session = Session()
seconds: list[float] = []
arrived = threading.Event()


@DBOS.workflow()
def measure(enqueued_at: float) -> None:
    seconds.append(time.perf_counter() - enqueued_at)
    if len(seconds) > session.count:
        arrived.set()


def enqueue() -> None:
    """The other process: dequeues nothing itself. By the end of the first, which does not count, the queue is found."""
    session.construct()
    DBOS.listen_queues([])
    DBOS.launch()
    for number in range(session.count + 1):
        DBOS.enqueue_workflow(QUEUE, measure, time.perf_counter()).get_result()  # one at a time: the queue is idle
        time.sleep(PAUSES_SECONDS[number % len(PAUSES_SECONDS)])


if session.abandon:
    enqueue()
    session.report(0)
else:
    session.launch()
    DBOS.register_queue(QUEUE)
    subprocess.run([sys.executable, *sys.argv, "--abandon", "enqueue"], check=True)
    arrived.wait()
    session.report(statistics.median(seconds[1:]) * 1000)
