"""Time, as the engine counts it.

Leases, deadlines and durable sleeps follow the database's clock; local waits follow the monotonic one, so a wall clock
that jumps moves nothing. `DatabaseClock` carries the last reading of the database forward on the monotonic clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable


def wall_ms() -> int:
    """Wall clock, for display only (start and end of a step)."""
    return time.time_ns() // 1_000_000


class DatabaseClock:
    """What time it is in the database: never ahead of it, so that no sleep is ever short."""

    def __init__(self, read_ms: Callable[[], int]) -> None:
        self._read_ms = read_ms
        self._offset_ms = 0.0
        self.synchronise()

    def synchronise(self) -> None:
        """Read the database's clock anew. The answer is dated to the end of the round trip: a lower bound."""
        reading = self._read_ms()
        self._offset_ms = reading - time.monotonic() * 1000

    def now_ms(self) -> int:
        """Epoch milliseconds in the database, carried forward since the last reading."""
        return int(time.monotonic() * 1000 + self._offset_ms)
