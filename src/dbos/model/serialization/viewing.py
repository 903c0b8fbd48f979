"""Pickles for people: what one says, shown without doing what it says.

Reading a pickle imports and calls whatever it names, so whoever can write to a database runs code where it is read. A
program that reads its own values has to; a person who looks at them has not. Here no name is resolved: a class or a
function is a stand-in that remembers how it was called and looks like the code that would make it. Excepted are a few
types of values, and exceptions, whose making has no other effect than that they are there.
"""

from __future__ import annotations

import builtins
import io
import pickle
import pickletools
import reprlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from itertools import chain
from typing import Any, Self
from uuid import UUID

from dbos import error as errors
from dbos.error import PortableWorkflowError
from dbos.model.serialization.failures import clip, from_value

MAX_PARTS = 1_000_000  # of a value, each counted as often as it is shown: shared ones would make a small pickle endless
CHARACTERS_OF_A_PART = 100


def view(data: bytes) -> Any:
    """The value of a pickle as people may see it. Raises whatever reading one can raise."""
    if _extensions() and any(operation.name.startswith("EXT") for operation, _, _ in pickletools.genops(data)):
        raise pickle.UnpicklingError("the value names something by a code, which may be looked up already")
    value = _Viewer(io.BytesIO(data)).load()
    _spend(MAX_PARTS, value, set())
    return value


def view_error(data: bytes) -> BaseException:
    """The exception of a pickle in the same way: as itself, or as a record of its name and its words."""
    value = view(data)
    if not isinstance(value, _StandIn):
        return from_value(value)
    arguments, state = value._arguments, value._state
    if isinstance(state, dict) and _title(type(value)) == _title(PortableWorkflowError):
        return from_value(state)
    said = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], str) else ", ".join(map(repr, arguments))
    return PortableWorkflowError(clip(said), type(value).__name__)


def _extensions() -> Mapping[Any, int]:
    """What this process has agreed on short codes for (`copyreg.add_extension`): hardly ever anything."""
    return pickle._extension_registry  # type: ignore[attr-defined,no-any-return]


class _StandIn:
    """An object of a class, or the result of a function, that was not looked up. Its classes are made by name."""

    _arguments: tuple[Any, ...]
    _state: Any
    _items: list[Any]

    def __new__(cls, *arguments: Any, **named: Any) -> Any:
        known = _KNOWN.get((cls.__module__, cls.__qualname__))
        if known is not None:
            try:
                return known(*arguments, **named)
            except Exception:  # not what it is called with elsewhere
                pass
        made = object.__new__(cls)
        made._arguments = arguments
        made._state = dict(named)
        made._items = []
        return made

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("it was not read, only made visible; a program that knows its class can read it")

    def __setstate__(self, state: Any) -> None:
        self._state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self._items.append((key, value))

    def append(self, item: Any) -> None:
        self._items.append(item)

    add = append

    def __call__(self, *arguments: Any) -> Any:
        return type("call", (_StandIn,), {"__module__": "", "__qualname__": "call"})(self, *arguments)

    @reprlib.recursive_repr("...")
    def __repr__(self) -> str:
        shown = [repr(each) for each in self._arguments]
        if isinstance(self._state, dict):
            shown += [f"{name}={value!r}" for name, value in self._state.items()]
        elif self._state is not None:
            shown.append(repr(self._state))
        shown += [repr(each) for each in self._items]
        return f"{_title(type(self))}({', '.join(shown)})"


class _NamedType(type):
    """The classes of stand-ins are shown by their names, too: a function may be handed one."""

    def __repr__(cls) -> str:
        return _title(cls)


def _title(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}" if cls.__module__ not in ("", "builtins") else cls.__qualname__


class _Viewer(pickle.Unpickler):
    """Finds stand-ins."""

    def find_class(self, module: str, name: str) -> Any:
        return _NamedType(name.rpartition(".")[2], (_StandIn,), {"__module__": module, "__qualname__": name})


# ---------------------------------------------------------------- what may be itself


def _zone(key: str, _: int) -> Any:
    from zoneinfo import ZoneInfo  # takes long to import, and most values name no zone

    return ZoneInfo(key)


def _attribute(of: Any, name: str) -> Any:
    """The one that is known: how a zone is written."""
    if (_title(of), name) != ("zoneinfo.ZoneInfo", "_unpickle"):
        raise LookupError(name)
    return _zone


def _bytes(data: bytes) -> bytearray:
    """Of a number it would be as many."""
    if not isinstance(data, bytes):
        raise TypeError
    return bytearray(data)


def _past_constructor(kind: type) -> Callable[..., Any]:
    """Makes an object as pickle does, without a constructor that does not take what was kept."""
    return lambda *arguments: kind.__new__(kind, *arguments)


_VALUES = (date, datetime, time, timedelta, timezone, Decimal, complex, slice, OrderedDict)
_EXCEPTIONS = (
    each
    for module in (builtins, errors)
    for each in vars(module).values()
    if isinstance(each, type) and issubclass(each, BaseException) and each.__module__ == module.__name__
    if each is not PortableWorkflowError  # which is nothing without its attributes
)
_KNOWN: Mapping[tuple[str, str], Callable[..., Any]] = {
    **{(each.__module__, each.__qualname__): each for each in _VALUES},
    **{(each.__module__, each.__qualname__): _past_constructor(each) for each in _EXCEPTIONS},
    ("uuid", "UUID"): _past_constructor(UUID),
    ("builtins", "bytearray"): _bytes,
    ("builtins", "getattr"): _attribute,
}


def _spend(left: int, value: Any, around: set[int]) -> int:
    """How many parts may still be shown after this value. `around`: the ids of what contains it."""
    if left <= 0:
        raise pickle.UnpicklingError("the value is too large to be shown")
    match value:
        case list() | tuple() | set() | frozenset():
            inside: Any = value
        case dict():
            inside = chain(value.keys(), value.values())
        case _StandIn():
            inside = (*value._arguments, value._state, *value._items)
        case BaseException():
            inside = (*value.args, vars(value))
        case str() | bytes() | bytearray():
            inside = ()
            left -= len(value) // CHARACTERS_OF_A_PART
        case _:
            inside = ()
    left -= 1
    if id(value) not in around:  # else it is shown as dots
        around.add(id(value))
        for each in inside:
            left = _spend(left, each, around)
        around.discard(id(value))
    return left
