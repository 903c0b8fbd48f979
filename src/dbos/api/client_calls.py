"""What clients call with other arguments than the application does."""

from __future__ import annotations

from typing import Any

from dbos.api.config_rules import RULES
from dbos.api.queue import Queue, spec_of
from dbos.api.queue_settings import QueueRateLimit, one_concurrency
from dbos.api.registration import keep
from dbos.error import DBOSException
from dbos.model.serialization import WorkflowSerializationFormat
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Operation
from dbos.runtime.operations import messages, ownership
from dbos.store.queues import OnConflict


def send(
    engine: Engine,
    destination_id: str,
    message: Any,
    topic: str | None = None,
    idempotency_key: str | None = None,
    *,
    serialization_type: WorkflowSerializationFormat = WorkflowSerializationFormat.DEFAULT,
    send_to_forks: bool = False,
) -> Operation[None]:
    """Send a message to a workflow; it is durable when this returns.

    Args:
        destination_id: The id of the workflow.
        message: Any value that can be stored.
        topic: Only a `recv` of the same topic receives it; by default one without a topic.
        idempotency_key: A second message with this key to the same workflow is dropped.
        serialization_type: How the message is stored.
        send_to_forks: Send it also to every fork of the workflow, and to forks of forks, that exists now.

    Raises DBOSNonExistentWorkflowError if there is no such workflow, DBOSSerializationError for a message that cannot
    be stored, DBOSException for other bad arguments.
    """
    return messages.send(
        engine,
        destination_id,
        message,
        topic,
        idempotency_key=idempotency_key,
        serialization_type=serialization_type,
        send_to_forks=send_to_forks,
    )


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
    on_conflict: OnConflict = "always_update",
    concurrency: int | None = None,
    priority_enabled: bool = False,
    partition_queue: bool = False,
    application_name: str | None = None,
) -> Operation[Queue]:
    """Define a queue in the database; the limits are those of `DBOS.register_queue`.

    Args:
        on_conflict: If the queue exists: "always_update" changes it, "never_update" does not. A client has no version.
        application_name: Whose executors serve it; by default those of the client's application, or of any.

    Returns the queue as it is defined now. Raises ValueError for what cannot be, and DBOSException for a queue of
    another application and for "update_if_latest_version".
    """
    if on_conflict == "update_if_latest_version":
        raise DBOSException("A client has no application version: use on_conflict='always_update' or 'never_update'")
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
        application_name=application_name or engine.application_name,
    )
    return keep(engine, spec, on_conflict)


def rename_application(
    engine: Engine, old: str | None, new: str, *, batch_size: int = 10_000, adopt_unclaimed_rows: bool = False
) -> Operation[dict[str, int]]:
    """Give everything that an application has to another name, its own new one say; stop it first.

    Args:
        old: The name so far; None: only what nobody owns.
        new: The new name.
        batch_size: How many workflows that have ended are renamed by one transaction. Everything else is by the first.
        adopt_unclaimed_rows: Take what nobody owns as well.

    Returns how many queues, schedules, versions, workflows, and steps of these, have the new name now. Called again, it
    goes on where it was interrupted. Raises DBOSException for names that cannot be.
    """
    try:
        RULES["name"](new)
    except ValueError as error:
        raise DBOSException(f"{new!r} cannot be the name of an application: it must be {error}") from None
    if old is not None and not isinstance(old, str):
        raise DBOSException(f"The name of an application is a str, not {old!r}")
    return ownership.rename_application(
        engine, old, new, batch_size=batch_size, adopt_unclaimed_rows=adopt_unclaimed_rows
    )
