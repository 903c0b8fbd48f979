"""What happens where there is very much of one thing: our own figures, there is nothing to compare them with.

    python -m benchmarks.crowd_scale [--only QUESTION ...] [--databases postgres sqlite] [--share 0.1]

Asks about ten thousand steps in one workflow, a hundred thousand workflows that sleep, ten thousand schedules that are
due at the same moment, and ten thousand partitions with one workflow each. Everything is asked at a tenth of the size
first: what each one costs should not grow with their number. `--share` makes both sizes smaller.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import statistics
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from benchmarks.databases import OpenDatabases
from benchmarks.queue_scale import fill, settle
from dbos import DBOS, Queue
from tests.support.raw_sql import run_sql

LONGEST_SECONDS = 600.0  # for anything
OBSERVED_SECONDS = 10.0  # while everybody sleeps
STARTED_TOGETHER = 1_000
TICK_SECONDS = 20

plain = Queue("plain")
divided = Queue("divided", partition_concurrency=1)
small = Queue("small")


class Countdown:
    """Waits until something has happened so many times."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = 0
        self._over = threading.Event()

    def begin(self, count: int) -> None:
        self._left = count
        self._over.clear()

    def once(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self._over.set()

    def wait(self) -> None:
        assert self._over.wait(LONGEST_SECONDS), f"{self._left} are left"


runs = Countdown()
latencies: list[float] = []


@DBOS.step()
async def step(number: int) -> int:
    return number


@DBOS.workflow()
async def many_steps(count: int) -> None:
    for number in range(count):
        await step(number)


@DBOS.workflow()
async def sleeper(until: float) -> None:
    await DBOS.sleep_async(max(0.0, until - time.time()))
    runs.once()


@DBOS.workflow()
async def scheduled(_tick: datetime, _context: Any) -> None:
    runs.once()


@DBOS.workflow(name="no_op")
async def no_op() -> None:
    runs.once()


@DBOS.workflow()
async def measured(enqueued_at: float) -> None:
    latencies.append(time.perf_counter() - enqueued_at)


def steps(url: str, count: int) -> str:
    """One workflow of so many steps, its replay, and the list of its steps."""
    began = time.perf_counter()
    handle = DBOS.start_workflow(many_steps, count)
    handle.get_result()
    ran = time.perf_counter()
    DBOS.fork_workflow(handle.get_workflow_id(), count).get_result()
    forked = time.perf_counter()
    assert len(DBOS.list_workflow_steps(handle.get_workflow_id())) == count
    listed = time.perf_counter()
    run, fork, list_ = (each / count * 1e6 for each in (ran - began, forked - ran, listed - forked))
    return f"{run:.0f} us a step; {fork:.0f} us to copy and replay one, {list_:.0f} us to list one"


def sleepers(url: str, count: int) -> str:
    """So many workflows asleep at once: what they cost, whom they disturb, and how soon they are up."""

    async def start_all(until: float) -> None:
        for first in range(0, count, STARTED_TOGETHER):
            together = range(first, min(first + STARTED_TOGETHER, count))
            await asyncio.gather(*(DBOS.start_workflow_async(sleeper, until) for _ in together))

    runs.begin(count)
    began = time.perf_counter()
    until = time.time() + 15 + OBSERVED_SECONDS + count / 220  # enough to start them all on a slow machine
    asyncio.run_coroutine_threadsafe(start_all(until), LOOP).result(LONGEST_SECONDS)
    while run_sql(url, "select count(*) from operation_outputs") != [(count,)]:
        time.sleep(0.1)
    asleep = time.perf_counter() - began
    spare = until - time.time()
    cpu, watched = time.process_time(), time.perf_counter()
    latency = dispatch(OBSERVED_SECONDS)
    busy = (time.process_time() - cpu) / (time.perf_counter() - watched)
    assert spare > OBSERVED_SECONDS, "they wake up too early to be watched"
    runs.wait()
    late = time.time() - until
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / count
    return (
        f"asleep after {asleep / count * 1e6:.0f} us each, up after {late / count * 1e6:.0f} us each; meanwhile "
        f"{busy:.0%} of a core, and from enqueue to start {latency}; at most {memory:.1f} kB of memory each"
    )


def dispatch(seconds: float) -> str:
    """Enqueue one workflow after the other for a while; in how many milliseconds they start."""
    latencies.clear()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        small.enqueue(measured, time.perf_counter()).get_result()
        time.sleep(random.uniform(0.01, 0.03))
    p50, p99 = (statistics.quantiles(latencies, n=100)[place] * 1000 for place in (49, 98))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"


def schedules(url: str, count: int) -> str:
    """So many schedules with the same tick, applied at once."""
    runs.begin(count)
    began = time.time()
    DBOS.apply_schedules(
        [
            {
                "schedule_name": f"schedule-{number}",
                "workflow_fn": scheduled,
                "schedule": f"*/{TICK_SECONDS} * * * * *",
                "context": None,
            }
            for number in range(count)
        ]
    )
    applied = time.time()
    while time.time() % TICK_SECONDS < TICK_SECONDS - 1:  # the first tick may have found only some of them
        time.sleep(0.01)
    runs.begin(count)
    due = (time.time() // TICK_SECONDS + 1) * TICK_SECONDS
    runs.wait()
    took = time.time() - due
    return (
        f"{(applied - began) / count * 1e6:.0f} us to apply one; from the tick, {took / count * 1e6:.0f} us to run one"
    )


def partitions(url: str, count: int) -> str:
    """So many partitions with one workflow each, beside a queue that has none."""
    seconds = {}
    for queue in (plain, divided):
        runs.begin(count)
        DBOS.destroy()
        fill(url, queue.name, count, partitioned=queue is divided)
        settle(url)
        launch(url)
        began = time.perf_counter()
        runs.wait()
        seconds[queue.name] = time.perf_counter() - began
    whole, parts = (count / seconds[queue.name] for queue in (plain, divided))
    return f"{whole:,.0f} workflows/s from one queue, {parts:,.0f}/s from as many partitions"


SIZES: dict[str, tuple[Callable[[str, int], str], int]] = {
    "steps": (steps, 10_000),
    "sleepers": (sleepers, 100_000),
    "schedules": (schedules, 10_000),
    "partitions": (partitions, 10_000),
}


def launch(url: str) -> None:
    DBOS(
        config={
            "name": "benchmark",
            "application_version": "1",
            "system_database_url": url,
            "log_level": "ERROR",
        }
    )
    DBOS.launch()


LOOP = asyncio.new_event_loop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[*SIZES], default=[*SIZES])
    parser.add_argument("--databases", nargs="+", choices=["postgres", "sqlite"], default=["postgres", "sqlite"])
    parser.add_argument("--share", type=float, default=1.0)
    arguments = parser.parse_args()
    threading.Thread(target=LOOP.run_forever, daemon=True).start()
    with OpenDatabases(arguments.databases) as opened:
        for name in arguments.only:
            ask, size = SIZES[name]
            for databases in opened.values():
                for count in (int(size * arguments.share / 10), int(size * arguments.share)):
                    with databases.fresh() as url:
                        launch(url)
                        try:
                            answer = ask(url, count)
                        finally:
                            DBOS.destroy()
                        print(f"{name} on {databases.kind}, {count:,}: {answer}", flush=True)


if __name__ == "__main__":
    main()
