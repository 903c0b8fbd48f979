"""Claim enqueued workflows and run them. So far there is one queue, the internal one, which has no limits."""

from __future__ import annotations

from dbos.model.workflow import INTERNAL_QUEUE
from dbos.runtime.executor import Executor
from dbos.runtime.workflow import run_claimed
from dbos.services.service import Service

BATCH = 200  # workflows claimed by one statement
POLLING_SECONDS = 1.0


class Dispatcher(Service):
    """Woken by an enqueue in this process or by a notification; polling is the floor."""

    name = "dispatcher"
    engine: Executor

    def poll(self) -> float:
        """Claim until nothing is left to claim."""
        engine = self.engine
        while not self._stopping:
            rows = engine.store.workflows.claim(INTERNAL_QUEUE, engine.owner, engine.registry.runnable(), BATCH)
            run_claimed(engine, rows)
            if len(rows) < BATCH:
                break
        return POLLING_SECONDS
