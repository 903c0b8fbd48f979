"""Which queues this process serves, and what waits on them."""

from __future__ import annotations

from dataclasses import dataclass

from dbos.model.queue import INTERNAL, QueueSpec
from dbos.runtime.executor import Executor


@dataclass(frozen=True, slots=True)
class ServedQueue:
    """A queue that this process serves, as it is just now."""

    spec: QueueSpec
    stored: bool  # defined in the database, not in this process
    waiting: bool  # is anything on it that could be claimed?


def look_at_queues(engine: Executor) -> tuple[list[ServedQueue], int | None]:
    """The queues, by one query; and in how many milliseconds the next delay of any workflow is over.

    Served are the internal queue, those declared in this process, and those in the database that belong to the
    application or to nobody; a definition in the database wins. `listen_queues` narrows that down.
    """
    registry = engine.registry
    declared = {**registry.queues, INTERNAL.name: INTERNAL}
    changes = engine.queue_changes
    survey = engine.store.claims.survey(engine.owner.application_name, list(declared))
    if engine.queue_changes == changes:
        engine.known_queues = {queue.name: queue.stored for queue in survey.queues if queue.stored is not None}
    listened = registry.listened_queues
    queues = [
        ServedQueue(queue.stored or declared[queue.name], queue.stored is not None, queue.waiting)
        for queue in survey.queues
        if listened is None or queue.name in listened or queue.name == INTERNAL.name
    ]
    return queues, survey.next_due_ms
