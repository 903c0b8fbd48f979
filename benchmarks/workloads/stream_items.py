"""How many values a second does a live reader get from a workflow that writes them one after the other?"""

from __future__ import annotations

import uuid

from session import Session

from dbos import DBOS, SetWorkflowID


@DBOS.workflow()
def writer(count: int) -> None:
    for number in range(count):
        DBOS.write_stream("numbers", number)
    DBOS.close_stream("numbers")


def follow(count: int) -> None:
    workflow_id = uuid.uuid4().hex
    with SetWorkflowID(workflow_id):
        DBOS.start_workflow(writer, count)
    assert list(DBOS.read_stream(workflow_id, "numbers")) == list(range(count))


session = Session()
session.launch()
follow(20)

for _ in session.repetitions():
    follow(session.count)

session.report_rate(session.count)
