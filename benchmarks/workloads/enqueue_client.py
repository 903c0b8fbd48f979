"""How many workflows a second does a client enqueue, one after the other? Nobody serves the queue."""

from __future__ import annotations

from session import WARM_UP_WORKFLOWS, Session

from dbos import DBOS, DBOSClient


def run(client: DBOSClient, workflows: int) -> None:
    for number in range(workflows):
        client.enqueue({"workflow_name": "no_op", "queue_name": "unserved"}, number)


session = Session()
session.launch()  # creates the tables, which a client never does
DBOS.destroy()
client = DBOSClient(system_database_url=session.database_url)
run(client, WARM_UP_WORKFLOWS)

for _ in session.repetitions():
    run(client, session.count)

session.report_rate(session.count)
