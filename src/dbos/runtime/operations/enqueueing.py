"""Enqueueing: a workflow takes its place in a queue, and some executor runs it when its turn comes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from dbos.fields import NamedTuple
from dbos.runtime.admission import Started, admit, admit_many
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Operation
from dbos.runtime.queued import names_of, queued_row
from dbos.runtime.registry import Names, Target
from dbos.runtime.requests import Requests, current_requests


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
    names = names_of(callee)
    make_row = partial(queued_row, engine, queue_name, callee, args, kwargs, asked)
    admitted = yield from admit(engine, "enqueue", names, asked, make_row)
    if admitted.row is not None:
        engine.announce_enqueued(queue_name)
    return Started(admitted.workflow_id)


class Entry(NamedTuple):
    """One workflow of many to enqueue at once."""

    queue_name: str
    names: Names
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    asked: Requests


def enqueue_many(engine: Engine, entries: Sequence[Entry]) -> Operation[list[Started]]:
    """Make many workflows durable in their queues by one commit.

    Raises as `enqueue` does: for bad input before anything is written, and for a workflow that is refused when all the
    others are enqueued.
    """
    makers = [(e.asked, partial(queued_row, engine, e.queue_name, e.names, e.args, e.kwargs, e.asked)) for e in entries]
    try:
        admitted = yield from admit_many(engine, makers)
    finally:
        for queue_name in {entry.queue_name for entry in entries}:
            engine.announce_enqueued(queue_name)
    return [Started(each.workflow_id) for each in admitted]
