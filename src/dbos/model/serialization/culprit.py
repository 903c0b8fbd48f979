"""Finds the part of a value that cannot be stored, so that the error can name it: `args[0].user.lock`."""

from __future__ import annotations

import math
import pickle
import reprlib
import types
from collections.abc import Callable, Iterator
from typing import Any

from dbos.error import DBOSSerializationError
from dbos.model.serialization.plain import MAX_DEPTH, to_json

_MAX_DESCENTS = 50  # a longer path helps nobody
_PLAIN_DATA = "None, bool, int, finite float, str, and lists and dicts with str keys of these"

Parts = Iterator[tuple[str, Any]]


def unpicklable(parts: Parts, where: str, cause: BaseException) -> DBOSSerializationError:
    """The error for values that pickle refused; `parts` are the values with their names."""
    if isinstance(cause, RecursionError):
        return DBOSSerializationError(where, "cannot serialize a value nested this deeply; flatten it")
    if type(cause) is RuntimeError and str(cause).endswith("during iteration"):
        return changed(where, cause)
    path, value = _find(parts, _can_pickle, _parts_of_object) or (where, None)
    reason = "" if value is None else f" {type_name(type(value))}"
    return DBOSSerializationError(path, f"cannot serialize{reason} ({cause}). {_hint(value)}")


def unreadable(parts: Parts, where: str, cause: BaseException) -> DBOSSerializationError:
    """The error for values that were pickled and do not come back."""
    path, value = _find(parts, _comes_back, _parts_of_object) or (where, None)
    what = "it" if value is None else type_name(type(value))
    return DBOSSerializationError(
        path,
        f"cannot serialize {what} so that it can be read back ({type(cause).__name__}: {cause}). Pass plain data, or "
        "teach the class to pickle (`__reduce__`, `__setstate__`).",
    )


def changed(where: str, cause: BaseException) -> DBOSSerializationError:
    """The error for a value that did not hold still."""
    return DBOSSerializationError(
        where, f"it was changed while it was being serialized ({cause}). Pass a copy of what other threads go on using."
    )


def not_plain(parts: Parts, where: str) -> DBOSSerializationError:
    """The error for values that are not plain data, where nothing else is allowed."""
    path, value = _find(parts, _is_plain, _parts_of_container) or (where, None)
    return DBOSSerializationError(
        path,
        f"cannot serialize {_flaw(value)}, because the configuration refuses pickle. "
        f"Plain data can be stored: {_PLAIN_DATA}.",
    )


def type_name(kind: type) -> str:
    """A class as people know it: `_thread.lock`, `int`."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _find(
    parts: Parts, accepts: Callable[[Any], bool], parts_of: Callable[[str, Any], Parts]
) -> tuple[str, Any] | None:
    """The deepest refused part on the way down along the first refused part of each level."""
    culprit = None
    for _ in range(_MAX_DESCENTS):
        try:
            refused = next(((path, part) for path, part in parts if not accepts(part)), None)
        except Exception:  # looking inside runs methods of user classes; what is found so far must do
            return culprit
        if refused is None:
            return culprit
        culprit = refused
        parts = parts_of(*refused)
    return culprit


def _can_pickle(value: Any) -> bool:
    try:
        pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception:
        return False
    return True


def _comes_back(value: Any) -> bool:
    try:
        pickle.loads(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
    except Exception:
        return False
    return True


def _is_plain(value: Any) -> bool:
    return to_json(value, sharing=True) is not None


def _parts_of_container(path: str, value: Any) -> Parts:
    if type(value) is dict:
        for key, item in value.items():
            yield f"{path}[{reprlib.repr(key)}]", item
    elif type(value) is list:
        for index, item in enumerate(value):
            yield f"{path}[{index}]", item


def _parts_of_object(path: str, value: Any) -> Parts:
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"{path} key {reprlib.repr(key)}", key
            yield f"{path}[{reprlib.repr(key)}]", item
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield f"{path}[{index}]", item
    elif isinstance(value, set | frozenset):
        for item in value:
            yield f"{path}{{{reprlib.repr(item)}}}", item
    elif isinstance(value, type | types.ModuleType | types.FunctionType):
        return  # these are stored by name, so nothing inside them matters
    for name, item in _attributes(value).items():
        yield f"{path}.{name}", item


def _attributes(value: Any) -> dict[str, Any]:
    found = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                found[name] = getattr(value, name)
    return found


def _hint(value: Any) -> str:
    if isinstance(value, types.CoroutineType):
        return "Await the coroutine and pass on its result."
    if isinstance(value, types.GeneratorType | types.AsyncGeneratorType):
        return "Collect what it yields into a list."
    if isinstance(value, types.FunctionType | types.MethodType | type):
        return "Functions and classes are stored by name: define it at the top level of a module, or pass data instead."
    return (
        "Keep locks, connections, files and the like out of what is stored: create them in the step that uses them. "
        "Otherwise pass plain data, or teach the class to pickle (`__getstate__`)."
    )


def _flaw(value: Any) -> str:
    if type(value) is float and not math.isfinite(value):
        return f"the number {value}, which JSON does not have"
    if type(value) is int:
        return "an integer with this many digits"
    if type(value) is str:
        return "a str with surrogates that would fuse"
    if type(value) is dict and not all(type(key) is str for key in value):
        return "a dict with keys that are not str"
    if type(value) is dict or type(value) is list:
        return f"a {type(value).__name__} that holds itself or much the same twice, or is nested over {MAX_DEPTH} deep"
    return type_name(type(value))
