"""api.md §20: portable JSON; what becomes what, and what is refused with the way that leads to it."""

import json
import subprocess
import sys
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbos import DBOSPortableJSONSerializer, PortableWorkflowError, WorkflowSerializationFormat, error
from dbos.model.serialization import Serialization

PORTABLE = WorkflowSerializationFormat.PORTABLE
EAST = timezone(timedelta(hours=2))
Pair = namedtuple("Pair", "a b")


class Colour(StrEnum):
    RED = "red"


class Size(IntEnum):
    LARGE = 3


class Kind(Enum):
    ONE = 1


@dataclass
class Point:
    x: int = 1


def encode(value: Any) -> str:
    text, codec = Serialization().encode(value, "result", PORTABLE)
    assert codec == "portable_json"
    return text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (2**70, str(2**70)),
        (1.5, "1.5"),
        ("ü\0", '"ü\\u0000"'),
        ("\\ud800", '"\\\\ud800"'),
        ([1, [2]], "[1,[2]]"),
        ({"b": 1, "a": {}}, '{"b":1,"a":{}}'),
        ((1, (2, 3)), "[1,[2,3]]"),
        (Pair(1, 2), "[1,2]"),
        ({3, 1, 2}, "[1,2,3]"),
        pytest.param(frozenset({"b", "a"}), '["a","b"]', id="a set"),  # its repr has the order of the day
        (datetime(2026, 1, 2, 3, 4, 5, 678901), '"2026-01-02T03:04:05.678Z"'),  # noqa: DTZ001
        (datetime(2026, 1, 2, 3, 4, tzinfo=UTC), '"2026-01-02T03:04:00.000Z"'),
        (datetime(2026, 1, 2, 1, tzinfo=EAST), '"2026-01-01T23:00:00.000Z"'),
        (datetime(7, 1, 2), '"0007-01-02T00:00:00.000Z"'),  # noqa: DTZ001
        (date(2026, 1, 2), '"2026-01-02"'),
        (Decimal("1.50"), '"1.50"'),
        (Colour.RED, '"red"'),
        ({Colour.RED: Size.LARGE}, '{"red":3}'),
        (OrderedDict(z=(1,)), '{"z":[1]}'),
    ],
    ids=repr,
)
def test_what_becomes_what(value: Any, text: str) -> None:
    assert encode(value) == text
    assert DBOSPortableJSONSerializer().serialize(value) == text
    assert json.loads(encode([value])) == [json.loads(text)]


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(150):
        value = [value]
    return value


def circular() -> list[Any]:
    value: list[Any] = [()]
    value.append({"again": value})
    return value


def bushy() -> tuple[Any, ...]:
    """Two to the power of 90 leaves."""
    value: tuple[Any, ...] = (1,)
    for _ in range(90):
        value = (value, value)
    return value


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (b"x", "result"),
        (Point(), "result"),
        (Kind.ONE, "result"),
        (time(1), "result"),
        (timedelta(1), "result"),
        (UUID(int=1), "result"),
        (iter([1]), "result"),
        ({"a": [1, {"b": object()}]}, "result['a'][1]['b']"),
        ((1, {"k": float("nan")}), "result[1]['k']"),
        ([float("inf")], "result[0]"),
        ([{1: 2}], "result[0] key 1"),
        ({"\ud800": 1}, "result key '\\ud800'"),
        (["\ud800"], "result[0]"),
        ([10**5000], "result[0]"),
        ({10**5000: 1}, "result key <int>"),
        ([datetime.min.replace(tzinfo=EAST)], "result[0]"),
        (deep(), "result" + "[0]" * 100),
    ],
    ids=lambda each: each[:40] if isinstance(each, str) else type(each).__name__,
)
def test_what_json_cannot_hold_is_refused_with_its_path(value: Any, path: str) -> None:
    with pytest.raises(error.DBOSSerializationError) as refusal:
        encode(value)
    assert refusal.value.path == path
    assert isinstance(refusal.value, TypeError)  # as json has it for types
    assert isinstance(refusal.value, ValueError)  # and for numbers and circles
    with pytest.raises(error.DBOSSerializationError):
        DBOSPortableJSONSerializer().serialize(value)


@pytest.mark.parametrize("make", [circular, bushy])
def test_what_never_ends_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(error.DBOSSerializationError, match="holds itself or much the same"):
        encode(make())


def test_inputs_name_what_is_positional_and_what_is_not() -> None:
    codec = Serialization()
    for args, kwargs in (((1, "x"), {"b": [2], "a": None}), ((), {}), (((1,), date(2026, 1, 2)), {"k": {2}})):
        text, name = codec.encode_inputs(args, kwargs, PORTABLE)
        assert name == "portable_json"
        assert list(json.loads(text)) == ["namedArgs", "positionalArgs"]
        assert list(json.loads(text)["namedArgs"]) == sorted(kwargs)
    assert codec.encode_inputs((1, "x"), {"b": [2], "a": None}, PORTABLE)[0] == (
        '{"namedArgs":{"a":null,"b":[2]},"positionalArgs":[1,"x"]}'
    )
    assert codec.decode_inputs('{"positionalArgs":[1,[2]]}', "portable_json") == ((1, [2]), {})
    assert codec.decode_inputs('{"namedArgs":{"a":1},"positionalArgs":[]}', "portable_json") == ((), {"a": 1})
    for wrong in ("{}", "[]", "3", '{"args":[],"kwargs":{}}', '{"positionalArgs":3}'):
        with pytest.raises(error.DBOSDeserializationError):
            codec.decode_inputs(wrong, "portable_json")
    for args, kwargs, path in (((1, b"x"), {}, "args[1]"), ((), {"k": [object()]}, "kwargs['k'][0]")):
        with pytest.raises(error.DBOSSerializationError) as refusal:
            codec.encode_inputs(args, kwargs, PORTABLE)
        assert refusal.value.path == path


def test_a_limit_of_size_holds_here_too() -> None:
    with pytest.raises(error.DBOSSerializationError, match="limit"):
        Serialization(max_bytes=100).encode(("x" * 100,), "result", PORTABLE)
    with pytest.raises(error.DBOSSerializationError, match="limit"):
        Serialization(max_bytes=100).encode_inputs(("x" * 100,), {}, PORTABLE)


def test_a_set_is_written_the_same_in_every_process() -> None:
    program = "from dbos import *; print(DBOSPortableJSONSerializer().serialize({'a', 'bc', None, 3, ('d', 4)}))"
    texts = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert len(texts) == 1


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(plain)
def test_plain_data_comes_back_as_it_was(value: Any) -> None:
    assert Serialization().decode(encode(value), "portable_json") == value
    assert encode((value,)) == f"[{encode(value)}]"  # the slow way and the fast one write the same


def test_a_value_that_does_not_hold_still_is_refused() -> None:
    class Growing(dict[str, int]):
        def items(self) -> Any:
            for item in dict.items(self):
                self["b"] = 2  # as another thread might
                yield item

    with pytest.raises(error.DBOSSerializationError, match="changed while"):
        encode(Growing(a=1))


@pytest.mark.parametrize(
    ("problem", "record"),
    [
        (KeyError("a", 1), {"name": "KeyError", "message": "('a', 1)", "code": None}),
        (OSError(2, "gone"), {"name": "FileNotFoundError", "message": "[Errno 2] gone", "code": 2}),
        (
            error.DBOSNotAuthorizedError("no"),
            {"name": "DBOSNotAuthorizedError", "message": "DBOS Error 8: no", "code": 8},
        ),
        (PortableWorkflowError("m", "N"), {"name": "N", "message": "m", "code": None}),
        (
            PortableWorkflowError("m", "N", "C", {"at": date(2026, 1, 2), "in": (1,)}),
            {"name": "N", "message": "m", "code": "C", "data": {"at": "2026-01-02", "in": [1]}},
        ),
    ],
    ids=repr,
)
def test_errors_are_records_of_four_fields(problem: Exception, record: dict[str, Any]) -> None:
    codec = Serialization()
    text, name = codec.encode_error(problem, PORTABLE)
    assert (json.loads(text), name) == (record, "portable_json")
    again = codec.decode_error(text, name)
    assert isinstance(again, PortableWorkflowError)
    assert (again.name, again.message, again.code) == (record["name"], record["message"], record["code"])
    assert again.data == record.get("data")


def test_an_error_never_blocks_an_outcome() -> None:
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    codec = Serialization()
    for problem in (
        Unspeakable(),
        PortableWorkflowError("m", "N", None, object()),
        ValueError("\ud800", "x" * 200_000),
    ):
        text, name = codec.encode_error(problem, PORTABLE)
        assert len(text) < 100_000
        assert isinstance(codec.decode_error(text, name), PortableWorkflowError)


@pytest.mark.parametrize("notes", [5, "a text", {"a": 1}, True, None])
def test_an_error_of_another_program_may_mean_something_else_by_notes(notes: Any) -> None:
    again = Serialization().decode_error(json.dumps({"message": "m", "notes": notes}), "portable_json")
    assert isinstance(again, PortableWorkflowError)
    assert again.message == "m"
    assert not hasattr(again, "__notes__")


def test_as_the_configured_serializer_it_writes_everything() -> None:
    codec = Serialization(DBOSPortableJSONSerializer())
    assert codec.encode((1,), "result") == ("[1]", "portable_json")
    assert codec.encode_inputs((1,), {}) == ('{"namedArgs":{},"positionalArgs":[1]}', "portable_json")
    assert codec.encode_error(ValueError("no"))[1] == "portable_json"
    assert codec.decode("[1]", None) == [1]
    assert codec.decode_inputs('{"positionalArgs":[1]}', None) == ((1,), {})
    assert codec.decode_error('{"name":"N","message":"m"}', None).args == ("m",)
    pickled = codec.encode({1}, "result", WorkflowSerializationFormat.NATIVE)
    assert pickled[1] == "py_pickle"
    assert codec.decode(*pickled) == {1}
    serializer = DBOSPortableJSONSerializer()
    assert serializer.name() == "portable_json"
    assert serializer.deserialize(None) is None
    assert serializer.deserialize("[1]") == [1]


def test_no_other_serializer_has_its_name() -> None:
    class Impostor(DBOSPortableJSONSerializer):
        """Neither the built-in one nor of a name of its own."""

    with pytest.raises(error.DBOSInitializationError, match="portable_json"):
        Serialization(Impostor())
