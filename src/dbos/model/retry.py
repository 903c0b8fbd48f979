"""When a failed step is tried again: the policy of a step, and the wait before each attempt."""

from __future__ import annotations

import math

from dbos.fields import dataclass

MAX_DELAY_SECONDS = 3600.0  # a step that waits longer than an hour between attempts looks dead, and wants a schedule


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a step is attempted in all, and how the waits between attempts grow.

    `max_attempts` counts the first attempt too. Raises `ValueError` for values that mean nothing.
    """

    max_attempts: int = 3
    interval_seconds: float = 1.0
    backoff_rate: float = 2.0

    def __post_init__(self) -> None:
        if not _is_number(self.max_attempts, int) or self.max_attempts < 1:
            raise ValueError(f"max_attempts must be a whole number of at least 1, not {self.max_attempts!r}")
        for name in ("interval_seconds", "backoff_rate"):
            value = getattr(self, name)
            if not _is_number(value, int, float) or not 0 <= value < math.inf:
                raise ValueError(f"{name} must be a finite number of at least 0, not {value!r}")

    def delay_before(self, attempt: int) -> float:
        """Seconds to wait before an attempt; attempts count from 0, and the first one does not wait."""
        if attempt <= 0 or self.interval_seconds == 0:
            return 0.0
        try:
            delay_seconds = float(self.interval_seconds) * float(self.backoff_rate) ** (attempt - 1)
            return min(delay_seconds, MAX_DELAY_SECONDS)
        except OverflowError:
            return MAX_DELAY_SECONDS


def _is_number(value: object, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)
