"""A client's connection: what its arguments mean, and the engine that opens with it, or with its first call.

Nothing is ever created or migrated. A client may be used inside a workflow of this process; it stands outside of it.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

from dbos.api.assembly import Connected, connect
from dbos.api.config_rules import RULES, Rule
from dbos.api.launched import new_instance_id
from dbos.api.performers import Make, OneEngine
from dbos.error import DBOSException, DBOSInitializationError
from dbos.fields import NamedTuple
from dbos.lazy import asyncio
from dbos.model.database_url import redact_url
from dbos.model.serialization import Serializer
from dbos.runtime.engine import Engine
from dbos.store.database import StoreSettings

R = TypeVar("R")

POOL_SIZE = 5

_RULES: dict[str, Rule] = {
    "database_url": RULES["system_database_url"],
    "system_database_url": RULES["system_database_url"],
    "system_database_engine": RULES["system_database_engine"],
    "application_database_url": RULES["application_database_url"],
    "dbos_system_schema": RULES["dbos_system_schema"],
    "serializer": RULES["serializer"],
    "system_database_pool_size": RULES["sys_db_pool_size"],
    "system_database_polling_concurrency": RULES["sys_db_polling_concurrency"],
    "use_listen_notify": RULES["use_listen_notify"],
    "application_name": RULES["name"],
    "lazy": RULES["run_migrations"],  # a flag
    "retry_connection_errors": RULES["run_migrations"],
    "observability_query_timeout_sec": RULES["observability_query_timeout_sec"],
    "sys_db_idle_transaction_timeout_sec": RULES["sys_db_idle_transaction_timeout_sec"],
    "sharding": RULES["sharding"],
}


class ClientSettings(NamedTuple):
    """The checked arguments of a client."""

    store: StoreSettings
    serializer: Serializer | None
    application_name: str | None
    lazy: bool


def read_arguments(given: dict[str, Any]) -> ClientSettings:
    """What the arguments of `DBOSClient` mean; None stands for the default of each.

    Raises DBOSInitializationError, and DBOSException for a lazy client that shall listen.
    """
    values = {name: _checked(name, value) for name, value in given.items() if value is not None}
    if values.get("sharding"):
        raise DBOSInitializationError("Sharded system databases are not supported; leave out sharding=True")
    lazy, listens = values.get("lazy", False), values.get("use_listen_notify", False)
    if lazy and listens:
        raise DBOSException("A lazy client cannot listen: leave out lazy=True or use_listen_notify=True")
    engine = values.get("system_database_engine")
    url = values.get("system_database_url") or values.get("database_url")
    if engine is None and url is None:
        raise DBOSInitializationError(
            "Nothing says where the system database is: DBOSClient(system_database_url='postgresql://...')"
        )
    store = StoreSettings(
        url=url or "",
        schema=values.get("dbos_system_schema", "dbos"),
        pool_size=values.get("system_database_pool_size", POOL_SIZE),
        engine=engine,
        idle_transaction_timeout_seconds=values.get("sys_db_idle_transaction_timeout_sec", 60.0),
        query_timeout_seconds=values.get("observability_query_timeout_sec", 30.0),
        run_migrations=False,
        listens=listens,
        patient=values.get("retry_connection_errors", True),
        application_name=values.get("application_name", ""),
    )
    return ClientSettings(store, values.get("serializer"), values.get("application_name"), lazy)


def _checked(name: str, value: Any) -> Any:
    try:
        return _RULES[name](value)
    except ValueError as error:
        shown = redact_url(repr(value))
        raise DBOSInitializationError(f"DBOSClient({name}={shown}): it must be {error}") from None


class ClientConnection:
    """Performs what a client asks for."""

    def __init__(self, settings: ClientSettings, for_people: bool) -> None:
        self._settings = settings
        self._for_people = for_people
        self._lock = threading.Lock()  # guards the two below
        self._connected: Connected | None = None
        self._closed = False

    def open(self) -> Engine:
        """The engine, connected by now. Raises DBOSInitializationError, and DBOSException after the end."""
        connected = self._connected
        if connected is not None:
            return connected.engine
        with self._lock:
            if self._closed:
                raise DBOSException(Engine.CLOSED)
            if self._connected is None:
                settings = self._settings
                self._connected = connect(
                    settings.store,
                    settings.serializer,
                    new_instance_id(),
                    settings.application_name,
                    self._for_people,
                )
            return self._connected.engine

    def close(self) -> None:
        """Let go of everything; again, it does nothing."""
        with self._lock:
            self._closed = True
            connected, self._connected = self._connected, None
        if connected is not None:
            connected.stop()

    def perform(self, make: Make[R]) -> R:
        return OneEngine(self.open()).perform(make)

    async def perform_async(self, make: Make[R]) -> R:
        connected = self._connected
        engine = connected.engine if connected is not None else await asyncio.to_thread(self.open)
        return await OneEngine(engine).perform_async(make)
