"""How long does it take from calling `send` until `recv` returns in a waiting workflow of the same process (median)?"""

from __future__ import annotations

import queue
import statistics
import time
import uuid

from session import SETTLING_SECONDS, Session

from dbos import DBOS, SetWorkflowID

received_at: queue.Queue[float] = queue.Queue()


@DBOS.workflow()
def receiver(count: int) -> None:
    for _ in range(count):
        DBOS.recv("topic", timeout_seconds=60)
        received_at.put(time.perf_counter())


session = Session()
session.launch()
workflow_id = uuid.uuid4().hex
with SetWorkflowID(workflow_id):
    handle = DBOS.start_workflow(receiver, session.count + 1)

latencies_ms = []
for _ in range(session.count + 1):
    time.sleep(SETTLING_SECONDS)  # until it waits again
    sent_at = time.perf_counter()
    DBOS.send(workflow_id, "message", "topic")
    latencies_ms.append((received_at.get() - sent_at) * 1000)

session.report(statistics.median(latencies_ms[1:]))
