"""What is looked up for those who watch: what runs here, our lease, and how busy the queues are.

One look serves everybody who asks within a second, and one thread looks at a time: however many ask, and however slow
the database is, it is asked one bounded question.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping

from dbos.error import DBOSException
from dbos.model.queue import QueueSpec
from dbos.runtime.executor import Executor
from dbos.store.claims import Load
from dbos.telemetry import metrics as told
from dbos.telemetry.instruments import Description, Family

logger = logging.getLogger("dbos")

FRESH_SECONDS = 1.0  # how old an answer may be
PATIENCE_SECONDS = 5.0  # with somebody else who looks
MOST_QUEUES = 500  # the first by name


class Gauges:
    """Looks things up on an executor."""

    def __init__(self, engine: Executor) -> None:
        self._engine = engine
        self._looking = threading.Lock()  # guards the two below
        self._seen: list[Family] = []
        self._seen_at = float("-inf")  # monotonic

    def read(self) -> list[Family]:
        """As things are now, or were a moment ago. Nothing about queues if the database does not answer."""
        if not self._looking.acquire(timeout=PATIENCE_SECONDS):
            return [*self._of_this_process(), _one(told.DATABASE_UP, 0)]
        try:
            if time.monotonic() - self._seen_at > FRESH_SECONDS:
                self._seen = [*self._of_this_process(), *self._of_the_database()]
                self._seen_at = time.monotonic()
            return self._seen
        finally:
            self._looking.release()

    def _of_this_process(self) -> list[Family]:
        engine, owner = self._engine, self._engine.owner
        who = owner.application_name, owner.application_version, owner.executor_id
        families = [
            Family(told.EXECUTOR_INFO, {who: 1}),
            _one(told.WORKFLOWS_RUNNING, len(engine.active())),
            _one(told.CONNECTIONS_LOST, engine.store.losses),
        ]
        if engine.lease is not None:
            families.append(_one(told.LEASE_AGE, engine.lease.age_seconds))
            families.append(_one(told.LEASE_DURATION, engine.lease.seconds))
        return families

    def _of_the_database(self) -> list[Family]:
        if self._engine.closed:
            return []
        queues = self._queues()
        try:
            loads = self._engine.store.claims.loads(list(queues))
        except DBOSException as error:
            logger.info("The queues could not be looked at for those who watch: %s", error)
            return [_one(told.DATABASE_UP, 0)]
        return [_one(told.DATABASE_UP, 1), *self._of_queues(queues, loads)]

    def _queues(self) -> dict[str, QueueSpec]:
        """Those that are declared here, those of the library, and those in the database as they were seen last."""
        engine = self._engine
        known = {**engine.registry.queues, **engine.own_queues, **engine.known_queues}
        return {name: known[name] for name in sorted(known)[:MOST_QUEUES]}

    def _of_queues(self, queues: Mapping[str, QueueSpec], loads: Mapping[str, Load]) -> list[Family]:
        here = Counter(attempt.queue_name for attempt in self._engine.active().values())
        return [
            _each(told.QUEUE_DEPTH, {name: load.waiting for name, load in loads.items()}),
            _each(told.QUEUE_OLDEST, {name: load.oldest_age_ms / 1000 for name, load in loads.items()}),
            _each(told.QUEUE_RUNNING, {name: load.running for name, load in loads.items()}),
            _each(told.QUEUE_LIMIT, {name: spec.as_a_whole.concurrency for name, spec in queues.items()}),
            _each(told.QUEUE_RUNNING_HERE, {name: here[name] for name in queues}),
            _each(told.QUEUE_LIMIT_HERE, {name: spec.as_a_whole.worker_concurrency for name, spec in queues.items()}),
        ]


def _one(description: Description, value: float) -> Family:
    return Family(description, {(): value})


def _each(description: Description, values: Mapping[str, float | None]) -> Family:
    """By queue; None: nothing to tell."""
    return Family(description, {(name,): value for name, value in values.items() if value is not None})
