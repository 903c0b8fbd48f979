"""`DBOSConfig`, what a program says, and `Settings`, what it means: checked, complete and frozen.

Every key has one rule. What breaks it is named with its value, the rule and what to do, before anything connects.
`None` means the default for every key. Secrets show neither in errors nor when settings are printed.
"""

# Annotations are evaluated here: a TypedDict compiles each that is a text, which takes longer.

import reprlib
import warnings
from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from dbos.api.config_rules import RULES
from dbos.api.logger import level_number
from dbos.error import DBOSInitializationError
from dbos.fields import dataclass, field
from dbos.model.database_url import Dialect, dialect_of, redact_url
from dbos.model.loopback import is_loopback
from dbos.model.serialization import Serializer
from dbos.model.serialization.codec import DEFAULT_MAX_BYTES


class DBOSConfig(TypedDict, total=False):
    """The configuration of `DBOS(config=...)`. Only `name` is required; a key that is None has its default."""

    name: str
    application_version: str | None
    executor_id: str | None

    # the system database
    system_database_url: str | None
    system_database_engine: Any  # a sqlalchemy.Engine; used as it is, and never disposed of
    dbos_system_schema: str | None
    sys_db_pool_size: int | None
    sys_db_polling_concurrency: int | None
    sys_db_idle_transaction_timeout_sec: float | None
    db_engine_kwargs: dict[str, Any] | None
    run_migrations: bool | None
    use_listen_notify: bool | None
    notification_listener_polling_interval_sec: float | None
    notification_coalesce_sec: float | None
    observability_query_timeout_sec: float | None

    # execution
    max_executor_threads: int | None
    executor_lease_sec: float | None
    scheduler_polling_interval_sec: float | None
    kafka_queue_polling_interval_sec: float | None

    # what is stored
    serializer: Serializer | None
    allow_pickle: bool | None
    max_value_bytes: int | None

    # the database of transactions
    application_database_url: str | None
    database_url: str | None  # the old name of application_database_url

    # retention
    retention_age_sec: float | None
    retention_rows: int | None

    # versions
    enable_patching: bool | None
    auto_upgrade: bool | None
    auto_upgrade_interval_sec: float | None
    auto_upgrade_grace_sec: float | None

    # logs, traces and metrics
    log_level: str | None
    console_log_level: str | None
    otlp_log_level: str | None
    enable_otlp: bool | None
    otlp_traces_endpoints: list[str] | None
    otlp_logs_endpoints: list[str] | None
    otlp_metrics_endpoints: list[str] | None
    otlp_attributes: dict[str, str] | None
    otel_attribute_format: Literal["legacy", "semconv"] | None

    # operations
    run_admin_server: bool | None
    admin_host: str | None
    admin_port: int | None
    admin_token: str | None
    conductor_key: str | None
    conductor_url: str | None
    conductor_executor_metadata: dict[str, Any] | None
    conductor_metadata_only_mode: bool | None
    transact_enterprise_key: str | None
    sharding: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A valid configuration with its defaults filled in. Fields are named as the keys of `DBOSConfig`."""

    name: str
    application_version: str | None = None  # None: computed from the registered workflows
    application_id: str = ""
    executor_id: str = "local"

    system_database_url: str = field(repr=False)
    dialect: Dialect
    system_database_engine: Any = field(default=None, repr=False)
    dbos_system_schema: str = "dbos"
    sys_db_pool_size: int = 20
    sys_db_polling_concurrency: int = 10
    sys_db_idle_transaction_timeout_sec: float = 60.0
    db_engine_kwargs: dict[str, Any] = field(default_factory=dict, repr=False)
    run_migrations: bool = True
    use_listen_notify: bool = True
    notification_listener_polling_interval_sec: float = 1.0
    notification_coalesce_sec: float = 0.01
    observability_query_timeout_sec: float = 30.0

    max_executor_threads: int | None = None
    executor_lease_sec: float = 15.0
    scheduler_polling_interval_sec: float = 30.0
    kafka_queue_polling_interval_sec: float = 1.0

    serializer: Serializer | None = None
    allow_pickle: bool = True
    max_value_bytes: int = DEFAULT_MAX_BYTES

    application_database_url: str | None = field(default=None, repr=False)

    retention_age_sec: float | None = None  # None: for ever
    retention_rows: int | None = None  # None: all

    enable_patching: bool = False
    auto_upgrade: bool = False
    auto_upgrade_interval_sec: float = 30.0
    auto_upgrade_grace_sec: float = 0.0

    log_level: str | int = "INFO"
    console_log_level: str | int | None = None  # None: as log_level
    otlp_log_level: str | int | None = None
    enable_otlp: bool = False
    otlp_traces_endpoints: list[str] = field(default_factory=list, repr=False)
    otlp_logs_endpoints: list[str] = field(default_factory=list, repr=False)
    otlp_metrics_endpoints: list[str] = field(default_factory=list, repr=False)
    otlp_attributes: dict[str, str] = field(default_factory=dict)
    otel_attribute_format: Literal["legacy", "semconv"] = "legacy"

    run_admin_server: bool = False
    admin_host: str = "127.0.0.1"
    admin_port: int = 3001
    admin_token: str | None = field(default=None, repr=False)
    conductor_key: str | None = field(default=None, repr=False)
    conductor_url: str | None = field(default=None, repr=False)
    conductor_executor_metadata: dict[str, Any] = field(default_factory=dict, repr=False)
    conductor_metadata_only_mode: bool = False
    transact_enterprise_key: str | None = field(default=None, repr=False)
    sharding: bool = False

    dormant_keys: tuple[str, ...] = ()  # set, valid, and without effect yet
    unknown_keys: tuple[str, ...] = ()


PATCHED_VERSION = "PATCHING_ENABLED"  # of an application whose versions are told apart by patches alone

_LEVEL_KEYS = frozenset({"log_level", "console_log_level", "otlp_log_level"})
_SECRET_KEYS = frozenset({"admin_token", "conductor_key", "transact_enterprise_key", "db_engine_kwargs"})

# Accepted and checked, and named in the log once: what they switch on comes with later versions.
_DORMANT_KEYS = frozenset(
    {
        "auto_upgrade",
        "auto_upgrade_grace_sec",
        "auto_upgrade_interval_sec",
        "conductor_executor_metadata",
        "conductor_key",
        "conductor_metadata_only_mode",
        "conductor_url",
        "sharding",
        "sys_db_polling_concurrency",
        "transact_enterprise_key",
    }
)


def read_config(config: Mapping[str, Any] | DBOSConfig | None, environ: Mapping[str, str]) -> Settings:
    """The settings of a configuration, completed from the environment and with defaults.

    Raises `DBOSInitializationError` for a missing or wrong key, and `ValueError` for a log level that does not exist.
    """
    if not isinstance(config, Mapping):
        raise DBOSInitializationError("there is no configuration; write DBOS(config={'name': 'my-app'})")
    given = {key: value for key, value in config.items() if value is not None}
    if "name" not in given:
        raise DBOSInitializationError("the config key 'name' is missing; name the application, as in 'my-app'")

    values = {key: _checked(key, value) for key, value in given.items() if key in RULES or key in _LEVEL_KEYS}
    _add_environment(values, environ)
    if values.get("enable_patching"):
        values.setdefault("application_version", PATCHED_VERSION)
    _add_system_database(values)
    _rename_database_url(values)
    _require_token(values)
    values.setdefault("sys_db_polling_concurrency", max(1, values.get("sys_db_pool_size", 20) // 2))
    said = {"application_database_url" if key == "database_url" else key for key in given}
    return Settings(
        **values,
        dormant_keys=tuple(sorted(key for key in _DORMANT_KEYS & said if _takes_effect(values.get(key)))),
        unknown_keys=tuple(sorted(str(key) for key in given if key not in RULES and key not in _LEVEL_KEYS)),
    )


def _checked(key: str, value: Any) -> Any:
    if key in _LEVEL_KEYS:
        level_number(value)
        return value
    try:
        return RULES[key](value)
    except ValueError as error:
        raise DBOSInitializationError(
            f"the config key {key!r} is {_shown(key, value)} ({type(value).__name__}), but it must be {error}"
        ) from None


def _shown(key: str, value: Any) -> str:
    if key in _SECRET_KEYS:
        return "***"
    if isinstance(value, str):
        return repr(redact_url(value))
    return redact_url(reprlib.repr(value))


def _add_environment(values: dict[str, Any], environ: Mapping[str, str]) -> None:
    """The configuration wins over the environment; a variable that is empty counts as not set."""
    for key, variable in (("application_version", "DBOS__APPVERSION"), ("executor_id", "DBOS__VMID")):
        if key not in values and environ.get(variable):
            values[key] = environ[variable]
    values["application_id"] = environ.get("DBOS__APPID", "")


def _add_system_database(values: dict[str, Any]) -> None:
    engine = values.get("system_database_engine")
    if engine is not None:
        values["system_database_url"] = engine.url.render_as_string(hide_password=False)
        values["dialect"] = engine.dialect.name
    else:
        values.setdefault("system_database_url", f"sqlite:///{values['name'].replace('-', '_')}.sqlite")
        values["dialect"] = dialect_of(values["system_database_url"])
    values["use_listen_notify"] = values.get("use_listen_notify", True) and values["dialect"] == "postgresql"


def _rename_database_url(values: dict[str, Any]) -> None:
    url = values.pop("database_url", None)
    if url is not None:
        warnings.warn(
            "The config key 'database_url' is the old name of 'application_database_url'",
            DeprecationWarning,
            stacklevel=4,
        )
        values.setdefault("application_database_url", url)


def _require_token(values: Mapping[str, Any]) -> None:
    """An admin server that others can reach wants a token: it cancels and deletes at anybody's word otherwise."""
    host = values.get("admin_host", "127.0.0.1")
    if values.get("run_admin_server") and values.get("admin_token") is None and not is_loopback(host):
        raise DBOSInitializationError(
            f"the admin server does not bind {host!r}, where other machines reach it, without a token: set the config "
            "key 'admin_token', or leave out 'admin_host'"
        )


def _takes_effect(value: Any) -> bool:
    return value is not None and value is not False and value != [] and value != {}
