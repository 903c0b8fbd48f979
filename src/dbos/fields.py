"""Classes made of fields: `NamedTuple` and `dataclass`, as the standard library has them, but cheap to make.

Those of the standard library write the methods of a class, and compile them, when it is made. `import dbos` makes
a hundred of them, and a program makes instances of few: here a constructor is written when it is first looked for, and
is the same from then on. For type checkers these are the standard ones; they offer what we use of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass, field, replace
    from typing import NamedTuple

__all__ = ["NamedTuple", "dataclass", "field", "replace"]


class _WrittenLater:
    """Stands for an attribute of a class until somebody looks for it."""

    __slots__ = ("_name", "_owner", "_write")

    def __init__(self, write: Callable[[Any], Any]) -> None:
        self._write = write

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner = owner
        self._name = name

    def __get__(self, instance: object, cls: type) -> Any:
        written = self._write(self._owner)
        setattr(self._owner, self._name, written)
        return written.__get__(instance, cls) if hasattr(written, "__get__") else written


def _method(owner: type, head: str, body: Iterable[str], names: dict[str, Any]) -> Any:
    """A method out of its source and what the names in it mean."""
    exec(f"def {head}:\n " + "\n ".join(body), names)
    method = names[head.partition("(")[0]]
    method.__qualname__ = f"{owner.__qualname__}.{method.__name__}"
    method.__module__ = owner.__module__
    return method


# ------------------------------------------------------------ named tuples

try:
    from _collections import _tuplegetter as element  # type: ignore[import-not-found]  # private, and twice as fast
except ImportError:

    def element(place: int, doc: str) -> property:
        return property(itemgetter(place), doc=doc)


class _Named(tuple[Any, ...]):
    """What all named tuples can do."""

    __slots__ = ()

    @classmethod
    def _make(cls: Any, values: Iterable[Any]) -> Any:
        made = tuple.__new__(cls, values)
        if len(made) != len(cls._fields):
            raise TypeError(f"Expected {len(cls._fields)} arguments, got {len(made)}")
        return made

    def _replace(self: Any, /, **changes: Any) -> Any:
        made = self._make(map(changes.pop, self._fields, self))
        if changes:
            raise TypeError(f"Got unexpected field names: {list(changes)!r}")
        return made

    __replace__ = _replace

    def _asdict(self: Any) -> dict[str, Any]:
        return dict(zip(self._fields, self, strict=True))

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._asdict().items())})"


class _NamedTupleMeta(type):
    """Makes a named tuple of the body of a class."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> type:
        if not bases:  # NamedTuple itself
            return super().__new__(cls, name, bases, namespace)
        fields = tuple(namespace["__annotations__"])
        namespace["_field_defaults"] = {each: namespace[each] for each in fields if each in namespace}
        namespace["_fields"] = namespace["__match_args__"] = fields
        namespace["__slots__"] = ()
        namespace["__new__"] = _WrittenLater(_write_new)
        for place, each in enumerate(fields):
            namespace[each] = element(place, f"Alias for field number {place}")
        return type(name, (_Named,), namespace)


def _write_new(owner: Any) -> Any:
    names = ", ".join(owner._fields)
    new = _method(owner, f"__new__(_cls, {names})", [f"return _new(_cls, ({names},))"], {"_new": tuple.__new__})
    new.__defaults__ = tuple(owner._field_defaults.values())
    return staticmethod(new)


# ------------------------------------------------------------ data classes

_REQUIRED: Any = object()
_NEW: Any = object()  # stands for the default of a field that has a new one each time


class _Field:
    """How a field gets its value if none is given, and whether it shows."""

    __slots__ = ("default", "factory", "repr")

    def __init__(
        self, *, default: Any = _REQUIRED, default_factory: Callable[[], Any] | None = None, repr: bool = True
    ) -> None:
        self.default = default if default_factory is None else _NEW
        self.factory = default_factory
        self.repr = repr


def _dataclass(
    cls: Any = None, /, *, frozen: bool = False, eq: bool = True, kw_only: bool = False, slots: bool = False
) -> Any:
    """Make of a class one with a constructor and what else is said of it; what it defines itself stays."""
    if cls is None:
        return lambda cls: _dataclass(cls, frozen=frozen, eq=eq, kw_only=kw_only, slots=slots)
    body = {name: value for name, value in vars(cls).items() if name not in ("__dict__", "__weakref__")}
    given = {name: body.pop(name, _REQUIRED) for name in cls.__annotations__}
    fields = {name: each if isinstance(each, _Field) else _Field(default=each) for name, each in given.items()}
    namespace = {"_fields": fields, "_frozen": frozen, "_kw_only": kw_only, "__match_args__": tuple(fields)}
    namespace |= {"__init__": _WrittenLater(_write_init), "__repr__": _repr, "__replace__": _changed}
    namespace |= {"__dataclass_fields__": _WrittenLater(_write_dataclass_fields)}
    if eq:
        namespace |= {"__eq__": _eq, "__hash__": _hash if frozen else None}
    if frozen:
        namespace |= {"__setattr__": _refuse, "__delattr__": _refuse}
    if slots:
        namespace["__slots__"] = tuple(fields)
    return type(cls)(cls.__name__, cls.__bases__, namespace | body)


def _write_init(owner: Any) -> Any:
    fields: Mapping[str, _Field] = owner._fields
    names: dict[str, Any] = {"_set": object.__setattr__, "_NEW": _NEW}
    names |= {f"_new_{name}": each.factory for name, each in fields.items()}
    body = [f"if {name} is _NEW: {name} = _new_{name}()" for name, each in fields.items() if each.factory]
    body += [f"_set(self, {name!r}, {name})" if owner._frozen else f"self.{name} = {name}" for name in fields]
    body += ["self.__post_init__()"] * hasattr(owner, "__post_init__")
    init = _method(owner, f"__init__(self, {'*, ' * owner._kw_only}{', '.join(fields)})", body, names)
    defaults = {name: each.default for name, each in fields.items() if each.default is not _REQUIRED}
    if owner._kw_only:
        init.__kwdefaults__ = defaults
    else:
        init.__defaults__ = tuple(defaults.values())
    init.__annotations__ = owner.__annotations__ | {"return": None}
    return init


def _write_dataclass_fields(owner: Any) -> Any:
    """What the functions of `dataclasses` go by, for users who hand them an instance."""
    import dataclasses

    body: dict[str, Any] = {"__annotations__": owner.__annotations__, "__module__": owner.__module__}
    for name, each in owner._fields.items():
        if each.factory is not None:
            body[name] = dataclasses.field(default_factory=each.factory, repr=each.repr)
        elif each.default is not _REQUIRED:
            body[name] = dataclasses.field(default=each.default, repr=each.repr)
    return vars(dataclasses.dataclass(kw_only=owner._kw_only)(type(owner.__name__, (), body)))["__dataclass_fields__"]


def _values(self: Any) -> tuple[Any, ...]:
    return tuple([getattr(self, name) for name in self._fields])


def _repr(self: Any) -> str:
    shown = (f"{name}={getattr(self, name)!r}" for name, each in self._fields.items() if each.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _eq(self: Any, other: object) -> bool:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _refuse(self: Any, name: str, *_: Any) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"{type(self).__qualname__} is frozen: {name} stays as it is")


def _changed(self: Any, /, **changes: Any) -> Any:
    """Another instance that differs so. It checks itself as every new one does."""
    return type(self)(**dict(zip(self._fields, _values(self), strict=True)) | changes)


if not TYPE_CHECKING:
    NamedTuple = _NamedTupleMeta("NamedTuple", (), {})
    dataclass, field, replace = _dataclass, _Field, _changed
