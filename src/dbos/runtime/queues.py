"""What this process knows of queues, and whether what is asked of one can be had there.

A definition in the database has the last word over one in code. It is known here once it was registered, read or served
here; nobody asks the database for it in order to enqueue.
"""

from __future__ import annotations

import logging

from dbos.error import DBOSException
from dbos.model.placement import Placement
from dbos.model.queue import QueueSpec, require_unreserved
from dbos.runtime.engine import Engine

logger = logging.getLogger("dbos")


def require_queue_name(name: str) -> str:
    """The name of a queue of the user's. Raises DBOSException."""
    try:
        return require_unreserved(name)
    except ValueError as refusal:
        raise DBOSException(str(refusal)) from None


def known_queue(engine: Engine, name: str) -> QueueSpec | None:
    """The definition of a queue, as far as it is known here."""
    return engine.known_queues.get(name) or engine.declared_queue(name)


def require_place(engine: Engine, name: str, placement: Placement) -> None:
    """Raises DBOSException for a place that the queue does not have."""
    declared = engine.declared_queue(name) if name not in engine.known_queues else None
    placement.require_fit(name, known_queue(engine, name), declared_in_code=declared is not None)
    if placement.priority is not None and declared is not None and not declared.priority_enabled:
        _warn_of_priority(name)


def require_unpartitioned(engine: Engine, name: str) -> None:
    """Raises DBOSException for a queue on which a workflow without a partition key would wait forever."""
    known = known_queue(engine, name)
    if known is not None and known.partitioned:
        raise DBOSException(
            f"Queue {name} is partitioned, and what is put there needs a partition key, which a resumed workflow "
            "has not: leave out queue_name, or name another queue"
        )


_warned: set[str] = set()


def _warn_of_priority(name: str) -> None:
    if name not in _warned:
        _warned.add(name)
        logger.warning(
            "Workflows on queue %s have priorities, which are honoured here. Say priority_enabled=True where it is "
            "declared: older releases refuse them without",
            name,
        )
