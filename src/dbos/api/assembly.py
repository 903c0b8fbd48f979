"""The composition root: from settings to a running engine with its services, or to a client's, and back to nothing."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from dbos.api.configuration import Settings
from dbos.api.telemetry import Telemetry, open_telemetry, with_metrics
from dbos.fields import NamedTuple
from dbos.model.database_url import dialect_of
from dbos.model.kafka import kafka_queues
from dbos.model.serialization import Serialization, Serializer
from dbos.overdue import cut_short
from dbos.runtime.engine import Engine
from dbos.runtime.executor import Executor
from dbos.runtime.gauges import Gauges
from dbos.runtime.registry import Registry
from dbos.services.deadlines import Deadlines
from dbos.services.dispatcher import Dispatcher
from dbos.services.forgetting import Forgetting
from dbos.services.kafka import KafkaConsumer, connect_consumers
from dbos.services.listener import Listener
from dbos.services.lookout import Lookout
from dbos.services.recovery import Recovery
from dbos.services.retention import Retention
from dbos.services.scheduler import Scheduler
from dbos.services.service import Service
from dbos.store.database import StoreSettings
from dbos.store.executors import Owner
from dbos.store.store import Store

if TYPE_CHECKING:
    from dbos.admin.server import AdminServer
    from dbos.userdata.database import UserDatabase

logger = logging.getLogger("dbos")

CLIENT_POLLING_SECONDS = 1.0  # as applications do by default
FAREWELL_SECONDS = 2.0  # for the last round of every service and the end of our lease; usually a few milliseconds


class Running(NamedTuple):
    """What `launch` made and `destroy` takes down."""

    engine: Executor
    telemetry: Telemetry
    services: tuple[Service, ...]
    recovery: Recovery
    dispatcher: Dispatcher
    scheduler: Scheduler
    consumers: tuple[KafkaConsumer, ...]
    admin_server: AdminServer | None = None

    def start(self) -> None:
        """Start the services."""
        for service in self.services:
            service.start()
        if self.admin_server is not None:
            self.admin_server.start()

    def deactivate(self) -> None:
        """Take on nothing more: no queues, schedules, Kafka messages or workflows of the dead. What runs goes on."""
        for intake in (*self.consumers, self.scheduler):
            intake.dismiss()
        self.dispatcher.dismiss()
        self.recovery.stop_adopting()

    def stop(self, completion_timeout_seconds: float) -> bool:
        """Take on nothing more; give running workflows that long to finish; then let go of everything.

        That takes a bounded time even if the database is away: closing the engine ends every wait for it. Does the
        database know of the end?
        """
        self.deactivate()
        if completion_timeout_seconds > 0:
            self.engine.wait_until_idle(completion_timeout_seconds)
        if self.admin_server is not None:
            self.admin_server.stop()
        try:
            with cut_short(FAREWELL_SECONDS, self.engine.close, "dbos-farewell"):
                for service in self.services:
                    service.dismiss()
                for service in self.services:
                    service.stop()
                self.recovery.retire()
            return True
        except Exception:
            logger.warning("This executor could not say goodbye; its lease ends by itself", exc_info=True)
            return False
        finally:
            if not self.engine.closed:
                self.engine.close()
            self.telemetry.stop()


class Connected(NamedTuple):
    """What a client holds: an engine that runs nothing, and what wakes those who wait on it."""

    engine: Engine
    listener: Listener

    def stop(self) -> None:
        """Let go of everything, within a bounded time even if the database is away."""
        self.listener.dismiss()
        self.engine.close()
        self.listener.stop()


def store_settings(settings: Settings) -> StoreSettings:
    """What the store needs to know."""
    return StoreSettings(
        url=settings.system_database_url,
        schema=settings.dbos_system_schema,
        pool_size=settings.db_engine_kwargs.get("pool_size", settings.sys_db_pool_size),
        engine=settings.system_database_engine,
        connect_args=settings.db_engine_kwargs.get("connect_args", {}),
        idle_transaction_timeout_seconds=settings.sys_db_idle_transaction_timeout_sec,
        query_timeout_seconds=settings.observability_query_timeout_sec,
        run_migrations=settings.run_migrations,
        use_listen_notify=settings.use_listen_notify,
        coalesce_seconds=settings.notification_coalesce_sec,
        application_name=settings.name,
    )


def launch(settings: Settings, registry: Registry, version: str, instance: str) -> Running:
    """Open the store, register this executor, and make ready what keeps it going."""
    store = Store.open(store_settings(settings))
    telemetry = Telemetry()
    try:
        telemetry = open_telemetry(settings, version)
        owner = Owner(instance, settings.executor_id, settings.name, version)
        codec = Serialization(
            settings.serializer,
            allow_pickle=settings.allow_pickle,
            max_bytes=settings.max_value_bytes,
            on_large=_warn_of_large_value,
        )
        engine = Executor(
            store,
            codec,
            registry,
            owner,
            settings.application_id,
            settings.max_executor_threads,
            partial(open_user_database, settings),
            telemetry.tracing,
        )
        if any(function.transaction is not None for function in registry.steps.values()):
            engine.user_database()  # what is wrong with it is better known at once
        gauges = Gauges(engine)
        telemetry = with_metrics(telemetry, settings, engine.metrics, gauges.read)
        recovery = Recovery(engine, settings.executor_lease_sec)
        recovery.register()
        _register_version(store, settings.name, version)
        listener = Listener(engine, settings.notification_listener_polling_interval_sec)
        dispatcher = Dispatcher(engine)
        lookout = Lookout(engine, settings.executor_lease_sec)
        scheduler = Scheduler(engine, settings.scheduler_polling_interval_sec)
        services: tuple[Service, ...] = (
            listener, dispatcher, scheduler, Deadlines(engine), recovery, lookout, Forgetting(engine),
        )  # fmt: skip
        if settings.retention_age_sec is not None or settings.retention_rows is not None:
            services += (Retention(engine, settings.retention_age_sec, settings.retention_rows),)
        consumers = connect_consumers(engine)
        if consumers:
            engine.own_queues |= {
                queue.name: queue for queue in kafka_queues(settings.kafka_queue_polling_interval_sec)
            }
    except BaseException:
        store.close()
        telemetry.stop()
        raise
    running = Running(engine, telemetry, (*services, *consumers), recovery, dispatcher, scheduler, consumers)
    if not settings.run_admin_server:
        return running
    return running._replace(admin_server=_admin_server(settings, running, gauges))


def connect(
    settings: StoreSettings, serializer: Serializer | None, instance: str, name: str | None, for_people: bool
) -> Connected:
    """Open the store for a program that runs nothing itself. `for_people`: what is pickled is only shown."""
    codec = Serialization(serializer, on_large=_warn_of_large_value)
    store = Store.open(settings)
    try:
        engine = Engine(store, codec.for_people() if for_people else codec, instance, name)
        listener = Listener(engine, CLIENT_POLLING_SECONDS)
        listener.start()
    except BaseException:
        store.close()
        raise
    return Connected(engine, listener)


def open_user_database(settings: Settings) -> UserDatabase:
    """Connect to the database of transactions, and create the table of their witnesses."""
    from dbos.userdata.database import UserDatabase  # loads SQLAlchemy, which only transactions need

    url, shared = settings.application_database_url, settings.system_database_engine
    if url is None and shared is not None:
        database = UserDatabase(shared, "transaction", settings.dbos_system_schema, disposes=False)
    else:
        url = url or settings.system_database_url
        options = {"pool_size": settings.sys_db_pool_size, "max_overflow": 0}
        if dialect_of(url) == settings.dialect:
            options |= settings.db_engine_kwargs
        database = UserDatabase(UserDatabase.engine(url, options), "transaction", settings.dbos_system_schema)
    try:
        database.prepare(settings.run_migrations)
    except BaseException:
        database.close_all()
        raise
    return database


def _admin_server(settings: Settings, running: Running, gauges: Gauges) -> AdminServer:
    from dbos.admin.server import AdminServer
    from dbos.api.admin_controls import AdminControls

    controls = AdminControls(running.engine, gauges, running.deactivate)
    return AdminServer(controls, settings.admin_host, settings.admin_port, settings.admin_token)


def _register_version(store: Store, application_name: str, version: str) -> None:
    latest = store.versions.register(version, application_name).version_name
    if latest != version:
        logger.warning(
            "This launch has version %s of the application, but the latest is %s: what is enqueued without a version "
            "runs on that one",
            version,
            latest,
        )


def _warn_of_large_value(where: str, size_bytes: int) -> None:
    logger.warning("%s takes %d bytes; values of more than 1 MiB slow the database down", where, size_bytes)
