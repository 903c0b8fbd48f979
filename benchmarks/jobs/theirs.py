"""Drain no-op jobs of pgqueuer in one process: `theirs.py URL COUNT BATCH`, and with `fill` to enqueue them first.

Prints the seconds from before it connects, and from the first body, until its worker finds nothing left. It runs on
uvloop and asyncpg, its fastest driver, and deletes jobs that are done.
"""

from __future__ import annotations

import json
import os
import sys
import time

import asyncpg
import uvloop
from pgqueuer import AsyncpgDriver, Job, PgQueuer
from pgqueuer.types import QueueExecutionMode

url, count, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
begun = 0.0
done = 0


async def fill() -> None:
    queries = PgQueuer(AsyncpgDriver(await asyncpg.connect(url))).qm.queries
    await queries.install()
    for first in range(0, count, 1000):
        size = min(1000, count - first)
        await queries.enqueue(["job"] * size, [None] * size, [0] * size)


async def drain() -> None:
    started = time.perf_counter()
    worker = PgQueuer(AsyncpgDriver(await asyncpg.connect(url)))

    @worker.entrypoint("job")
    async def job(_: Job) -> None:
        global begun, done
        begun = begun or time.perf_counter()
        done += 1

    await worker.qm.run(batch_size=batch, mode=QueueExecutionMode.drain)
    ended = time.perf_counter()
    assert done == count, done
    print(json.dumps([ended - started, ended - begun]), flush=True)


uvloop.run(fill() if sys.argv[4:] == ["fill"] else drain())
sys.stderr.flush()
os._exit(0)
