"""Named tuples and data classes of ours do what those of the standard library do."""

import copy
import dataclasses
import importlib.util
import inspect
import pickle
import re
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dbos import fields

CLASSES = '''
from __future__ import annotations

class Point(NamedTuple):
    """A place."""
    x: int
    y: int = 0
    name: str | None = None

    @property
    def sum(self) -> int:
        return self.x + self.y

    def moved(self, by: int) -> Point:
        return self._replace(x=self.x + by)

    @classmethod
    def origin(cls) -> Point:
        return cls(0)

class Pair(NamedTuple):
    a: int
    b: int

    def __bool__(self) -> bool:
        return self != Pair(0, 0)

class Derived(Point):
    def __new__(cls, x: int) -> Derived:
        return super().__new__(cls, x, 7)

@dataclass
class Plain:
    """Some data."""
    a: int
    b: list[int] = field(default_factory=list)
    c: str = field(default="s", repr=False)

    @property
    def doubled(self) -> int:
        return self.a * 2

@dataclass(slots=True)
class Slotted:
    a: int
    b: str = "b"

@dataclass(frozen=True, slots=True)
class Frozen:
    a: int
    b: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.a < 0:
            raise ValueError("negative")

@dataclass(slots=True, eq=False)
class Unequal:
    a: int = 1

@dataclass(frozen=True, kw_only=True)
class Named:
    a: int = 1
    b: int
    c: dict[str, int] = field(default_factory=dict, repr=False)

class Child(Slotted):
    pass
'''

EXPRESSIONS = [
    # named tuples
    *("Point(1)", "Point(1, 2, 'n')", "Point(y=2, x=1)", "Point._make([1, 2, None])", "Point.origin().moved(2).sum"),
    *("Point(1)._replace(y=5)", "Point(1)._asdict()", "Point._fields", "Point._field_defaults", "Point.__match_args__"),
    *(
        "Point.__doc__",
        "Point.__name__",
        "Point.__qualname__",
        "Point.__module__",
        "Point.__slots__",
        "Point.x.__doc__",
    ),
    *("Point(1) == (1, 0, None)", "hash(Point(1)) == hash((1, 0, None))", "Point(1) < Point(2)", "Point(1)[0]"),
    *("[*Point(1)]", "len(Point(1))", "isinstance(Point(1), tuple)", "Point(1).__getnewargs__()", "type(Point)"),
    *(
        "bool(Pair(0, 0))",
        "bool(Pair(0, 1))",
        "[Derived(3), Derived(4)]",
        "Derived(3).moved(1)",
        "type(Derived(3)).__name__",
    ),
    *("hasattr(Point(1), '__dict__')", "Point.__new__.__qualname__", "Pair._field_defaults"),
    *("Point()", "Pair(1)", "Pair()", "Point(1, 2, 3, 4)", "Point(1, x=2)", "Point(1, z=2)"),
    *("Pair._make([1])", "setattr(Point(1), 'x', 2)", "setattr(Point(1), 'z', 2)"),
    "[str(each) for each in inspect.signature(Pair).parameters]",
    "typing.get_type_hints(Point)",
    # data classes
    *("Plain(1)", "Plain(1, [2], 'x').c", "Plain(a=1, b=[3])", "Plain(1).b is Plain(1).b", "Plain(3).doubled"),
    *("Plain(1) == Plain(1)", "Plain(1) == Plain(2)", "Plain(1) != Slotted(1)", "hash(Plain(1))", "Plain.__doc__"),
    *("vars(Plain(1))", "Plain.__match_args__", "Slotted.__slots__", "hasattr(Slotted(1), '__dict__')"),
    *("Slotted(1)", "Slotted(1) == Slotted(1, 'b')", "Slotted.a.__get__(Slotted(5))", "Slotted.__qualname__"),
    *("Frozen(1)", "Frozen(-1)", "hash(Frozen(1)) == hash(Frozen(1))", "{Frozen(1): 2}[Frozen(1)]", "Frozen(1) == 1"),
    *("Unequal() == Unequal()", "hash(Unequal()) is None", "Named(b=2)", "Named(b=2).c", "Named(b=2, c={}).a"),
    *("replace(Plain(1), a=2)", "replace(Frozen(1), b=(2,))", "replace(Frozen(1), a=-1)", "replace(Named(b=1), b=3)"),
    *("Child(1)", "Child(1) == Child(1)", "Child(1) == Slotted(1)", "type(replace(Child(1), b='c')).__name__"),
    *(
        "Plain()",
        "Plain(1, 2, 3, 4)",
        "Plain(1, a=1)",
        "Plain(1, d=1)",
        "Named()",
        "Named(1)",
        "replace(Plain(1), z=1)",
    ),
    *("delattr(Slotted(1), 'a')", "setattr(Slotted(1), 'z', 1)", "Plain.__init__.__qualname__", "Plain.__module__"),
    "[str(inspect.signature(each)) for each in (Slotted, Frozen, Unequal)]",
    "[str(each) for each in inspect.signature(Plain).parameters]",
    "typing.get_type_hints(Slotted)",
    # what the functions of `dataclasses` make of them
    "[dataclasses.is_dataclass(each) for each in (Plain, Slotted, Frozen(1), Named, Child, Point)]",
    "[each.name for each in dataclasses.fields(Plain)]",
    "[(each.default, each.repr, each.kw_only, each.type) for each in dataclasses.fields(Slotted)]",
    "[each.default_factory for each in dataclasses.fields(Named) if each.name == 'c']",
    *("dataclasses.asdict(Plain(1, [2]))", "dataclasses.astuple(Slotted(1))", "dataclasses.replace(Frozen(1), a=3)"),
    *("dataclasses.replace(Named(b=1), a=3)", "dataclasses.asdict(Child(1))"),
    # copies
    *("copy.copy(Point(1, 2))", "copy.deepcopy(Plain(1, [2]))", "copy.copy(Slotted(1))", "copy.replace(Point(1), x=3)"),
    "copy.replace(Slotted(1), a=3)",
    *("Point(1).__reduce_ex__(2)[1][1:]", "Slotted(1).__reduce_ex__(2)[2]", "Plain(1).__reduce_ex__(2)[2]"),
]


def without_private_getters() -> Any:
    """Our module where the getters of the standard library's named tuples cannot be had."""
    spec = importlib.util.spec_from_file_location("portable_fields", str(fields.__file__))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "_collections", ModuleType("_collections"))
        spec.loader.exec_module(module)
    return module


def classes(made_by: Any) -> dict[str, Any]:
    """Fresh ones: nobody has looked at them."""
    names = {"copy": copy, "dataclasses": dataclasses, "inspect": inspect, "typing": typing, "__name__": __name__}
    names |= {name: getattr(made_by, name) for name in ("dataclass", "field", "replace")}
    names |= {"NamedTuple": getattr(made_by, "NamedTuple", typing.NamedTuple)}
    exec(CLASSES, names)
    return names


def said(expression: str, names: dict[str, Any]) -> tuple[str, str]:
    """What becomes of it, in words."""
    try:
        value = eval(expression, names)
    except AttributeError:
        return "raises", "AttributeError"
    except Exception as error:
        return "raises", f"{type(error).__name__}: {error}"
    return "is", repr(value)


@pytest.fixture(scope="module", params=["as it is", "without private getters"])
def ours(request: pytest.FixtureRequest) -> Any:
    return fields if request.param == "as it is" else without_private_getters()


def test_ours_do_what_the_standard_ones_do(ours: Any) -> None:
    expected = {each: said(each, classes(dataclasses)) for each in EXPRESSIONS}
    assert {each: said(each, classes(ours)) for each in EXPRESSIONS} == expected


def test_ours_are_ours(ours: Any) -> None:
    names = classes(ours)
    for name in ("Point", "Plain", "Slotted"):
        assert isinstance(vars(names[name])["__new__" if name == "Point" else "__init__"], ours._WrittenLater)
    assert isinstance(vars(names["Point"])["x"], property) == (ours is not fields)


def test_what_is_no_field_is_not_replaced(ours: Any) -> None:
    with pytest.raises(TypeError, match="unexpected field names: \\['z'\\]"):  # a ValueError before Python 3.13
        classes(ours)["Point"](1)._replace(z=1)


@pytest.mark.parametrize("change", ["setattr(it, 'a', 2)", "delattr(it, 'a')", "setattr(it, 'z', 2)"])
def test_what_is_frozen_stays_as_it_is(change: str) -> None:
    names = classes(fields)
    names["it"] = names["Frozen"](1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="Frozen is frozen"):
        eval(change, names)
    assert names["it"].a == 1


class Place(fields.NamedTuple):
    x: int
    y: int = 2


@fields.dataclass(slots=True)
class Record:
    x: int
    y: int = 2


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", [Place(1), Record(1)])
def test_they_are_pickled(value: Any, protocol: int) -> None:
    assert pickle.loads(pickle.dumps(value, protocol)) == value


def test_a_pattern_takes_them_apart() -> None:
    for value in (Place(1), Record(1)):
        match value:
            case Place(x, y) | Record(x, y):
                assert (x, y) == (1, 2)


SOURCES = Path(fields.__file__).parent
ELSEWHERE = re.compile(r"^\s*(from|import) dataclasses\b|^from typing import .*\bNamedTuple\b", re.MULTILINE)


def modules() -> Iterator[Path]:
    """Those that `import dbos` may load."""
    for path in sorted(SOURCES.rglob("*.py")):
        if path.relative_to(SOURCES).parts[0] not in ("cli", "testing", "fields.py"):
            yield path


def test_whatever_has_fields_is_made_by_us() -> None:
    assert [str(path) for path in modules() if ELSEWHERE.search(path.read_text())] == []
