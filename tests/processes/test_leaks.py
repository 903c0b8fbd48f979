"""Launching and destroying again and again leaves nothing behind: no thread, no file, no connection."""

import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dbos import DBOS
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually

LAUNCHES = 50

needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files through /proc")


def our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("dbos")]


def open_files() -> list[str]:
    """What the descriptors of this process refer to."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        except OSError:
            pass  # the one that lists them
    return sorted(found)


def connections(url: str) -> int:
    """Sessions on the test's database beside the one that asks."""
    if url.startswith("sqlite"):
        return 0
    count: int = run_sql(
        url,
        "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
    )[0][0]
    return count


@needs_proc
def test_launching_again_and_again(launch: Callable[..., type[DBOS]], database_url: str) -> None:
    @DBOS.step()
    def step() -> int:
        return 1

    @DBOS.workflow()
    def blocking() -> int:
        return step()

    @DBOS.workflow()
    async def awaitable() -> int:
        return step()

    def live_once() -> None:
        dbos = launch()
        handles = [dbos.start_workflow(blocking), dbos.start_workflow(awaitable)]
        assert [handle.get_result() for handle in handles] == [1, 1]
        DBOS.destroy()

    live_once()  # what is made once per process, is made now
    eventually(lambda: not our_threads())
    gc.collect()
    files = open_files()
    for _ in range(LAUNCHES):
        live_once()
    eventually(lambda: not our_threads())
    eventually(lambda: connections(database_url) == 0)
    gc.collect()
    assert len(open_files()) == len(files), set(open_files()) - set(files)


@needs_proc
def test_destroying_with_work_in_flight(launch: Callable[..., type[DBOS]], database_url: str) -> None:
    @DBOS.workflow()
    def blocking() -> None:
        DBOS.sleep(60)

    @DBOS.workflow()
    async def awaitable() -> None:
        await DBOS.sleep_async(60)

    launch()
    DBOS.destroy()
    eventually(lambda: not our_threads())
    gc.collect()
    files = open_files()
    for _ in range(5):
        dbos = launch()
        for _ in range(3):
            dbos.start_workflow(blocking)
            dbos.start_workflow(awaitable)
        DBOS.destroy()
        eventually(lambda: not our_threads())
    eventually(lambda: connections(database_url) == 0)
    gc.collect()
    assert len(open_files()) == len(files), set(open_files()) - set(files)
