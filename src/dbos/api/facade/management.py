"""Looking at workflows and steering them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dbos.api import launched, listing
from dbos.api.handles import WorkflowHandle, WorkflowHandleAsync
from dbos.api.scopes import refuse_shard_key
from dbos.api.twins import awaitable, blocking
from dbos.runtime.interpreters import run_async, run_blocking
from dbos.runtime.operations import management


class ManagementCalls:
    """Status, listings, cancel, resume, delete, attributes."""

    get_workflow_status = staticmethod(blocking(management.get_workflow_status))
    get_workflow_status_async = staticmethod(awaitable(management.get_workflow_status))
    list_workflows = staticmethod(blocking(listing.list_workflows))
    list_workflows_async = staticmethod(awaitable(listing.list_workflows))
    list_workflow_steps = staticmethod(blocking(management.list_workflow_steps))
    list_workflow_steps_async = staticmethod(awaitable(management.list_workflow_steps))
    cancel_workflow = staticmethod(blocking(management.cancel_workflow))
    cancel_workflow_async = staticmethod(awaitable(management.cancel_workflow))
    cancel_workflows = staticmethod(blocking(management.cancel_workflows))
    cancel_workflows_async = staticmethod(awaitable(management.cancel_workflows))
    delete_workflow = staticmethod(blocking(management.delete_workflow))
    delete_workflow_async = staticmethod(awaitable(management.delete_workflow))
    delete_workflows = staticmethod(blocking(management.delete_workflows))
    delete_workflows_async = staticmethod(awaitable(management.delete_workflows))
    update_workflow_attributes = staticmethod(blocking(management.update_workflow_attributes))
    update_workflow_attributes_async = staticmethod(awaitable(management.update_workflow_attributes))

    @classmethod
    def resume_workflow(
        cls, workflow_id: str, *, queue_name: str | None = None, shard_key: str | None = None
    ) -> WorkflowHandle[Any]:
        """Run a workflow on from its last completed step.

        Args:
            workflow_id: A cancelled, failed, or put-aside workflow; one that waits in a queue jumps it. A failed one is
                reopened, and the steps that recorded its failure run again. A successful one is left as it is.
            queue_name: The queue to run it on; by default the internal one.

        Raises DBOSNonExistentWorkflowError, and DBOSException in the workflow itself.
        """
        return cls.resume_workflows([workflow_id], queue_name=queue_name, shard_key=shard_key)[0]

    @classmethod
    async def resume_workflow_async(
        cls, workflow_id: str, *, queue_name: str | None = None, shard_key: str | None = None
    ) -> WorkflowHandleAsync[Any]:
        """Run a workflow on from its last completed step; see `resume_workflow`."""
        return (await cls.resume_workflows_async([workflow_id], queue_name=queue_name, shard_key=shard_key))[0]

    @classmethod
    def resume_workflows(
        cls, workflow_ids: Sequence[str], *, queue_name: str | None = None, shard_key: str | None = None
    ) -> list[WorkflowHandle[Any]]:
        """Run several workflows on; none if one of them does not exist. See `resume_workflow`."""
        refuse_shard_key(shard_key)
        engine = launched.current_engine()
        run_blocking(engine, management.resume(engine, workflow_ids, queue_name))
        return [WorkflowHandle(workflow_id) for workflow_id in workflow_ids]

    @classmethod
    async def resume_workflows_async(
        cls, workflow_ids: Sequence[str], *, queue_name: str | None = None, shard_key: str | None = None
    ) -> list[WorkflowHandleAsync[Any]]:
        """Run several workflows on; none if one of them does not exist. See `resume_workflow`."""
        refuse_shard_key(shard_key)
        engine = launched.current_engine()
        await run_async(engine, management.resume(engine, workflow_ids, queue_name))
        return [WorkflowHandleAsync(workflow_id) for workflow_id in workflow_ids]
