"""What cannot work is refused by a clear, typed error, before anything is written."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from dbos import (
    DBOS,
    DBOSClient,
    DBOSConfiguredInstance,
    DBOSContextSetAuth,
    SetWorkflowAttributes,
    SetWorkflowID,
    error,
)
from dbos.api.launched import launched_engine
from tests.acceptance.hostile_settings import change_defaults
from tests.support.fixture_types import Launch
from tests.support.raw_sql import count_rows, run_sql


def refuse_launch(url: str | None = None, **config: Any) -> str:
    """Launch on a database that cannot serve; the text of the refusal. Nothing is left behind."""
    DBOS.destroy(destroy_registry=True)
    DBOS(config={"name": "test-app", "system_database_url": url, **config})  # type: ignore[typeddict-item]
    threads = threading.active_count()
    try:
        with pytest.raises(error.DBOSInitializationError) as refusal:
            DBOS.launch()
    finally:
        DBOS.destroy(destroy_registry=True)
    assert threading.active_count() <= threads
    return str(refusal.value)


def snapshot(url: str) -> Any:
    """Everything in a database that a launch could have changed."""
    if url.startswith("sqlite:///"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            return list(connection.iterdump())
    with psycopg.connect(url) as connection:
        return connection.execute(
            "select n.nspname, c.relname, c.relkind from pg_class c join pg_namespace n on n.oid = c.relnamespace "
            "where n.nspname not like 'pg_%' and n.nspname <> 'information_schema' order by 1, 2"
        ).fetchall()


# ---------------------------------------------------------------- ids

WRONG_IDS = ["", " ", "\t\n", "\0", "a\0b", "\ud800", "x" * 513, "ü" * 257, None, 7, b"id", ["id"]]


@pytest.mark.parametrize("workflow_id", WRONG_IDS, ids=[repr(each)[:12] for each in WRONG_IDS])
def test_wrong_ids(launch: Launch, database_url: str, workflow_id: Any) -> None:
    launch()
    with pytest.raises(error.DBOSException, match=r"workflow ID|Workflow ID"):
        SetWorkflowID(workflow_id)
    with pytest.raises(error.DBOSException):
        DBOS.retrieve_workflow(workflow_id)
    with pytest.raises(error.DBOSException):
        DBOS.resume_workflow(workflow_id)
    with pytest.raises(error.DBOSException):
        DBOS.get_result(workflow_id)
    assert count_rows(database_url) == {"workflow_status": 0, "operation_outputs": 0}


@pytest.mark.parametrize(
    "workflow_id", ["x", "x" * 512, "ü" * 256, "a b/c?d=e&f", "'; drop table x; --", "%_\\", "\u202e"]
)
def test_unusual_ids(launch: Launch, workflow_id: str) -> None:
    @DBOS.workflow()
    def child() -> str | None:
        return DBOS.workflow_id

    @DBOS.workflow()
    def workflow() -> str | None:
        return DBOS.workflow_id

    launch()
    with SetWorkflowID(workflow_id):
        assert workflow() == workflow_id
    assert DBOS.get_result(workflow_id) == workflow_id
    assert [status.workflow_id for status in DBOS.list_workflows(workflow_id_prefix=workflow_id)] == [workflow_id]


def test_the_children_of_the_longest_id(launch: Launch) -> None:
    """The id of a child may be longer than what users may give."""

    @DBOS.workflow()
    def child() -> str | None:
        return DBOS.workflow_id

    @DBOS.workflow()
    def workflow() -> str | None:
        return child()

    launch()
    with SetWorkflowID("x" * 512):
        assert workflow() == "x" * 512 + "-1"


# ---------------------------------------------------------------- values


def in_every_place(launch: Launch, database_url: str, value: Callable[[], Any]) -> None:
    """A value that cannot be stored, as argument, keyword argument, attribute, result and step result."""

    @DBOS.step()
    def step() -> Any:
        return value()

    @DBOS.workflow()
    def workflow(*args: Any, **kwargs: Any) -> Any:
        return value()

    @DBOS.workflow()
    def with_step() -> Any:
        return step()

    launch()
    for call in (
        lambda: workflow(value()),
        lambda: workflow(key=value()),
        lambda: DBOS.start_workflow(workflow, value()),
        lambda: asyncio.run(start_async(workflow, value())),
    ):
        with pytest.raises(error.DBOSException):
            call()
    with pytest.raises(error.DBOSException):
        SetWorkflowAttributes({"a": value()})
    with pytest.raises(error.DBOSException):
        DBOS.update_workflow_attributes("w", {"a": value()})
    assert count_rows(database_url) == {"workflow_status": 0, "operation_outputs": 0}
    for workflow_id, func in (("body", workflow), ("step", with_step)):
        with SetWorkflowID(workflow_id), pytest.raises(error.DBOSSerializationError):
            func()
        status = DBOS.retrieve_workflow(workflow_id).get_status()
        assert (status.status, status.output) == ("ERROR", None)


async def start_async(func: Callable[..., Any], *args: Any) -> None:
    await DBOS.start_workflow_async(func, *args)


def test_values_that_cannot_be_stored(launch: Launch, database_url: str) -> None:
    in_every_place(launch, database_url, threading.Lock)


def test_values_deeper_than_the_stack(launch: Launch, database_url: str) -> None:
    def deep() -> list[Any]:
        value: list[Any] = []
        for _ in range(200_000):
            value = [value]
        return value

    in_every_place(launch, database_url, deep)


@pytest.mark.parametrize(
    "attributes",
    [
        [], "text", 3, {1: "int key"}, {"a": {1, 2}}, {"a": float("nan")}, {"a": "\0"}, {"\0": 1}, {"a": "\ud800"},
        {"dbos.otelContext": {}}, {"a": Path()},
    ],
    ids=repr,
)  # fmt: skip
def test_wrong_attributes(launch: Launch, database_url: str, attributes: Any) -> None:
    @DBOS.workflow()
    def workflow() -> None: ...

    launch()
    with SetWorkflowID("w"), SetWorkflowAttributes({"before": 1}):
        workflow()
    with pytest.raises(error.DBOSException):
        SetWorkflowAttributes(attributes)
    with pytest.raises(error.DBOSException):
        DBOS.update_workflow_attributes("w", attributes)
    with pytest.raises(error.DBOSException):
        asyncio.run(DBOS.update_workflow_attributes_async("w", attributes, merge=True))
    with pytest.raises(error.DBOSException):
        DBOS.update_workflow_attributes("w", None, merge=True)
    assert DBOS.retrieve_workflow("w").get_status().attributes == {"before": 1}


def test_huge_values_are_kept_up_to_the_limit(launch: Launch) -> None:
    @DBOS.step()
    def step(size: int) -> str:
        return "s" * size

    @DBOS.workflow()
    def workflow(text: str) -> int:
        return len(text) + len(step(len(text)))

    launch()
    size = 3 * 1024 * 1024
    with SetWorkflowID("w"):
        assert workflow("x" * size) == 2 * size
    assert len(DBOS.list_workflow_steps("w")[0]["output"]) == size
    status = DBOS.retrieve_workflow("w").get_status()
    assert status.input is not None
    assert len(status.input["args"][0]) == size


# ---------------------------------------------------------------- names and functions


def test_names_that_no_database_stores(launch: Launch) -> None:
    for name in ("", 3, "a\0b", "\ud800"):
        with pytest.raises(error.DBOSException):
            DBOS.workflow(name=name)(print)  # type: ignore[arg-type]
        with pytest.raises(error.DBOSException):
            DBOS.step(name=name)(print)  # type: ignore[arg-type]
        with pytest.raises(error.DBOSException):
            DBOSConfiguredInstance(name)  # type: ignore[arg-type]
    for name in ("a\0b", "\ud800"):
        with pytest.raises(error.DBOSException):
            DBOS.dbos_class(name)
        with pytest.raises(error.DBOSException):
            DBOSContextSetAuth(name, [])
        with pytest.raises(error.DBOSException):
            DBOSContextSetAuth("user", [name])


def test_what_is_decorated_without_parentheses(launch: Launch) -> None:
    for decorate in (DBOS.workflow, DBOS.step):
        with pytest.raises(error.DBOSException, match="parentheses"):
            decorate(print)  # type: ignore[arg-type]


def test_wrong_arguments_are_refused_before_anything_is_written(launch: Launch, database_url: str) -> None:
    """By Python's own error, as in a plain call."""

    @DBOS.workflow()
    def workflow(one: int) -> int:
        return one

    launch()
    for call in (
        workflow,
        lambda: workflow(1, two=2),  # type: ignore[call-arg]
        lambda: DBOS.start_workflow(workflow, 1, 2),  # type: ignore[call-arg]
        lambda: asyncio.run(start_async(workflow)),
    ):
        with pytest.raises(TypeError, match="workflow"):
            call()
    assert count_rows(database_url) == {"workflow_status": 0, "operation_outputs": 0}


# ---------------------------------------------------------------- databases


def test_an_unreachable_server() -> None:
    text = refuse_launch("postgresql://user:secret@127.0.0.1:1/nothing")
    assert "127.0.0.1" in text
    assert "secret" not in text


def test_a_directory_that_does_not_exist(tmp_path: Path) -> None:
    assert "missing" in refuse_launch(f"sqlite:///{tmp_path}/missing/system.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("These are my notes, and nothing else. " * 100)
    before = path.read_bytes()
    assert "notes.txt" in refuse_launch(f"sqlite:///{path}")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_instead_of_a_file(tmp_path: Path) -> None:
    refuse_launch(f"sqlite:///{tmp_path}")
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_file(tmp_path: Path) -> None:
    path = tmp_path / "system.sqlite"
    DBOS.migrate(f"sqlite:///{path}")

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False)

    engine = sa.create_engine(f"sqlite:///{path}", creator=connect)
    before = snapshot(f"sqlite:///{path}")
    try:
        assert "readonly" in refuse_launch(system_database_engine=engine)
    finally:
        engine.dispose()
    assert snapshot(f"sqlite:///{path}") == before


@pytest.mark.parametrize("migrated", [False, True])
@pytest.mark.parametrize("fresh_database_url", ["postgres"], indirect=True)
def test_a_read_only_server(fresh_database_url: str, direct_url: str, migrated: bool) -> None:
    if migrated:
        DBOS.migrate(fresh_database_url)
    change_defaults(direct_url, {"default_transaction_read_only": "on"})
    before = snapshot(fresh_database_url)
    assert "read-only" in refuse_launch(fresh_database_url)
    assert snapshot(fresh_database_url) == before


@pytest.mark.owner("there the tables exist")
def test_a_database_of_somebody_else_is_left_untouched(fresh_database_url: str) -> None:
    if fresh_database_url.startswith("sqlite"):
        run_sql(fresh_database_url, "create table workflow_status (id integer primary key, colour text)")
    else:
        with psycopg.connect(fresh_database_url) as connection:
            connection.execute("create schema dbos")
            connection.execute("create table dbos.workflow_status (id integer primary key, colour text)")
    before = snapshot(fresh_database_url)
    for run_migrations in (True, False):
        refuse_launch(fresh_database_url, run_migrations=run_migrations)
    with pytest.raises(error.DBOSInitializationError):
        DBOS.migrate(fresh_database_url)
    assert snapshot(fresh_database_url) == before


def test_a_schema_newer_than_the_library_is_left_untouched(fresh_database_url: str) -> None:
    DBOS.migrate(fresh_database_url)
    run_sql(fresh_database_url, "update dbos_migrations set version = 9999 where version = 1")
    before = snapshot(fresh_database_url)
    assert "9999" in refuse_launch(fresh_database_url)
    with pytest.raises(error.DBOSInitializationError, match="9999"):
        DBOS.migrate(fresh_database_url)
    assert snapshot(fresh_database_url) == before


@pytest.mark.parametrize(
    "question",
    [
        lambda: DBOS.list_workflow_steps("w", limit=-1),
        lambda: DBOS.list_workflow_steps("w", limit=True),
        lambda: DBOS.list_workflow_steps("w", limit="3"),  # type: ignore[arg-type]
        lambda: DBOS.list_workflow_steps("w", limit=2**63),
        lambda: DBOS.list_workflow_steps("w", offset=-1),
        lambda: DBOS.list_workflow_steps("w", offset=1.0),  # type: ignore[arg-type]
        lambda: DBOS.list_workflow_steps("a\0b"),
        lambda: DBOS.list_workflow_steps("a\ud800"),
        lambda: DBOS.list_workflow_steps(5),  # type: ignore[arg-type]
        lambda: DBOS.list_workflows(limit=2**63),
        lambda: DBOS.list_workflows(offset=2**70),
        lambda: DBOS.update_workflow_attributes("a\0b", {"a": 1}),
        lambda: DBOS.update_workflow_attributes("a\ud800b", {"a": 1}),
        lambda: DBOS.update_workflow_attributes(5, {"a": 1}),  # type: ignore[arg-type]
        lambda: DBOS.cancel_workflow(5),  # type: ignore[arg-type]
        lambda: DBOS.cancel_workflow("a\0b"),
        lambda: DBOS.cancel_workflows(None),  # type: ignore[arg-type]
        lambda: DBOS.cancel_workflows("abc"),
        lambda: DBOS.cancel_workflows(["a", None]),  # type: ignore[list-item]
        lambda: DBOS.resume_workflows(None),  # type: ignore[arg-type]
    ],
)
def test_questions_that_mean_nothing_are_refused_alike_on_both_databases(
    launch: Launch, question: Callable[[], object]
) -> None:
    launch()
    written = launched_engine().store.journal.counters.records
    with pytest.raises(error.DBOSException, match=r"must|never stored") as refusal:
        question()
    assert type(refusal.value) is error.DBOSException
    assert launched_engine().store.journal.counters.records == written


@pytest.mark.parametrize(
    ("whose", "call"),
    [
        ("DBOS", DBOS.start_workflow),
        ("DBOS", DBOS.retrieve_workflow),
        ("DBOS", partial(DBOS.read_stream, "w")),
        ("DBOSClient", DBOSClient.enqueue),
    ],
)
def test_whoever_forgets_an_argument_is_told_the_name_that_he_wrote(whose: str, call: Callable[..., object]) -> None:
    with pytest.raises(TypeError, match=rf"^{whose}\.\w+\(\) missing [12] required"):
        call()


def test_the_largest_page_and_any_iterable_of_ids_will_do(launch: Launch) -> None:
    @DBOS.workflow()
    def workflow() -> None:
        DBOS.sleep(0)

    launch()
    with SetWorkflowID("w"):
        workflow()
    assert len(DBOS.list_workflow_steps("w", limit=2**63 - 1, offset=0)) == 1
    assert DBOS.list_workflow_steps("w", limit=2**63 - 1, offset=2**63 - 1) == []
    assert len(DBOS.list_workflows(limit=2**63 - 1)) == 1
    DBOS.cancel_workflows(each for each in ["w", "nobody"])  # type: ignore[arg-type]
