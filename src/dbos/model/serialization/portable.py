"""Portable JSON: values as every language reads them.

Plain data is written as it is. What JSON has no form for, but every language has a convention, takes that: a tuple and
a set become an array, a datetime becomes an RFC 3339 text in UTC, a date an ISO text, a Decimal its digits. Reading
gives plain data; nothing tells an array that was a tuple. All else is refused, by an error that leads to it.
"""

from __future__ import annotations

import reprlib
from datetime import UTC, date, datetime
from json import JSONEncoder
from typing import Any

from dbos.error import DBOSSerializationError
from dbos.model.serialization.culprit import changed, type_name
from dbos.model.serialization.plain import MAX_DEPTH, MAX_UNFOLDED, from_json, to_json
from dbos.model.serialization.serializer import Serializer

PORTABLE_JSON = "portable_json"

_FORMS = "None, bool, int, finite float, str, list, tuple, set, dict with str keys, datetime, date and Decimal"
_ARRAYS = (list, tuple, set, frozenset)
_HARMLESS_BITS = 10_000  # of an integer; Python refuses to write or read one of a little over 14 000

_encode = JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

Path = tuple[Any, str, Any]
"""The path of what a value is in, or None; how it is reached from there, and by which key or index."""


def to_portable_json(value: Any, where: str) -> str:
    """The portable JSON text of a value; `where` names it. Raises DBOSSerializationError for what JSON cannot hold."""
    return _plain(value) or _encode(portable(value, where))


def inputs_to_portable_json(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """The portable JSON text of a call's arguments."""
    text = _plain({"namedArgs": dict(sorted(kwargs.items())), "positionalArgs": list(args)})
    if text is None:
        named = {name: portable(value, f"kwargs[{name!r}]") for name, value in sorted(kwargs.items())}
        positional = [portable(value, f"args[{index}]") for index, value in enumerate(args)]
        text = _encode({"namedArgs": named, "positionalArgs": positional})
    return text


def _plain(value: Any) -> str | None:
    """The text of plain data, if it is that and has no lone surrogate, which would be written as an escape."""
    try:
        text = to_json(value, sharing=True)
    except (RuntimeError, TypeError):  # changed by another thread meanwhile
        return None
    return None if text is None or "\\ud" in text else text


def portable(value: Any, where: str) -> Any:
    """A value as plain data. Raises DBOSSerializationError for what JSON cannot hold."""
    try:
        return _Walk().plain(value, (None, "{}", where), 0)
    except RuntimeError as error:  # a container that another thread changes
        raise changed(where, error) from error


class DBOSPortableJSONSerializer(Serializer):
    """Stores everything as portable JSON, which other languages read, if it is the `serializer` of the configuration.

    Values come back as plain data: a tuple as a list, a datetime as a text.
    """

    def name(self) -> str:
        """What stands beside each text."""
        return PORTABLE_JSON

    def serialize(self, data: Any) -> str:
        """The value as JSON. Raises DBOSSerializationError, which is a TypeError too, if JSON cannot hold it."""
        return to_portable_json(data, "value")

    def deserialize(self, serialized_data: str | None) -> Any:
        """The plain data of a text; None of None."""
        return None if serialized_data is None else from_json(serialized_data)


class _Walk:
    """One walk through a value."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._again = 0

    def plain(self, value: Any, path: Path, depth: int) -> Any:
        """A part of the value as plain data."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return _text(value, path)
        if isinstance(value, int | float):
            return _number(value, path)
        if isinstance(value, date):
            return _moment(value, path) if isinstance(value, datetime) else value.isoformat()
        if isinstance(value, dict):
            self._enter(value, path, depth)
            return {
                self._key(key, path): self.plain(item, (path, "[{}]", key), depth + 1) for key, item in value.items()
            }
        if isinstance(value, _ARRAYS):
            self._enter(value, path, depth)
            items = _ordered(value) if isinstance(value, set | frozenset) else value
            return [self.plain(item, (path, "[{}]", index), depth + 1) for index, item in enumerate(items)]
        from decimal import Decimal  # few programs need it, and it takes its time

        if isinstance(value, Decimal):
            return str(value)
        raise _refusal(path, f"cannot serialize {type_name(type(value))} as portable JSON, which has {_FORMS}")

    def _enter(self, container: Any, path: Path, depth: int) -> None:
        if id(container) in self._seen:
            self._again += 1
        self._seen.add(id(container))
        if depth >= MAX_DEPTH or self._again > MAX_UNFOLDED:
            kind = type_name(type(container))
            raise _refusal(
                path,
                f"cannot serialize a {kind} that holds itself or much the same, or is nested over {MAX_DEPTH} deep",
            )

    def _key(self, key: Any, path: Path) -> str:
        here = path, " key {}", key
        if not isinstance(key, str):
            raise _refusal(here, f"cannot serialize {type_name(type(key))} as a key in portable JSON: keys are str")
        return _text(key, here)


def _text(value: str, path: Path) -> str:
    text = str.__str__(value)  # of an enumeration, say
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _refusal(path, "cannot serialize a str with a lone surrogate as portable JSON") from None
    return text


def _number(value: float, path: Path) -> float:
    if isinstance(value, int):
        if value.bit_length() > _HARMLESS_BITS:
            raise _refusal(path, "cannot serialize an integer with this many digits")
        return int.__int__(value)
    number = float.__float__(value)
    if number - number != 0:
        raise _refusal(path, f"cannot serialize the number {number}, which JSON does not have")
    return number


def _moment(value: datetime, path: Path) -> str:
    """RFC 3339 in UTC, to the millisecond. Without a zone it is taken for UTC."""
    try:
        moment = value if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise _refusal(path, f"cannot serialize {value}: in UTC it lies beyond the years 1 to 9999") from None
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _ordered(items: set[Any] | frozenset[Any]) -> list[Any]:
    """In an order that is the same in every process, if there is any."""
    try:
        return sorted(items)
    except TypeError:
        return sorted(items, key=lambda item: (type(item).__name__, repr(item)))


def _refusal(path: Path, reason: str) -> DBOSSerializationError:
    steps = []
    rest: Any = path
    while rest is not None:
        rest, form, key = rest
        steps.append(form.format(key if form == "{}" else _shown(key)))
    return DBOSSerializationError("".join(reversed(steps)), reason)


def _shown(key: Any) -> str:
    try:
        return reprlib.repr(key)
    except Exception:  # whatever a user's class does, or an integer of too many digits
        return f"<{type_name(type(key))}>"
