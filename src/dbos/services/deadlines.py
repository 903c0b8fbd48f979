"""Cancel workflows past their deadline, by the database's clock, whoever runs them and even if nobody does."""

from __future__ import annotations

from dbos.runtime import clock
from dbos.runtime.announcing import announce_cancelled
from dbos.runtime.executor import Executor
from dbos.services.service import NEVER, Service

SWEEP_SECONDS = 1.0
SHORTEST_SECONDS = 0.005  # the clock we carry forward is never ahead of the database's, and may be a little behind


class Deadlines(Service):
    """Sweeps once a second, and right at the next deadline of a workflow of this process."""

    name = "deadlines"
    engine: Executor

    def __init__(self, engine: Executor) -> None:
        super().__init__(engine)
        self._swept_at = float("-inf")  # by the steady clock

    def poll(self) -> float:
        """Sweep if it is time, and find out when it will be."""
        remaining_seconds = self._nearest_seconds()
        if remaining_seconds <= 0 or clock.steady() - self._swept_at >= SWEEP_SECONDS:
            self._swept_at = clock.steady()
            before = self.engine.active()
            announce_cancelled(self.engine, self.engine.store.workflows.expire(), before)
            remaining_seconds = self._nearest_seconds()
        until_sweep = self._swept_at + SWEEP_SECONDS - clock.steady()
        return max(SHORTEST_SECONDS, min(until_sweep, remaining_seconds))

    def _nearest_seconds(self) -> float:
        """Seconds until the next deadline of an attempt that runs here and is not over."""
        engine = self.engine
        attempts = engine.active().values()
        pending = [each.deadline_ms for each in attempts if each.deadline_ms is not None and each.revoked is None]
        engine.nearest_deadline_ms = min(pending, default=None)
        if engine.nearest_deadline_ms is None:
            return SWEEP_SECONDS
        return engine.clock.remaining_seconds(engine.nearest_deadline_ms)

    def due_in_seconds(self) -> float:
        deadline_ms = self.engine.store.workflows.next_deadline_ms()
        return NEVER if deadline_ms is None else self.engine.clock.remaining_seconds(deadline_ms + 1)
