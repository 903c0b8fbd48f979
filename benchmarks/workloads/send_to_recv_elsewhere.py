"""How long does it take from calling `send` until `recv` returns in a workflow of another process (median)?

The script starts itself a second time to be the sender. Both read the wall clock of the same machine.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
import uuid

from session import SETTLING_SECONDS, Session

from dbos import DBOS, SetWorkflowID

latencies_ms: list[float] = []


@DBOS.workflow()
def receiver(count: int) -> None:
    for _ in range(count):
        sent_at = DBOS.recv("topic", timeout_seconds=60)
        latencies_ms.append((time.time() - sent_at) * 1000)


session = Session()
session.launch()
if session.peer:
    for _ in range(session.count + 1):
        time.sleep(SETTLING_SECONDS)
        DBOS.send(session.peer, time.time(), "topic")
        sys.stdin.readline()  # it was received
    session.report(0)

workflow_id = uuid.uuid4().hex
with SetWorkflowID(workflow_id):
    handle = DBOS.start_workflow(receiver, session.count + 1)
command = [sys.executable, __file__, "--database-url", session.database_url, "--count", str(session.count)]
with subprocess.Popen([*command, "--peer", workflow_id], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as sender:
    assert sender.stdin is not None
    for number in range(session.count + 1):
        while len(latencies_ms) <= number:
            time.sleep(SETTLING_SECONDS / 20)
        sender.stdin.write(b"\n")
        sender.stdin.flush()
session.report(statistics.median(latencies_ms[1:]))
