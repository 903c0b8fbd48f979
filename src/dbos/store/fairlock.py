"""A lock that is handed over in the order of arrival.

A plain lock lets a busy thread take it again and again while others starve. Here a release gives the lock to whoever
has waited longest, so that management transactions get their turn between the journal's batches.
"""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType


class FairLock:
    """First come, first served; not reentrant."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()  # guards the two below
        self._held = False
        self._waiting: deque[threading.Lock] = deque()  # one closed gate per waiter, in the order of arrival

    def try_acquire(self) -> bool:
        with self._mutex:
            if self._held:
                return False
            self._held = True
            return True

    def acquire(self) -> None:
        with self._mutex:
            if not self._held:
                self._held = True
                return
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append(gate)
        try:
            gate.acquire()
        except BaseException:  # KeyboardInterrupt: leave the line, or pass on what was just handed to us
            with self._mutex:
                handed_over = gate not in self._waiting
                if not handed_over:
                    self._waiting.remove(gate)
            if handed_over:
                self.release()
            raise

    def release(self) -> None:
        with self._mutex:
            if not self._waiting:
                self._held = False
                return
            gate = self._waiting.popleft()
        gate.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
