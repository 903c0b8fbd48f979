"""`Queue`: where workflows wait until their turn comes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypedDict, TypeVar, overload

from dbos.api.enqueueing import enqueue_function, enqueue_function_async
from dbos.api.handles import WorkflowHandle, WorkflowHandleAsync
from dbos.api.launched import current_registry
from dbos.model.queue import QueueSpec, RateLimit, require_unreserved

P = ParamSpec("P")
R = TypeVar("R")


class QueueRateLimit(TypedDict):
    """At most `limit` workflows start in any `period` of so many seconds, over all processes."""

    limit: int
    period: float


class Queue:
    """A queue, declared in code: it exists in every process that declares it, as it is declared there.

    Args:
        name: Unique in the process; names that begin with `_dbos_` are reserved.
        concurrency: How many of its workflows run at once, over all processes.
        limiter: How many start within a period, over all processes; see QueueRateLimit.
        worker_concurrency: How many run at once in one process.
        priority_enabled: Declares that workflows are enqueued with priorities.
        partition_queue: Every limit holds for each partition, and every workflow needs a partition key.
        polling_interval_sec: How often to look for workflows, should no notification come.
        global_concurrency: Another name for `concurrency`.
        partition_concurrency: How many of one partition run at once, over all processes.
        partition_worker_concurrency: How many of one partition run at once in one process.
        partition_limiter: How many of one partition start within a period.

    Raises ValueError for limits that cannot be, and an Exception for a second queue of the name.
    `DBOS.register_queue` makes queues that are kept in the database and can be changed while they are in use.
    """

    def __init__(
        self,
        name: str,
        concurrency: int | None = None,
        limiter: QueueRateLimit | None = None,
        *,
        worker_concurrency: int | None = None,
        priority_enabled: bool = False,
        partition_queue: bool = False,
        polling_interval_sec: float = 1.0,
        global_concurrency: int | None = None,
        partition_concurrency: int | None = None,
        partition_worker_concurrency: int | None = None,
        partition_limiter: QueueRateLimit | None = None,
    ) -> None:
        self.name = require_unreserved(name)
        self._spec = QueueSpec(
            name=name,
            concurrency=one_concurrency(concurrency, global_concurrency),
            worker_concurrency=worker_concurrency,
            limiter=rate_limit("limiter", limiter),
            partition_concurrency=partition_concurrency,
            partition_worker_concurrency=partition_worker_concurrency,
            partition_limiter=rate_limit("partition_limiter", partition_limiter),
            priority_enabled=priority_enabled,
            partition_queue=partition_queue,
            polling_interval_seconds=polling_interval_sec,
        )
        current_registry().add_queue(self._spec)

    @overload
    def enqueue(
        self, func: Callable[P, Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs
    ) -> WorkflowHandle[R]: ...
    @overload
    def enqueue(self, func: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> WorkflowHandle[R]: ...
    def enqueue(self, func: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> WorkflowHandle[Any]:
        """Enqueue a workflow; returns as soon as it is durable there. See `DBOS.enqueue_workflow`."""
        return enqueue_function(self.name, func, args, kwargs)

    @overload
    async def enqueue_async(
        self, func: Callable[P, Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs
    ) -> WorkflowHandleAsync[R]: ...
    @overload
    async def enqueue_async(
        self, func: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> WorkflowHandleAsync[R]: ...
    async def enqueue_async(
        self, func: Callable[P, Any], *args: P.args, **kwargs: P.kwargs
    ) -> WorkflowHandleAsync[Any]:
        """Enqueue a workflow; see `enqueue`."""
        return await enqueue_function_async(self.name, func, args, kwargs)

    def __repr__(self) -> str:
        return f"Queue({self.name!r})"


def one_concurrency(concurrency: int | None, global_concurrency: int | None) -> int | None:
    """The limit that has two names. Raises ValueError if they say different things."""
    if concurrency is not None and global_concurrency is not None and concurrency != global_concurrency:
        raise ValueError(
            f"concurrency and global_concurrency are two names of one limit: {concurrency} != {global_concurrency}"
        )
    return global_concurrency if concurrency is None else concurrency


def rate_limit(what: str, given: Any) -> RateLimit | None:
    """A rate limit as users write it. Raises ValueError for anything but a limit and a period."""
    if given is None:
        return None
    if not isinstance(given, dict) or set(given) != {"limit", "period"}:
        raise ValueError(f'{what} must look like {{"limit": 50, "period": 30}}, not {given!r}')
    return RateLimit(given["limit"], given["period"])
