"""Looking at workflows and steering them."""

from __future__ import annotations

from typing import Any

from dbos.api import listing
from dbos.api.handles import WorkflowHandle, WorkflowHandleAsync
from dbos.api.twins import awaitable, blocking
from dbos.runtime.operations import inspection, management


class ManagementCalls:
    """Status, listings, cancel, resume, delete, attributes."""

    get_workflow_status = staticmethod(blocking(inspection.get_workflow_status))
    get_workflow_status_async = staticmethod(awaitable(inspection.get_workflow_status))
    list_workflows = staticmethod(blocking(listing.list_workflows))
    list_workflows_async = staticmethod(awaitable(listing.list_workflows))
    list_workflow_steps = staticmethod(blocking(inspection.list_workflow_steps))
    list_workflow_steps_async = staticmethod(awaitable(inspection.list_workflow_steps))
    cancel_workflow = staticmethod(blocking(management.cancel_workflow))
    cancel_workflow_async = staticmethod(awaitable(management.cancel_workflow))
    cancel_workflows = staticmethod(blocking(management.cancel_workflows))
    cancel_workflows_async = staticmethod(awaitable(management.cancel_workflows))
    resume_workflow = staticmethod(blocking(management.resume_workflow, WorkflowHandle[Any].to))
    resume_workflow_async = staticmethod(awaitable(management.resume_workflow, WorkflowHandleAsync[Any].to))
    resume_workflows = staticmethod(blocking(management.resume_workflows, WorkflowHandle[Any].to_all))
    resume_workflows_async = staticmethod(awaitable(management.resume_workflows, WorkflowHandleAsync[Any].to_all))
    delete_workflow = staticmethod(blocking(management.delete_workflow))
    delete_workflow_async = staticmethod(awaitable(management.delete_workflow))
    delete_workflows = staticmethod(blocking(management.delete_workflows))
    delete_workflows_async = staticmethod(awaitable(management.delete_workflows))
    update_workflow_attributes = staticmethod(blocking(management.update_workflow_attributes))
    update_workflow_attributes_async = staticmethod(awaitable(management.update_workflow_attributes))
