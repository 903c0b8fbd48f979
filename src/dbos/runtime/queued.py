"""The row of a workflow that takes its place in a queue: enqueued, or debounced."""

from __future__ import annotations

from typing import Any

from dbos.runtime.admission import Ticket, new_row
from dbos.runtime.engine import Engine
from dbos.runtime.queues import require_place
from dbos.runtime.registry import Names, Target
from dbos.runtime.requests import Requests
from dbos.runtime.roles import on_behalf
from dbos.store.records import StartWorkflow


def queued_row(
    engine: Engine,
    queue_name: str,
    callee: Target | Names,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    asked: Requests,
    ticket: Ticket,
) -> StartWorkflow:
    """The row of a function, which is checked and gets the version that runs here, or of names, which get none.

    Raises DBOSException for what the queue, as far as it is known here, cannot do, and DBOSNotAuthorizedError.
    """
    require_place(engine, queue_name, asked.placement)
    version = asked.placement.app_version
    if isinstance(callee, Target):
        callee.check(args, kwargs)
        asked = on_behalf(asked, callee)
        callee.validated_at_call(args, kwargs)
        version = version or engine.application_version
    names = names_of(callee)
    inputs = engine.codec.encode_inputs(args, kwargs, names.serialization_type)
    return new_row(engine, ticket, names, inputs, asked, version, queue_name=queue_name)


def names_of(callee: Target | Names) -> Names:
    """What it is called."""
    return callee if isinstance(callee, Names) else callee.names
