"""`Queue`: where workflows wait until their turn comes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, overload

from dbos.api.enqueueing import enqueue_function, enqueue_function_async
from dbos.api.handles import WorkflowHandle, WorkflowHandleAsync
from dbos.api.launched import current_registry
from dbos.api.performers import Performer
from dbos.api.queue_settings import (
    AsyncGetter,
    AsyncSetter,
    QueueRateLimit,
    RateSetting,
    Setter,
    Setting,
    one_concurrency,
    rate_limit,
)
from dbos.model.queue import QueueSpec, require_unreserved

P = ParamSpec("P")
R = TypeVar("R")


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
    `DBOS.register_queue` makes queues that are kept in the database and can be changed while they are in use: their
    properties are read there each time, and `set_<property>` changes them.
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
        self._spec = spec_of(
            name,
            concurrency=one_concurrency(concurrency, global_concurrency),
            worker_concurrency=worker_concurrency,
            limiter=limiter,
            partition_concurrency=partition_concurrency,
            partition_worker_concurrency=partition_worker_concurrency,
            partition_limiter=partition_limiter,
            priority_enabled=priority_enabled,
            partition_queue=partition_queue,
            polling_interval_sec=polling_interval_sec,
        )
        self._keeper: Performer | None = None  # reads and changes its definition; None: it is kept here
        current_registry().add_queue(self._spec)

    @classmethod
    def _kept(cls, spec: QueueSpec, keeper: Performer) -> Queue:
        """A queue whose definition is kept in the database."""
        queue = cls.__new__(cls)
        queue._spec = spec
        queue._keeper = keeper
        return queue

    @property
    def name(self) -> str:
        """Its name."""
        return self._spec.name

    @property
    def application_name(self) -> str | None:
        """The application whose executors serve it; None: all."""
        return self._spec.application_name

    # ------------------------------------------------------------ settings

    concurrency = Setting[int | None]("concurrency")
    get_concurrency_async = AsyncGetter(concurrency)
    set_concurrency = Setter(concurrency)
    set_concurrency_async = AsyncSetter(concurrency)

    global_concurrency = Setting[int | None]("concurrency")
    get_global_concurrency_async = AsyncGetter(global_concurrency)
    set_global_concurrency = Setter(global_concurrency)
    set_global_concurrency_async = AsyncSetter(global_concurrency)

    worker_concurrency = Setting[int | None]("worker_concurrency")
    get_worker_concurrency_async = AsyncGetter(worker_concurrency)
    set_worker_concurrency = Setter(worker_concurrency)
    set_worker_concurrency_async = AsyncSetter(worker_concurrency)

    limiter = RateSetting("limiter")
    get_limiter_async = AsyncGetter(limiter)
    set_limiter = Setter(limiter)
    set_limiter_async = AsyncSetter(limiter)

    partition_concurrency = Setting[int | None]("partition_concurrency")
    get_partition_concurrency_async = AsyncGetter(partition_concurrency)
    set_partition_concurrency = Setter(partition_concurrency)
    set_partition_concurrency_async = AsyncSetter(partition_concurrency)

    partition_worker_concurrency = Setting[int | None]("partition_worker_concurrency")
    get_partition_worker_concurrency_async = AsyncGetter(partition_worker_concurrency)
    set_partition_worker_concurrency = Setter(partition_worker_concurrency)
    set_partition_worker_concurrency_async = AsyncSetter(partition_worker_concurrency)

    partition_limiter = RateSetting("partition_limiter")
    get_partition_limiter_async = AsyncGetter(partition_limiter)
    set_partition_limiter = Setter(partition_limiter)
    set_partition_limiter_async = AsyncSetter(partition_limiter)

    polling_interval_sec = Setting[float]("polling_interval_seconds")
    get_polling_interval_sec_async = AsyncGetter(polling_interval_sec)
    set_polling_interval_sec = Setter(polling_interval_sec)
    set_polling_interval_sec_async = AsyncSetter(polling_interval_sec)

    priority_enabled = Setting[bool]("priority_enabled")
    get_priority_enabled_async = AsyncGetter(priority_enabled)
    set_priority_enabled = Setter(priority_enabled)
    set_priority_enabled_async = AsyncSetter(priority_enabled)

    partition_queue = Setting[bool]("partition_queue")
    get_partition_queue_async = AsyncGetter(partition_queue)
    set_partition_queue = Setter(partition_queue)
    set_partition_queue_async = AsyncSetter(partition_queue)

    # ------------------------------------------------------------ use

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


def spec_of(
    name: str,
    *,
    concurrency: int | None,
    worker_concurrency: int | None,
    limiter: QueueRateLimit | None,
    partition_concurrency: int | None,
    partition_worker_concurrency: int | None,
    partition_limiter: QueueRateLimit | None,
    priority_enabled: bool,
    partition_queue: bool,
    polling_interval_sec: float,
    application_name: str | None = None,
) -> QueueSpec:
    """The definition of a queue of the user's. Raises ValueError for one that cannot be."""
    return QueueSpec(
        name=require_unreserved(name),
        concurrency=concurrency,
        worker_concurrency=worker_concurrency,
        limiter=rate_limit("limiter", limiter),
        partition_concurrency=partition_concurrency,
        partition_worker_concurrency=partition_worker_concurrency,
        partition_limiter=rate_limit("partition_limiter", partition_limiter),
        priority_enabled=priority_enabled,
        partition_queue=partition_queue,
        polling_interval_seconds=polling_interval_sec,
        application_name=application_name,
    )
