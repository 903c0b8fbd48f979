"""A user's serializer as the library sees it: its stored name, and a text that a database can keep or a typed error."""

from __future__ import annotations

from typing import Any

from dbos.error import DBOSInitializationError, DBOSSerializationError
from dbos.model.serialization.culprit import type_name
from dbos.model.serialization.serializer import Serializer


class CustomCodec:
    """Wraps a `Serializer`, whose code is not ours and may return or raise anything."""

    __slots__ = ("_serializer", "deserialize", "name")

    def __init__(self, serializer: Serializer, reserved_names: frozenset[str]) -> None:
        self._serializer = serializer
        self.deserialize = serializer.deserialize
        # Serializers written before there were names may lack the method altogether.
        name: object = serializer.name() if hasattr(serializer, "name") else type(serializer).__name__
        if not isinstance(name, str) or not name or name in reserved_names:
            raise DBOSInitializationError(
                f"serializer {type_name(type(serializer))} has the name {name!r}; "
                f"it must be a non-empty str other than the built-in {', '.join(sorted(reserved_names))}"
            )
        self.name = name

    def serialize(self, value: Any, where: str) -> str:
        """The text of a value; `where` names the value in errors."""
        try:
            text: object = self._serializer.serialize(value)
        except Exception as error:
            reason = f"serializer {self.name!r} raised {type(error).__name__}: {error}"
            raise DBOSSerializationError(where, reason) from error
        if not isinstance(text, str):
            reason = f"serializer {self.name!r} returned {type_name(type(text))} instead of str"
            raise DBOSSerializationError(where, f"{reason}; encode bytes as text, for example with base64")
        if "\0" in text:
            reason = f"serializer {self.name!r} returned a text with a NUL character"
            raise DBOSSerializationError(where, f"{reason}, which no database stores")
        return text
