"""JSON in and out: the filters that a request may name, and workflows and steps as they are answered.

The names are the documented ones. Almost every value of an answer is a text or null.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dbos.model.queue import QueueSpec
from dbos.model.status import StepInfo, WorkflowStatus

# The key of the answer -> the field of the status.
WORKFLOW_FIELDS = {
    "WorkflowUUID": "workflow_id",
    "Status": "status",
    "WorkflowName": "name",
    "WorkflowClassName": "class_name",
    "WorkflowConfigName": "config_name",
    "AuthenticatedUser": "authenticated_user",
    "AssumedRole": "assumed_role",
    "AuthenticatedRoles": "authenticated_roles",
    "Input": "input",
    "Output": "output",
    "Error": "error",
    "CreatedAt": "created_at",
    "UpdatedAt": "updated_at",
    "QueueName": "queue_name",
    "ApplicationVersion": "app_version",
    "ExecutorID": "executor_id",
    "WorkflowTimeoutMS": "workflow_timeout_ms",
    "WorkflowDeadlineEpochMS": "workflow_deadline_epoch_ms",
    "DeduplicationID": "deduplication_id",
    "Priority": "priority",
    "QueuePartitionKey": "queue_partition_key",
    "ForkedFrom": "forked_from",
    "WasForkedFrom": "was_forked_from",
    "ParentWorkflowID": "parent_workflow_id",
    "DequeuedAt": "dequeued_at",
    "DelayUntilEpochMS": "delay_until_epoch_ms",
    "CompletedAt": "completed_at",
    "Attributes": "attributes",
    "ScheduleName": "schedule_name",
    "ApplicationName": "application_name",
}
AS_JSON = frozenset({"AuthenticatedRoles", "Attributes"})

# The key of a request -> the filter of the listing.
QUEUED_FILTERS = {
    "workflow_name": "name",
    "start_time": "start_time",
    "end_time": "end_time",
    "status": "status",
    "queue_name": "queue_name",
    "limit": "limit",
    "offset": "offset",
    "sort_desc": "sort_desc",
    "load_input": "load_input",
}
FILTERS = QUEUED_FILTERS | {
    "workflow_uuids": "workflow_ids",
    "authenticated_user": "user",
    "application_version": "app_version",
    "fork_from": "forked_from",
    "forked_from": "forked_from",
    "workflow_id_prefix": "workflow_id_prefix",
    "load_output": "load_output",
}
FLAGS = frozenset({"sort_desc", "load_input", "load_output"})
NUMBERS = frozenset({"limit", "offset"})


class BadRequest(Exception):
    """What a request asks for cannot be meant; the text says why."""


def filters(body: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, Any]:
    """The filters of a listing. Keys that are unknown or null are ignored. Raises BadRequest."""
    wanted: dict[str, Any] = {"load_input": False, "load_output": False}
    for key, name in known.items():
        value = body.get(key)
        if value is not None:
            wanted[name] = _checked(key, value)
    return wanted


def _checked(key: str, value: Any) -> Any:
    if key in FLAGS:
        if not isinstance(value, bool):
            raise BadRequest(f"{key} must be true or false, not {json.dumps(value)}")
    elif key in NUMBERS:
        return whole(key, value, 0)
    elif not isinstance(value, str) and not (isinstance(value, list) and all(isinstance(each, str) for each in value)):
        raise BadRequest(f"{key} must be a text or a list of texts, not {json.dumps(value)}")
    return value


def whole(key: str, value: Any, least: int) -> int:
    """A whole number that every database takes. Raises BadRequest."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**63:
        raise BadRequest(f"{key} must be a whole number from {least} on, not {json.dumps(value)}")
    return value


def optional_text(body: Mapping[str, Any], key: str) -> str | None:
    """A text, or None if there is none. Raises BadRequest."""
    value = body.get(key)
    if value is not None and not isinstance(value, str):
        raise BadRequest(f"{key} must be a text, not {json.dumps(value)}")
    return value


def workflow(status: WorkflowStatus) -> dict[str, str | None]:
    """A workflow as it is answered."""
    return {key: _text(getattr(status, field), as_json=key in AS_JSON) for key, field in WORKFLOW_FIELDS.items()}


def step(info: StepInfo) -> dict[str, Any]:
    """A step as it is answered."""
    return {
        "function_id": info["function_id"],
        "function_name": info["function_name"],
        "output": _text(info["output"]),
        "error": _text(info["error"]),
        "child_workflow_id": info["child_workflow_id"],
        "started_at_epoch_ms": _text(info["started_at_epoch_ms"]),
        "completed_at_epoch_ms": _text(info["completed_at_epoch_ms"]),
    }


def queue(spec: QueueSpec) -> dict[str, Any]:
    """A queue as it is answered, without the limits it does not have."""
    rate = spec.limiter
    limits = {
        "concurrency": spec.concurrency,
        "workerConcurrency": spec.worker_concurrency,
        "rateLimit": None if rate is None else {"limit": rate.limit, "period": rate.period_seconds},
    }
    return {"name": spec.name, **{name: limit for name, limit in limits.items() if limit is not None}}


def _text(value: Any, *, as_json: bool = False) -> str | None:
    if value is None or isinstance(value, str):
        return value
    try:
        return json.dumps(value) if as_json else str(value)
    except Exception:  # classes of users may do anything when they are shown
        return f"<{type(value).__name__}>"
