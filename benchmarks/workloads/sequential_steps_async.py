"""How many trivial steps a second does one asynchronous workflow take, one after the other?"""

from __future__ import annotations

import asyncio

from session import Session

from dbos import DBOS


@DBOS.step()
async def add_one(total: int) -> int:
    return total + 1


@DBOS.workflow()
async def count_to(steps: int) -> int:
    total = 0
    for _ in range(steps):
        total = await add_one(total)
    return total


async def main() -> None:
    session = Session()
    session.launch()
    await count_to(20)

    for _ in session.repetitions():
        assert await count_to(session.count) == session.count

    session.report_rate(session.count)


asyncio.run(main())
