"""Report what waits in vain: once each, and never silently.

A queue that no living executor serves, or whose definition no queue can have; a workflow that only a version can run
of which no executor lives, whose function is not known here, or that lacks the partition key its queue needs. Whatever
is seen for the first time may be a matter of moments, so that it is told the second time.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from dbos.runtime.executor import Executor
from dbos.runtime.served import ServedQueue, look_at_queues
from dbos.services.service import Service
from dbos.store.queues import Impossible

logger = logging.getLogger("dbos")

LONGEST_SECONDS = 5.0  # between two looks
LOOKED_AT = 100  # waiting workflows per queue


class Lookout(Service):
    """Looks at queues like someone who wonders why nothing happens."""

    name = "lookout"
    engine: Executor

    def __init__(self, engine: Executor, lease_seconds: float) -> None:
        super().__init__(engine)
        self._interval_seconds = min(LONGEST_SECONDS, lease_seconds / 2)
        self._begun = False
        self._seen: set[str] = set()  # at the last look
        self._reported: set[str] = set()

    def poll(self) -> float:
        """Look, and report what was there the last time as well."""
        if self._begun:  # at launch everything may wait that is about to be claimed
            look = look_at_queues(self.engine)
            stuck = (message for queue in look.queues if queue.waiting for message in self._stuck_on(queue))
            seen = {*self._unserved(look.impossible), *map(_not_served, look.impossible), *stuck}
            for message in sorted(seen & self._seen - self._reported):
                self._reported.add(message)
                logger.warning(message)
            self._seen = seen
        self._begun = True
        return self._interval_seconds

    def _unserved(self, impossible: Sequence[Impossible]) -> list[str]:
        engine, explained = self.engine, {queue.name for queue in impossible}
        return [
            f"Workflows wait on queue {name!r}, which no running process serves: declare, register or listen to it"
            for name in engine.store.claims.unserved_queues(engine.owner.application_name)
            if name not in explained
        ]

    def _stuck_on(self, queue: ServedQueue) -> list[str]:
        engine, name = self.engine, queue.spec.name
        mine = engine.owner.application_version
        found = []
        for row in engine.store.claims.stuck(name, engine.owner, engine.registry.runnable(), LOOKED_AT):
            if row.version not in (None, mine):
                if not row.hopeful:
                    found.append(
                        f"Workflows on queue {name!r} need version {row.version} of this application, of which no "
                        f"executor is running; this one has version {mine}"
                    )
            elif not row.registered:
                found.append(
                    f"Workflows on queue {name!r} wait: their function {row.name!r} is not registered in this process"
                )
            elif queue.spec.partitioned and row.partition_key is None:
                found.append(
                    f"Workflow {row.workflow_id} waits on the partitioned queue {name!r} without a partition key"
                )
        return found


def _not_served(queue: Impossible) -> str:
    return f"Queue {queue.name!r} is not served: its definition in the database is impossible: {queue.problem}"
