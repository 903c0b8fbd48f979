"""`Serialization`: every value, argument list and error on its way to text and back, under one configuration.

Writing follows the configuration; reading follows the codec name that was stored beside the text. Failures are typed:
`DBOSSerializationError` names the part of a value that cannot be stored, `DBOSDeserializationError` the codec.
"""

from __future__ import annotations

import binascii
import pickle
from collections.abc import Callable
from copy import copy
from typing import Any

from dbos.error import DBOSDeserializationError, DBOSSerializationError
from dbos.model.serialization import failures
from dbos.model.serialization.culprit import Parts, changed, not_plain, unpicklable, unreadable
from dbos.model.serialization.custom import CustomCodec
from dbos.model.serialization.failures import PICKLE_PROTOCOL
from dbos.model.serialization.plain import from_json, to_json
from dbos.model.serialization.portable import (
    PORTABLE_JSON,
    DBOSPortableJSONSerializer,
    inputs_to_portable_json,
    to_portable_json,
)
from dbos.model.serialization.serializer import Serializer, WorkflowSerializationFormat

JSON = "json"
PICKLE = "py_pickle"

DEFAULT_MAX_BYTES = 64 * 1024 * 1024  # of one encoded value; a larger one belongs into an object store
WARN_BYTES = 1024 * 1024  # from here on a value slows down everything that shares its database

PROVED_BYTES = 64 * 1024  # what is pickled into no more is read once, to prove that it comes back

_UTF8_CHAR_BYTES = 4  # at most: a text with a quarter of the limit in characters is small enough without counting
_DEFAULT = WorkflowSerializationFormat.DEFAULT
_PORTABLE = WorkflowSerializationFormat.PORTABLE
_NULL = ("null", JSON)

Encoded = tuple[str, str]  # the text and the name of its codec


class Serialization:
    """Encodes and decodes with a user's serializer, or with JSON for plain data and pickle for the rest."""

    __slots__ = (
        "_allow_pickle",
        "_automatic",
        "_custom",
        "_default",
        "_load",
        "_load_error",
        "_max_bytes",
        "_on_large",
        "_quiet_chars",
        "_warn_bytes",
    )

    def __init__(
        self,
        serializer: Serializer | None = None,
        *,
        allow_pickle: bool = True,
        max_bytes: int = DEFAULT_MAX_BYTES,
        warn_bytes: int = WARN_BYTES,
        on_large: Callable[[str, int], None] | None = None,
    ) -> None:
        """`on_large(where, size_bytes)` is told of values above `warn_bytes`; those above `max_bytes` are refused."""
        self._default = _DEFAULT  # what the default format means here, if not what `_custom` says, or chosen by value
        if type(serializer) is DBOSPortableJSONSerializer:
            serializer, self._default = None, _PORTABLE
        self._custom = None if serializer is None else CustomCodec(serializer, frozenset((JSON, PICKLE, PORTABLE_JSON)))
        self._automatic = self._custom is None and self._default is _DEFAULT
        self._allow_pickle = allow_pickle
        self._load: Callable[[bytes], Any] = pickle.loads
        self._load_error = failures.load
        self._max_bytes = max_bytes
        self._warn_bytes = warn_bytes
        self._on_large = on_large
        self._quiet_chars = min(max_bytes, warn_bytes) // _UTF8_CHAR_BYTES

    def for_people(self) -> Serialization:
        """The same for whoever only looks: pickles are shown, and nothing that one names is imported or called."""
        from dbos.model.serialization import viewing  # loads pickletools and decimal: only whoever looks waits for that

        looking = copy(self)
        looking._allow_pickle = True
        looking._load, looking._load_error = viewing.view, viewing.view_error
        return looking

    # ------------------------------------------------------------ values

    def encode(self, value: Any, where: str, format: WorkflowSerializationFormat = _DEFAULT) -> Encoded:
        """The text of a value and its codec. `where` names the value in errors, as in `result` or `event 'status'`."""
        if not self._automatic or format is not _DEFAULT:
            if self._is_portable(format):
                return self._fitting(to_portable_json(value, where), PORTABLE_JSON, where)
            return self._encode_as(value, where, format, lambda: _only(where, value))
        if value is None:
            return _NULL
        text = self._plain(value, where)
        if text is None:
            text, codec = self._pickled(value, where, lambda: _only(where, value)), PICKLE
        else:
            codec = JSON
        if len(text) > self._quiet_chars:
            self._check_size(text, where)
        return text, codec

    def decode(self, text: str, codec: str | None) -> Any:
        """The value of a text that was stored under a codec name; no name means the default serializer."""
        if codec == JSON and text == "null":
            return None
        try:
            return self._reader(codec)(text)
        except DBOSDeserializationError:
            raise
        except (Exception, SystemExit) as error:  # whatever loading a stored object runs
            raise DBOSDeserializationError(codec, f"{type(error).__name__}: {error}") from error

    def describe(self, text: str, codec: str | None) -> tuple[Any, bool]:
        """`(value, False)`, or `(the raw text, True)` if it cannot be read. For listings; never raises."""
        try:
            return self.decode(text, codec), False
        except DBOSDeserializationError:
            return text, True

    # ------------------------------------------------------------ inputs

    def encode_inputs(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], format: WorkflowSerializationFormat = _DEFAULT
    ) -> Encoded:
        """The text of a call's arguments and its codec."""
        where = "the arguments"
        if not self._automatic or format is not _DEFAULT:
            if self._is_portable(format):
                return self._fitting(inputs_to_portable_json(args, kwargs), PORTABLE_JSON, where)
            return self._encode_as({"args": args, "kwargs": kwargs}, where, format, lambda: _named(args, kwargs))
        text = self._plain({"args": list(args), "kwargs": kwargs}, where)
        if text is None:
            inputs = {"args": args, "kwargs": kwargs}
            text, codec = self._pickled(inputs, where, lambda: _named(args, kwargs)), PICKLE
        else:
            codec = JSON
        if len(text) > self._quiet_chars:
            self._check_size(text, where)
        return text, codec

    def decode_inputs(self, text: str, codec: str | None) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The positional and the keyword arguments of a call."""
        inputs = self.decode(text, codec)
        try:
            if codec == PORTABLE_JSON or (codec is None and self._default is _PORTABLE):
                return tuple(inputs["positionalArgs"]), dict(inputs.get("namedArgs") or {})
            return tuple(inputs["args"]), dict(inputs["kwargs"])
        except (TypeError, KeyError, ValueError) as error:
            raise DBOSDeserializationError(codec, "these are not the arguments of a call") from error

    def describe_inputs(self, text: str, codec: str | None) -> tuple[Any, bool]:
        """`({"args": tuple, "kwargs": dict}, False)`, or `(the raw text, True)`. For listings; never raises."""
        try:
            args, kwargs = self.decode_inputs(text, codec)
        except DBOSDeserializationError:
            return text, True
        return {"args": args, "kwargs": kwargs}, False

    # ------------------------------------------------------------ errors

    def encode_error(self, error: BaseException, format: WorkflowSerializationFormat = _DEFAULT) -> Encoded:
        """The text of an exception and its codec. Never fails: what cannot come back as itself becomes a record."""
        if self._is_portable(format):
            return failures.to_portable_json(error), PORTABLE_JSON
        encoded = self._custom_error(self._custom, error) if self._custom is not None else self._pickled_error(error)
        return encoded or (failures.to_record(error), PORTABLE_JSON)

    def decode_error(self, text: str, codec: str | None) -> BaseException:
        """The exception of a text. Raises `DBOSDeserializationError` if nothing can be made of it."""
        try:
            if codec == PICKLE or (codec is None and self._automatic):
                return self._load_error(self._unbase64(text, codec))
            return failures.from_value(self._reader(codec)(text))
        except DBOSDeserializationError:
            raise
        except (Exception, SystemExit) as cause:
            raise DBOSDeserializationError(codec, f"{type(cause).__name__}: {cause}") from cause

    def describe_error(self, text: str, codec: str | None) -> tuple[Any, bool]:
        """`(exception, False)`, or `(the raw text, True)` if it cannot be read. For listings; never raises."""
        try:
            return self.decode_error(text, codec), False
        except DBOSDeserializationError:
            return text, True

    # ------------------------------------------------------------ the codecs

    def _encode_as(
        self, value: Any, where: str, format: WorkflowSerializationFormat, parts: Callable[[], Parts]
    ) -> Encoded:
        if format is WorkflowSerializationFormat.NATIVE or self._custom is None:
            text, codec = self._pickled(value, where, parts), PICKLE
        else:
            text, codec = self._custom.serialize(value, where), self._custom.name
        return self._fitting(text, codec, where)

    def _is_portable(self, format: WorkflowSerializationFormat) -> bool:
        return format is _PORTABLE or (format is _DEFAULT and self._default is _PORTABLE)

    def _plain(self, value: Any, where: str) -> str | None:
        """The JSON text of plain data, or None if it is not plain."""
        try:
            return to_json(value, sharing=not self._allow_pickle)
        except (RuntimeError, TypeError) as error:  # it was plain when we looked
            raise changed(where, error) from error

    def _pickled(self, value: Any, where: str, parts: Callable[[], Parts]) -> str:
        if not self._allow_pickle:
            raise not_plain(parts(), where)
        try:
            data = pickle.dumps(value, PICKLE_PROTOCOL)
        except (Exception, SystemExit) as error:  # whatever the methods of user classes raise
            raise unpicklable(parts(), where, error) from error
        if len(data) <= PROVED_BYTES:
            try:
                pickle.loads(data)
            except (Exception, SystemExit) as error:  # a constructor that does not take what was pickled, say
                raise unreadable(parts(), where, error) from error
        return _base64(data)

    def _reader(self, codec: str | None) -> Callable[[str], Any]:
        if self._custom is not None and codec in (None, self._custom.name):
            return self._custom.deserialize
        if codec in (JSON, PORTABLE_JSON) or (codec is None and self._default is _PORTABLE):
            return from_json
        if codec in (None, PICKLE):
            return lambda text: self._load(self._unbase64(text, codec))
        raise DBOSDeserializationError(
            codec, "no serializer of this name is configured; set the config key `serializer` to the one that wrote it"
        )

    def _unbase64(self, text: str, codec: str | None) -> bytes:
        if not self._allow_pickle:
            raise DBOSDeserializationError(codec, "the configuration refuses pickle (`allow_pickle` is False)")
        return binascii.a2b_base64(text)

    def _fitting(self, text: str, codec: str, where: str) -> Encoded:
        self._check_size(text, where)
        return text, codec

    def _check_size(self, text: str, where: str) -> None:
        try:
            size_bytes = len(text) if text.isascii() else len(text.encode())
        except UnicodeEncodeError:
            reason = "its text has a lone surrogate, which no database stores"
            raise DBOSSerializationError(where, reason) from None
        if size_bytes > self._max_bytes:
            raise DBOSSerializationError(
                where,
                f"{size_bytes} bytes are more than the limit of {self._max_bytes}. Store large data elsewhere and pass "
                "a reference to it, or raise the config key `max_value_bytes`.",
            )
        if size_bytes > self._warn_bytes and self._on_large is not None:
            self._on_large(where, size_bytes)

    def _pickled_error(self, error: BaseException) -> Encoded | None:
        data = failures.dump(error) if self._allow_pickle else None
        if data is None or len(data) > self._max_bytes // 2:  # base64 adds a third
            return None
        return _base64(data), PICKLE

    def _custom_error(self, custom: CustomCodec, error: BaseException) -> Encoded | None:
        try:
            text = custom.serialize(error, "error")
            self._check_size(text, "error")
            return (text, custom.name) if failures.same(error, custom.deserialize(text)) else None
        except Exception:  # a serializer for data need not know exceptions
            return None


def _named(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Parts:
    for index, value in enumerate(args):
        yield f"args[{index}]", value
    for name, value in kwargs.items():
        yield f"kwargs[{name!r}]", value


def _only(where: str, value: Any) -> Parts:
    yield where, value


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")
