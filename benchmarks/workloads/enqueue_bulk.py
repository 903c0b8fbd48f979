"""How many workflows a second does a client enqueue that has them all at hand? Nobody serves the queue.

By one call where a release has one; else from 100 coroutines at once, the fastest that it offers.
"""

from __future__ import annotations

import asyncio

from session import Session

from dbos import DBOS, DBOSClient

COROUTINES = 100
BULK = getattr(DBOSClient, "enqueue_bulk_async", None)


async def enqueue(client: DBOSClient, workflows: int) -> None:
    for number in range(workflows):
        await client.enqueue_async({"workflow_name": "no_op", "queue_name": "unserved"}, number)


async def run(client: DBOSClient, workflows: int) -> None:
    if BULK is None:
        await asyncio.gather(*(enqueue(client, workflows // COROUTINES) for _ in range(COROUTINES)))
    else:
        calls = [({"workflow_name": "no_op", "queue_name": "unserved"}, (number,), {}) for number in range(workflows)]
        await BULK(client, calls)


async def main(session: Session) -> None:
    client = DBOSClient(system_database_url=session.database_url)
    await run(client, COROUTINES)

    for _ in session.repetitions():
        await run(client, session.count)

    session.report_rate(session.count // COROUTINES * COROUTINES)


session = Session()
session.launch()  # creates the tables, which a client never does
DBOS.destroy()
asyncio.run(main(session))
