"""The rule of every configuration key: it takes a value and returns it as it is used, or says what it must be.

A rule raises `ValueError` with the words that complete "it must be ...". Reading a configuration turns that into an
error that names the key and its value.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

from dbos.model.database_url import dialect_of

Rule = Callable[[Any], Any]

_MIN_INTERVAL_SEC = 0.001
_MIN_LEASE_SEC = 0.5  # a shorter lease would expire in a pause of the garbage collector or of a busy machine
_NAME = re.compile(r"[a-z0-9_-]{3,256}")
_SCHEMA = re.compile(r"[A-Za-z_][A-Za-z0-9_$-]*")
_DRIVERS = {"postgresql": "psycopg", "sqlite": "pysqlite"}  # of engines: their raw connections are used
_MAX_SCHEMA_BYTES = 63  # Postgres cuts longer identifiers off without a word


def _whole(minimum: int | None = None, maximum: int | None = None) -> Rule:
    words = "a whole number" + _limits(minimum, maximum)

    def rule(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(words)
        if (minimum is not None and value < minimum) or (maximum is not None and value > maximum):
            raise ValueError(words)
        return value

    return rule


def _number(minimum: float | None = None) -> Rule:
    words = "a finite number" + _limits(minimum, None)

    def rule(value: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise ValueError(words)
        if minimum is not None and value < minimum:
            raise ValueError(words)
        return float(value)

    return rule


def _limits(minimum: float | None, maximum: float | None) -> str:
    if minimum is None:
        return ""
    return f" of at least {minimum}" if maximum is None else f" from {minimum} to {maximum}"


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("True or False")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a non-empty str")
    if "\0" in value or not value.isprintable():
        raise ValueError("a str of printable characters, because it is stored and shown")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError("3 to 256 characters out of lowercase letters, digits, - and _")
    return value


def _schema(value: Any) -> str:
    if not isinstance(value, str) or not _SCHEMA.fullmatch(value) or len(value) > _MAX_SCHEMA_BYTES:
        raise ValueError(
            f"an identifier of at most {_MAX_SCHEMA_BYTES} letters, digits, _, - and $ that begins with a letter or _"
        )
    return value


def _database_url(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a str such as sqlite:///file.sqlite or postgresql://user@host:5432/database")
    try:
        dialect_of(value)
    except ValueError as error:
        raise ValueError(f"a database URL, and {error}") from None
    return value


def _any_url(value: Any) -> str:
    if not isinstance(value, str) or "://" not in value:
        raise ValueError("a URL")
    return value


def _engine(value: Any) -> Any:
    if hasattr(value, "sync_engine"):
        raise ValueError("a synchronous sqlalchemy.Engine; of an AsyncEngine pass its sync_engine")
    if not hasattr(value, "raw_connection") or not hasattr(value, "dialect"):
        raise ValueError("a sqlalchemy.Engine")
    dialect = value.dialect
    if dialect.name not in _DRIVERS:
        raise ValueError("an Engine for PostgreSQL or SQLite")
    if dialect.driver != _DRIVERS[dialect.name]:
        raise ValueError(
            f"an Engine with the driver {_DRIVERS[dialect.name]}, not {dialect.driver}: create it from the URL "
            f"{'postgresql+psycopg://...' if dialect.name == 'postgresql' else 'sqlite:///...'}"
        )
    return value


def _dict(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ValueError("a dict with str keys")
    return dict(value)


def _dict_of_texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(part, str) for pair in value.items() for part in pair):
        raise ValueError("a dict from str to str")
    return dict(value)


def _json_dict(value: Any) -> dict[str, Any]:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise ValueError("a dict with str keys that JSON can hold") from None
    return _dict(value)


def _urls(value: Any) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(url, str) and "://" in url for url in value):
        raise ValueError("a list of URLs")
    return list(value)


def _attribute_format(value: Any) -> str:
    if value not in ("legacy", "semconv"):
        raise ValueError("'legacy' or 'semconv'")
    return str(value)


def _serializer(value: Any) -> Any:
    if isinstance(value, type):
        raise ValueError(f"an instance of a Serializer, not the class; write {value.__name__}()")
    if not callable(getattr(value, "serialize", None)) or not callable(getattr(value, "deserialize", None)):
        raise ValueError("an instance of a Serializer, with the methods serialize and deserialize")
    return value


RULES: dict[str, Rule] = {
    "name": _name,
    "application_version": _text,
    "executor_id": _text,
    "system_database_url": _database_url,
    "system_database_engine": _engine,
    "dbos_system_schema": _schema,
    "sys_db_pool_size": _whole(1),
    "sys_db_polling_concurrency": _whole(),
    "sys_db_idle_transaction_timeout_sec": _number(),
    "db_engine_kwargs": _dict,
    "run_migrations": _flag,
    "use_listen_notify": _flag,
    "notification_listener_polling_interval_sec": _number(_MIN_INTERVAL_SEC),
    "notification_coalesce_sec": _number(_MIN_INTERVAL_SEC),
    "observability_query_timeout_sec": _number(_MIN_INTERVAL_SEC),
    "max_executor_threads": _whole(1),
    "executor_lease_sec": _number(_MIN_LEASE_SEC),
    "scheduler_polling_interval_sec": _number(_MIN_INTERVAL_SEC),
    "kafka_queue_polling_interval_sec": _number(_MIN_INTERVAL_SEC),
    "serializer": _serializer,
    "allow_pickle": _flag,
    "max_value_bytes": _whole(1),
    "application_database_url": _database_url,
    "database_url": _database_url,
    "retention_age_sec": _number(0),
    "retention_rows": _whole(1),
    "enable_patching": _flag,
    "auto_upgrade": _flag,
    "auto_upgrade_interval_sec": _number(_MIN_INTERVAL_SEC),
    "auto_upgrade_grace_sec": _number(0),
    "enable_otlp": _flag,
    "otlp_traces_endpoints": _urls,
    "otlp_logs_endpoints": _urls,
    "otlp_metrics_endpoints": _urls,
    "otlp_attributes": _dict_of_texts,
    "otel_attribute_format": _attribute_format,
    "run_admin_server": _flag,
    "admin_host": _text,
    "admin_port": _whole(0, 65535),
    "admin_token": _text,
    "conductor_key": _text,
    "conductor_url": _any_url,
    "conductor_executor_metadata": _json_dict,
    "conductor_metadata_only_mode": _flag,
    "transact_enterprise_key": _text,
    "sharding": _flag,
}
