import json
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy.engine import make_url

from dbos.api.config_rules import RULES
from dbos.api.configuration import DBOSConfig, Settings, read_config
from dbos.error import DBOSInitializationError
from dbos.model.serialization import Serializer

LEVELS = {"log_level", "console_log_level", "otlp_log_level"}


class Json(Serializer):
    def serialize(self, data: Any) -> str:
        return json.dumps(data)

    def deserialize(self, serialized_data: str) -> Any:
        return json.loads(serialized_data)


JSON = Json()
ENGINE = sqlalchemy.create_engine("sqlite:///engine.sqlite")

# For every key: values that are taken as they are, and values that are refused.
VALUES: dict[str, tuple[list[Any], list[Any]]] = {
    "name": (["app", "my-app_2", "a" * 256], ["", "ab", "a" * 257, "My-App", "my app", "app\n", "äpp", 7, b"app"]),
    "application_version": (["1.0", "v 2"], ["", " ", 1, "a\0b", "a\nb"]),
    "executor_id": (["local", "pod-7"], ["", 7, "\ud800"]),
    "system_database_url": (
        ["sqlite:///a.sqlite", "postgresql://u:p@h/d", "postgres://h/d", "postgresql+psycopg://h/d"],
        [
            "",
            "app",
            "mysql://h/d",
            "postgresql://h",
            "sqlite:///",
            "postgresql+asyncpg://h/d",
            7,
            make_url("sqlite://"),
        ],
    ),
    "system_database_engine": ([ENGINE], ["sqlite:///a.sqlite", sqlalchemy.create_engine]),
    "dbos_system_schema": (["dbos", "_x", "Tenant-1$", "a" * 63], ["", "a" * 64, "1a", 'a"b', "a b", "a;b", "ä", 7]),
    "sys_db_pool_size": ([1, 20], [0, -1, "5", 2.0, True]),
    "sys_db_polling_concurrency": ([5, 0, -1], ["5", 1.5, False]),
    "sys_db_idle_transaction_timeout_sec": ([60.0, 0, -1], ["60", float("inf"), float("nan"), True]),
    "db_engine_kwargs": ([{}, {"pool_size": 3}], [[], "x", {1: 2}]),
    "run_migrations": ([True, False], [0, 1, "true"]),
    "use_listen_notify": ([False], ["no", 1]),
    "notification_listener_polling_interval_sec": ([0.001, 1, 10.0], [0, 0.0009, float("nan"), float("inf"), "1"]),
    "notification_coalesce_sec": ([0.001, 1.0], [0, -1, "1"]),
    "observability_query_timeout_sec": ([0.5, 30], [0, -1, "30"]),
    "max_executor_threads": ([1, 64], [0, -1, 1.5, True, "8"]),
    "retention_age_sec": ([0, 60, 86_400.5], [-1, float("inf"), "60", True]),
    "retention_rows": ([1, 1_000_000], [0, -1, 1.5, "7", True]),
    "executor_lease_sec": ([0.5, 15, 3600.0], [0.4, 0, -1, float("inf"), float("nan"), "15", True]),
    "scheduler_polling_interval_sec": ([0.001, 30], [0, "30"]),
    "kafka_queue_polling_interval_sec": ([0.001, 1], [0, "1"]),
    "serializer": ([JSON], [Json, json, "json", 7]),
    "allow_pickle": ([True, False], ["yes", 0]),
    "max_value_bytes": ([1, 10**9], [0, -1, 1e6, "64"]),
    "application_database_url": (["postgresql://h/d", "sqlite:///a.sqlite"], ["", "app", 7]),
    "database_url": (["postgresql://h/d"], ["app", 7]),
    "enable_patching": ([True, False], [1, "on"]),
    "auto_upgrade": ([True, False], [1]),
    "auto_upgrade_interval_sec": ([0.1, 30], [0, "30"]),
    "auto_upgrade_grace_sec": ([0, 5.5], [-1, "0"]),
    "log_level": (["INFO", "debug", "WARNING", 10], ["LOUD", "", 1.5]),
    "console_log_level": (["ERROR"], ["LOUD"]),
    "otlp_log_level": (["ERROR"], ["LOUD"]),
    "enable_otlp": ([True, False], [1]),
    "otlp_traces_endpoints": ([[], ["http://localhost:4318/v1/traces"]], ["http://localhost", [7], ["localhost"]]),
    "otlp_logs_endpoints": ([["http://localhost:4318/v1/logs"]], ["http://localhost", [None]]),
    "otlp_metrics_endpoints": ([["http://localhost:4318/v1/metrics"]], ["http://localhost", ["localhost"]]),
    "otlp_attributes": ([{"team": "a"}], [{"team": 1}, {1: "a"}, ["team"]]),
    "otel_attribute_format": (["legacy", "semconv"], ["other", "", 1]),
    "run_admin_server": ([True, False], [1]),
    "admin_host": (["127.0.0.1", "::1", "localhost", "0.0.0.0"], ["", 7]),
    "admin_token": (["secret"], ["", 7]),
    "admin_port": ([0, 3001, 65535], [-1, 65536, "3001", True]),
    "conductor_key": (["key"], ["", 7]),
    "conductor_url": (["wss://localhost"], ["localhost", 7]),
    "conductor_executor_metadata": ([{"zone": ["a", 1]}], [{"a": {1, 2}}, {"a": float("nan")}, [1], {1: "a"}]),
    "conductor_metadata_only_mode": ([True, False], [1]),
    "transact_enterprise_key": (["key"], [7]),
    "sharding": ([True, False], [1]),
}

VALID = [(key, value) for key, (valid, _) in VALUES.items() for value in valid]
INVALID = [(key, value) for key, (_, invalid) in VALUES.items() for value in invalid]


def read(environ: dict[str, str] | None = None, /, **keys: Any) -> Settings:
    return read_config({"name": "my-app", **keys}, environ or {})  # type: ignore[typeddict-item]


def test_every_key_has_a_rule_a_field_and_a_test() -> None:
    keys = set(DBOSConfig.__annotations__)
    assert set(RULES) | LEVELS == keys
    assert set(VALUES) == keys
    derived = {"application_id", "dialect", "dormant_keys", "unknown_keys"}
    assert set(Settings.__slots__) == keys - {"database_url"} | derived


@pytest.mark.filterwarnings("ignore:The config key 'database_url'")
@pytest.mark.parametrize(("key", "value"), VALID, ids=lambda part: repr(part)[:30])
def test_valid_values_are_taken(key: str, value: Any) -> None:
    settings = read(**{key: value})
    if key == "database_url":
        key = "application_database_url"
    assert getattr(settings, key) == value
    assert not settings.unknown_keys


@pytest.mark.parametrize(("key", "value"), INVALID, ids=lambda part: repr(part)[:30])
def test_invalid_values_are_refused_by_key_value_and_rule(key: str, value: Any) -> None:
    if key in LEVELS:
        with pytest.raises(ValueError, match="Unknown log level"):
            read(**{key: value})
        return
    with pytest.raises(DBOSInitializationError, match="but it must be") as caught:
        read(**{key: value})
    assert f"config key '{key}'" in str(caught.value)
    assert type(value).__name__ in str(caught.value)


@pytest.mark.parametrize("key", [key for key in VALUES if key != "name"])
def test_none_means_the_default(key: str) -> None:
    assert read(**{key: None}) == read()


@pytest.mark.parametrize("config", [None, "my-app", ["name"], {}, {"name": None}, {"executor_id": "a"}], ids=repr)
def test_a_name_is_required(config: Any) -> None:
    with pytest.raises(DBOSInitializationError, match=r"there is no configuration|'name' is missing"):
        read_config(config, {})


def test_the_defaults_are_the_documented_ones() -> None:
    settings = read()
    assert settings.system_database_url == "sqlite:///my_app.sqlite"
    assert settings.dialect == "sqlite"
    assert settings.application_version is None
    assert settings.executor_id == "local"
    assert settings.application_id == ""
    assert settings.dbos_system_schema == "dbos"
    assert settings.sys_db_pool_size == 20
    assert settings.log_level == "INFO"
    assert settings.admin_port == 3001
    assert settings.run_migrations
    assert settings.allow_pickle
    assert settings.executor_lease_sec == 15.0
    assert settings.max_value_bytes == 64 * 1024 * 1024
    assert settings.dormant_keys == ()


@pytest.mark.parametrize(("pool_size", "concurrency"), [(None, 10), (1, 1), (2, 1), (9, 4)])
def test_polling_takes_half_the_pool_at_most(pool_size: int | None, concurrency: int) -> None:
    assert read(sys_db_pool_size=pool_size).sys_db_polling_concurrency == concurrency
    assert read(sys_db_pool_size=pool_size, sys_db_polling_concurrency=7).sys_db_polling_concurrency == 7


def test_the_configuration_wins_over_the_environment() -> None:
    environ = {"DBOS__APPVERSION": "v-env", "DBOS__VMID": "vm-env", "DBOS__APPID": "id-env"}
    settings = read(environ)
    assert (settings.application_version, settings.executor_id, settings.application_id) == (
        "v-env",
        "vm-env",
        "id-env",
    )
    settings = read(environ, application_version="v", executor_id="e")
    assert (settings.application_version, settings.executor_id, settings.application_id) == ("v", "e", "id-env")
    settings = read({"DBOS__APPVERSION": "", "DBOS__VMID": ""})
    assert (settings.application_version, settings.executor_id) == (None, "local")


def test_the_environment_does_not_name_the_database() -> None:
    assert read({"DBOS_SYSTEM_DATABASE_URL": "postgresql://h/d"}).system_database_url == "sqlite:///my_app.sqlite"


def test_notifications_are_for_postgres_only() -> None:
    assert not read(use_listen_notify=True).use_listen_notify
    assert read(system_database_url="postgresql://h/d").use_listen_notify
    assert not read(system_database_url="postgresql://h/d", use_listen_notify=False).use_listen_notify


def test_an_engine_names_the_database() -> None:
    settings = read(system_database_engine=ENGINE, system_database_url="postgresql://h/d")
    assert (settings.dialect, settings.system_database_url) == ("sqlite", "sqlite:///engine.sqlite")
    engine = sqlalchemy.create_engine("postgresql+psycopg://u:secret@h/d")
    settings = read(system_database_engine=engine)
    assert (settings.dialect, settings.system_database_url) == ("postgresql", "postgresql+psycopg://u:secret@h/d")


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("postgresql+psycopg2://u:secret@h/d", "psycopg, not psycopg2: create it from the URL postgresql\\+psycopg://"),
        ("postgresql+pg8000://u:secret@h/d", "psycopg, not pg8000"),
        ("postgresql+asyncpg://u:secret@h/d", "psycopg, not asyncpg"),
        ("sqlite+pysqlcipher:///x", "pysqlite, not pysqlcipher: create it from the URL sqlite:///"),
        ("mysql+pymysql://u:secret@h/d", "PostgreSQL or SQLite"),
    ],
)
def test_an_engine_of_another_driver_is_refused_with_a_hint(url: str, hint: str) -> None:
    parsed = make_url(url)

    class Engine:  # the drivers themselves are not installed
        dialect = SimpleNamespace(name=parsed.get_backend_name(), driver=parsed.get_driver_name())

        def raw_connection(self) -> None:
            raise AssertionError("the configuration is only read")

    with pytest.raises(DBOSInitializationError, match=hint) as caught:
        read(system_database_engine=Engine())
    assert "secret" not in str(caught.value)


def test_an_asynchronous_engine_is_refused_with_a_hint() -> None:
    class AsyncEngine:
        sync_engine = ENGINE

    with pytest.raises(DBOSInitializationError, match="pass its sync_engine"):
        read(system_database_engine=AsyncEngine())


def test_unknown_keys_are_listed() -> None:
    settings = read(sytem_database_url="sqlite:///a.sqlite", telemetry=None, otlp=True)
    assert settings.unknown_keys == ("otlp", "sytem_database_url")


def test_dormant_keys_are_listed_only_when_they_ask_for_something() -> None:
    assert read(run_admin_server=False, admin_port=4000, conductor_executor_metadata={}).dormant_keys == ()
    settings = read(conductor_key="key", conductor_url="http://localhost:4318")
    assert settings.dormant_keys == ("conductor_key", "conductor_url")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "example.com"])
def test_an_admin_server_that_others_reach_wants_a_token(host: str) -> None:
    with pytest.raises(DBOSInitializationError, match="without a token"):
        read(run_admin_server=True, admin_host=host)
    assert read(run_admin_server=True, admin_host=host, admin_token="secret").admin_host == host
    assert read(admin_host=host).admin_host == host
    assert "secret" not in repr(read(admin_token="secret"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_an_admin_server_on_loopback_needs_none(host: str) -> None:
    assert read(run_admin_server=True, admin_host=host).admin_token is None


def test_the_old_name_of_the_application_database_still_works() -> None:
    with pytest.warns(DeprecationWarning, match="application_database_url"):
        assert read(database_url="postgresql://h/old").application_database_url == "postgresql://h/old"
    with pytest.warns(DeprecationWarning, match="old name"):
        settings = read(database_url="postgresql://h/old", application_database_url="postgresql://h/new")
    assert settings.application_database_url == "postgresql://h/new"


SECRETS = [
    {"system_database_url": "postgresql://u:canary@h/d"},
    {"system_database_url": "postgresql://u:canary@h"},
    {"system_database_url": "mysql://u:ca/canary@nary@h/d"},
    {"system_database_url": ["postgresql://u:canary@h/d"]},
    {"system_database_url": "host=h password=canary"},
    {"application_database_url": "postgresql://u:canary@h/d"},
    {"application_database_url": ("postgresql://u:canary@h/d",)},
    {"conductor_key": "canary"},
    {"conductor_key": ["canary"]},
    {"conductor_url": "wss://u:canary@h"},
    {"conductor_executor_metadata": {"token": "canary"}},
    {"transact_enterprise_key": "canary"},
    {"transact_enterprise_key": {"canary"}},
    {"db_engine_kwargs": {"connect_args": {"password": "canary"}}},
    {"db_engine_kwargs": [{"password": "canary"}]},
    {"otlp_traces_endpoints": ["http://u:canary@h"]},
]


@pytest.mark.parametrize("config", SECRETS, ids=str)
def test_secrets_show_neither_in_errors_nor_in_settings(config: dict[str, Any]) -> None:
    try:
        shown = repr(read(**config))
    except DBOSInitializationError as error:
        shown = f"{error} {error!r} {error.__cause__} {error.args}"
    assert "canary" not in shown
    assert len(shown) > 50


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        read().name = "other"  # type: ignore[misc]
