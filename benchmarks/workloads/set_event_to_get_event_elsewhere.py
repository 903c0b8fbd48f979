"""How long does it take from calling `set_event` until `get_event` returns in another process (median)?

The script starts itself a second time to be the reader. Both read the wall clock of the same machine.
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
def publisher() -> None:
    DBOS.recv("go", timeout_seconds=60)
    DBOS.set_event("key", time.time())


session = Session()
session.launch()
if session.peer:
    for number in range(session.count + 1):
        print("waits", flush=True)
        set_at = DBOS.get_event(f"{session.peer}-{number}", "key", timeout_seconds=60)
        print((time.time() - set_at) * 1000, flush=True)
    session.report(0)

prefix = uuid.uuid4().hex
for number in range(session.count + 1):
    with SetWorkflowID(f"{prefix}-{number}"):
        DBOS.start_workflow(publisher)
command = [sys.executable, __file__, "--database-url", session.database_url, "--count", str(session.count)]
latencies_ms = []
with subprocess.Popen([*command, "--peer", prefix], stdout=subprocess.PIPE, text=True) as reader:
    assert reader.stdout is not None
    for number in range(session.count + 1):
        assert reader.stdout.readline() == "waits\n"
        time.sleep(SETTLING_SECONDS)
        DBOS.send(f"{prefix}-{number}", None, "go")
        latencies_ms.append(float(reader.stdout.readline()))
    reader.stdout.read()  # to its end
session.report(statistics.median(latencies_ms[1:]))
