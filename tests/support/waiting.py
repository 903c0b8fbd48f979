"""Waiting in tests: for a condition, bounded in time, and at a gate that the test holds.

Nothing here sleeps and hopes. `eventually` looks until a condition is true; a `Gate` stops threads and coroutines at a
known point until the test has looked at the world.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Self, TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.005
PATIENCE_SECONDS = 20.0  # far beyond what anything takes on a busy machine: reaching it is a failure


def eventually(condition: Callable[[], T], timeout_seconds: float = PATIENCE_SECONDS) -> T:
    """The first true value of `condition()`. Raises AssertionError if there is none in time."""
    deadline = time.monotonic() + timeout_seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_seconds} s; the last answer was {value!r}")
        time.sleep(POLL_SECONDS)
    return value


async def eventually_async(condition: Callable[[], T], timeout_seconds: float = PATIENCE_SECONDS) -> T:
    """The same for coroutines."""
    deadline = time.monotonic() + timeout_seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_seconds} s; the last answer was {value!r}")
        await asyncio.sleep(POLL_SECONDS)
    return value


def at_best(measure: Callable[[], float], bound: float, tries: int = 5) -> float:
    """The least that `measure()` answers, tried until that is within the bound. A busy machine can only add to it."""
    least = measure()
    while least > bound and tries > 1:
        tries -= 1
        least = min(least, measure())
    return least


class Gate:
    """A point where code under test waits until the test opens it; leaving the `with` block opens it for good.

    `passes` counts who came, so a test can wait for the n-th and know how often code ran.
    """

    def __init__(self) -> None:
        self._opened = threading.Event()
        self._lock = threading.Lock()  # guards passes
        self.passes = 0

    def pass_through(self) -> None:
        """Called by a thread: wait until the gate is open."""
        self._arrive()
        if not self._opened.wait(PATIENCE_SECONDS):
            raise AssertionError("the gate was never opened")

    async def pass_through_async(self) -> None:
        """Called by a coroutine: wait until the gate is open."""
        self._arrive()
        await eventually_async(self._opened.is_set)

    def wait_for_arrival(self, number: int = 1) -> None:
        """Called by the test: wait until so many have come."""
        eventually(lambda: self.passes >= number)

    async def wait_for_arrival_async(self, number: int = 1) -> None:
        """The same for coroutines."""
        await eventually_async(lambda: self.passes >= number)

    def open(self) -> None:
        """Let everybody through, now and later."""
        self._opened.set()

    def _arrive(self) -> None:
        with self._lock:
            self.passes += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.open()
