"""What a workflow is: its statuses, the legal moves between them, and its row as the store keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """Where a workflow stands. The five unfinished and finished words are the documented ones."""

    PENDING = "PENDING"
    ENQUEUED = "ENQUEUED"
    DELAYED = "DELAYED"
    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    CANCELLED = "CANCELLED"
    MAX_RECOVERY_ATTEMPTS_EXCEEDED = "MAX_RECOVERY_ATTEMPTS_EXCEEDED"


FINISHED = frozenset({Status.SUCCESS, Status.ERROR, Status.CANCELLED, Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED})
ACTIVE = frozenset(Status) - FINISHED

# From each status, the ones that may follow it; None stands for a workflow that does not exist yet.
LEGAL_MOVES: Mapping[Status | None, frozenset[Status]] = {
    None: frozenset({Status.PENDING, Status.ENQUEUED, Status.DELAYED}),
    Status.DELAYED: frozenset({Status.ENQUEUED, Status.CANCELLED}),  # due or resumed, or cancelled
    Status.ENQUEUED: frozenset({Status.PENDING, Status.CANCELLED, Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED}),
    # Back to ENQUEUED when it is recovered to its queue, or resumed: the attempt that runs is fenced off.
    Status.PENDING: FINISHED | {Status.ENQUEUED},
    Status.ERROR: frozenset({Status.ENQUEUED}),  # resumed or rewound
    Status.CANCELLED: frozenset({Status.ENQUEUED}),  # likewise
    Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED: frozenset({Status.ENQUEUED, Status.CANCELLED}),
    Status.SUCCESS: frozenset({Status.ENQUEUED}),  # only rewound, which is asked for by name
}

INTERNAL_QUEUE = "_dbos_internal_queue"


@dataclass(slots=True)
class WorkflowRow:
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


@dataclass(slots=True)
class StepRow:
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
