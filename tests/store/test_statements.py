"""The named statements: parsed once, filled per dialect, numbered for the driver."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dbos.store.database import StoreSettings
from dbos.store.postgres.database import PostgresDatabase, quote
from dbos.store.records import KINDS, Checkpoint, StartWorkflow
from dbos.store.sqlite.database import SqliteDatabase
from dbos.store.statements import Statements, columns_of
from tests.store.records import checkpoint


@pytest.fixture(params=["sqlite", "postgres"])
def statements(request: pytest.FixtureRequest) -> Statements:
    settings = StoreSettings(url=f"{request.param}:///x")
    if request.param == "sqlite":
        return SqliteDatabase(settings, Path("x")).statements
    return PostgresDatabase(settings).statements


def test_nothing_is_left_open(statements: Statements) -> None:
    for name in statements:
        sql = statements[name].sql
        assert not re.search(r"[{}]|--|;\s*$", sql.replace("'{}'", "")), f"{name}: {sql}"
        assert "select *" not in sql
        assert sql == sql.strip()


def test_every_parameter_is_numbered_once(statements: Statements) -> None:
    for name in statements:
        statement = statements[name]
        numbers = [int(number) for number in re.findall(r"\$(\d+)", statement.sql)]
        if numbers:
            assert sorted(set(numbers)) == list(range(1, len(statement.parameters) + 1)), name


def test_the_parameters_of_a_record_are_its_fields_in_order(statements: Statements) -> None:
    for kind in KINDS:
        statement = statements[kind.__name__]
        assert statement.parameters == kind._fields or statement.sql.count("?") == len(kind._fields)


def test_plain_types_of_a_record() -> None:
    assert columns_of(Checkpoint)["output"] is str
    assert columns_of(StartWorkflow)["priority"] is int


def test_values_are_taken_by_name() -> None:
    statement = PostgresDatabase(StoreSettings(url="postgresql://h/d")).statements["Checkpoint"]
    record = checkpoint("w", 3)
    assert statement.values(record._asdict()) == list(record)


def test_composing_numbers_repeated_parameters_once() -> None:
    statements = PostgresDatabase(StoreSettings(url="postgresql://h/d", schema='a"b')).statements
    composed = statements.compose(
        "x", "select cast(:one as text), :two::int, :one from {schema}.t where a in ({each:ids})"
    )
    assert composed.parameters == ("one", "two", "ids")
    assert composed.sql == (
        'select cast($1 as text), $2::int, $1 from "a""b".t'
        " where a in (select value from json_array_elements_text(cast($3 as json)))"
    )


@pytest.mark.parametrize(("name", "quoted"), [("dbos", '"dbos"'), ('a"b', '"a""b"'), ("A b", '"A b"')])
def test_quoting(name: str, quoted: str) -> None:
    assert quote(name) == quoted
