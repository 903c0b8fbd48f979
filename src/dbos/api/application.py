"""`DBOS`: the lifecycle of the application in this process, and the name of every operation.

Long in words, short in code: an operation is defined once, in runtime.operations, and has its two faces here.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ParamSpec, TypeVar, overload

from dbos.api import decorators, launched, listing
from dbos.api.assembly import Running, launch, store_settings
from dbos.api.configuration import DBOSConfig, Settings, read_config
from dbos.api.handles import WorkflowHandle, WorkflowHandleAsync
from dbos.api.logger import configure_logger
from dbos.api.migration import run_dbos_database_migrations
from dbos.api.properties import class_property
from dbos.api.scopes import make_identity, refuse_shard_key
from dbos.api.twins import awaitable, blocking, refuse_on_loop
from dbos.error import DBOSException, DBOSInitializationError
from dbos.model.ids import validate_workflow_id
from dbos.runtime.context import (
    Identity,
    StepStatus,
    current_attempt,
    current_identity,
    current_step,
    enter_identity,
    require_workflow_body,
)
from dbos.runtime.interpreters import run_async, run_blocking
from dbos.runtime.operations import concurrency, management, starting
from dbos.runtime.operations.sleep import sleep as durable_sleep
from dbos.runtime.operations.steps import StepOptions, StepReservation, run_step, run_step_async
from dbos.runtime.outcomes import wait_first
from dbos.runtime.registry import resolve
from dbos.services.recovery import take_over
from dbos.store.store import Store

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger("dbos")


class DBOS:
    """The application in this process. There is one: constructing it again returns the same object.

    Args:
        config: See DBOSConfig; only `name` is required.

    Constructing validates the configuration and sets up logging, and does nothing else: `DBOS.launch()` connects.
    Raises DBOSInitializationError for a configuration that cannot work.
    """

    _instance: DBOS | None = None
    _lock = threading.RLock()  # guards _instance and launching and destroying it
    _settings: Settings
    _running: Running | None

    def __new__(
        cls,
        *,
        config: DBOSConfig | None = None,
        fastapi: Any = None,
        flask: Any = None,
        conductor_url: str | None = None,
        conductor_key: str | None = None,
    ) -> DBOS:
        if fastapi is not None or flask is not None:
            raise DBOSInitializationError("DBOS(fastapi=...) and DBOS(flask=...) are not available yet; leave them out")
        if config is None:
            raise DBOSInitializationError("DBOS needs a configuration: DBOS(config={'name': 'my-app'})")
        given = dict(config)
        for key, value in (("conductor_url", conductor_url), ("conductor_key", conductor_key)):
            if value is not None:
                given.setdefault(key, value)
        settings = read_config(given, os.environ)
        with cls._lock:
            if cls._instance is not None:
                if cls._instance._settings != settings:
                    logger.warning("DBOS exists already and keeps its configuration; call DBOS.destroy() to change it")
                return cls._instance
            configure_logger(settings.log_level, settings.console_log_level)
            _report_keys(settings)
            instance = super().__new__(cls)
            instance._settings = settings
            instance._running = None
            cls._instance = instance
            return instance

    # ------------------------------------------------------------ lifecycle

    @classmethod
    def launch(cls, *, debug_mode: bool = False) -> None:
        """Connect, create or migrate the system database, recover what was left unfinished, and start the services.

        A second launch does nothing. Raises DBOSException without an instance, and DBOSInitializationError if the
        system database cannot be reached, belongs to something else, or is newer than this library.
        """
        if debug_mode:
            logger.warning("launch(debug_mode=True) has no effect")
        with cls._lock:
            instance = cls._instance
            if instance is None:
                raise DBOSException("Construct DBOS(config=...) before DBOS.launch()")
            if instance._running is not None:
                logger.warning("DBOS is launched already")
                return
            logger.info("Initializing DBOS")
            registry = launched.current_registry()
            version = instance._settings.application_version or registry.fingerprint()
            instance._running = launch(instance._settings, registry, version, launched.new_instance_id())
            launched.set_engine(instance._running.engine)
            instance._running.start()
            logger.info("DBOS launched!")

    @classmethod
    def destroy(cls, *, workflow_completion_timeout_sec: float = 0, destroy_registry: bool = False) -> None:
        """Stop this application; harmless without one.

        Args:
            workflow_completion_timeout_sec: How many seconds running workflows get to finish. What does not finish
                stays PENDING and goes on after the next launch.
            destroy_registry: Forget every decorated function, class and instance, too.
        """
        with cls._lock:
            instance, cls._instance = cls._instance, None
            if instance is not None and instance._running is not None:
                try:
                    instance._running.stop(workflow_completion_timeout_sec)
                finally:
                    instance._running = None
                    launched.set_engine(None)
            if destroy_registry:
                launched.forget_registry()

    @classmethod
    def reset_system_database(
        cls, *, system_database_url: str | None = None, schema: str | None = None, truncate: bool = False
    ) -> None:
        """Drop the system database and all it holds. For tests.

        Args:
            system_database_url: Which one; by default that of the constructed application.
            schema: Its schema, for `truncate`; by default the configured one.
            truncate: Empty the tables instead, and keep them.

        Raises AssertionError after launch, and DBOSException if nothing says which database is meant.
        """
        instance = cls._instance
        if instance is not None and instance._running is not None:
            raise AssertionError("The system database cannot be reset after DBOS.launch(); call DBOS.destroy() first")
        if system_database_url is not None:
            config: DBOSConfig = {"name": "reset", "system_database_url": system_database_url}
            if schema is not None:
                config["dbos_system_schema"] = schema
            settings = read_config(config, {})
        elif instance is not None:
            settings = instance._settings
        else:
            raise DBOSException("Nothing says which system database to reset: pass system_database_url")
        if truncate:
            Store.truncate(store_settings(settings))
        else:
            Store.drop(store_settings(settings))

    @classmethod
    def listen_queues(cls, queues: Sequence[Any]) -> None:
        """Dequeue only from these queues in this process; the internal queue is always served.

        Raises DBOSException before construction and after launch.
        """
        if cls._instance is None:
            raise DBOSException("Construct DBOS(config=...) before DBOS.listen_queues()")
        if cls._instance._running is not None:
            raise DBOSException("DBOS.listen_queues() must be called before DBOS.launch()")
        launched.current_registry().listened_queues = tuple(getattr(each, "name", each) for each in queues)

    @classmethod
    def alert_handler(
        cls, func: Callable[[str, str, dict[str, str]], None]
    ) -> Callable[[str, str, dict[str, str]], None]:
        """Register the function that is told of alerts: `(rule_type, message, metadata)`. One for the application.

        Raises DBOSException for a second one, and after launch.
        """
        registry = launched.current_registry()
        if registry.alert_handler is not None:
            raise DBOSException("An alert handler is registered already")
        if cls._instance is not None and cls._instance._running is not None:
            raise DBOSException("The alert handler must be registered before DBOS.launch()")
        registry.alert_handler = func
        return func

    @classmethod
    def register_instance(cls, inst: Any) -> None:
        """Register a configured instance whose class does not derive from DBOSConfiguredInstance."""
        launched.current_registry().add_instance(inst, inst.config_name)

    @classmethod
    def _recover_pending_workflows(cls, executor_ids: Sequence[str] = ("local",)) -> list[WorkflowHandle[Any]]:
        """Take over the unfinished workflows of these executors at once, live lease or not."""
        return [WorkflowHandle(each) for each in take_over(launched.current_engine(), list(executor_ids))]

    @staticmethod
    def migrate(
        system_database_url: str, *, schema: str = "dbos", application_role: str | None = None, sharding: bool = False
    ) -> None:
        """Create or migrate a system database; see `run_dbos_database_migrations`."""
        run_dbos_database_migrations(
            system_database_url, schema=schema, application_role=application_role, sharding=sharding
        )

    # ------------------------------------------------------------ decorators

    workflow = staticmethod(decorators.workflow)
    step = staticmethod(decorators.step)
    dbos_class = staticmethod(decorators.dbos_class)

    # ------------------------------------------------------------ starting and waiting

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
        target = resolve(func)
        engine = launched.engine_of(target.function.registry)
        return WorkflowHandle.of(  # type: ignore[no-any-return]
            run_blocking(engine, starting.start_in_background(engine, target, args, kwargs, on_callers_loop=False))
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
        target = resolve(func)
        engine = launched.engine_of(target.function.registry)
        return WorkflowHandleAsync.of(  # type: ignore[no-any-return]
            await run_async(engine, starting.start_in_background(engine, target, args, kwargs, on_callers_loop=True))
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
            run_blocking(engine, management.require_status(engine, workflow_id))
        return WorkflowHandle(validate_workflow_id(workflow_id), must_exist=existing_workflow)

    @classmethod
    async def retrieve_workflow_async(
        cls, workflow_id: str, existing_workflow: bool = True, *, shard_key: str | None = None
    ) -> WorkflowHandleAsync[Any]:
        """The handle of a workflow; see `retrieve_workflow`."""
        refuse_shard_key(shard_key)
        engine = launched.current_engine()
        if existing_workflow:
            await run_async(engine, management.require_status(engine, workflow_id))
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

    @classmethod
    def wait_first(
        cls, handles: Sequence[WorkflowHandle[R]], *, polling_interval_sec: float = 1.0
    ) -> WorkflowHandle[R]:
        """Wait until one of the workflows has ended and return its handle, the earliest in the list if several have.

        Raises ValueError for an empty list.
        """
        refuse_on_loop("DBOS.wait_first", waits=True)
        engine = launched.current_engine()
        winner = run_blocking(engine, wait_first(engine, [h.workflow_id for h in handles], polling_interval_sec))
        return next(handle for handle in handles if handle.workflow_id == winner)

    @classmethod
    async def wait_first_async(
        cls, handles: Sequence[WorkflowHandleAsync[R]], *, polling_interval_sec: float = 1.0
    ) -> WorkflowHandleAsync[R]:
        """Wait until one of the workflows has ended and return its handle; see `wait_first`."""
        engine = launched.current_engine()
        wanted = [handle.workflow_id for handle in handles]
        winner = await run_async(engine, wait_first(engine, wanted, polling_interval_sec))
        return next(handle for handle in handles if handle.workflow_id == winner)

    # ------------------------------------------------------------ steps

    @classmethod
    def run_step(
        cls, dbos_step_options: StepOptions | None, func: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run any function as a step of this workflow; outside a workflow, and inside a step, it is a plain call.

        Args:
            dbos_step_options: See StepOptions; None for the defaults. The step is named as the function is by default.
            func: The function; its arguments follow.
        """
        return run_step(dbos_step_options, func, *args, **kwargs)  # type: ignore[no-any-return]

    @overload
    @classmethod
    async def run_step_async(
        cls,
        dbos_step_options: StepOptions | None,
        func: Callable[P, Coroutine[Any, Any, R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R: ...
    @overload
    @classmethod
    async def run_step_async(
        cls, dbos_step_options: StepOptions | None, func: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R: ...
    @classmethod
    async def run_step_async(
        cls, dbos_step_options: StepOptions | None, func: Callable[P, Any], *args: P.args, **kwargs: P.kwargs
    ) -> Any:
        """Run any function, sync or async, as a step of this workflow; see `run_step`."""
        return await run_step_async(dbos_step_options, func, *args, **kwargs)

    @classmethod
    def reserve_step(cls) -> StepReservation:
        """Draw a step number now for a step that runs later. Raises DBOSException outside a workflow body."""
        return StepReservation(require_workflow_body("DBOS.reserve_step"))

    sleep = staticmethod(blocking(durable_sleep, waits=True))
    sleep_async = staticmethod(awaitable(durable_sleep))
    asyncio_wait = staticmethod(concurrency.asyncio_wait)

    # ------------------------------------------------------------ management

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

        Raises DBOSNonExistentWorkflowError.
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

    # ------------------------------------------------------------ who and where am I

    logger = logger
    debug_mode = False

    @classmethod
    def set_authentication(cls, authenticated_user: str | None, authenticated_roles: Sequence[str] | None) -> None:
        """From here on this context runs on behalf of that user."""
        enter_identity(make_identity(authenticated_user, authenticated_roles))

    @class_property
    def workflow_id() -> str | None:
        """The id of the workflow this code runs in; None outside one."""
        attempt = current_attempt()
        return None if attempt is None else attempt.workflow_id

    @class_property
    def step_id() -> int | None:
        """The number of the step this code runs in; None outside one."""
        step = current_step()
        return None if step is None else step.step_id

    @class_property
    def step_status() -> StepStatus | None:
        """The step this code runs in and its attempt; None outside one."""
        return current_step()

    @class_property
    def authenticated_user() -> str | None:
        """The user on whose behalf this code runs."""
        return current_identity().user

    @class_property
    def authenticated_roles() -> list[str] | None:
        """The roles of that user."""
        identity: Identity = current_identity()
        return None if identity.roles is None else list(identity.roles)

    @class_property
    def assumed_role() -> str | None:
        """The role that let the user in."""
        return current_identity().assumed_role

    @class_property
    def executor_id() -> str:
        """The configured id of this executor."""
        engine = launched.launched_engine()
        instance = DBOS._instance
        if engine is not None:
            return engine.owner.executor_id
        return "local" if instance is None else instance._settings.executor_id

    @class_property
    def application_version() -> str:
        """The version of this application; "" before launch."""
        engine = launched.launched_engine()
        return "" if engine is None else engine.owner.application_version

    @class_property
    def span() -> Any:
        """The current OpenTelemetry span; None if there is none, or OpenTelemetry is not in use."""
        trace = sys.modules.get("opentelemetry.trace")
        span = None if trace is None else trace.get_current_span()
        return span if span is not None and span.get_span_context().is_valid else None

    @class_property
    def tracer() -> Any:
        """A tracer of the application's OpenTelemetry provider; None if OpenTelemetry is not in use."""
        trace = sys.modules.get("opentelemetry.trace")
        return None if trace is None else trace.get_tracer("dbos")

    @class_property
    def shard_key() -> str | None:
        """Always None: the system database is not sharded."""
        return None


def _forget_in_forked_child() -> None:
    """A forked child has launched nothing yet; the lock may have been held by a thread that it does not have."""
    DBOS._lock = threading.RLock()
    if DBOS._instance is not None:
        DBOS._instance._running = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_forked_child)


def _report_keys(settings: Settings) -> None:
    if settings.dormant_keys:
        logger.info("These configuration keys have no effect yet: %s", ", ".join(settings.dormant_keys))
    ignored = sorted(set(settings.db_engine_kwargs) - {"connect_args", "pool_size"})
    if ignored:
        logger.warning("Of db_engine_kwargs only connect_args and pool_size have an effect, not %s", ", ".join(ignored))
    if settings.unknown_keys:
        logger.warning("Unknown configuration keys are ignored: %s", ", ".join(settings.unknown_keys))
