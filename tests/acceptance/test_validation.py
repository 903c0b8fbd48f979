"""api.md §3.17: arguments are validated before the function sees them, by a function of the user's or by pydantic."""

import asyncio
import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from dbos import (
    DBOS,
    DBOSClient,
    DBOSConfiguredInstance,
    PortableWorkflowError,
    Queue,
    SetWorkflowID,
    WorkflowSerializationFormat,
    error,
    make_pydantic_args_validator,
    pydantic_args_validator,
)
from tests.support.fixture_types import Launch, Replay
from tests.support.raw_sql import run_sql

PORTABLE = WorkflowSerializationFormat.PORTABLE


class Item(BaseModel):
    sku: str
    count: int


class Opaque:
    """Of a class that pydantic knows nothing about."""


def function(
    a: int, b: str = "b", *rest: float, when: date | None = None, item: Item | None = None, **more: int
) -> None: ...


@pytest.mark.parametrize(
    ("args", "kwargs", "valid"),
    [
        (("5",), {}, ((5, "b"), {"when": None, "item": None})),
        ((5, "x", "1.5", 2), {}, ((5, "x", 1.5, 2.0), {"when": None, "item": None})),
        ((5,), {"when": "2026-01-02", "z": "9"}, ((5, "b"), {"when": date(2026, 1, 2), "item": None, "z": 9})),
        (
            (),
            {"a": "1", "b": "x", "item": {"sku": "s", "count": "2"}},
            ((), {"a": 1, "b": "x", "when": None, "item": Item(sku="s", count=2)}),
        ),
    ],
)
def test_arguments_are_understood_as_annotated(
    args: tuple[Any, ...], kwargs: dict[str, Any], valid: tuple[Any, Any]
) -> None:
    def called(*args: Any, **kwargs: Any) -> Any:
        bound = inspect.signature(function).bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    got_args, got_kwargs = make_pydantic_args_validator(function)(args, kwargs)
    assert called(*got_args, **got_kwargs) == called(*valid[0], **valid[1])


@pytest.mark.parametrize(
    ("args", "kwargs", "paths"),
    [
        (("x",), {}, ["a"]),
        ((), {}, ["a"]),
        ((1, 2, "x", 3, "y"), {}, ["b", "rest[0]", "rest[2]"]),
        ((1,), {"item": {"sku": 1}}, ["item.sku", "item.count"]),
        ((1,), {"z": "q", "when": "never"}, ["when", "z"]),
    ],
)
def test_everything_that_is_wrong_is_named(args: tuple[Any, ...], kwargs: dict[str, Any], paths: list[str]) -> None:
    with pytest.raises(error.DBOSInvalidArgumentsError) as refusal:
        make_pydantic_args_validator(function)(args, kwargs)
    assert list(refusal.value.problems) == paths
    assert isinstance(refusal.value, ValueError)
    assert "Argument validation failed for function: " in str(refusal.value)
    again = pickle.loads(pickle.dumps(refusal.value))
    assert (str(again), again.problems) == (str(refusal.value), refusal.value.problems)


def test_what_has_no_annotation_or_one_of_any_class_passes() -> None:
    def loose(a, b: Opaque, c: "Decimal" = Decimal(0)): ...  # type: ignore[no-untyped-def]

    validate = make_pydantic_args_validator(loose)
    opaque, anything = Opaque(), object()
    assert validate((anything, opaque, "1.50"), {}) == ((anything, opaque, Decimal("1.50")), {})
    with pytest.raises(error.DBOSInvalidArgumentsError) as refusal:
        validate((1, 2), {})
    assert list(refusal.value.problems) == ["b"]


@pytest.mark.parametrize("how", ["call", "start", "enqueue", "coroutine"])
def test_portable_workflows_are_validated_at_the_call(launch: Launch, database_url: str, how: str) -> None:
    queue = Queue("q")

    @DBOS.workflow(serialization_type=PORTABLE, validate_args=pydantic_args_validator)
    def workflow(number: int, when: datetime) -> list[str]:
        return [repr(number), type(when).__name__]

    @DBOS.workflow(serialization_type=PORTABLE, validate_args=pydantic_args_validator)
    async def coroutine(number: int, when: datetime) -> list[str]:
        return [repr(number), type(when).__name__]

    launch()
    ways: dict[str, Callable[..., Any]] = {
        "call": workflow,
        "start": lambda *args: DBOS.start_workflow(workflow, *args).get_result(),
        "enqueue": lambda *args: queue.enqueue(workflow, *args).get_result(),
        "coroutine": lambda *args: asyncio.run(coroutine(*args)),
    }
    call = ways[how]
    with pytest.raises(error.DBOSInvalidArgumentsError, match=r"number: .*; when: "):
        call("x", "never")
    with pytest.raises(TypeError, match="missing a required argument: 'when'"):
        call(1)
    assert run_sql(database_url, "select count(*) from workflow_status") == [(0,)]
    with SetWorkflowID("w"):
        assert call("5", "2026-01-02T03:04:05Z") == ["5", "datetime"]
    status = DBOS.retrieve_workflow("w").get_status()
    assert status.input == {"args": ("5", "2026-01-02T03:04:05Z"), "kwargs": {}}  # as it was given


def test_a_replay_sees_the_arguments_of_the_first_run(launch: Launch, replay: Replay) -> None:
    seen = []

    @DBOS.workflow(serialization_type=PORTABLE, validate_args=pydantic_args_validator)
    def workflow(when: datetime, item: Item) -> None:
        seen.append((when, item))

    launch()
    with SetWorkflowID("w"):
        workflow("2026-01-02T03:04:05Z", {"sku": "s", "count": 1})  # type: ignore[arg-type]
    replay("w").get_result()
    assert seen[0] == seen[1]
    assert isinstance(seen[0][0], datetime)


def test_what_comes_from_the_database_is_validated_in_any_format(launch: Launch, database_url: str) -> None:
    queue = Queue("q")

    @DBOS.workflow(name="native", validate_args=pydantic_args_validator)
    def native(number: int) -> str:
        return repr(number)

    @DBOS.workflow(name="portable", validate_args=pydantic_args_validator, serialization_type=PORTABLE)
    async def portable(number: int) -> str:
        return repr(number)

    launch()
    client = DBOSClient(system_database_url=database_url)
    try:
        for name, kind, kwargs in (
            ("native", error.DBOSInvalidArgumentsError, {}),
            ("portable", PortableWorkflowError, {"serialization_type": PORTABLE}),
        ):
            options: Any = {"workflow_name": name, "queue_name": "q", **kwargs}
            assert client.enqueue(options, "7").get_result() == "7"
            handle = client.enqueue(options, "x")
            with pytest.raises(kind, match=r"Argument validation failed for .*number: "):
                handle.get_result()
            assert handle.get_status().status == "ERROR"
            with pytest.raises(kind, match="number: Missing required argument"):
                client.enqueue(options).get_result()
    finally:
        client.destroy()
    assert native("7") == "'7'"  # type: ignore[arg-type]  # a caller in Python is trusted
    assert queue.enqueue(native, "7").get_result() == "7"  # type: ignore[arg-type]


def test_a_child_is_validated_once(launch: Launch, replay: Replay) -> None:
    calls = []

    def count(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        calls.append(args)
        return args, kwargs

    @DBOS.workflow(serialization_type=PORTABLE, validate_args=count)
    def child(number: int) -> int:
        return number

    @DBOS.workflow()
    def parent() -> int:
        return child(3)

    launch()
    with SetWorkflowID("p"):
        assert parent() == 3
    assert replay("p").get_result() == 3
    assert calls == [(3,)]


def test_methods_are_validated_without_their_receiver(launch: Launch) -> None:
    @DBOS.dbos_class()
    class Shop(DBOSConfiguredInstance):
        @DBOS.workflow(serialization_type=PORTABLE, validate_args=pydantic_args_validator)
        def instance(self, number: int) -> str:
            return repr(number)

        @classmethod
        @DBOS.workflow(serialization_type=PORTABLE, validate_args=pydantic_args_validator)
        def of_class(cls, number: int) -> str:
            return repr(number)

        @staticmethod
        @DBOS.workflow(serialization_type=PORTABLE, validate_args=pydantic_args_validator)
        def static(number: int) -> str:
            return repr(number)

    shop = Shop("shop")
    launch()
    for method in (shop.instance, Shop.of_class, Shop.static):
        assert method("5") == "5"  # type: ignore[arg-type]
        with pytest.raises(error.DBOSInvalidArgumentsError):
            method("x")  # type: ignore[arg-type]


def test_what_is_no_validator_is_refused(launch: Launch) -> None:
    for wrong in (3, "pydantic", object()):
        with pytest.raises(error.DBOSException, match="validate_args"):
            DBOS.workflow(validate_args=wrong)(function)  # type: ignore[arg-type]
        with pytest.raises(error.DBOSException, match="function"):
            make_pydantic_args_validator(wrong)  # type: ignore[arg-type]
    with pytest.raises(error.DBOSException, match="make_pydantic_args_validator"):
        pydantic_args_validator((), {})

    @DBOS.workflow(serialization_type=PORTABLE, validate_args=lambda args, kwargs: None)  # type: ignore[arg-type,return-value]
    def workflow() -> None: ...

    launch()
    with pytest.raises(error.DBOSException, match=r"must return \(args, kwargs\)"):
        workflow()


def test_without_pydantic_it_says_what_to_install() -> None:
    program = """
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "pydantic" else find(name, *rest)
import dbos
try:
    dbos.DBOS.workflow(validate_args=dbos.pydantic_args_validator)(lambda: None)
except dbos.error.DBOSException as refusal:
    print(refusal, "pydantic" in sys.modules)
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "dbos with its extra `validation`" in answer
    assert answer.endswith(" False\n")
