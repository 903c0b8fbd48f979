"""Async fan-out: many steps side by side with `asyncio.gather`, and the first of two answers with `asyncio_wait`.

The steps of one `gather` are numbered in the order in which they are given, so a replay after a crash finds each of
them again. Run it with `python examples/fan_out.py`.
"""

import asyncio

from dbos import DBOS

PAGES = [f"page-{number}" for number in range(1, 21)]


@DBOS.step(retries_allowed=True, interval_seconds=0.05, timeout_seconds=5)
async def count_words(page: str) -> int:
    await asyncio.sleep(0.02)  # a download
    return len(page) * 100


@DBOS.step()
async def ask(mirror: str, delay_seconds: float) -> str:
    await asyncio.sleep(delay_seconds)
    return mirror


@DBOS.workflow()
async def survey(pages: list[str]) -> dict[str, int]:
    counts = await asyncio.gather(*(count_words(page) for page in pages))
    return dict(zip(pages, counts, strict=True))


@DBOS.workflow()
async def fastest_mirror() -> str:
    near, far = asyncio.ensure_future(ask("near", 0.01)), asyncio.ensure_future(ask("far", 30))
    done, pending = await DBOS.asyncio_wait([near, far], return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return done.pop().result()


async def main() -> None:
    DBOS(config={"name": "fan-out", "log_level": "WARNING"})
    DBOS.launch()
    counts = await survey(PAGES)
    handle = await DBOS.start_workflow_async(fastest_mirror)
    print(f"{len(counts)} pages, {sum(counts.values())} words; the fastest mirror is {await handle.get_result()}")
    DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main())
