"""Running workflows once more from one of their steps on: as a fork, or in place."""

from __future__ import annotations

from typing import Any

from dbos.api import forking, rewinding
from dbos.api.handles import WorkflowHandle, WorkflowHandleAsync
from dbos.api.twins import awaitable, blocking


class ForkCalls:
    """Fork one at a step, or many where they failed; rewind one."""

    fork_workflow = staticmethod(blocking(forking.fork_workflow, WorkflowHandle[Any].to))
    fork_workflow_async = staticmethod(awaitable(forking.fork_workflow, WorkflowHandleAsync[Any].to))
    fork_from_failure = staticmethod(blocking(forking.fork_from_failure, WorkflowHandle[Any].to_all))
    fork_from_failure_async = staticmethod(awaitable(forking.fork_from_failure, WorkflowHandleAsync[Any].to_all))
    rewind_workflow = staticmethod(blocking(rewinding.rewind_workflow, WorkflowHandle[Any].to))
    rewind_workflow_async = staticmethod(awaitable(rewinding.rewind_workflow, WorkflowHandleAsync[Any].to))
