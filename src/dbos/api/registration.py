"""Queues that are kept in the database: registered, found again, listed and deleted, as users see them."""

from __future__ import annotations

from dbos.api.listing import OneOrMany, applications
from dbos.api.performers import APPLICATION, OneEngine, Performer
from dbos.api.queue import Queue, spec_of
from dbos.api.queue_settings import QueueRateLimit, one_concurrency
from dbos.model.queue import QueueSpec
from dbos.runtime.engine import Engine
from dbos.runtime.executor import Executor
from dbos.runtime.operation import Operation
from dbos.runtime.operations import queues
from dbos.runtime.queues import require_queue_name
from dbos.store.queues import OnConflict


def register_queue(
    engine: Engine,
    name: str,
    *,
    worker_concurrency: int | None = None,
    global_concurrency: int | None = None,
    partition_concurrency: int | None = None,
    partition_worker_concurrency: int | None = None,
    partition_limiter: QueueRateLimit | None = None,
    limiter: QueueRateLimit | None = None,
    polling_interval_sec: float = 1.0,
    on_conflict: OnConflict = "update_if_latest_version",
    concurrency: int | None = None,
    priority_enabled: bool = False,
    partition_queue: bool = False,
) -> Operation[Queue]:
    """Define a queue in the database, where it can be changed while it is in use; every process serves it.

    Args:
        name: Unique among all applications of the database.
        worker_concurrency: How many of its workflows run at once in one process.
        global_concurrency: How many run at once, over all processes.
        partition_concurrency: How many of one partition run at once, over all processes.
        partition_worker_concurrency: How many of one partition run at once in one process.
        partition_limiter: How many of one partition start within a period.
        limiter: How many start within a period, over all processes; see QueueRateLimit.
        polling_interval_sec: How often to look for workflows, should no notification come.
        on_conflict: If the queue exists: "update_if_latest_version" changes it if this application version is the
            latest one, "always_update" in any case, "never_update" never.
        concurrency: Another name for `global_concurrency`.
        priority_enabled: Declares that workflows are enqueued with priorities.
        partition_queue: The limits of the queue hold for each partition instead.

    Returns the queue as it is defined now. Raises ValueError for what cannot be, and DBOSException before launch and
    for a queue of another application.
    """
    spec = spec_of(
        name,
        concurrency=one_concurrency(concurrency, global_concurrency),
        worker_concurrency=worker_concurrency,
        limiter=limiter,
        partition_concurrency=partition_concurrency,
        partition_worker_concurrency=partition_worker_concurrency,
        partition_limiter=partition_limiter,
        priority_enabled=priority_enabled,
        partition_queue=partition_queue,
        polling_interval_sec=polling_interval_sec,
        application_name=engine.application_name,
    )
    return keep(engine, spec, on_conflict)


def keep(engine: Engine, spec: QueueSpec, on_conflict: OnConflict) -> Operation[Queue]:
    """Define a queue in the database."""
    holds = yield from queues.register_queue(engine, spec, on_conflict)
    return Queue._kept(holds, _performer(engine))


def retrieve_queue(engine: Engine, name: str) -> Operation[Queue | None]:
    """A queue that is kept in the database, or None. Those declared in code are not found."""
    spec = yield from queues.load_queue(engine, require_queue_name(name))
    return None if spec is None else Queue._kept(spec, _performer(engine))


def list_queues(engine: Engine, *, application_name: OneOrMany = None) -> Operation[list[Queue]]:
    """The queues that are kept in the database, the oldest first.

    Args:
        application_name: Those of these applications; by default of this one, and those nobody owns.
    """
    specs = yield from queues.list_queues(engine, applications(engine, application_name))
    return [Queue._kept(spec, _performer(engine)) for spec in specs]


def delete_queue(engine: Engine, name: str) -> Operation[None]:
    """Remove a queue from the database, if it is there. What waits on it stays, until there is a queue of that name."""
    return queues.delete_queue(engine, require_queue_name(name))


def _performer(engine: Engine) -> Performer:
    """Who asks for the definition later: the application, whenever it is launched, or the client that asked now."""
    return APPLICATION if isinstance(engine, Executor) else OneEngine(engine)
