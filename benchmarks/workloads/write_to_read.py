"""How long does it take from calling `write_stream` until a reader of the same process has the value (median)?"""

from __future__ import annotations

import statistics
import time
import uuid

from session import SETTLING_SECONDS, Session

from dbos import DBOS, SetWorkflowID


@DBOS.workflow()
def writer(count: int) -> None:
    for _ in range(count):
        time.sleep(SETTLING_SECONDS)
        DBOS.write_stream("times", time.perf_counter())
    DBOS.close_stream("times")


session = Session()
session.launch()
workflow_id = uuid.uuid4().hex
with SetWorkflowID(workflow_id):
    DBOS.start_workflow(writer, session.count + 1)
latencies_ms = [(time.perf_counter() - written_at) * 1000 for written_at in DBOS.read_stream(workflow_id, "times")]

session.report(statistics.median(latencies_ms[1:]))
