"""Listings of workflows: the only SQL that is put together at run time.

The pieces come from the fixed lists below; what users pass is always bound as a value.
"""

from __future__ import annotations

import json
import sys
from collections import ChainMap
from collections.abc import Sequence
from dataclasses import dataclass

from dbos.model.workflow import Status

NO_LIMIT = 2**62  # both dialects take a number here


@dataclass(frozen=True, slots=True)
class WorkflowFilter:
    """Which workflows, and how much of each. None, and an empty tuple, do not filter."""

    workflow_ids: tuple[str, ...] | None = None
    status: tuple[str, ...] | None = None
    start_time_ms: int | None = None  # created then or later
    end_time_ms: int | None = None  # created then or earlier
    completed_after_ms: int | None = None  # ended then or later
    completed_before_ms: int | None = None  # ended then or earlier
    dequeued_after_ms: int | None = None  # taken from a queue then or later
    dequeued_before_ms: int | None = None  # taken from a queue then or earlier
    name: tuple[str, ...] | None = None
    app_version: tuple[str, ...] | None = None
    forked_from: tuple[str, ...] | None = None
    user: tuple[str, ...] | None = None
    parent_workflow_id: tuple[str, ...] | None = None
    queue_name: tuple[str, ...] | None = None
    executor_id: tuple[str, ...] | None = None
    schedule_name: tuple[str, ...] | None = None
    queues_only: bool = False
    was_forked_from: bool | None = None
    is_fork: bool | None = None
    has_parent: bool | None = None
    attributes: str | None = None  # a JSON object that those of the workflow contain
    workflow_id_prefix: tuple[str, ...] | None = None
    application_name: tuple[str | None, ...] | None = None  # None in it: those that no application owns
    limit: int | None = None
    offset: int | None = None
    sort_desc: bool = False  # newest first
    load_input: bool = True
    load_output: bool = True


_ONE_OF = {  # field of the filter -> column that equals one of its values
    "workflow_ids": "workflow_uuid",
    "name": "name",
    "app_version": "application_version",
    "forked_from": "forked_from",
    "user": "authenticated_user",
    "parent_workflow_id": "parent_workflow_id",
    "queue_name": "queue_name",
    "executor_id": "executor_id",
    "schedule_name": "schedule_name",
}

_BY_VALUE = {  # field of the filter -> what must hold of its value; bounds of times are inclusive
    "start_time_ms": "created_at >= :start_time_ms",
    "end_time_ms": "created_at <= :end_time_ms",
    "completed_after_ms": "completed_at >= :completed_after_ms",
    "completed_before_ms": "completed_at <= :completed_before_ms",
    "dequeued_after_ms": "queue_name is not null and started_at_epoch_ms >= :dequeued_after_ms",
    "dequeued_before_ms": "queue_name is not null and started_at_epoch_ms <= :dequeued_before_ms",
    "attributes": "{attributes_contain}",
}

_YES_OR_NO = {  # field of the filter -> what is the case or is not
    "was_forked_from": ("was_forked_from", "not was_forked_from"),
    "is_fork": ("forked_from is not null", "forked_from is null"),
    "has_parent": ("parent_workflow_id is not null", "parent_workflow_id is null"),
}


def query(wanted: WorkflowFilter) -> tuple[str, dict[str, object]]:
    """The statement, as in the `sql` folder, and its values. Its rows are in order of creation."""
    conditions: list[str] = []
    values: dict[str, object] = {
        "load_input": int(wanted.load_input),
        "load_output": int(wanted.load_output),
        "limit": NO_LIMIT if wanted.limit is None else wanted.limit,
        "offset": wanted.offset or 0,
    }

    def require(condition: str, **bound: object) -> None:
        conditions.append(condition)
        values.update(bound)

    if wanted.status:
        require(_stands_so(wanted.status))
    for field, column in _ONE_OF.items():
        if accepted := getattr(wanted, field):
            require(f"{column} in ({{each:{field}}})", **{field: json.dumps(accepted)})
    if wanted.application_name:
        names = [name for name in wanted.application_name if name is not None]
        unowned = "application_name is null or " if None in wanted.application_name else ""
        require(f"({unowned}application_name in ({{each:application_name}}))", application_name=json.dumps(names))
    for field, condition in _BY_VALUE.items():
        if (bound := getattr(wanted, field)) is not None:
            require(condition, **{field: bound})
    for field, (if_so, if_not) in _YES_OR_NO.items():
        if (answer := getattr(wanted, field)) is not None:
            require(if_so if answer else if_not)
    if wanted.queues_only:
        require("queue_name is not null")
    if wanted.workflow_id_prefix:
        begins = [_begins_with(each, f"prefix_{place}") for place, each in enumerate(wanted.workflow_id_prefix)]
        bounds = ChainMap(*(bound for _, bound in begins))
        require(f"({' or '.join(condition for condition, _ in begins)})", **bounds)

    where = f"where {' and '.join(conditions)}" if conditions else ""
    direction = "desc" if wanted.sort_desc else "asc"
    text = (
        f"select {{searched_columns}} from {{schema}}.workflow_status {where}"
        f" order by created_at {direction}, sequence {direction} limit :limit offset :offset"
    )
    return text, values


def _stands_so(statuses: Sequence[str]) -> str:
    """Written out, of all values, so that the planner sees which partial index holds them."""
    known = [f"'{status}'" for status in Status if status in statuses]
    return f"status in ({', '.join(known)})" if known else "1 = 0"


def _begins_with(prefix: str, name: str) -> tuple[str, dict[str, object]]:
    """A range of ids instead of a pattern: it finds the same through the primary key, and nothing needs escaping."""
    end = end_of_prefix(prefix)
    if end is None:
        return f"workflow_uuid >= :{name}", {name: prefix}
    return f"(workflow_uuid >= :{name} and workflow_uuid < :{name}_end)", {name: prefix, f"{name}_end": end}


def end_of_prefix(prefix: str) -> str | None:
    """The smallest text greater than all that begin with the prefix, by code points; None if there is no end."""
    for place in range(len(prefix) - 1, -1, -1):
        following = ord(prefix[place]) + 1
        if 0xD800 <= following <= 0xDFFF:
            following = 0xE000  # surrogates are no characters
        if following <= sys.maxunicode:
            return prefix[:place] + chr(following)
    return None
