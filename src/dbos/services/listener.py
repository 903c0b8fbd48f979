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

PROBE_SHARE = 0.1  # of the time, at most, goes into asking the store because of hints ...
PROBE_SECONDS = 0.002, 0.1  # ... which is never asked again sooner than the first, and always after the second
SQLITE_POLL_SECONDS = 0.002  # how often SQLite is asked whether another process has committed, while somebody waits
SQLITE_RUNNING_POLL_SECONDS = 0.005  # and while workflows run, which may be cancelled
SQLITE_QUEUE_POLL_SECONDS = 0.01  # and while there are queues that another process may enqueue on
SQLITE_IDLE_POLL_SECONDS = 0.05
PROBE_LIMIT = 10_000  # ids in one query


class Listener(Service):
    """Wakes waiters and revokes attempts."""

    name = "listener"

    def __init__(self, engine: Engine, polling_seconds: float) -> None:
        super().__init__(engine)
        self._polling_seconds = polling_seconds
        self._probed_at = float("-inf")
        self._probe_pause = PROBE_SECONDS[0]
        self._probe_due = False
        # Kind of waiting (the first half of a key in `waiters`) -> of these ids, those worth waking somebody for.
        self._floors: Mapping[str, Callable[[Sequence[str]], Iterable[str]]] = {
            "workflow": self._ended,
            "message": engine.store.messages.with_messages,
            "event": engine.store.events.are_set,
            "position": engine.store.streams.reached,
        }

    def poll(self) -> float:
        """Wait for hints and act on them."""
        engine = self.engine
        since_probe = time.monotonic() - self._probed_at
        rest = (self._probe_pause if self._probe_due else self._polling_seconds) - since_probe
        if rest <= 0:
            self._probe()
            return 0
        for kind, identifier in engine.store.hints.receive(rest, self._polling_pause()):
            if kind in self._floors or kind == "stream":  # a hint names the stream, the floor a place in it
                engine.waiters.wake(kind, identifier)
            elif kind == "enqueued":  # the id is the name of the queue
                engine.queue_changed(identifier or None)
            elif kind == "schedules":
                engine.waiters.wake("service", "scheduler")
            else:  # cancelled, deleted, or anything: an attempt may have lost its workflow, and with it a slot
                self._probe_due = True
                engine.queue_changed(None)
        return 0

    def _polling_pause(self) -> float:
        """How often to look for commits of other processes where looking is the only way."""
        if any(self.engine.waiters.anyone_for(kind) for kind in self._floors):
            return SQLITE_POLL_SECONDS
        if self.engine.active():
            return SQLITE_RUNNING_POLL_SECONDS
        return SQLITE_QUEUE_POLL_SECONDS if self.engine.serves_queues else SQLITE_IDLE_POLL_SECONDS

    def interrupt(self) -> None:
        self.engine.store.hints.interrupt()
        super().interrupt()

    def _probe(self) -> None:
        """Ask about everybody who waits and everything that runs."""
        self._probe_due = False
        self._probed_at = begun = time.monotonic()
        try:
            self._wake_whom_it_concerns()
        finally:
            spent_seconds = time.monotonic() - begun
            self._probe_pause = min(max(spent_seconds / PROBE_SHARE, PROBE_SECONDS[0]), PROBE_SECONDS[1])

    def _wake_whom_it_concerns(self) -> None:
        engine = self.engine
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
