"""Listings of workflows: the only SQL that is put together at run time.

The pieces come from the fixed lists below; what users pass is always bound as a value.
"""

from __future__ import annotations

import json
import sys
from collections import ChainMap
from collections.abc import Iterator, Sequence

from dbos.fields import NamedTuple
from dbos.model.workflow import FINISHED, Status

NO_LIMIT = 2**62  # both dialects take a number here
FEW = 8  # values of a filter that are bound one by one

Condition = tuple[str, dict[str, object]]
"""What must hold, and the values in it."""

_ACTIVE = [status for status in Status if status not in FINISHED]
_FAILED = [status for status in Status if status in FINISHED and status is not Status.SUCCESS]


class WorkflowFilter(NamedTuple):
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

_SUMMARISED = ("name", "app_version", "user", "queue_name", "executor_id", "schedule_name", "application_name")
"""What the finished are searched for by summaries of the table on Postgres, and the others by their standing."""

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


def query(wanted: WorkflowFilter, *, unites_indexes: bool) -> tuple[str, dict[str, object]]:
    """The statement, as in the `sql` folder, and its values. Its rows are in order of creation.

    What has not succeeded is in partial indexes by status. A planner that does not unite them is told to.
    """
    values: dict[str, object] = {
        "load_input": int(wanted.load_input),
        "load_output": int(wanted.load_output),
        "limit": NO_LIMIT if wanted.limit is None else wanted.limit,
        "offset": wanted.offset or 0,
    }
    conditions: list[str] = []
    for condition, bound in _conditions(wanted, summarises=unites_indexes):
        conditions.append(condition)
        values.update(bound)
    standings = _standings(wanted.status) if wanted.status else []
    if len(standings) < 2 or unites_indexes or _goes_through_history(wanted):
        where = _where([*([_any(standings)] if wanted.status else []), *conditions])
    else:
        each = (f"select sequence from {{schema}}.workflow_status {_where([one, *conditions])}" for one in standings)
        where = f"where sequence in ({' union all '.join(each)})"
    direction = "desc" if wanted.sort_desc else "asc"
    text = (
        f"select {{searched_columns}} from {{schema}}.workflow_status {where}"
        f" order by {_creation(wanted, unites_indexes)} {direction}, sequence {direction} limit :limit offset :offset"
    )
    return text, values


def _conditions(wanted: WorkflowFilter, *, summarises: bool) -> Iterator[Condition]:
    """Everything but the status."""
    yield from _traits(wanted, summarises)
    for field, condition in _BY_VALUE.items():
        if (bound := getattr(wanted, field)) is not None:
            yield condition, {field: bound}
    for field, (if_so, if_not) in _YES_OR_NO.items():
        if (answer := getattr(wanted, field)) is not None:
            yield (if_so if answer else if_not), {}
    if wanted.queues_only:
        yield "queue_name is not null", {}
    if wanted.workflow_id_prefix:
        yield _begins_with_one_of(wanted.workflow_id_prefix)


def _traits(wanted: WorkflowFilter, summarises: bool) -> Iterator[Condition]:
    """What they have is one of some values. The last condition is always true: it lets the planner search the finished
    in one way, and the others in another."""
    finished = "completed_at is not null"
    for field, column in _ONE_OF.items():
        if accepted := getattr(wanted, field):
            yield _is_one_of(column, accepted, field)
    if wanted.application_name:
        owned, bound = _is_owned_by(wanted.application_name)
        yield owned, bound
        finished += f" and {owned}"  # once more: the planner does not see through two alternatives side by side
    if summarises and any(getattr(wanted, field) for field in _SUMMARISED):
        yield _any([finished, *_standings(_ACTIVE)]), {}


def _goes_through_history(wanted: WorkflowFilter) -> bool:
    """No index of a few helps: it is about what has succeeded as well."""
    return not wanted.status or Status.SUCCESS in wanted.status


def _creation(wanted: WorkflowFilter, unites_indexes: bool) -> str:
    """What is on its way is usually the newest. Planners do not know: they would look for the oldest of it in the order
    of creation, through the whole history; and one without statistics for the newest as well, should there be few. The
    sum leaves them only the indexes of what is active. (That of what has failed is in this order.)"""
    by_creation = _goes_through_history(wanted) or not set(wanted.status or ()).intersection(_ACTIVE)
    return "created_at" if by_creation or (wanted.sort_desc and unites_indexes) else "created_at + 0"


def _standings(statuses: Sequence[str]) -> list[str]:
    """Written out, value by value, so that the planner sees which partial index holds each; in the words of the index
    of those that failed, as SQLite compares words."""
    known = [status for status in Status if status in statuses]
    found = [f"status = '{status}'" for status in known if status not in _FAILED]
    if failed := [f"status = '{status}'" for status in known if status in _FAILED]:
        indexed = ", ".join(f"'{status}'" for status in _FAILED)
        found.append(f"status in ({indexed}) and {_any(failed)}")
    return found


def _any(alternatives: Sequence[str]) -> str:
    return f"({' or '.join(alternatives)})" if alternatives else "1 = 0"


def _where(conditions: Sequence[str]) -> str:
    return f"where {' and '.join(conditions)}" if conditions else ""


def _is_one_of(column: str, accepted: Sequence[str], name: str) -> Condition:
    """A few values are bound one by one, so that the planner sees how rare they are."""
    if not accepted:
        return "1 = 0", {}
    if len(accepted) > FEW:
        return f"{column} in ({{each:{name}}})", {name: json.dumps(accepted)}
    bound: dict[str, object] = {f"{name}_{place}": value for place, value in enumerate(accepted)}
    return f"{column} in ({', '.join(f':{each}' for each in bound)})", bound


def _is_owned_by(accepted: Sequence[str | None]) -> Condition:
    """None among them: or by nobody."""
    names = [name for name in accepted if name is not None]
    condition, bound = _is_one_of("application_name", names, "application_name")
    return f"(application_name is null or {condition})" if None in accepted else condition, bound


def _begins_with_one_of(prefixes: Sequence[str]) -> Condition:
    begins = [_begins_with(prefix, f"prefix_{place}") for place, prefix in enumerate(prefixes)]
    return _any([condition for condition, _ in begins]), dict(ChainMap(*(bound for _, bound in begins)))


def _begins_with(prefix: str, name: str) -> Condition:
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
