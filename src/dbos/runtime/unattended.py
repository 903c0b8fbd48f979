"""Workflows that no code of the user's starts: a tick of the clock does, or a message from outside.

They are enqueued, on nobody's behalf, and run on the latest version of their application.
"""

from __future__ import annotations

from collections.abc import Iterable

from dbos.model.placement import Placement
from dbos.model.workflow import INTERNAL_QUEUE
from dbos.runtime.admission import Ticket, new_row
from dbos.runtime.engine import Engine
from dbos.runtime.identity import NOBODY
from dbos.runtime.registry import Names
from dbos.runtime.requests import Requests
from dbos.store.records import StartWorkflow


def enqueued(
    engine: Engine,
    workflow_id: str,
    names: Names,
    args: tuple[object, ...],
    version: str | None,
    queue_name: str | None = None,
    partition_key: str | None = None,
) -> StartWorkflow:
    """A workflow that waits on a queue; by default the internal one. Raises the error of arguments that do not fit."""
    inputs = engine.codec.encode_inputs(args, {})  # portable or not, the function is promised what it says it takes
    ticket = Ticket(workflow_id, engine.new_token())
    asked = Requests(on_behalf_of=NOBODY, placement=Placement(queue_partition_key=partition_key))
    return new_row(engine, ticket, names, inputs, asked, version, queue_name=queue_name or INTERNAL_QUEUE)


def latest_version(engine: Engine, application_name: str | None) -> str | None:
    """The version that such workflows of an application run on; None if any will do."""
    latest = None if application_name is None else engine.store.versions.latest(application_name)
    return None if latest is None else latest.version_name


def announce_runs(engine: Engine, runs: Iterable[StartWorkflow]) -> None:
    """Wake whoever serves their queues, here and in other processes."""
    for queue_name in sorted({run.queue_name or INTERNAL_QUEUE for run in runs}):
        engine.announce_enqueued(queue_name)
