"""Values: an exact round trip, or a typed refusal that names the part that cannot be stored."""

import base64
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import pickle
import sys
import threading
import uuid
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dbos.error import DBOSDeserializationError, DBOSInitializationError, DBOSSerializationError
from dbos.model.serialization import Serialization, Serializer, WorkflowSerializationFormat
from dbos.model.serialization.plain import MAX_DEPTH

DEFAULT = Serialization()
NO_PICKLE = Serialization(allow_pickle=False)
SUMMER = dt.timezone(dt.timedelta(hours=2), "summer")


class Colour(enum.Enum):
    RED = "red"


class Level(int):
    """A subclass of a plain type, which JSON would turn into its parent."""


@dataclasses.dataclass
class Order:
    number: int
    lines: tuple[str, ...] = ()


class Slotted:
    __slots__ = ("lock",)


Point = collections.namedtuple("Point", "x y")


class Picky(Exception):
    """Pickles well, and its constructor does not take back what was pickled."""

    def __init__(self, what: str, number: int) -> None:
        super().__init__(what)


class Box:
    """Anything in an attribute."""

    def __init__(self, content: Any) -> None:
        self.content = content


def round_trip(value: Any, serialization: Serialization = DEFAULT) -> Any:
    text, codec = serialization.encode(value, "value")
    text.encode("utf-8")  # whatever is stored must be storable
    assert "\0" not in text
    return serialization.decode(text, codec)


def identical(left: Any, right: Any) -> bool:
    """Equal in every type too: True is not 1, 1 is not 1.0, -0.0 is not 0.0, and nan is nan."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return repr(left) == repr(right)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(identical, left, right))
    if isinstance(left, dict):
        return list(map(repr, left)) == list(map(repr, right)) and all(map(identical, left.values(), right.values()))
    return bool(left == right)


texts = st.text(st.characters(), max_size=20)  # every plane, surrogates and NUL included
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
plain = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=20)
odd_scalars = (
    scalars
    | st.floats()
    | st.binary()
    | st.datetimes(timezones=st.none() | st.just(dt.UTC) | st.just(SUMMER))
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.just(Colour.RED)
    | st.builds(Level, st.integers())
    | st.builds(Order, st.integers(), st.tuples(texts))
    | st.frozensets(st.integers())
    | st.builds(Point, st.integers(), st.integers())
)
odd = st.recursive(
    odd_scalars,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(texts | st.integers(), inner),
    max_leaves=15,
)


# ---------------------------------------------------------------- what comes back


@given(plain)
def test_plain_data_comes_back_identical(value: Any) -> None:
    assert identical(round_trip(value), value)


@given(odd)
def test_everything_else_comes_back_identical(value: Any) -> None:
    assert identical(round_trip(value), value)


@example({1: 2})
@example("\ud83d\ude00")
@given(plain)
def test_without_pickle_plain_data_comes_back_identical_or_is_refused(value: Any) -> None:
    if DEFAULT.encode(value, "value")[1] == "json":
        assert identical(round_trip(value, NO_PICKLE), value)
    else:
        with pytest.raises(DBOSSerializationError, match=r"surrogates|keys"):
            NO_PICKLE.encode(value, "value")


@given(st.lists(odd, max_size=4).map(tuple), st.dictionaries(texts, odd, max_size=4))
def test_arguments_come_back_identical(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    assert identical(list(DEFAULT.decode_inputs(*DEFAULT.encode_inputs(args, kwargs))), [args, kwargs])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (-0.0, "-0.0"),
        ("Größe 😀", '"Größe 😀"'),
        ("a\0b", '"a\\u0000b"'),
        ([1, 2], "[1,2]"),
        ({"a": [None, {"b": 1.5}]}, '{"a":[null,{"b":1.5}]}'),
        ([], "[]"),
        ({}, "{}"),
    ],
    ids=repr,
)
def test_plain_data_is_stored_as_readable_json(value: Any, text: str) -> None:
    assert DEFAULT.encode(value, "value") == (text, "json")


@pytest.mark.parametrize(
    "value",
    [
        (1, 2),
        [(1, 2)],
        {1: "a"},
        {"a": {None: 1}},
        math.nan,
        [math.inf],
        {1, 2},
        b"bytes",
        Level(3),
        [Level(3)],
        {"a": Colour.RED},
        collections.OrderedDict(a=1),
        collections.defaultdict(list, a=[1]),
        10**5000,
        decimal.Decimal("1.10"),
        dt.datetime(2024, 10, 27, 2, 30, tzinfo=SUMMER, fold=1),
        uuid.UUID(int=7),
        "\ud83d\ude00",  # two halves that a JSON reader would fuse
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_would_change_is_pickled(value: Any) -> None:
    text, codec = DEFAULT.encode(value, "value")
    assert codec == "py_pickle"
    assert pickle.loads(base64.b64decode(text)) == value or value != value
    assert identical(round_trip(value), value)


def test_a_lone_surrogate_is_escaped() -> None:
    assert DEFAULT.encode("a\ud800", "value") == ('"a\\ud800"', "json")
    assert round_trip("a\ud800") == "a\ud800"


def test_zone_and_fold_of_a_time_are_kept() -> None:
    try:
        zone = ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError:
        pytest.skip("this machine has no time zone database")
    again = round_trip(dt.datetime(2024, 10, 27, 2, 30, tzinfo=zone, fold=1))
    assert again.fold == 1
    assert again.tzinfo is zone
    assert again.utcoffset() == dt.timedelta(hours=1)


def test_shared_and_cyclic_references_keep_their_shape() -> None:
    inner = [1]
    left, right = round_trip({"left": inner, "right": inner}).values()
    assert left is right
    cyclic: list[Any] = [1]
    cyclic.append(cyclic)
    again = round_trip(cyclic)
    assert again[1] is again
    args, _ = DEFAULT.decode_inputs(*DEFAULT.encode_inputs((inner, inner), {}))
    assert args[0] is args[1]


@pytest.mark.parametrize("depth", [MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, 200])
def test_deep_data_comes_back(depth: int) -> None:
    value: Any = "bottom"
    for _ in range(depth):
        value = {"down": value}
    assert round_trip(value) == value
    assert DEFAULT.encode(value, "value")[1] == ("json" if depth <= MAX_DEPTH else "py_pickle")


def test_data_deeper_than_the_stack_is_refused_by_name() -> None:
    value: Any = None
    for _ in range(100_000):
        value = [value]
    for serialization in (DEFAULT, NO_PICKLE):
        with pytest.raises(DBOSSerializationError, match=r"^DBOS Error 101: result.*nested"):
            serialization.encode(value, "result")
    while value:  # unwinding it by hand keeps the interpreter from recursing
        value = value.pop()


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("value", "path", "said"),
    [
        (threading.Lock(), "result", "_thread.lock"),
        (Box(Box(threading.Lock())), "result.content.content", "_thread.lock"),
        ([1, {"a": (2, Box(threading.Lock()))}], "result[1]['a'][1].content", "_thread.lock"),
        ((number for number in ()), "result", "Collect what it yields"),
        ({"f": lambda: 1}, "result['f']", "top level"),
        (Box(sys.stderr), "result.content", "TextIOWrapper|EncodedFile|create them in the step"),
        ({Box: 1, threading.Lock(): 2}, None, "_thread.lock"),
    ],
    ids=["lock", "attribute", "containers", "generator", "lambda", "file", "key"],
)
def test_a_refusal_names_the_part(value: Any, path: str | None, said: str) -> None:
    with pytest.raises(DBOSSerializationError, match=said) as caught:
        DEFAULT.encode(value, "result")
    assert path is None or caught.value.path == path
    assert str(caught.value).startswith(f"DBOS Error 101: {caught.value.path}: cannot serialize")


def test_a_refusal_looks_into_slots() -> None:
    slotted = Slotted()
    slotted.lock = threading.Lock()
    with pytest.raises(DBOSSerializationError) as caught:
        DEFAULT.encode([slotted], "event 'status'")
    assert caught.value.path == "event 'status'[0].lock"


def test_a_coroutine_is_refused_with_a_hint() -> None:
    async def fetch() -> int:
        return 1

    coroutine = fetch()
    try:
        with pytest.raises(DBOSSerializationError, match="Await the coroutine"):
            DEFAULT.encode(coroutine, "result")
    finally:
        coroutine.close()


def test_arguments_are_named_as_in_the_call() -> None:
    user = Box(threading.Lock())
    with pytest.raises(DBOSSerializationError) as caught:
        DEFAULT.encode_inputs((1, user), {})
    assert caught.value.path == "args[1].content"
    with pytest.raises(DBOSSerializationError) as caught:
        DEFAULT.encode_inputs((), {"x": [user]})
    assert caught.value.path == "kwargs['x'][0].content"


def test_an_object_that_refuses_to_pickle_is_named_itself() -> None:
    class Moody:
        def __reduce__(self) -> Any:
            raise ZeroDivisionError("not today")

    with pytest.raises(DBOSSerializationError, match="not today") as caught:
        DEFAULT.encode({"a": Moody()}, "result")
    assert caught.value.path == "result['a']"


def test_what_does_not_come_back_is_refused() -> None:
    """It would be recorded, and every recovery would fail on it."""

    with pytest.raises(DBOSSerializationError, match=r"Picky so that it can be read back \(TypeError") as caught:
        DEFAULT.encode({"a": [1, Picky("a", 1)]}, "result")
    assert caught.value.path == "result['a'][1]"


def test_a_value_that_changes_while_it_is_pickled_is_refused() -> None:
    """Usually by another thread."""

    class Meddler:
        def __reduce__(self) -> Any:
            value[len(value)] = None
            return list, ()

    value: dict[Any, Any] = {0: Meddler(), 1: None}
    with pytest.raises(DBOSSerializationError, match="changed while it was being serialized") as caught:
        DEFAULT.encode(value, "result")
    assert caught.value.path == "result"


@pytest.mark.parametrize("serialization", [DEFAULT, NO_PICKLE], ids=["default", "no pickle"])
def test_a_value_that_is_not_plain_any_more_when_it_is_written_is_refused(
    serialization: Serialization, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(value: Any, sharing: bool) -> bool:
        value["late"] = threading.Lock()
        return True

    monkeypatch.setattr("dbos.model.serialization.plain._is_plain", look)
    with pytest.raises(DBOSSerializationError, match="changed while it was being serialized"):
        serialization.encode({}, "result")
    with pytest.raises(DBOSSerializationError, match="changed while it was being serialized"):
        serialization.encode_inputs((), {})


def test_the_search_survives_hostile_classes() -> None:
    class Hostile(dict[str, Any]):
        def items(self) -> Any:
            raise ZeroDivisionError

        def __reduce__(self) -> Any:
            raise ZeroDivisionError("not today")

        def __repr__(self) -> str:
            raise ZeroDivisionError

    with pytest.raises(DBOSSerializationError, match="not today") as caught:
        DEFAULT.encode([Hostile(a=1)], "result")
    assert caught.value.path == "result[0]"


@pytest.mark.parametrize(
    ("value", "path", "said"),
    [
        ({"x": [1, (1, 2)]}, "result['x'][1]", "tuple"),
        ([math.nan], "result[0]", "nan"),
        ({"a": {1: 2}}, "result['a']", "keys that are not str"),
        ([10**5000], "result[0]", "digits"),
        ("\ud83d\ude00", "result", "surrogates"),
        (Order(1), "result", "Order"),
    ],
    ids=["tuple", "nan", "keys", "digits", "surrogates", "object"],
)
def test_without_pickle_only_plain_data_is_stored(value: Any, path: str, said: str) -> None:
    with pytest.raises(DBOSSerializationError, match=said) as caught:
        NO_PICKLE.encode(value, "result")
    assert caught.value.path == path
    assert "refuses pickle" in str(caught.value)


def test_without_pickle_shared_data_is_stored_as_copies() -> None:
    inner = [1]
    assert round_trip([inner, inner], NO_PICKLE) == [[1], [1]]
    bomb: list[Any] = []
    for _ in range(MAX_DEPTH - 1):
        bomb = [bomb, bomb]
    with pytest.raises(DBOSSerializationError):
        NO_PICKLE.encode(bomb, "result")


def test_without_pickle_nothing_pickled_is_read() -> None:
    text, codec = DEFAULT.encode((1, 2), "value")
    for name in (codec, None):
        with pytest.raises(DBOSDeserializationError, match="refuses pickle"):
            NO_PICKLE.decode(text, name)
        assert NO_PICKLE.describe(text, name) == (text, True)


def test_without_pickle_the_native_format_is_refused() -> None:
    with pytest.raises(DBOSSerializationError, match="refuses pickle"):
        NO_PICKLE.encode((1,), "result", WorkflowSerializationFormat.NATIVE)


# ---------------------------------------------------------------- formats, names and sizes


def test_the_native_format_is_always_pickle() -> None:
    text, codec = DEFAULT.encode({"a": 1}, "value", WorkflowSerializationFormat.NATIVE)
    assert codec == "py_pickle"
    assert DEFAULT.decode(text, codec) == {"a": 1}
    text, codec = DEFAULT.encode_inputs((1,), {}, WorkflowSerializationFormat.NATIVE)
    assert codec == "py_pickle"
    assert DEFAULT.decode_inputs(text, codec) == ((1,), {})


def test_the_formats_have_their_documented_values() -> None:
    assert [member.value for member in WorkflowSerializationFormat] == ["None", "native", "portable"]
    assert WorkflowSerializationFormat("native") is WorkflowSerializationFormat.NATIVE


def test_a_value_without_a_codec_name_is_pickled() -> None:
    assert DEFAULT.decode("gAROLg==", None) is None


@pytest.mark.parametrize("codec", ["their_json", "", "JSON"])
def test_an_unknown_codec_is_named(codec: str) -> None:
    with pytest.raises(DBOSDeserializationError, match="no serializer of this name") as caught:
        DEFAULT.decode("1", codec)
    assert caught.value.codec == codec


@pytest.mark.parametrize(
    ("text", "codec"),
    [("{", "json"), ("not base64", "py_pickle"), ("AAAA", "py_pickle"), ("", "py_pickle"), ("[", "portable_json")],
)
def test_rotten_text_is_a_typed_error_and_never_breaks_a_listing(text: str, codec: str) -> None:
    for read in (DEFAULT.decode, DEFAULT.decode_inputs):
        with pytest.raises(DBOSDeserializationError):
            read(text, codec)
    for describe in (DEFAULT.describe, DEFAULT.describe_inputs, DEFAULT.describe_error):
        assert describe(text, codec) == (text, True)


def test_a_class_that_is_gone_is_a_typed_error() -> None:
    text = base64.b64encode(b"cdbos_test_gone\nOrder\n.").decode()
    with pytest.raises(DBOSDeserializationError, match="dbos_test_gone"):
        DEFAULT.decode(text, "py_pickle")


@pytest.mark.parametrize("text", ["1", "[]", '{"args":[]}', '{"args":1,"kwargs":{}}'])
def test_what_is_no_argument_list_is_a_typed_error(text: str) -> None:
    with pytest.raises(DBOSDeserializationError):
        DEFAULT.decode_inputs(text, "json")


def test_listings_get_values() -> None:
    assert DEFAULT.describe("[1]", "json") == ([1], False)
    assert DEFAULT.describe_inputs(*DEFAULT.encode_inputs((1,), {"a": 2})) == (
        {"args": (1,), "kwargs": {"a": 2}},
        False,
    )


@pytest.mark.parametrize(
    "value", ["x" * 99, "x" * 200, "ä" * 60, (b"x" * 99,), ["y"] * 40], ids=["ascii", "long", "utf8", "pickle", "list"]
)
def test_values_above_the_limit_are_refused_before_they_are_written(value: Any) -> None:
    size_bytes = len(DEFAULT.encode(value, "value")[0].encode())
    assert Serialization(max_bytes=size_bytes).encode(value, "result") == DEFAULT.encode(value, "result")
    with pytest.raises(DBOSSerializationError, match="max_value_bytes") as caught:
        Serialization(max_bytes=size_bytes - 1).encode(value, "result")
    assert caught.value.path == "result"
    assert str(size_bytes) in str(caught.value)
    with pytest.raises(DBOSSerializationError, match="the arguments"):
        Serialization(max_bytes=size_bytes - 1).encode_inputs((value,), {})


def test_large_values_are_reported_with_their_size() -> None:
    reported: list[tuple[str, int]] = []
    serialization = Serialization(
        warn_bytes=100, on_large=lambda where, size_bytes: reported.append((where, size_bytes))
    )
    serialization.encode("x" * 98, "small")
    assert not reported
    serialization.encode("ä" * 50, "large")
    serialization.encode((1,) * 99, "pickled")
    assert reported[0] == ("large", 102)
    assert reported[1][0] == "pickled"


# ---------------------------------------------------------------- a user's own serializer


class SeedSerializer(Serializer):
    """As the reference shows it: no name, plain JSON."""

    def serialize(self, data: Any) -> str:
        return json.dumps(data)

    def deserialize(self, serialized_data: str) -> Any:
        return json.loads(serialized_data)


class Named(SeedSerializer):
    def __init__(self, name: Any, serialize: Callable[[Any], Any] = json.dumps) -> None:
        self._name = name
        self._serialize = serialize

    def name(self) -> str:
        return self._name  # type: ignore[no-any-return]

    def serialize(self, data: Any) -> str:
        return self._serialize(data)  # type: ignore[no-any-return]


class Unrelated:
    """Not a subclass, and older than names."""

    serialize = staticmethod(json.dumps)
    deserialize = staticmethod(json.loads)


def test_a_serializer_needs_no_name() -> None:
    for serializer, name in ((SeedSerializer(), "SeedSerializer"), (Unrelated(), "Unrelated")):
        custom = Serialization(serializer)  # type: ignore[arg-type]
        assert custom.encode({"a": (1,)}, "value") == ('{"a": [1]}', name)
        assert custom.decode('{"a": [1]}', name) == {"a": [1]}
        assert custom.decode("[1]", None) == [1]
        assert custom.decode_inputs(*custom.encode_inputs((1, 2), {"k": 3})) == ((1, 2), {"k": 3})


def test_values_stay_readable_when_the_configuration_changes() -> None:
    custom = Serialization(Named("theirs"))
    for value in (None, [1, "ä"], (1, {2})):
        assert custom.decode(*DEFAULT.encode(value, "value")) == value
    text, codec = custom.encode([1], "value")
    assert Serialization(Named("theirs")).decode(text, codec) == [1]
    with pytest.raises(DBOSDeserializationError, match="theirs"):
        DEFAULT.decode(text, codec)


def test_the_native_format_passes_by_a_custom_serializer() -> None:
    custom = Serialization(Named("theirs"))
    assert custom.encode((1,), "value", WorkflowSerializationFormat.NATIVE)[1] == "py_pickle"


@pytest.mark.parametrize("name", ["json", "py_pickle", "", None, 7])
def test_a_name_must_be_a_text_of_its_own(name: Any) -> None:
    with pytest.raises(DBOSInitializationError, match="Named"):
        Serialization(Named(name))


@pytest.mark.parametrize(
    ("returned", "said"),
    [(b"bytes", "returned bytes instead of str"), (None, "NoneType"), ("a\0b", "NUL"), ("\ud800", "surrogate")],
)
def test_a_text_that_no_database_stores_is_refused(returned: Any, said: str) -> None:
    with pytest.raises(DBOSSerializationError, match=said) as caught:
        Serialization(Named("theirs", lambda data: returned)).encode(1, "result")
    assert caught.value.path == "result"


def test_a_failing_serializer_is_named() -> None:
    custom = Serialization(Named("theirs"))
    with pytest.raises(DBOSSerializationError, match=r"theirs.*TypeError") as caught:
        custom.encode({1, 2}, "result")
    assert isinstance(caught.value.__cause__, TypeError)
    with pytest.raises(DBOSDeserializationError, match="JSONDecodeError"):
        custom.decode("{", "theirs")


def test_the_limit_holds_for_a_custom_serializer_too() -> None:
    with pytest.raises(DBOSSerializationError, match="max_value_bytes"):
        Serialization(Named("theirs"), max_bytes=10).encode("x" * 10, "result")
