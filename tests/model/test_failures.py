"""Errors: they come back as themselves, or as a portable record with their name, message, arguments and notes."""

import base64
import json
import pickle
import subprocess
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbos.error import (
    DBOSAwaitedWorkflowCancelledError,
    DBOSDeserializationError,
    DBOSMaxStepRetriesExceeded,
    DBOSNonExistentWorkflowError,
    PortableWorkflowError,
)
from dbos.model.serialization import Serialization, Serializer

DEFAULT = Serialization()
NO_PICKLE = Serialization(allow_pickle=False)


class Keyworded(Exception):
    """Pickles well and cannot be read back: its constructor wants what `args` does not hold."""

    def __init__(self, *, order: int) -> None:
        super().__init__(f"order {order}")
        self.order = order


class Prefixed(Exception):
    """Pickles well and comes back changed: its constructor would add the prefix once more."""

    def __init__(self, text: str) -> None:
        super().__init__(f"prefix {text}")


class Reducing(Exception):
    """Knows itself how to be rebuilt."""

    def __init__(self, left: int, right: int) -> None:
        super().__init__(f"{left} {right}")
        self.pair = (left, right)

    def __reduce__(self) -> Any:
        return Reducing, self.pair


class Locked(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text, threading.Lock())
        self.lock = threading.Lock()
        self.code = "E_LOCKED"


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

    def __reduce__(self) -> Any:
        raise RuntimeError("no pickle")


class JsonSerializer(Serializer):
    def serialize(self, data: Any) -> str:
        return json.dumps(data, default=str)

    def deserialize(self, serialized_data: str) -> Any:
        return json.loads(serialized_data)


class PickleSerializer(Serializer):
    def serialize(self, data: Any) -> str:
        return pickle.dumps(data).hex()

    def deserialize(self, serialized_data: str) -> Any:
        return pickle.loads(bytes.fromhex(serialized_data))


def round_trip(error: BaseException, serialization: Serialization = DEFAULT) -> Any:
    text, codec = serialization.encode_error(error)
    text.encode("utf-8")
    assert "\0" not in text
    return serialization.decode_error(text, codec)


SAMPLES: list[BaseException] = [
    ValueError("no"),
    KeyError("missing"),
    OSError(2, "No such file", "a.txt"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
    StopIteration(7),
    SystemExit(3),
    subprocess.CalledProcessError(1, ["ls"], output=b"o"),
    Exception(),
    Exception("several", 1, None),
    Keyworded(order=7),
    Prefixed("text"),
    Reducing(1, 2),
    DBOSNonExistentWorkflowError("w"),
    DBOSAwaitedWorkflowCancelledError("w"),
    PortableWorkflowError("m", "N", 1, {"a": 1}),
]


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_comes_back_as_itself(error: BaseException) -> None:
    again = round_trip(error)
    assert type(again) is type(error)
    assert again.args == error.args
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_an_error_that_is_stored_twice_has_one_text() -> None:
    """So that the error of a workflow can be recognised as that of its step."""
    error = ValueError("a", 1)
    first = Serialization().encode_error(error)
    assert Serialization().encode_error(error) == first
    assert Serialization().encode_error(Serialization().decode_error(*first)) == first


def test_notes_stay() -> None:
    error = Keyworded(order=7)
    error.add_note("while paying")
    assert round_trip(error).__notes__ == ["while paying"]
    assert round_trip(error, NO_PICKLE).__notes__ == ["while paying"]


def test_a_group_keeps_its_parts() -> None:
    group = round_trip(ExceptionGroup("both", [Keyworded(order=1), ValueError("no")]))
    assert [type(part) for part in group.exceptions] == [Keyworded, ValueError]
    assert group.exceptions[0].order == 1


def test_an_error_within_an_error_comes_back_too() -> None:
    error = ValueError("outer")
    error.inner = Keyworded(order=7)  # type: ignore[attr-defined]
    assert round_trip(error).inner.order == 7


def test_an_error_of_a_vanished_or_local_class_is_a_record() -> None:
    class Local(Exception):
        pass

    again = round_trip(Local("no"))
    assert isinstance(again, PortableWorkflowError)
    assert (again.name, again.message) == ("Local", "no")

    text = base64.b64encode(b"cdbos_test_gone\nOrderError\n(Vempty\nI7\ntR.").decode()
    again = DEFAULT.decode_error(text, "py_pickle")
    assert isinstance(again, PortableWorkflowError)
    assert (again.name, again.data["args"]) == ("OrderError", ["empty", 7])
    assert again.data["type"] == "dbos_test_gone.OrderError"


def test_unpicklable_attributes_leave_a_record() -> None:
    again = round_trip(Locked("no"))
    assert isinstance(again, PortableWorkflowError)
    assert (again.name, again.code) == ("Locked", "E_LOCKED")
    assert again.data["args"][0] == "no"
    assert "lock" in again.data["args"][1]
    assert set(again.data["attributes"]) == {"lock", "code"}


@pytest.mark.parametrize("serialization", [DEFAULT, NO_PICKLE, Serialization(JsonSerializer())])
def test_nothing_stops_an_outcome(serialization: Serialization) -> None:
    again = round_trip(Mute(), serialization)
    assert type(again) is Mute or again.name == "Mute"
    odd = Exception("\ud800 a\0b \ud83d\ude00", b"bytes", float("nan"), object())
    odd.__dict__["a\ud800"] = threading.Lock()
    odd.add_note("\ud800")
    assert round_trip(odd, serialization).__notes__ == ["\ud800"]
    nested: BaseException = ValueError("bottom")
    for _ in range(5_000):
        outer = ValueError("outer")
        outer.inner = nested  # type: ignore[attr-defined]
        nested = outer
    assert str(round_trip(nested, serialization)) == "outer"
    long = Locked("x" * 10_000_000)
    assert len(serialization.encode_error(long)[0]) < 1_000_000


def test_a_large_error_becomes_a_small_record() -> None:
    text, codec = Serialization(max_bytes=1_000_000).encode_error(ValueError("x" * 2_000_000))
    assert codec == "portable_json"
    assert len(text) < 200_000
    assert DEFAULT.decode_error(text, codec).message.endswith("(2000000 characters)")  # type: ignore[attr-defined]


def test_the_attempts_of_a_step_survive_each_as_well_as_it_can() -> None:
    error = DBOSMaxStepRetriesExceeded("pay", 3, [ValueError("a"), Keyworded(order=1), Locked("c")])
    error.add_note("kept")
    again = round_trip(error)
    assert isinstance(again, DBOSMaxStepRetriesExceeded)
    assert str(again) == str(error)
    assert [type(attempt) for attempt in again.errors] == [ValueError, Keyworded, PortableWorkflowError]
    assert again.errors[1].order == 1  # type: ignore[attr-defined]
    assert again.errors[2].name == "Locked"  # type: ignore[attr-defined]
    assert again.__notes__ == ["kept"]
    assert isinstance(error.errors[2], Locked)  # the live object is left alone


def test_without_pickle_errors_are_records() -> None:
    text, codec = NO_PICKLE.encode_error(ValueError("no", 7))
    assert codec == "portable_json"
    assert json.loads(text)["name"] == "ValueError"
    again = NO_PICKLE.decode_error(text, codec)
    assert isinstance(again, PortableWorkflowError)
    assert (again.name, again.data) == ("ValueError", {"type": "ValueError", "args": ["no", 7]})
    assert round_trip(DBOSNonExistentWorkflowError("w"), NO_PICKLE).code == 5
    with pytest.raises(DBOSDeserializationError, match="refuses pickle"):
        NO_PICKLE.decode_error(*DEFAULT.encode_error(ValueError("no")))


def test_a_portable_error_is_stored_as_it_was_given() -> None:
    error = PortableWorkflowError("m", "N", "E7", {"a": [1]})
    text, codec = NO_PICKLE.encode_error(error)
    assert json.loads(text) == {"name": "N", "message": "m", "code": "E7", "data": {"a": [1]}}
    assert vars(NO_PICKLE.decode_error(text, codec)) == vars(error)


def test_a_custom_serializer_carries_the_errors_it_can() -> None:
    for error in (ValueError("no"), Reducing(1, 2)):
        again = round_trip(error, Serialization(PickleSerializer()))
        assert type(again) is type(error)
    custom = Serialization(PickleSerializer())
    assert custom.encode_error(ValueError("no"))[1] == "PickleSerializer"
    assert custom.encode_error(Keyworded(order=7))[1] == "portable_json"
    assert custom.decode_error(*DEFAULT.encode_error(Keyworded(order=7))).order == 7  # type: ignore[attr-defined]


def test_a_serializer_for_data_leaves_errors_to_the_record() -> None:
    custom = Serialization(JsonSerializer())
    assert custom.encode_error(ValueError("no"))[1] == "portable_json"
    assert round_trip(ValueError("no"), custom).name == "ValueError"


@pytest.mark.parametrize(
    ("text", "codec", "message"),
    [
        ('"gone wrong"', "json", "gone wrong"),
        ('"gone wrong"', "portable_json", "gone wrong"),
        ('{"name":"N","message":"m"}', "json", "m"),
        ('{"message":"m"}', "portable_json", "m"),
        ("[1]", "portable_json", "[1]"),
        (base64.b64encode(pickle.dumps("a text")).decode(), "py_pickle", "a text"),
    ],
)
def test_whatever_stands_for_an_error_is_raised_as_one(text: str, codec: str, message: str) -> None:
    again = DEFAULT.decode_error(text, codec)
    assert isinstance(again, PortableWorkflowError)
    assert again.message == message


def test_a_custom_serializer_may_hold_a_text_for_an_error() -> None:
    again = Serialization(JsonSerializer()).decode_error('"gone wrong"', "JsonSerializer")
    assert isinstance(again, PortableWorkflowError)
    assert again.message == "gone wrong"


def test_listings_get_errors() -> None:
    text, codec = DEFAULT.encode_error(ValueError("no"))
    error, failed = DEFAULT.describe_error(text, codec)
    assert isinstance(error, ValueError)
    assert not failed
    assert NO_PICKLE.describe_error(text, codec) == (text, True)
    assert DEFAULT.describe_error(text, "unknown") == (text, True)


arguments = st.lists(
    st.none() | st.integers() | st.floats() | st.text(st.characters()) | st.binary() | st.just(threading.Lock()),
    max_size=3,
)


@given(arguments, st.lists(st.text(st.characters()), max_size=2))
def test_any_error_keeps_its_arguments_and_notes(args: list[Any], notes: list[str]) -> None:
    for serialization in (DEFAULT, NO_PICKLE, Serialization(JsonSerializer())):
        error = ValueError(*args)
        for note in notes:
            error.add_note(note)
        again = round_trip(error, serialization)
        assert getattr(again, "__notes__", []) == notes
        if isinstance(again, ValueError):
            assert repr(again.args) == repr(error.args)
        else:
            assert again.name == "ValueError"
            assert len(again.data["args"]) == len(args)
