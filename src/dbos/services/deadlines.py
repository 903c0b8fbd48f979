"""Cancel workflows past their deadline, by the database's clock, whoever runs them and even if nobody does."""

from __future__ import annotations

from dbos.runtime.operations.management import announce_cancelled
from dbos.services.service import Service

SWEEP_SECONDS = 1.0


class Deadlines(Service):
    """Sweeps at least once a second, and right at the next deadline of a workflow of this process."""

    name = "deadlines"

    def poll(self) -> float:
        """One sweep."""
        engine = self.engine
        announce_cancelled(engine, engine.store.workflows.expire())
        nearest = [attempt.deadline_ms for attempt in engine.active().values() if attempt.deadline_ms is not None]
        if not nearest:
            return SWEEP_SECONDS
        remaining_seconds = (min(nearest) - engine.clock.now_ms()) / 1000
        return max(0.005, min(SWEEP_SECONDS, remaining_seconds))
