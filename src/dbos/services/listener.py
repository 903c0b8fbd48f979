"""Database notifications -> wake-ups, and the floor beneath them.

A notification is a hint. Whatever it says, or if it never comes, the listener asks the store, at least once per polling
interval and in one query each: what has come of everything that somebody here waits for, kind by kind, and which of
the attempts that run here have lost their workflow.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from dbos.model.workflow import Status
from dbos.runtime.engine import Engine
from dbos.services.service import Service
from dbos.store.hints import ANYTHING

PROBE_SECONDS = 0.02  # at most so often is the store asked because of hints
SQLITE_POLL_SECONDS = 0.005  # how often SQLite is asked whether another process has committed, while somebody cares
SQLITE_IDLE_POLL_SECONDS = 0.05
PROBE_LIMIT = 10_000  # ids in one query


class Listener(Service):
    """Wakes waiters and revokes attempts."""

    name = "listener"

    def __init__(self, engine: Engine, polling_seconds: float) -> None:
        super().__init__(engine)
        self._polling_seconds = polling_seconds
        self._probed_at = float("-inf")
        self._probe_due = False
        # Kind of waiting (the first half of a key in `waiters`) -> of these ids, those worth waking somebody for.
        self._floors: Mapping[str, Callable[[Sequence[str]], Iterable[str]]] = {"workflow": self._ended}

    def poll(self) -> float:
        """Wait for hints and act on them."""
        engine = self.engine
        since_probe = time.monotonic() - self._probed_at
        rest = (PROBE_SECONDS if self._probe_due else self._polling_seconds) - since_probe
        if rest <= 0:
            self._probe()
            return 0
        eager = bool(engine.active()) or any(engine.waiters.waiting_for(kind) for kind in self._floors)
        interval = SQLITE_POLL_SECONDS if eager else SQLITE_IDLE_POLL_SECONDS
        for kind, identifier in engine.store.hints.receive(rest, interval):
            if kind in self._floors:
                engine.waiters.wake(kind, identifier)
            elif kind == "enqueued":
                engine.waiters.wake("service", "dispatcher")
            else:
                self._probe_due = True
            if (kind, identifier) == ANYTHING:
                engine.waiters.wake("service", "dispatcher")
        return 0

    def interrupt(self) -> None:
        self.engine.store.hints.interrupt()
        super().interrupt()

    def _probe(self) -> None:
        """Ask about everybody who waits and everything that runs."""
        engine = self.engine
        self._probe_due = False
        self._probed_at = time.monotonic()
        active = engine.active()
        owned = {each: attempt.epoch for each, attempt in active.items() if attempt.revoked is None}
        for kind, changed in self._floors.items():
            waited = engine.waiters.waiting_for(kind)
            for start in range(0, len(waited), PROBE_LIMIT):
                for identifier in changed(waited[start : start + PROBE_LIMIT]):
                    engine.waiters.wake(kind, identifier)
        for workflow_id, status, epoch in engine.store.workflows.lost(owned):
            attempt = engine.attempt_of(workflow_id)
            if attempt is None or attempt.epoch != owned[workflow_id] or attempt.ended:
                continue
            if epoch != attempt.epoch:  # else it finished meanwhile, by this very attempt
                attempt.revoke(Status.CANCELLED if status == Status.CANCELLED else Status.PENDING)

    def _ended(self, workflow_ids: Sequence[str]) -> list[str]:
        """Those that are finished, or gone; of those that run here their own attempt tells."""
        active = self.engine.active()
        asked = [each for each in workflow_ids if each not in active or active[each].revoked is not None]
        return [workflow_id for workflow_id, _ in self.engine.store.workflows.ended(asked)]
