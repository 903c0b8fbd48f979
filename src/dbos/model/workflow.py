"""What a workflow is: its statuses, and its row as the store keeps it."""

from __future__ import annotations

from enum import StrEnum

from dbos.fields import NamedTuple


class Status(StrEnum):
    """Where a workflow stands. The words are the documented ones."""

    PENDING = "PENDING"
    ENQUEUED = "ENQUEUED"
    DELAYED = "DELAYED"
    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    CANCELLED = "CANCELLED"
    MAX_RECOVERY_ATTEMPTS_EXCEEDED = "MAX_RECOVERY_ATTEMPTS_EXCEEDED"


FINISHED = frozenset({Status.SUCCESS, Status.ERROR, Status.CANCELLED, Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED})

INTERNAL_QUEUE = "_dbos_internal_queue"


class WorkflowRow(NamedTuple):
    """One row of `workflow_status` with its payloads still encoded; field names are the column names."""

    workflow_uuid: str
    status: str
    name: str
    class_name: str | None
    config_name: str | None
    inputs: str | None
    output: str | None
    error: str | None
    serialization: str | None  # codec of inputs
    outcome_serialization: str | None  # codec of output or error
    created_at: int
    updated_at: int
    completed_at: int | None
    started_at_epoch_ms: int | None
    epoch: int
    recovery_attempts: int
    executor_id: str | None
    executor_instance: str | None
    owner_xid: str | None
    application_name: str | None
    application_version: str | None
    application_id: str | None
    authenticated_user: str | None
    assumed_role: str | None
    authenticated_roles: str | None
    queue_name: str | None
    workflow_timeout_ms: int | None
    workflow_deadline_epoch_ms: int | None
    delay_until_epoch_ms: int | None
    deduplication_id: str | None
    priority: int
    queue_partition_key: str | None
    forked_from: str | None
    was_forked_from: bool
    parent_workflow_id: str | None
    attributes: str | None
    schedule_name: str | None


class StepRow(NamedTuple):
    """One row of `operation_outputs`, payloads encoded; field names are the column names."""

    workflow_uuid: str
    function_id: int
    function_name: str
    output: str | None
    error: str | None
    serialization: str | None
    child_workflow_id: str | None
    started_at_epoch_ms: int | None
    completed_at_epoch_ms: int | None
    epoch: int
