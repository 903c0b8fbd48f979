"""What people see of a pickle: values as they are, everything else as the code that would make it, and nothing run."""

import base64
import collections
import copyreg
import datetime as dt
import decimal
import enum
import pickle
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dbos.error import (
    DBOSDeserializationError,
    DBOSMaxStepRetriesExceeded,
    DBOSSerializationError,
    PortableWorkflowError,
)
from dbos.model.serialization import PICKLE, Serialization

READER = Serialization()
VIEWER = READER.for_people()
HERE = __name__


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Order:
    number: int
    lines: tuple[str, ...] = ()


class Basket(list[int]):
    owner: "Basket"


Point = collections.namedtuple("Point", "x y")


class Unlucky(Exception):
    pass


class Picky(Exception):
    def __init__(self, what: str, number: int) -> None:
        super().__init__(what)
        self.number = number


def pickled(value: Any) -> str:
    return base64.b64encode(pickle.dumps(value)).decode()


@pytest.mark.parametrize(
    "value",
    [
        (1, 2.5, None, True),
        {1: {"a": b"bytes"}, "b": {3, 4}, "c": frozenset([5])},
        dt.datetime(2024, 10, 27, 2, 30, tzinfo=dt.UTC),
        dt.datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
        dt.timedelta(days=1),
        decimal.Decimal("1.10"),
        uuid.UUID(int=7),
        collections.OrderedDict(a=1),
        2 + 3j,
        bytearray(b"abc"),
    ],
    ids=repr,
)
def test_values_are_themselves(value: Any) -> None:
    again = VIEWER.decode(pickled(value), PICKLE)
    assert (type(again), again) == (type(value), value)


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (Colour.RED, "{}.Colour('red')"),
        (Order(3, ("tea",)), "{}.Order(number=3, lines=('tea',))"),
        ([Point(1, Colour.RED)], "[{0}.Point(1, {0}.Colour('red'))]"),
        (Basket([1, 2]), "{}.Basket(1, 2)"),
        (collections.Counter("aa"), "collections.Counter({{'a': 2}})"),
        (Order, "{}.Order"),
        (len, "len"),
    ],
    ids=repr,
)
def test_everything_else_looks_like_the_code_that_makes_it(value: Any, seen: str) -> None:
    assert repr(VIEWER.decode(pickled(value), PICKLE)) == seen.format(HERE)


def test_what_contains_itself_is_shown_once() -> None:
    basket = Basket([1])
    basket.owner = basket
    assert repr(VIEWER.decode(pickled(basket), PICKLE)) == f"{HERE}.Basket(owner=..., 1)"


def test_exceptions_are_themselves_or_say_what_they_said() -> None:
    def seen(error: BaseException) -> BaseException:
        return VIEWER.decode_error(*READER.encode_error(error))

    assert repr(seen(KeyError("a"))) == "KeyError('a')"
    assert str(seen(OSError(2, "No such thing", "x"))) == "[Errno 2] No such thing: 'x'"
    gone = seen(Unlucky("too heavy"))
    assert (type(gone), gone.name, str(gone)) == (PortableWorkflowError, "Unlucky", "too heavy")  # type: ignore[attr-defined]
    assert str(seen(Picky("no", 3))) == "no"
    ours = DBOSMaxStepRetriesExceeded("step", 3, [ValueError("no")])
    assert (type(seen(ours)), str(seen(ours))) == (type(ours), str(ours))
    portable = PortableWorkflowError("far", "Away", 7)
    text = pickled(portable)
    assert repr(VIEWER.decode_error(text, PICKLE)) == repr(portable)
    assert VIEWER.decode_error(text, PICKLE).name == "Away"  # type: ignore[attr-defined]


def test_what_was_only_seen_is_not_written() -> None:
    assert VIEWER.encode(VIEWER.decode(pickled({1: 2}), PICKLE), "value") == READER.encode({1: 2}, "value")
    with pytest.raises(DBOSSerializationError, match="only made visible"):
        VIEWER.encode(VIEWER.decode(pickled([Colour.RED]), PICKLE), "value")


def test_a_small_text_that_would_be_endless_is_shown_as_it_is() -> None:
    value: Any = "ha"
    for _ in range(60):
        value = (value, value)
    text = pickled(value)
    assert VIEWER.describe(text, PICKLE) == (text, True)
    circle: list[Any] = [[] for _ in range(14)]  # on every way through them, each is shown once
    for each in circle:
        each.extend(circle)
    text = pickled(circle)
    assert VIEWER.describe(text, PICKLE) == (text, True)
    for _ in range(100_000):
        value = [value]
    deep = base64.b64encode(b"(" * 100_000 + b"l" * 100_000 + b".").decode()
    assert VIEWER.describe(deep, PICKLE)[1]
    while isinstance(value, list):  # unwinding it by hand keeps the interpreter from recursing
        value = value.pop()


@pytest.fixture
def extension() -> Iterator[int]:
    code = 240
    copyreg.add_extension("builtins", "print", code)
    yield code
    copyreg.remove_extension("builtins", "print", code)
    copyreg.clear_extension_cache()


def test_what_is_named_by_a_code_is_not_looked_up(extension: int, capsys: pytest.CaptureFixture[str]) -> None:
    data = b"\x80\x02\x82" + bytes([extension]) + b"U\x02hi\x85R."
    pickle.loads(data)  # from now on the function is found without its name
    assert capsys.readouterr().out == "hi\n"
    with pytest.raises(DBOSDeserializationError):
        VIEWER.decode(base64.b64encode(data).decode(), PICKLE)
    assert capsys.readouterr().out == ""
