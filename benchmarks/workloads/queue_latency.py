"""How long does it take from an enqueue to the start of the workflow, in ms (the median), on an idle queue?"""

from __future__ import annotations

import statistics
import time

from session import Session

from dbos import DBOS

QUEUE = "idle"
PAUSES_SECONDS = 0.013, 0.031, 0.059, 0.101, 0.17  # out of step with whatever polls


@DBOS.workflow()
def measure(enqueued_at: float) -> float:
    return time.perf_counter() - enqueued_at


session = Session()
session.launch()
DBOS.register_queue(QUEUE)
DBOS.enqueue_workflow(QUEUE, measure, time.perf_counter()).get_result()  # by then the queue has been found

seconds: list[float] = []
for number in range(session.count):
    time.sleep(PAUSES_SECONDS[number % len(PAUSES_SECONDS)])
    seconds.append(DBOS.enqueue_workflow(QUEUE, measure, time.perf_counter()).get_result())

session.report(statistics.median(seconds) * 1000)
