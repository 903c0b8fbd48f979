"""`Debouncer` and `DebouncerClient`: start a workflow when its input has stopped arriving."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from dbos.api.client import DBOSClient
from dbos.api.enqueue_options import EnqueueOptions, read_queueless
from dbos.api.handles import WorkflowHandle, WorkflowHandleAsync
from dbos.api.launched import current_engine, engine_of
from dbos.api.queue import Queue
from dbos.api.twins import refuse_on_loop
from dbos.error import DBOSException
from dbos.model.seconds import LONGEST_SECONDS, is_seconds
from dbos.model.workflow import INTERNAL_QUEUE
from dbos.runtime.admission import Started
from dbos.runtime.engine import Engine
from dbos.runtime.interpreters import run_async, run_blocking
from dbos.runtime.operation import Operation
from dbos.runtime.operations.debouncing import Debounced, debounce
from dbos.runtime.queues import require_queue_name
from dbos.runtime.registry import Names, Target, resolve

P = ParamSpec("P")
R = TypeVar("R")
Q = ParamSpec("Q")  # of `create`, where P and R are not known yet, and pyright would make them Unknown
S = TypeVar("S")


class Debouncer(Generic[P, R]):
    """Starts a workflow once its input has stopped arriving, with the last input.

    Args:
        workflow_name: The registered name of the workflow. `Debouncer.create` takes the function itself, which is
            checked and typed.
        debounce_timeout_sec: The longest time from the first call to the start; by default there is none.
        queue: The queue that the workflow runs on, or its name; by default it runs without limits.
        application_name: The application that runs it; by default this one.

    The first call for a key makes the workflow durable; until it starts, every further call replaces its arguments,
    postpones it to `debounce_period_sec` from now, and returns a handle of the same workflow. The next call after the
    start begins anew. `SetWorkflowID`, `SetWorkflowTimeout`, `SetEnqueueOptions` and the identity around the first
    call hold for the workflow.

    Raises ValueError for an impossible timeout, and DBOSException for names that cannot be.
    """

    def __init__(
        self,
        workflow_name: str,
        *,
        debounce_timeout_sec: float | None = None,
        queue: Queue | str | None = None,
        application_name: str | None = None,
    ) -> None:
        options = cast(EnqueueOptions, {"workflow_name": workflow_name, "application_name": application_name})
        names, _ = read_queueless(options)
        self._debounced = _debounced(names, debounce_timeout_sec, queue)

    @overload
    @classmethod
    def create(
        cls,
        workflow: Callable[Q, Coroutine[Any, Any, S]],
        *,
        debounce_timeout_sec: float | None = None,
        queue: Queue | str | None = None,
        application_name: str | None = None,
    ) -> Debouncer[Q, S]: ...
    @overload
    @classmethod
    def create(
        cls,
        workflow: Callable[Q, S],
        *,
        debounce_timeout_sec: float | None = None,
        queue: Queue | str | None = None,
        application_name: str | None = None,
    ) -> Debouncer[Q, S]: ...
    @classmethod
    def create(
        cls,
        workflow: Callable[Q, Any],
        *,
        debounce_timeout_sec: float | None = None,
        queue: Queue | str | None = None,
        application_name: str | None = None,
    ) -> Debouncer[Q, Any]:
        """A debouncer of a decorated function. See `Debouncer`.

        Raises DBOSWorkflowFunctionNotFoundError for an undecorated function, ValueError for an impossible timeout.
        """
        target = resolve(workflow)
        kind = cast("type[Debouncer[Q, Any]]", cls)
        debouncer = kind(
            target.names.workflow,
            debounce_timeout_sec=debounce_timeout_sec,
            queue=queue,
            application_name=application_name,
        )
        callee = target if application_name is None else target.names._replace(application=application_name)
        debouncer._debounced = debouncer._debounced._replace(callee=callee)
        return debouncer

    @classmethod
    def create_async(
        cls,
        workflow: Callable[Q, Coroutine[Any, Any, S]],
        *,
        debounce_timeout_sec: float | None = None,
        queue: Queue | str | None = None,
        application_name: str | None = None,
    ) -> Debouncer[Q, S]:
        """A debouncer of an async workflow; see `create`. It is not awaited."""
        return cls.create(
            workflow, debounce_timeout_sec=debounce_timeout_sec, queue=queue, application_name=application_name
        )

    def debounce(
        self, debounce_key: str, debounce_period_sec: float, *args: P.args, **kwargs: P.kwargs
    ) -> WorkflowHandle[R]:
        """Start the workflow of this key in `debounce_period_sec` seconds, unless another call comes before.

        Args:
            debounce_key: What belongs together, such as the id of a user.
            debounce_period_sec: How long the input has to pause before the workflow starts.
            args: The arguments of the workflow, if no later call replaces them.
            kwargs: Its keyword arguments.

        Returns the handle of the workflow that has these arguments. Raises ValueError for an empty key or an impossible
        period, DBOSQueueDeduplicatedError if something else holds the deduplication id `<workflow name>-<key>`,
        DBOSException before launch, and DBOSSerializationError for arguments that cannot be stored.
        """
        refuse_on_loop("Debouncer.debounce", waits=False)
        engine = self._engine()
        operation = self._operation(engine, debounce_key, debounce_period_sec, args, kwargs)
        return WorkflowHandle.of(run_blocking(engine, operation))  # type: ignore[no-any-return]

    async def debounce_async(
        self, debounce_key: str, debounce_period_sec: float, *args: P.args, **kwargs: P.kwargs
    ) -> WorkflowHandleAsync[R]:
        """Start the workflow of this key when its input pauses; see `debounce`."""
        engine = self._engine()
        operation = self._operation(engine, debounce_key, debounce_period_sec, args, kwargs)
        return WorkflowHandleAsync.of(await run_async(engine, operation))  # type: ignore[no-any-return]

    def _engine(self) -> Engine:
        callee = self._debounced.callee
        return engine_of(callee.function.registry) if isinstance(callee, Target) else current_engine()

    def _operation(
        self, engine: Engine, key: str, period_seconds: float, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Operation[Started]:
        require_call(key, period_seconds)
        return debounce(engine, self._debounced, key, period_seconds, args, kwargs)


class DebouncerClient:
    """The same for programs that run no workflows themselves.

    Args:
        client: The client to call through.
        workflow_options: What to start and how; see EnqueueOptions. `queue_name` may be left out.
        debounce_timeout_sec: The longest time from the first call to the start; by default there is none.
        queue: The queue that the workflow runs on, or its name; by default that of the options, if they name one.
        application_name: The application that runs it; by default that of the options, or of the client.

    Raises ValueError for an impossible timeout, DBOSMissingOptionError without `workflow_name`, and DBOSException for
    options that cannot be.
    """

    def __init__(
        self,
        client: DBOSClient,
        workflow_options: EnqueueOptions,
        *,
        debounce_timeout_sec: float | None = None,
        queue: Queue | str | None = None,
        application_name: str | None = None,
    ) -> None:
        options = cast(EnqueueOptions, dict(workflow_options))
        if application_name is not None:
            options["application_name"] = application_name
        names, _ = read_queueless(options)
        self._client = client
        self._options = options
        self._debounced = _debounced(names, debounce_timeout_sec, queue or options.get("queue_name"))

    def debounce(self, debounce_key: str, debounce_period_sec: float, *args: Any, **kwargs: Any) -> WorkflowHandle[Any]:
        """Start the workflow of this key when its input pauses; see `Debouncer.debounce`."""
        refuse_on_loop("DebouncerClient.debounce", waits=False)
        connection = self._client._connection
        started = connection.perform(
            lambda engine: self._operation(engine, debounce_key, debounce_period_sec, args, kwargs)
        )
        return WorkflowHandle.of(started, connection)  # type: ignore[no-any-return]

    async def debounce_async(
        self, debounce_key: str, debounce_period_sec: float, *args: Any, **kwargs: Any
    ) -> WorkflowHandleAsync[Any]:
        """Start the workflow of this key when its input pauses; see `Debouncer.debounce`."""
        connection = self._client._connection
        started = await connection.perform_async(
            lambda engine: self._operation(engine, debounce_key, debounce_period_sec, args, kwargs)
        )
        return WorkflowHandleAsync.of(started, connection)  # type: ignore[no-any-return]

    def _operation(
        self, engine: Engine, key: str, period_seconds: float, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Operation[Started]:
        require_call(key, period_seconds)
        _, asked = read_queueless(self._options)  # anew: an id among them is given away once per call
        return debounce(engine, self._debounced, key, period_seconds, args, kwargs, asked)


def _debounced(callee: Target | Names, timeout_seconds: float | None, queue: Queue | str | None) -> Debounced:
    if timeout_seconds is not None:
        _require_seconds("debounce_timeout_sec", timeout_seconds)
    name = queue.name if isinstance(queue, Queue) else queue
    if name is not None and not isinstance(name, str):
        raise DBOSException(f"The queue of a debouncer must be a Queue or its name, not {name!r}")
    queue_name = INTERNAL_QUEUE if name is None else require_queue_name(name)
    return Debounced(callee, queue_name, timeout_seconds)


def require_call(key: object, period_seconds: object) -> None:
    """Raises ValueError for a key that names nothing, and a period that cannot be waited for."""
    if not isinstance(key, str) or not key:
        raise ValueError(f"debounce_key must be a non-empty string, not {key!r}")
    _require_seconds("debounce_period_sec", period_seconds)


def _require_seconds(what: str, seconds: object) -> None:
    if not is_seconds(seconds):
        raise ValueError(f"{what} must be a number of seconds from 0 to {LONGEST_SECONDS}, not {seconds!r}")
