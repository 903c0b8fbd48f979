"""What the admin server may ask of the application that it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from dbos.model.queue import QueueSpec
from dbos.model.status import StepInfo, WorkflowStatus
from dbos.telemetry.instruments import Family


class Controls(Protocol):
    """Each blocks, and raises what the operation of that name raises."""

    def deactivate(self) -> None:
        """Take on nothing more: no queues, no schedules, no workflows of the dead. What runs goes on."""

    def recover(self, executor_ids: Sequence[str]) -> list[str]:
        """Take over the unfinished workflows of executors at once; their ids."""

    def garbage_collect(self, cutoff_ms: int | None, rows_threshold: int | None) -> None:
        """Delete what has ended and was created before a moment, or is beyond so many of the newest workflows."""

    def global_timeout(self, cutoff_ms: int) -> None:
        """Cancel what is unfinished and was created before a moment."""

    def queues(self) -> list[QueueSpec]:
        """The queues that are declared in this process."""

    def metrics(self) -> list[Family]:
        """Everything that is measured in this process."""

    def get(self, workflow_id: str) -> WorkflowStatus | None:
        """One workflow, or None."""

    def steps(self, workflow_id: str) -> list[StepInfo]:
        """Its recorded steps."""

    def list_workflows(self, **filters: Any) -> list[WorkflowStatus]:
        """The workflows that fit."""

    def list_queued_workflows(self, **filters: Any) -> list[WorkflowStatus]:
        """Those that fit, are on a queue and not finished."""

    def cancel(self, workflow_id: str) -> None:
        """Cancel it."""

    def resume(self, workflow_id: str) -> None:
        """Run it on. Raises DBOSNonExistentWorkflowError."""

    def fork(self, workflow_id: str, start_step: int, new_id: str | None, application_version: str | None) -> str:
        """Run it once more from a step on; the id of the fork. Raises DBOSNonExistentWorkflowError."""
