"""A lock, and any number of places, that are handed over in the order of arrival.

A plain lock or semaphore lets a busy thread take it again and again while others starve. Here a release gives the place
to whoever has waited longest, so that management transactions get their turn between the journal's batches.
"""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType


class FairPlaces:
    """So many at a time, first come, first served."""

    def __init__(self, places: int) -> None:
        self._mutex = threading.Lock()  # guards the two below
        self._free = places
        self._waiting: deque[threading.Lock] = deque()  # one closed gate per waiter, in the order of arrival

    def try_acquire(self) -> bool:
        with self._mutex:
            if not self._free:
                return False
            self._free -= 1
            return True

    def acquire(self, timeout_seconds: float | None = None) -> bool:
        """Wait for a place. False: there was none in time."""
        with self._mutex:
            if self._free:
                self._free -= 1
                return True
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append(gate)
        try:
            if gate.acquire() if timeout_seconds is None else gate.acquire(timeout=timeout_seconds):
                return True
        except BaseException:  # KeyboardInterrupt: leave the line, or pass on what was just handed to us
            if not self._leave(gate):
                self.release()
            raise
        return not self._leave(gate)

    def _leave(self, gate: threading.Lock) -> bool:
        """Wait no longer. False: a place was handed over just now."""
        with self._mutex:
            waits = gate in self._waiting
            if waits:
                self._waiting.remove(gate)
            return waits

    def release(self) -> None:
        with self._mutex:
            if not self._waiting:
                self._free += 1
                return
            gate = self._waiting.popleft()
        gate.release()


class FairLock(FairPlaces):
    """One at a time; not reentrant."""

    def __init__(self) -> None:
        super().__init__(1)

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
