"""How long does it take from calling `set_event` until a waiting `get_event` returns in the same process (median)?"""

from __future__ import annotations

import statistics
import threading
import time
import uuid

from session import SETTLING_SECONDS, Session

from dbos import DBOS, SetWorkflowID

everybody_waits = threading.Event()
set_at: list[float] = []


@DBOS.workflow()
def publisher() -> None:
    everybody_waits.wait()
    set_at.append(time.perf_counter())
    DBOS.set_event("key", "value")


session = Session()
session.launch()
latencies_ms = []


def wait_for(workflow_id: str) -> None:
    DBOS.get_event(workflow_id, "key", timeout_seconds=60)
    latencies_ms.append((time.perf_counter() - set_at[-1]) * 1000)


for _ in range(session.count + 1):
    everybody_waits.clear()
    workflow_id = uuid.uuid4().hex
    with SetWorkflowID(workflow_id):
        DBOS.start_workflow(publisher)
    reader = threading.Thread(target=wait_for, args=(workflow_id,))
    reader.start()
    time.sleep(SETTLING_SECONDS)
    everybody_waits.set()
    reader.join()

session.report(statistics.median(latencies_ms[1:]))
