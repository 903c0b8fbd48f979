"""Running workflows once more from one of their steps on: as a fork, or in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dbos.api import forking, launched, rewinding
from dbos.api.handles import WorkflowHandle, WorkflowHandleAsync
from dbos.api.scopes import refuse_shard_key
from dbos.api.twins import refuse_on_loop
from dbos.runtime.interpreters import run_async, run_blocking


class ForkCalls:
    """Fork one at a step, or many where they failed; rewind one."""

    @classmethod
    def fork_workflow(
        cls,
        workflow_id: str,
        start_step: int,
        *,
        application_version: str | None = None,
        queue_name: str | None = None,
        queue_partition_key: str | None = None,
        replacement_children: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
        shard_key: str | None = None,
    ) -> WorkflowHandle[Any]:
        """Run a workflow once more from one of its steps on, as a new workflow; the old one stays as it is.

        Args:
            workflow_id: The workflow, in whatever state.
            start_step: The first step that the fork runs itself. What was recorded before it is copied: steps, and the
                events and streams that they wrote. Up to 1 copies nothing, beyond the last step everything.
            application_version: The version that shall run it; by default whichever comes first.
            queue_name: The queue to run it on; by default the internal one.
            queue_partition_key: The partition, if that queue has partitions.
            replacement_children: For children that the copied steps started: the id of whom to take instead.
            timeout_seconds: The timeout of the fork, from when it starts.

        Its id is that of the enclosing `SetWorkflowID`, or a new one. Raises DBOSNonExistentWorkflowError,
        DBOSConflictingWorkflowError if the id is taken, DBOSException for options that cannot be.
        """
        refuse_on_loop("DBOS.fork_workflow", waits=False)
        refuse_shard_key(shard_key)
        engine = launched.current_engine()
        forks = forking.fork(
            engine,
            workflow_id,
            start_step,
            application_version=application_version,
            queue_name=queue_name,
            queue_partition_key=queue_partition_key,
            replacement_children=replacement_children,
            timeout_seconds=timeout_seconds,
        )
        return WorkflowHandle(run_blocking(engine, forks)[0])

    @classmethod
    async def fork_workflow_async(
        cls,
        workflow_id: str,
        start_step: int,
        *,
        application_version: str | None = None,
        queue_name: str | None = None,
        queue_partition_key: str | None = None,
        replacement_children: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
        shard_key: str | None = None,
    ) -> WorkflowHandleAsync[Any]:
        """Run a workflow once more from one of its steps on; see `fork_workflow`."""
        refuse_shard_key(shard_key)
        engine = launched.current_engine()
        forks = forking.fork(
            engine,
            workflow_id,
            start_step,
            application_version=application_version,
            queue_name=queue_name,
            queue_partition_key=queue_partition_key,
            replacement_children=replacement_children,
            timeout_seconds=timeout_seconds,
        )
        return WorkflowHandleAsync((await run_async(engine, forks))[0])

    @classmethod
    def fork_from_failure(
        cls,
        workflow_ids: Sequence[str],
        *,
        application_version: str | None = None,
        queue_name: str | None = None,
        queue_partition_key: str | None = None,
        timeout_seconds: float | None = None,
    ) -> list[WorkflowHandle[Any]]:
        """Fork workflows at the step where each failed; all of them or none. See `fork_workflow`.

        If a step failed with what its child came to, the child is started anew. One that was cancelled or put aside
        goes on behind its last recorded step. Raises DBOSException for one that has not failed.
        """
        refuse_on_loop("DBOS.fork_from_failure", waits=False)
        engine = launched.current_engine()
        forks = forking.fork_from_failure(
            engine,
            workflow_ids,
            application_version=application_version,
            queue_name=queue_name,
            queue_partition_key=queue_partition_key,
            timeout_seconds=timeout_seconds,
        )
        return [WorkflowHandle(each) for each in run_blocking(engine, forks)]

    @classmethod
    async def fork_from_failure_async(
        cls,
        workflow_ids: Sequence[str],
        *,
        application_version: str | None = None,
        queue_name: str | None = None,
        queue_partition_key: str | None = None,
        timeout_seconds: float | None = None,
    ) -> list[WorkflowHandleAsync[Any]]:
        """Fork workflows at the step where each failed; see `fork_from_failure`."""
        engine = launched.current_engine()
        forks = forking.fork_from_failure(
            engine,
            workflow_ids,
            application_version=application_version,
            queue_name=queue_name,
            queue_partition_key=queue_partition_key,
            timeout_seconds=timeout_seconds,
        )
        return [WorkflowHandleAsync(each) for each in await run_async(engine, forks)]

    @classmethod
    def rewind_workflow(
        cls,
        workflow_id: str,
        *,
        start_step: int | None = None,
        application_version: str | None = None,
        queue_name: str | None = None,
        queue_partition_key: str | None = None,
        shard_key: str | None = None,
    ) -> WorkflowHandle[Any]:
        """Run a finished workflow again from one of its steps on, under its own id; what it came to is taken back.

        Args:
            workflow_id: A workflow that succeeded, failed, was cancelled or put aside.
            start_step: The first step that runs again; by default all do. What was recorded from it on is forgotten:
                steps, the events and streams that they wrote, and that their transactions happened. Messages they
                received can be received again. Messages they sent are sent once more; children are found again, with
                what they came to.
            application_version: The version that shall run it; by default the one it has.
            queue_name: The queue to run it on; by default the internal one.
            queue_partition_key: The partition, if that queue has partitions.

        Raises DBOSNonExistentWorkflowError, and DBOSException for a workflow that is not finished (cancel it first) and
        for options that cannot be.
        """
        refuse_on_loop("DBOS.rewind_workflow", waits=False)
        refuse_shard_key(shard_key)
        engine = launched.current_engine()
        rewound = rewinding.rewind(
            engine,
            workflow_id,
            start_step=start_step,
            application_version=application_version,
            queue_name=queue_name,
            queue_partition_key=queue_partition_key,
        )
        return WorkflowHandle(run_blocking(engine, rewound))

    @classmethod
    async def rewind_workflow_async(
        cls,
        workflow_id: str,
        *,
        start_step: int | None = None,
        application_version: str | None = None,
        queue_name: str | None = None,
        queue_partition_key: str | None = None,
        shard_key: str | None = None,
    ) -> WorkflowHandleAsync[Any]:
        """Run a finished workflow again from one of its steps on; see `rewind_workflow`."""
        refuse_shard_key(shard_key)
        engine = launched.current_engine()
        rewound = rewinding.rewind(
            engine,
            workflow_id,
            start_step=start_step,
            application_version=application_version,
            queue_name=queue_name,
            queue_partition_key=queue_partition_key,
        )
        return WorkflowHandleAsync(await run_async(engine, rewound))
