"""Workflows and steps as users see them: decoded, with the documented field names."""

# Annotations are evaluated here: a TypedDict compiles each that is a text, which takes longer.

from typing import Any, TypedDict

from dbos.fields import dataclass
from dbos.model.workflow import Status

WorkflowStatusString = Status
"""The words that `WorkflowStatus.status` takes. They equal plain strings, and can be given for them."""


class WorkflowInputs(TypedDict):
    """The arguments of a workflow, without the instance or class it was called on."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass
class WorkflowStatus:
    """A workflow as it stood when it was read. Times are Unix epoch milliseconds."""

    workflow_id: str
    status: str
    name: str
    class_name: str | None = None
    config_name: str | None = None
    authenticated_user: str | None = None
    assumed_role: str | None = None
    authenticated_roles: list[str] | None = None
    input: WorkflowInputs | None = None
    output: Any = None
    error: Any = None
    created_at: int | None = None
    updated_at: int | None = None
    queue_name: str | None = None
    executor_id: str | None = None
    app_version: str | None = None
    workflow_timeout_ms: int | None = None
    workflow_deadline_epoch_ms: int | None = None
    deduplication_id: str | None = None
    priority: int = 0
    queue_partition_key: str | None = None
    forked_from: str | None = None
    app_id: str = ""
    recovery_attempts: int = 0
    was_forked_from: bool = False
    parent_workflow_id: str | None = None
    dequeued_at: int | None = None
    delay_until_epoch_ms: int | None = None
    completed_at: int | None = None
    attributes: dict[str, Any] | None = None
    schedule_name: str | None = None
    application_name: str | None = None
    shard_key: str | None = None
    parent_shard_key: str | None = None


class StepInfo(TypedDict):
    """One recorded step of a workflow."""

    function_id: int
    function_name: str
    output: Any
    error: Any
    child_workflow_id: str | None
    started_at_epoch_ms: int | None
    completed_at_epoch_ms: int | None
    child_shard_key: str | None
