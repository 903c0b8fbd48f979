"""The filters of listings as users write them: ISO 8601 times, one value or a list."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from dbos.error import DBOSException
from dbos.model.status import WorkflowStatus
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Operation
from dbos.runtime.operations import management
from dbos.store.search import WorkflowFilter

OneOrMany = str | Sequence[str] | None


def list_workflows(
    engine: Engine,
    *,
    workflow_ids: Sequence[str] | None = None,
    status: OneOrMany = None,
    start_time: str | None = None,
    end_time: str | None = None,
    name: OneOrMany = None,
    app_version: OneOrMany = None,
    forked_from: OneOrMany = None,
    user: OneOrMany = None,
    parent_workflow_id: OneOrMany = None,
    queue_name: OneOrMany = None,
    limit: int | None = None,
    offset: int | None = None,
    sort_desc: bool = False,
    workflow_id_prefix: OneOrMany = None,
    load_input: bool = True,
    load_output: bool = True,
    executor_id: OneOrMany = None,
    queues_only: bool = False,
    application_name: OneOrMany = None,
) -> Operation[list[WorkflowStatus]]:
    """List workflows, oldest first.

    Args:
        workflow_ids: Only these; an empty list does not filter.
        status: Only those that stand so, such as "PENDING" or "SUCCESS".
        start_time: Only those created at this time (ISO 8601, UTC unless it names a zone) or later.
        end_time: Only those created at this time or earlier.
        name: Only those of these workflow functions.
        app_version: Only those of these application versions.
        forked_from: Only forks of these workflows.
        user: Only those started on behalf of these users.
        parent_workflow_id: Only children of these workflows.
        queue_name: Only those on these queues.
        limit: At most so many.
        offset: Skip so many first.
        sort_desc: Newest first.
        workflow_id_prefix: Only those whose id begins so.
        load_input: Load their arguments.
        load_output: Load their results and errors.
        executor_id: Only those of these executors.
        queues_only: Only those on a queue.
        application_name: Only those of these applications; by default of this one, and those nobody owns.

    Every string filter takes one value or a list. Raises ValueError for a time that is none. A value that cannot be
    decoded is given as the text that is stored.
    """
    management.require_page(limit, offset)
    wanted = WorkflowFilter(
        workflow_ids=many(workflow_ids),
        status=many(status),
        start_time_ms=epoch_ms("start_time", start_time),
        end_time_ms=epoch_ms("end_time", end_time),
        name=many(name),
        app_version=many(app_version),
        forked_from=many(forked_from),
        user=many(user),
        parent_workflow_id=many(parent_workflow_id),
        queue_name=many(queue_name),
        executor_id=many(executor_id),
        queues_only=queues_only,
        workflow_id_prefix=many(workflow_id_prefix),
        limit=limit,
        offset=offset,
        sort_desc=sort_desc,
        load_input=load_input,
        load_output=load_output,
        application_name=many(application_name) or _own(engine),
    )
    return management.list_workflows(engine, wanted)


def _own(engine: Engine) -> tuple[str | None, ...] | None:
    """The applications whose rows are shown if nobody asks for others."""
    return None if engine.application_name is None else (engine.application_name, None)


def many(value: OneOrMany) -> tuple[str, ...] | None:
    """One value, or several, as a tuple; None and an empty list do not filter."""
    if value is None:
        return None
    values = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(each, str) for each in values):
        raise DBOSException(f"A filter takes a string or a list of strings, not {value!r}")
    return tuple(management.require_storable(values)) or None


def epoch_ms(what: str, time: str | None) -> int | None:
    """Epoch milliseconds of an ISO 8601 time. Raises ValueError."""
    if time is None:
        return None
    try:
        moment = datetime.fromisoformat(time)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} must be an ISO 8601 time such as '2026-01-31T12:00:00Z', not {time!r}") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
