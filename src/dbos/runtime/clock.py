"""Time, as the engine counts it.

Leases, deadlines and durable sleeps follow the database's clock; local waits follow the monotonic one, so a wall clock
that jumps moves nothing. `DatabaseClock` carries the last reading of the database forward on the monotonic clock.

The monotonic clock stands still while a machine is suspended; who comes back reads the database's anew, and wakes all
who wait (services/recovery.py).

Time reaches this process in two places: `steady`, and the word `now_ms` in the statements of the store. Who moves both
moves everything that users can wait for (see testing/clock.py); leases and timers stay in real time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

PROMPT_SECONDS = 0.05  # a reading that took longer says little
READINGS = 2  # so many at most
JUMP_MS = 1_000.0  # a reading that is off by more finds another time than it was carried forward to


def steady() -> float:
    """Seconds that only grow. Intervals that something due depends on are measured by them.

    Called as `clock.steady()`: a test may put another one in its place.
    """
    return time.monotonic()


def wall_ms() -> int:
    """Wall clock, for display only (start and end of a step)."""
    return time.time_ns() // 1_000_000


class DatabaseClock:
    """What time it is in the database, between two bounds: a round trip apart, because nobody knows when it looked.

    Who waits counts from the later one and looks at the earlier one. So no wait is ever short, although it may begin in
    one process and end in another.
    """

    def __init__(self, read_ms: Callable[[], int]) -> None:
        self._read_ms = read_ms
        self._offset_ms = 0.0
        self._latest_offset_ms = 0.0
        self._reading = threading.Lock()  # held while the database is asked: a reading undoes none that came later
        self.synchronise()

    def synchronise(self) -> bool:
        """Read the database's clock anew, and once more if the answer was long in coming.

        Has it jumped, or we, with a machine that was suspended? Then who waits has to look at it again.
        """
        with self._reading:
            before_ms = self._offset_ms
            for _ in range(READINGS):
                asked = steady()
                reading = self._read_ms()
                answered = steady()
                if answered - asked <= PROMPT_SECONDS:
                    break
            self._offset_ms = reading - answered * 1000
            self._latest_offset_ms = reading - asked * 1000
            return abs(self._offset_ms - before_ms) > JUMP_MS

    def now_ms(self) -> int:
        """Epoch milliseconds in the database, carried forward since the last reading: never ahead of it."""
        return int(steady() * 1000 + self._offset_ms)

    def latest_ms(self) -> int:
        """The same, never behind it: what a wait counts from."""
        return int(steady() * 1000 + self._latest_offset_ms) + 1

    def due_ms(self, seconds: float) -> float:
        """When a wait that begins now is over: never short, and at once if it is for no time at all."""
        return self.latest_ms() + seconds * 1000 if seconds > 0 else float(self.now_ms())

    def remaining_seconds(self, due_ms: float) -> float:
        """How long it is until the database's clock shows `due_ms`; zero or less afterwards."""
        return (due_ms - self.now_ms()) / 1000
