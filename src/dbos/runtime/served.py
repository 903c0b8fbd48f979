"""Which queues this process serves, and what waits on them."""

from __future__ import annotations

from dbos.fields import NamedTuple
from dbos.model.queue import QueueSpec
from dbos.runtime.executor import Executor
from dbos.store.queues import Impossible


class ServedQueue(NamedTuple):
    """A queue that this process serves, as it is just now."""

    spec: QueueSpec
    stored: bool  # defined in the database, not in this process
    waiting: bool  # is anything on it that could be claimed?


class Look(NamedTuple):
    """What one query tells about all queues."""

    queues: list[ServedQueue]
    impossible: list[Impossible]  # that would be served, were it not for their definitions
    next_due_ms: int | None  # in how long the next delay of any workflow is over


def look_at_queues(engine: Executor) -> Look:
    """The queues, by one query.

    Served are our own queues, those declared in this process, and those in the database that belong to the
    application or to nobody; a definition in the database wins. `listen_queues` narrows that down.
    """
    registry = engine.registry
    declared = {**registry.queues, **engine.own_queues}
    changes = engine.queue_changes
    survey = engine.store.claims.survey(engine.owner.application_name, list(declared))
    if engine.queue_changes == changes:
        engine.known_queues = {
            queue.name: queue.stored for queue in survey.queues if isinstance(queue.stored, QueueSpec)
        }
    listened = registry.listened_queues
    look = Look([], [], survey.next_due_ms)
    for queue in survey.queues:
        if listened is None or queue.name in listened or queue.name in engine.own_queues:
            if isinstance(queue.stored, Impossible):
                look.impossible.append(queue.stored)
            else:
                spec = queue.stored or declared[queue.name]
                look.queues.append(ServedQueue(spec, queue.stored is not None, queue.waiting))
    return look
