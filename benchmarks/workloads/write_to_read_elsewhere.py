"""How long does it take from calling `write_stream` until a reader of another process has the value (median)?

The script starts itself a second time to be the writer. Both read the wall clock of the same machine.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
import uuid

from session import SETTLING_SECONDS, Session

from dbos import DBOS, SetWorkflowID


@DBOS.workflow()
def writer(count: int) -> None:
    for _ in range(count):
        time.sleep(SETTLING_SECONDS)
        DBOS.write_stream("times", time.time())
    DBOS.close_stream("times")


session = Session()
session.launch()
if session.peer:
    with SetWorkflowID(session.peer):
        DBOS.start_workflow(writer, session.count + 1).get_result()
    session.report(0)

workflow_id = uuid.uuid4().hex
command = [sys.executable, __file__, "--database-url", session.database_url, "--count", str(session.count)]
with subprocess.Popen([*command, "--peer", workflow_id], stdout=subprocess.DEVNULL):
    while not DBOS.list_workflows(workflow_ids=[workflow_id]):
        time.sleep(SETTLING_SECONDS)
    latencies_ms = [(time.time() - written_at) * 1000 for written_at in DBOS.read_stream(workflow_id, "times")]
session.report(statistics.median(latencies_ms[1:]))
