"""`DBOS`: the lifecycle of the application in this process, under one name with all that it can do.

The operations stand in `facade`, one noun per module; here is what makes an application start and end.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from dbos.api import decorators, kafka, launched, roles
from dbos.api.assembly import Running, launch, store_settings
from dbos.api.configuration import DBOSConfig, Settings, read_config
from dbos.api.facade.context import ContextVariables
from dbos.api.facade.events import EventCalls
from dbos.api.facade.forks import ForkCalls
from dbos.api.facade.management import ManagementCalls
from dbos.api.facade.messages import MessageCalls
from dbos.api.facade.patches import PatchCalls
from dbos.api.facade.queues import QueueCalls
from dbos.api.facade.retention import RetentionCalls
from dbos.api.facade.schedules import ScheduleCalls
from dbos.api.facade.steps import StepCalls
from dbos.api.facade.streams import StreamCalls
from dbos.api.facade.transfer import TransferCalls
from dbos.api.facade.versions import VersionCalls
from dbos.api.facade.workflows import WorkflowCalls
from dbos.api.handles import WorkflowHandle
from dbos.api.logger import configure_logger
from dbos.api.migration import run_dbos_database_migrations
from dbos.api.properties import class_property
from dbos.api.queue import Queue
from dbos.api.twins import as_one
from dbos.error import DBOSException, DBOSInitializationError
from dbos.runtime.queues import require_queue_name
from dbos.services.recovery import take_over
from dbos.store.store import Store

if TYPE_CHECKING:
    from fastapi import FastAPI
    from flask import Flask

logger = logging.getLogger("dbos")


@as_one
class DBOS(
    WorkflowCalls,
    StepCalls,
    MessageCalls,
    EventCalls,
    StreamCalls,
    QueueCalls,
    ScheduleCalls,
    ManagementCalls,
    ForkCalls,
    VersionCalls,
    PatchCalls,
    RetentionCalls,
    TransferCalls,
    ContextVariables,
):
    """The application in this process. There is one: constructing it again returns the same object.

    Args:
        config: See DBOSConfig; only `name` is required.
        fastapi: A FastAPI application: it launches when that starts, and is destroyed when that ends.
        flask: A Flask application; launching it is left to you.

    A request to either may name the workflow that it starts, by the header `dbos-idempotency-key`.

    Constructing validates the configuration and sets up logging, and does nothing else: `DBOS.launch()` connects.
    Raises DBOSInitializationError for a configuration that cannot work.
    """

    _instance: DBOS | None = None
    _lock = threading.RLock()  # guards _instance, and launching and destroying it
    _unretired: ClassVar[set[str]] = set()  # launches that are over, and could not tell the database
    _settings: Settings
    _running: Running | None

    def __new__(
        cls,
        *,
        config: DBOSConfig | None = None,
        fastapi: FastAPI | None = None,
        flask: Flask | None = None,
        conductor_url: str | None = None,
        conductor_key: str | None = None,
    ) -> DBOS:
        if config is None:
            raise DBOSInitializationError("DBOS needs a configuration: DBOS(config={'name': 'my-app'})")
        if not isinstance(config, Mapping):
            raise DBOSInitializationError(
                f"the configuration must be a dict such as {{'name': 'my-app'}}, not {type(config).__name__}"
            )
        given = dict(config)
        for key, value in (("conductor_url", conductor_url), ("conductor_key", conductor_key)):
            if value is not None:
                given.setdefault(key, value)
        settings = read_config(given, os.environ)
        with cls._lock:
            if cls._instance is not None:
                if cls._instance._settings != settings:
                    logger.warning("DBOS exists already and keeps its configuration; call DBOS.destroy() to change it")
                cls._attach(cast(DBOSConfig, given), fastapi, flask)
                return cls._instance
            cls._attach(cast(DBOSConfig, given), fastapi, flask)
            configure_logger(settings.log_level, settings.console_log_level)
            _report_keys(settings)
            instance = super().__new__(cls)
            instance._settings = settings
            instance._running = None
            cls._instance = instance
            return instance

    @classmethod
    def _attach(cls, config: DBOSConfig, fastapi: FastAPI | None, flask: Flask | None) -> None:
        """Serve these web applications. Raises DBOSInitializationError for what is none, or serves already."""
        if fastapi is not None:
            from dbos.api.web.fastapi import attach as attach_fastapi

            def start() -> None:
                with cls._lock:
                    if cls._instance is None:  # the application ended, and starts again
                        cls(config=config)
                    if cls._instance is None or cls._instance._running is None:
                        cls.launch()

            attach_fastapi(fastapi, start, cls.destroy)
        if flask is not None:
            from dbos.api.web.flask import attach as attach_flask

            attach_flask(flask)

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
            instance._running.recovery.known_dead = tuple(cls._unretired)
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
                launch_id = instance._running.engine.owner.instance
                cls._unretired.add(launch_id)
                try:
                    if instance._running.stop(workflow_completion_timeout_sec):
                        cls._unretired.discard(launch_id)
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
    def listen_queues(cls, queues: Sequence[Queue | str]) -> None:
        """Dequeue only from these queues in this process; the internal queue is always served.

        Args:
            queues: Queues or names of queues, whether or not they exist yet.

        Raises DBOSException before construction, after launch, and for anything else.
        """
        if cls._instance is None:
            raise DBOSException("Construct DBOS(config=...) before DBOS.listen_queues()")
        if cls._instance._running is not None:
            raise DBOSException("DBOS.listen_queues() must be called before DBOS.launch()")
        if isinstance(queues, (str, Queue)):
            raise DBOSException("DBOS.listen_queues() takes a list of queues")
        names = tuple(each.name if isinstance(each, Queue) else require_queue_name(each) for each in queues)
        launched.current_registry().listened_queues = names

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
    transaction = staticmethod(decorators.transaction)
    dbos_class = staticmethod(decorators.dbos_class)
    kafka_consumer = staticmethod(kafka.kafka_consumer)
    required_roles = staticmethod(roles.required_roles)
    default_required_roles = staticmethod(roles.default_required_roles)

    @class_property
    def executor_id() -> str:
        """The configured id of this executor."""
        engine = launched.launched_engine()
        instance = DBOS._instance
        if engine is not None:
            return engine.owner.executor_id
        return "local" if instance is None else instance._settings.executor_id


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
