"""Queues: kept in the database, enqueued on by name and by options, and what waits in them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, overload

from dbos.api import launched, listing, registration
from dbos.api.enqueue_options import EnqueueOptions
from dbos.api.enqueueing import enqueue_function, enqueue_function_async, enqueue_named
from dbos.api.handles import WorkflowHandle, WorkflowHandleAsync
from dbos.api.twins import awaitable, blocking
from dbos.runtime.interpreters import run_async, run_blocking
from dbos.runtime.operations import delays
from dbos.runtime.queues import require_queue_name

P = ParamSpec("P")
R = TypeVar("R")


class QueueCalls:
    """Register, enqueue, list, delay."""

    register_queue = staticmethod(blocking(registration.register_queue))
    register_queue_async = staticmethod(awaitable(registration.register_queue))
    retrieve_queue = staticmethod(blocking(registration.retrieve_queue))
    retrieve_queue_async = staticmethod(awaitable(registration.retrieve_queue))
    list_queues = staticmethod(blocking(registration.list_queues))
    list_queues_async = staticmethod(awaitable(registration.list_queues))
    delete_queue = staticmethod(blocking(registration.delete_queue))
    delete_queue_async = staticmethod(awaitable(registration.delete_queue))

    @overload
    @classmethod
    def enqueue_workflow(
        cls, queue_name: str, func: Callable[P, Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs
    ) -> WorkflowHandle[R]: ...
    @overload
    @classmethod
    def enqueue_workflow(
        cls, queue_name: str, func: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> WorkflowHandle[R]: ...
    @classmethod
    def enqueue_workflow(
        cls, queue_name: str, func: Callable[P, Any], *args: P.args, **kwargs: P.kwargs
    ) -> WorkflowHandle[Any]:
        """Enqueue a workflow on the queue of this name; returns as soon as it is durable there.

        Args:
            queue_name: The queue. If there is none of that name so far, the workflow waits for it.
            func: A workflow; a bare step runs as a workflow of that one step. Its arguments follow.

        Raises DBOSWorkflowFunctionNotFoundError for an undecorated function, DBOSConflictingWorkflowError if the id
        belongs to another function, DBOSQueueDeduplicatedError if an unfinished workflow of the queue holds the
        deduplication id, DBOSException for what the queue cannot do. See `SetEnqueueOptions`.
        """
        return enqueue_function(require_queue_name(queue_name), func, args, kwargs)

    @overload
    @classmethod
    async def enqueue_workflow_async(
        cls, queue_name: str, func: Callable[P, Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs
    ) -> WorkflowHandleAsync[R]: ...
    @overload
    @classmethod
    async def enqueue_workflow_async(
        cls, queue_name: str, func: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> WorkflowHandleAsync[R]: ...
    @classmethod
    async def enqueue_workflow_async(
        cls, queue_name: str, func: Callable[P, Any], *args: P.args, **kwargs: P.kwargs
    ) -> WorkflowHandleAsync[Any]:
        """Enqueue a workflow on the queue of this name; see `enqueue_workflow`."""
        return await enqueue_function_async(require_queue_name(queue_name), func, args, kwargs)

    @classmethod
    def enqueue_workflow_with_options(cls, options: EnqueueOptions, *args: Any, **kwargs: Any) -> WorkflowHandle[Any]:
        """Enqueue a workflow by its name, whether or not it is known in this process.

        Args:
            options: See EnqueueOptions. Without `app_version` the latest version of the application runs it.
            args: Its arguments.
            kwargs: Its keyword arguments.

        Raises DBOSMissingOptionError, which is a KeyError too, and otherwise what `enqueue_workflow` raises.
        """
        engine = launched.current_engine()
        return WorkflowHandle.of(run_blocking(engine, enqueue_named(engine, options, args, kwargs)))  # type: ignore[no-any-return]

    @classmethod
    async def enqueue_workflow_with_options_async(
        cls, options: EnqueueOptions, *args: Any, **kwargs: Any
    ) -> WorkflowHandleAsync[Any]:
        """Enqueue a workflow by its name; see `enqueue_workflow_with_options`."""
        engine = launched.current_engine()
        return WorkflowHandleAsync.of(await run_async(engine, enqueue_named(engine, options, args, kwargs)))  # type: ignore[no-any-return]

    list_queued_workflows = staticmethod(blocking(listing.list_queued_workflows))
    list_queued_workflows_async = staticmethod(awaitable(listing.list_queued_workflows))
    set_workflow_delay = staticmethod(blocking(delays.set_workflow_delay))
    set_workflow_delay_async = staticmethod(awaitable(delays.set_workflow_delay))
