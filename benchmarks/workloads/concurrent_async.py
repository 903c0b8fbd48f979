"""How many steps a second do asynchronous workflows of ten steps take, a hundred of them in flight at any time?"""

from __future__ import annotations

import asyncio

from session import STEPS_PER_WORKFLOW, WARM_UP_WORKFLOWS, Session

from dbos import DBOS

WORKFLOWS_IN_FLIGHT = 100


@DBOS.step()
async def add_one(total: int) -> int:
    return total + 1


@DBOS.workflow()
async def count_to_ten() -> int:
    total = 0
    for _ in range(STEPS_PER_WORKFLOW):
        total = await add_one(total)
    return total


async def run(workflows: int) -> None:
    slots = asyncio.Semaphore(WORKFLOWS_IN_FLIGHT)

    async def one() -> None:
        async with slots:
            assert await count_to_ten() == STEPS_PER_WORKFLOW

    await asyncio.gather(*(one() for _ in range(workflows)))


async def main() -> None:
    session = Session()
    session.launch()
    await run(WARM_UP_WORKFLOWS)

    for _ in session.repetitions():
        await run(session.count)

    session.report_rate(session.count * STEPS_PER_WORKFLOW)


asyncio.run(main())
