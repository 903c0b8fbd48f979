"""How many steps a second do asynchronous workflows of ten steps take, when all of them start at once?"""

from __future__ import annotations

import asyncio

from session import STEPS_PER_WORKFLOW, WARM_UP_WORKFLOWS, Session

from dbos import DBOS


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
    totals = await asyncio.gather(*(count_to_ten() for _ in range(workflows)))
    assert totals == [STEPS_PER_WORKFLOW] * workflows


async def main() -> None:
    session = Session()
    session.launch()
    await run(WARM_UP_WORKFLOWS)

    for _ in session.repetitions():
        await run(session.count)

    session.report_rate(session.count * STEPS_PER_WORKFLOW)


asyncio.run(main())
