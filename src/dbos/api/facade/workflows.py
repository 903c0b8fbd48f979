"""Starting workflows, finding them again, and waiting for what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, overload

from dbos.api import handles, launched
from dbos.api.handles import WorkflowHandle, WorkflowHandleAsync
from dbos.api.scopes import refuse_shard_key
from dbos.api.twins import awaitable, blocking
from dbos.model.ids import validate_workflow_id
from dbos.runtime.interpreters import run_async, run_blocking
from dbos.runtime.operations import inspection, starting
from dbos.runtime.registry import resolve_call

P = ParamSpec("P")
R = TypeVar("R")


class WorkflowCalls:
    """Start, retrieve, wait."""

    @overload
    @classmethod
    def start_workflow(
        cls, func: Callable[P, Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs
    ) -> WorkflowHandle[R]: ...
    @overload
    @classmethod
    def start_workflow(cls, func: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> WorkflowHandle[R]: ...
    @classmethod
    def start_workflow(cls, func: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> WorkflowHandle[Any]:
        """Start a workflow in the background; returns as soon as its start is durable.

        Args:
            func: A workflow; a bare step runs as a workflow of that one step. Its arguments follow.

        Raises DBOSWorkflowFunctionNotFoundError for an undecorated function, DBOSConflictingWorkflowError if the id
        belongs to another function, DBOSSerializationError for arguments that cannot be stored.
        """
        target, rest = resolve_call(func, args)
        engine = launched.engine_of(target.function.registry)
        return WorkflowHandle.of(  # type: ignore[no-any-return]
            run_blocking(engine, starting.start_in_background(engine, target, rest, kwargs, on_callers_loop=False))
        )

    @overload
    @classmethod
    async def start_workflow_async(
        cls, func: Callable[P, Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs
    ) -> WorkflowHandleAsync[R]: ...
    @overload
    @classmethod
    async def start_workflow_async(
        cls, func: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> WorkflowHandleAsync[R]: ...
    @classmethod
    async def start_workflow_async(
        cls, func: Callable[P, Any], *args: P.args, **kwargs: P.kwargs
    ) -> WorkflowHandleAsync[Any]:
        """Start a workflow in the background: an async one on this event loop, a sync one on a thread.

        See `start_workflow`.
        """
        target, rest = resolve_call(func, args)
        engine = launched.engine_of(target.function.registry)
        return WorkflowHandleAsync.of(  # type: ignore[no-any-return]
            await run_async(engine, starting.start_in_background(engine, target, rest, kwargs, on_callers_loop=True))
        )

    @classmethod
    def retrieve_workflow(
        cls, workflow_id: str, existing_workflow: bool = True, *, shard_key: str | None = None
    ) -> WorkflowHandle[Any]:
        """The handle of a workflow.

        Args:
            workflow_id: Its id.
            existing_workflow: Must it exist? If not, `get_result` waits for it to be started.

        Raises DBOSNonExistentWorkflowError.
        """
        refuse_shard_key(shard_key)
        engine = launched.current_engine()
        if existing_workflow:
            run_blocking(engine, inspection.require_status(engine, workflow_id))
        return WorkflowHandle(validate_workflow_id(workflow_id), must_exist=existing_workflow)

    @classmethod
    async def retrieve_workflow_async(
        cls, workflow_id: str, existing_workflow: bool = True, *, shard_key: str | None = None
    ) -> WorkflowHandleAsync[Any]:
        """The handle of a workflow; see `retrieve_workflow`."""
        refuse_shard_key(shard_key)
        engine = launched.current_engine()
        if existing_workflow:
            await run_async(engine, inspection.require_status(engine, workflow_id))
        return WorkflowHandleAsync(validate_workflow_id(workflow_id), must_exist=existing_workflow)

    @classmethod
    def get_result(cls, workflow_id: str, *, polling_interval_sec: float = 1.0, shard_key: str | None = None) -> Any:
        """Wait for a workflow and return its result, or raise its error; see `WorkflowHandle.get_result`."""
        refuse_shard_key(shard_key)
        return WorkflowHandle[Any](validate_workflow_id(workflow_id)).get_result(
            polling_interval_sec=polling_interval_sec
        )

    @classmethod
    async def get_result_async(
        cls, workflow_id: str, *, polling_interval_sec: float = 1.0, shard_key: str | None = None
    ) -> Any:
        """Wait for a workflow and return its result, or raise its error; see `WorkflowHandle.get_result`."""
        refuse_shard_key(shard_key)
        return await WorkflowHandleAsync[Any](validate_workflow_id(workflow_id)).get_result(
            polling_interval_sec=polling_interval_sec
        )

    wait_first = staticmethod(blocking(handles.wait_first, waits=True))
    wait_first_async = staticmethod(awaitable(handles.wait_first))
