"""Delete workflows that have ended long ago, or beyond a number of the newest: a little at a time, all the time.

Every process sweeps for itself; where two meet, one skips what the other has locked. A round deletes one small batch
and rests as long as that took, so that whoever runs workflows hardly notices.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from dbos.runtime.executor import Executor
from dbos.runtime.operations.retention import BATCH
from dbos.services.service import Service
from dbos.store.retention import BEGINNING, Bounds, Place

SWEEP_SECONDS = 60.0
SHORTEST_REST_SECONDS = 0.01
LINGER_SECONDS = 60.0  # what goes because of the number stays that long after its end: somebody may just ask for it


class Retention(Service):
    """Sweeps once a minute through what is too old, and then through what is too much."""

    name = "retention"
    engine: Executor

    def __init__(self, engine: Executor, age_seconds: float | None, rows: int | None) -> None:
        """How long workflows are kept after their end, and how many of the newest; None: all."""
        super().__init__(engine)
        self._age_seconds = age_seconds
        self._rows = rows
        self._sweeps = self._bounds()
        self._sweep: tuple[Bounds, Place] | None = None  # that is under way, and how far it came

    def poll(self) -> float:
        """Delete one batch."""
        began = time.monotonic()
        bounds, place = self._sweep or self._next()
        if bounds is None:
            return SWEEP_SECONDS
        batch = self.engine.store.workflows.collect(bounds, place, BATCH)
        self.engine.forget_workflows(batch.deleted)
        self._sweep = (bounds, batch.reached) if batch.reached is not None else None
        return max(SHORTEST_REST_SECONDS, time.monotonic() - began)

    def _next(self) -> tuple[Bounds | None, Place]:
        """The next sweep of this minute; without any left, the list of the next minute is made."""
        bounds = next(self._sweeps, None)
        if bounds is None:
            self._sweeps = self._bounds()
        return bounds, BEGINNING

    def _bounds(self) -> Iterator[Bounds]:
        """What is to be swept, by the database's clock of now."""
        engine = self.engine
        now_ms = int(engine.clock.now_ms())
        if self._age_seconds is not None:
            before_ms = now_ms - int(self._age_seconds * 1000)
            yield Bounds(before_ms, before_ms, engine.application_name)
        if self._rows is not None:
            newest = engine.store.workflows.nth_newest(self._rows, engine.application_name)
            if newest is not None:
                yield Bounds(newest, now_ms - int(LINGER_SECONDS * 1000), engine.application_name)
