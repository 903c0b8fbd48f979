"""The threads that carry work: as many as wait for something, and no piece of work waits behind one that blocks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context

import pytest

from dbos.runtime.hosts import LoopHost, ThreadHost

PIECES = 30


@pytest.fixture
def host() -> Iterator[ThreadHost]:
    host = ThreadHost("test-host")
    yield host
    host.close(drop=True)


def test_work_that_blocks_never_keeps_other_work_waiting(host: ThreadHost) -> None:
    together = threading.Barrier(PIECES + 1)
    for _ in range(PIECES):
        host.submit(lambda: together.wait(10))
    together.wait(10)  # all of them run at the same time
    assert not together.broken


def test_work_finds_a_thread_whichever_way_it_comes(host: ThreadHost) -> None:
    """Submitted from outside, and by work that then blocks until it is done."""
    done = threading.Event()

    def nested(depth: int) -> Callable[[], object]:
        def work() -> None:
            if depth == 0:
                done.set()
            else:
                host.submit(nested(depth - 1))
                assert done.wait(10)

        return work

    host.submit(nested(5))
    assert done.wait(10)


def test_without_any_thread_to_be_had_work_is_refused(host: ThreadHost, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError):
            host.submit(lambda: None)
    ran = threading.Event()
    host.submit(ran.set)
    assert ran.wait(10)


@pytest.mark.parametrize(("place", "name"), [(threading.Thread, "start"), (asyncio, "new_event_loop")])
def test_where_no_event_loop_is_to_be_had_the_next_one_asks_again(
    monkeypatch: pytest.MonkeyPatch, place: object, name: str
) -> None:
    ran, tasks = threading.Event(), set[asyncio.Task[object]]()

    async def work() -> None:
        ran.set()

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread") if name == "start" else OSError("too many open files")

    host, refused = LoopHost(), work()
    with monkeypatch.context() as patch:
        patch.setattr(place, name, refuse)
        with pytest.raises(RuntimeError):
            host.submit([(refused, copy_context())], tasks.add)
    refused.close()
    host.submit([(work(), copy_context())], tasks.add)
    assert ran.wait(10)
    host.close()
