"""The contract of a user's own serializer, and the formats a program can ask for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum
from typing import Any

from dbos.error import DBOSException


class Serializer(ABC):
    """Turns every value that the library stores into text, instead of the built-in codecs.

    `serialize` must return a `str` that `deserialize` turns back into an equal value. Exceptions pass through it too;
    one that it cannot carry is stored as a portable record.
    """

    @abstractmethod
    def serialize(self, data: Any) -> str:
        """The value as text."""

    @abstractmethod
    def deserialize(self, serialized_data: str) -> Any:
        """The value of a text that `serialize` made."""

    def name(self) -> str:
        """What is stored beside each text to find its serializer again; override it to be free to rename the class."""
        return type(self).__name__


class WorkflowSerializationFormat(str, Enum):  # noqa: UP042 (documented so; a StrEnum would print differently)
    """How the values of one workflow, event, message or stream are stored."""

    DEFAULT = "None"  # the configured serializer, or else plain data as JSON and the rest as pickle
    NATIVE = "native"  # always pickle
    PORTABLE = "portable"  # JSON that other languages read


def require_format(given: object) -> WorkflowSerializationFormat:
    """A format as a member of the enumeration; None stands for the default. Raises DBOSException for anything else."""
    if given is None:
        return WorkflowSerializationFormat.DEFAULT
    try:
        return WorkflowSerializationFormat(given)
    except ValueError:
        raise DBOSException(
            f"serialization_type must be a WorkflowSerializationFormat: DEFAULT, NATIVE or PORTABLE; not {given!r}"
        ) from None
