"""Enqueueing: a workflow takes its place in a queue, and some executor runs it when its turn comes."""

from __future__ import annotations

from typing import Any

from dbos.runtime.admission import Started, Ticket, admit, new_row
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Operation
from dbos.runtime.queues import require_place
from dbos.runtime.registry import Names, Target
from dbos.runtime.requests import Requests, current_requests
from dbos.store.records import StartWorkflow


def enqueue(
    engine: Engine,
    queue_name: str,
    callee: Target | Names,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    asked: Requests | None = None,
) -> Operation[Started]:
    """Make a workflow durable in a queue, whether or not a queue of that name exists yet.

    Args:
        engine: Whose store it goes to. Called in a workflow body of the same engine, it is a child of that workflow.
        queue_name: The queue.
        callee: A registered function, which is checked and gets the version that runs here; or the names of one that
            some executor may know, which gets none.
        args: Its arguments.
        kwargs: Its keyword arguments.
        asked: How it shall be; by default what the context asks for.

    If the id exists already, in whatever queue, that workflow is returned. Raises DBOSConflictingWorkflowError if it is
    of another function, DBOSQueueDeduplicatedError if another workflow in the queue holds the deduplication id,
    and DBOSException for what the queue cannot do, before anything is written.
    """
    asked = asked or current_requests()
    names = callee if isinstance(callee, Names) else callee.names

    def make_row(ticket: Ticket) -> StartWorkflow:
        require_place(engine, queue_name, asked.placement)
        version = asked.placement.app_version
        if isinstance(callee, Target):
            callee.check(args, kwargs)
            version = version or engine.application_version
        inputs = engine.codec.encode_inputs(args, kwargs, names.serialization_type)
        return new_row(engine, ticket, names, inputs, asked, version, queue_name=queue_name)

    admitted = yield from admit(engine, "enqueue", names, asked, make_row)
    if admitted.row is not None:
        engine.announce_enqueued(queue_name)
    return Started(admitted.workflow_id)
