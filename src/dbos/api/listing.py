"""The filters of listings as users write them: ISO 8601 times, one value or a list."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from dbos.api.scopes import refuse_shard_key
from dbos.error import DBOSException
from dbos.fields import dataclass
from dbos.model.status import WorkflowStatus
from dbos.model.workflow import Status
from dbos.runtime.arguments import encode_attributes, require_page, require_storable
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Operation
from dbos.runtime.operations import inspection
from dbos.store.search import WorkflowFilter

logger = logging.getLogger("dbos")

OneOrMany = str | Sequence[str] | None


@dataclass(kw_only=True)
class GetWorkflowsInput:
    """The filters of a listing as attributes, each as the parameter of `list_workflows` that has its name.

    Deprecated, and kept for code that imports it: give the parameters themselves, or `list_workflows(**vars(filters))`.
    """

    workflow_ids: Sequence[str] | None = None
    status: OneOrMany = None
    start_time: str | None = None
    end_time: str | None = None
    name: OneOrMany = None
    app_version: OneOrMany = None
    user: OneOrMany = None
    limit: int | None = None
    offset: int | None = None
    sort_desc: bool = False
    workflow_id_prefix: OneOrMany = None

    def __post_init__(self) -> None:
        warnings.warn(
            "GetWorkflowsInput is deprecated: give list_workflows the filters themselves",
            DeprecationWarning,
            stacklevel=3,
        )


def list_workflows(
    engine: Engine,
    *,
    workflow_ids: Sequence[str] | None = None,
    status: OneOrMany = None,
    start_time: str | None = None,
    end_time: str | None = None,
    completed_after: str | None = None,
    completed_before: str | None = None,
    dequeued_after: str | None = None,
    dequeued_before: str | None = None,
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
    was_forked_from: bool | None = None,
    has_parent: bool | None = None,
    attributes: dict[str, Any] | None = None,
    schedule_name: OneOrMany = None,
    application_name: OneOrMany = None,
    is_fork: bool | None = None,
    parent_shard_key: OneOrMany = None,
) -> Operation[list[WorkflowStatus]]:
    """List workflows, oldest first.

    Args:
        workflow_ids: Only these; an empty list does not filter.
        status: Only those that stand so, such as "PENDING" or "SUCCESS".
        start_time: Only those created at this time (ISO 8601, UTC unless it names a zone) or later.
        end_time: Only those created at this time or earlier.
        completed_after: Only those that ended at this time or later.
        completed_before: Only those that ended at this time or earlier.
        dequeued_after: Only those that were taken from a queue at this time or later.
        dequeued_before: Only those that were taken from a queue at this time or earlier.
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
        was_forked_from: Only those that have been forked, or (False) that have not.
        has_parent: Only children of other workflows, or (False) only those that are nobody's.
        attributes: Only those whose attributes contain these; nested ones, too. {} takes all that have attributes.
        schedule_name: Only runs of these schedules.
        application_name: Only those of these applications; by default of this one, and those nobody owns.
        is_fork: Only forks, or (False) none.
        parent_shard_key: Must be None.

    Every string filter takes one value or a list. Raises ValueError for a time that is none. A value that cannot be
    decoded is given as the text that is stored.
    """
    return _search(engine, LISTING_NAME, **_given(locals()))


def list_queued_workflows(
    engine: Engine,
    *,
    workflow_ids: Sequence[str] | None = None,
    status: OneOrMany = None,
    start_time: str | None = None,
    end_time: str | None = None,
    completed_after: str | None = None,
    completed_before: str | None = None,
    dequeued_after: str | None = None,
    dequeued_before: str | None = None,
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
    has_parent: bool | None = None,
    attributes: dict[str, Any] | None = None,
    application_name: OneOrMany = None,
    is_fork: bool | None = None,
    parent_shard_key: OneOrMany = None,
) -> Operation[list[WorkflowStatus]]:
    """List the workflows that are on a queue and not finished, oldest first.

    Args:
        status: Only those that stand so; whoever asks for finished ones gets those that were on a queue.

    Everything else is as in `list_workflows`.
    """
    asked = _given(locals())
    return _search(engine, QUEUED_LISTING_NAME, **asked | {"queues_only": True, "status": many(status) or UNFINISHED})


LISTING_NAME = "DBOS.listWorkflows"
QUEUED_LISTING_NAME = "DBOS.listQueuedWorkflows"
UNFINISHED = Status.ENQUEUED, Status.PENDING, Status.DELAYED

TIMES = ("start_time", "end_time", "completed_after", "completed_before", "dequeued_after", "dequeued_before")
ANSWERS = ("was_forked_from", "has_parent", "is_fork")
STATUSES = tuple(status.value for status in Status)
AS_GIVEN = ("limit", "offset", "queues_only", "sort_desc", "load_input", "load_output")


def _given(arguments: dict[str, Any]) -> dict[str, Any]:
    """The filters among the arguments of a listing."""
    return {name: value for name, value in arguments.items() if name != "engine"}


def _search(
    engine: Engine,
    step: str,
    *,
    attributes: dict[str, Any] | None,
    application_name: OneOrMany,
    parent_shard_key: OneOrMany,
    **filters: Any,
) -> Operation[list[WorkflowStatus]]:
    """Look for what fits; in a workflow under that step's name. Most filters take one text or many."""
    refuse_shard_key(parent_shard_key)
    require_page(filters["limit"], filters["offset"])
    accepted: dict[str, Any] = {}
    for name, value in filters.items():
        if name in TIMES:
            accepted[f"{name}_ms"] = epoch_ms(name, value)
        elif name in ANSWERS:
            accepted[name] = _yes_or_no(name, value)
        elif name in AS_GIVEN:
            accepted[name] = value
        else:
            accepted[name] = many(value)
    _report_unknown(accepted["status"])
    wanted = WorkflowFilter(
        attributes=None if attributes is None else encode_attributes(attributes),
        application_name=applications(engine, application_name),
        **accepted,
    )
    return inspection.list_workflows(engine, wanted, step)


def _report_unknown(asked: tuple[str, ...] | None) -> None:
    """Nothing is ever found by a status that no workflow can have: that is the answer, but hardly what was meant."""
    unknown = [each for each in asked or () if each not in STATUSES]
    if unknown:
        logger.warning("No workflow is ever %s: the statuses are %s", ", ".join(unknown), ", ".join(STATUSES))


def applications(engine: Engine, asked: OneOrMany) -> tuple[str | None, ...] | None:
    """The applications whose rows are shown: those asked for, else our own and nobody's; a nameless client sees all."""
    own = None if engine.application_name is None else (engine.application_name, None)
    return many(asked) or own


def many(value: OneOrMany) -> tuple[str, ...] | None:
    """One value, or several, as a tuple; None and an empty list do not filter."""
    if value is None:
        return None
    single = isinstance(value, str) or not isinstance(value, Iterable)
    values: tuple[Any, ...] = (value,) if single else tuple(value)
    if not all(isinstance(each, str) for each in values):
        raise DBOSException(f"A filter takes a string or a list of strings, not {value!r}")
    return tuple(require_storable(values)) or None


def _yes_or_no(what: str, answer: bool | None) -> bool | None:
    """An answer, or None for no filter. Raises DBOSException for anything else."""
    if answer is not None and not isinstance(answer, bool):
        raise DBOSException(f"{what} must be True, False or None, not {answer!r}")
    return answer


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
