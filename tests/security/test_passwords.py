"""A marked password goes through every command and every error that has to do with a database, and shows nowhere."""

from __future__ import annotations

import contextlib
import logging
import secrets
import traceback
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from psycopg import sql

from dbos import DBOS, DBOSClient, SetWorkflowID
from dbos.cli.commands import dbos
from tests.admin.test_server import client
from tests.cli.conftest import Run
from tests.support.fixture_types import Launch
from tests.support.postgres import PostgresCluster
from tests.support.raw_sql import run_sql

MARK = "c4nary"
PASSWORD = f"{MARK}@/:%?#[é {MARK}"  # every character that an URL has to escape
USER = f"keeper_{secrets.token_hex(4)}"

pytestmark = pytest.mark.own_session("logs in as another role")

Count = Callable[[str, object], None]  # `record_property` of pytest

# Every command that asks a database, and what it asks; `reset` comes last.
COMMANDS = [
    "migrate", "migrate --print-sql", "workflow list", "workflow list --json", "workflow get w", "workflow steps w",
    "workflow why w", "workflow watch w", "workflow cancel w", "workflow resume w", "workflow fork w",
    "workflow delete w -y", "workflow export w", "workflow queue list", "queue list", "queue get q", "schedule list",
    "schedule get s", "schedule trigger s", "version list", "version set-latest v",
    "rename-application --from a-b-c -t d-e-f -y", "reset -y",
]  # fmt: skip
WITHOUT_DATABASE = {"init", "start", "postgres"}

BROKEN = [
    "postgresql://{user}:{password}@127.0.0.1:1/nothing",  # nobody listens
    "postgresql://{user}:wrong-{password}@127.0.0.1:{port}/{database}",
    "postgresql://{user}:{password}@127.0.0.1:{port}/nothing",  # no such database
    "postgresql://{user}:{password}@127.0.0.1:port/nothing",
    "postgresql://{user}:{password}@[::1/nothing",
    "postgresql:/{user}:{password}@127.0.0.1/nothing",
    "postgresql+asyncpg://{user}:{password}@127.0.0.1/nothing",
    "mysql://{user}:{password}@127.0.0.1/nothing",
    "{user}:{password}@127.0.0.1/nothing",
    "postgresql://127.0.0.1:1/nothing?user={user}&password={password}",
    "postgresql://127.0.0.1:1/nothing?user={user}&password={password}&colour=red",
    "host=127.0.0.1 port=1 user={user} password={password}",
]


@pytest.fixture
def database_url(postgres: PostgresCluster, postgres_url: str) -> str:
    """A database, by the URL of a role whose password is marked."""
    database = urlsplit(postgres_url).path[1:]
    with psycopg.connect(postgres.url(database), autocommit=True) as connection:
        if connection.execute("select from pg_roles where rolname = %s", (USER,)).fetchone() is None:
            role, password = sql.Identifier(USER), sql.Literal(PASSWORD)
            connection.execute(sql.SQL("create role {} superuser login password {}").format(role, password))
    return f"postgresql://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{postgres.port}/{database}"


def broken(url: str) -> list[str]:
    """URLs that lead nowhere, with the same password."""
    parts = urlsplit(url)
    return [
        each.format(user=USER, password=quote(PASSWORD, safe=""), port=parts.port, database=parts.path[1:])
        for each in BROKEN
    ]


def assert_unmarked(what: str, said: str) -> None:
    assert MARK not in said, f"{what} shows the password: {said}"


def named(command: str) -> tuple[str, ...]:
    return tuple(word for word in command.split() if not word.startswith("-"))


def test_every_command_is_among_them() -> None:
    groups = {command.split()[0] for command in COMMANDS}
    assert groups | WITHOUT_DATABASE == set(dbos.commands)


def test_commands_show_no_password(
    launch: Launch,
    database_url: str,
    run: Run,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Count,
) -> None:
    @DBOS.workflow()
    def workflow() -> None: ...

    launch(log_level="DEBUG")
    with SetWorkflowID("w"):
        workflow()
    DBOS.destroy()
    outputs = 0
    with caplog.at_level(logging.DEBUG):
        for url in (*broken(database_url), database_url):
            few = COMMANDS if url.startswith(f"postgresql://{USER}") else COMMANDS[:3] + COMMANDS[-1:]
            for command in few:
                for by_environment in (False, True):
                    if by_environment:
                        monkeypatch.setenv("DBOS_SYSTEM_DATABASE_URL", url)
                    ran = run(*command.split(), *([] if by_environment else ["-s", url]))
                    monkeypatch.delenv("DBOS_SYSTEM_DATABASE_URL", raising=False)
                    assert_unmarked(command, ran.out + ran.err)
                    outputs += 1
    assert_unmarked("the log", caplog.text)
    record_property("outputs of commands", outputs)


def test_a_project_file_shows_no_password(database_url: str, run: Run) -> None:
    for url in (*broken(database_url), database_url):
        Path("dbos-config.yaml").write_text(
            f"name: shop\nsystem_database_url: {url!r}\nruntimeConfig:\n  start:\n    - exit 3\n", encoding="utf-8"
        )
        for command in ("workflow list", "migrate", "start", "reset -y"):
            ran = run(*command.split())
            assert_unmarked(command, ran.out + ran.err)


def test_an_application_shows_no_password(
    launch: Launch, database_url: str, caplog: pytest.LogCaptureFixture, record_property: Count
) -> None:
    said: list[str] = []

    @DBOS.workflow()
    def workflow() -> None: ...

    with caplog.at_level(logging.DEBUG):
        launch(log_level="DEBUG", run_admin_server=True, admin_port=0, application_database_url=database_url)
        with SetWorkflowID("w"):
            workflow()
        with client() as http:
            said += [
                http.get(path).text for path in ("/dbos-healthz", "/metrics", "/workflows/w", "/workflows/w/steps")
            ]
            said.append(http.post("/workflows", json={"load_input": True}).text)
        said += [repr(DBOS._instance), repr(vars(DBOS._instance)), str(DBOS.list_workflows())]
        run_sql(database_url, "alter table workflow_status rename to hidden")
        with pytest.raises(Exception) as failure:
            DBOS.list_workflows()
        said += traceback.format_exception(failure.value)
        run_sql(database_url, "alter table hidden rename to workflow_status")
        DBOS.destroy(destroy_registry=True)
        for url in broken(database_url):
            for config in ({"system_database_url": url}, {"application_database_url": url}):
                settings = {"system_database_url": database_url, "log_level": "DEBUG", **config}
                try:
                    DBOS(config={"name": "test-app", **settings})  # type: ignore[typeddict-item]
                    DBOS.launch()
                except Exception as error:
                    said += [*traceback.format_exception(error), repr(error), repr(vars(error))]
                finally:
                    DBOS.destroy(destroy_registry=True)
            try:
                with DBOSClient(system_database_url=url, retry_connection_errors=False) as asking:
                    said.append(repr(vars(asking)))
            except Exception as error:
                said += [*traceback.format_exception(error), repr(error), repr(vars(error))]
            with contextlib.suppress(Exception):
                DBOS.migrate(url)
    for each in (*said, caplog.text):
        assert_unmarked("the application", each)
    record_property("outputs of an application", len(said))
