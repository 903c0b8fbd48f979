"""How many asynchronous workflows of two steps a second, each awaited directly and one after the other?"""

from __future__ import annotations

import asyncio

from session import WARM_UP_WORKFLOWS, Session

from dbos import DBOS


@DBOS.step()
async def add_one(total: int) -> int:
    return total + 1


@DBOS.workflow()
async def add_two(total: int) -> int:
    return await add_one(await add_one(total))


async def main() -> None:
    session = Session()
    session.launch()
    for number in range(WARM_UP_WORKFLOWS):
        await add_two(number)

    for _ in session.repetitions():
        for number in range(session.count):
            assert await add_two(number) == number + 2

    session.report_rate(session.count)


asyncio.run(main())
