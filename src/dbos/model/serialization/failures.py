"""How exceptions are stored: as themselves where possible, and as a portable record where not.

An exception is pickled, and read once to prove that it comes back: constructors with arguments of their own make
exceptions that pickle well and fail, or change, on reading. Whatever cannot come back as itself comes back as a
`PortableWorkflowError` with its type name, message, arguments and notes.
"""

from __future__ import annotations

import io
import json
import pickle
import reprlib
from typing import Any

from dbos.error import DBOSMaxStepRetriesExceeded, PortableWorkflowError, reduce_by_state
from dbos.model.serialization.culprit import type_name
from dbos.model.serialization.plain import to_json
from dbos.model.serialization.portable import portable

PICKLE_PROTOCOL = 5
_MAX_TEXT_CHARS = 64 * 1024  # of one message, note or argument in a portable record; its whole must stay small
_MAX_NOTES = 100

_SCALARS = (type(None), bool, int, float, str, bytes)


def dump(error: BaseException) -> bytes | None:
    """The pickle of an exception that provably comes back, or None."""
    if isinstance(error, DBOSMaxStepRetriesExceeded):
        error = _with_storable_attempts(error)
    for pickler in (pickle.Pickler, _ByState):
        buffer = io.BytesIO()
        try:
            vars(error)  # comes into being when it is looked at, and is pickled from then on: one error has one text
            pickler(buffer, PICKLE_PROTOCOL).dump(error)
            if same(error, pickle.loads(buffer.getvalue())):
                return buffer.getvalue()
        except Exception:  # whatever the methods of user classes do, it means: not this way
            pass
    return None


def load(data: bytes) -> BaseException:
    """The exception of a pickle. A class that no longer exists gives a `PortableWorkflowError` under its name."""
    error = _Rescuer(io.BytesIO(data)).load()
    return to_portable(error) if isinstance(error, _Lost) else from_value(error)


def same(error: BaseException, again: Any) -> bool:
    """Whether what came back is the exception that was stored, as far as that can be told without `__eq__`."""
    return (
        type(again) is type(error)
        and len(again.args) == len(error.args)
        and all(map(_same_value, error.args, again.args))
        and again.__dict__.keys() == error.__dict__.keys()
        and all(_same_value(value, again.__dict__[name]) for name, value in error.__dict__.items())
    )


def to_portable(error: BaseException) -> PortableWorkflowError:
    """The portable form of any exception. Never fails."""
    if isinstance(error, PortableWorkflowError):
        data = None if error.data is None else _readable(error.data)
        portable = PortableWorkflowError(clip(_text(error)), clip(str(error.name)), _code(error), data)
    else:
        data = {"type": type_name(type(error)), "args": [_readable(value) for value in error.args]}
        attributes = {str(name): _readable(value) for name, value in vars(error).items() if name != "__notes__"}
        if attributes:
            data["attributes"] = attributes
        portable = PortableWorkflowError(clip(_text(error)), type(error).__name__, _code(error), data)
    for note in _notes(error):
        portable.add_note(note)
    return portable


def to_record(error: BaseException) -> str:
    """The JSON text of the portable form. Never fails."""
    portable = to_portable(error)
    record = portable.to_error_data()
    notes = _notes(portable)
    if notes:
        record["notes"] = notes
    return to_json(record, sharing=True) or json.dumps(record, default=repr)


def to_portable_json(error: BaseException) -> str:
    """The JSON text of the fields that programs in other languages know. Never fails."""
    if isinstance(error, PortableWorkflowError):
        name, code, data = str(error.name), _code(error), error.data
        try:
            data = portable(data, "data")
        except Exception:
            data = _readable(data)
    else:
        name, code, data = type(error).__name__, _code(error), None
    record = PortableWorkflowError(clip(_text(error)), clip(name), code, data).to_error_data()
    return to_json(record, sharing=True) or json.dumps(record, default=repr)


def from_value(value: Any) -> BaseException:
    """The error that a decoded value stands for: itself, a portable record, or anything else as its message."""
    if isinstance(value, BaseException):
        return value
    if not isinstance(value, dict) or "message" not in value:
        return PortableWorkflowError(clip(str(value)), "Error")
    error = PortableWorkflowError(
        str(value["message"]), str(value.get("name", "Error")), value.get("code"), value.get("data")
    )
    notes = value.get("notes")
    for note in notes if isinstance(notes, list) else ():  # of another program, whatever it means by the word
        error.add_note(str(note))
    return error


def clip(text: str) -> str:
    """The text, cut where it would burden a database row."""
    return text if len(text) <= _MAX_TEXT_CHARS else f"{text[:_MAX_TEXT_CHARS]}... ({len(text)} characters)"


class _ByState(pickle.Pickler):
    """Pickles every exception by `args` and attributes, past its constructor."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, BaseException):
            return reduce_by_state(value)
        return NotImplemented


class _Lost(Exception):
    """Stands in for a class that cannot be imported any more."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args)


class _Rescuer(pickle.Unpickler):
    """Reads a pickle whose classes may have gone."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return super().find_class(module, name)
        except (ImportError, AttributeError):
            return type(name.rpartition(".")[2], (_Lost,), {"__module__": module, "__qualname__": name})


def _with_storable_attempts(error: DBOSMaxStepRetriesExceeded) -> DBOSMaxStepRetriesExceeded:
    attempts = [attempt if dump(attempt) is not None else to_portable(attempt) for attempt in error.errors]
    storable = DBOSMaxStepRetriesExceeded(error.step_name, error.max_retries, attempts)
    storable.__dict__.update({name: value for name, value in vars(error).items() if name != "errors"})
    return storable


def _same_value(value: Any, again: Any) -> bool:
    if type(again) is not type(value):
        return False
    return not isinstance(value, _SCALARS) or value == again or value != value  # (nan is never equal)


def _readable(value: Any) -> Any:
    """A value for a portable record: itself if it is plain and small, or else how it prints."""
    if isinstance(value, str):
        return clip(value)
    try:
        text = to_json(value, sharing=True)
        if text is not None and len(text) <= _MAX_TEXT_CHARS:
            return value
        return reprlib.repr(value)
    except Exception:
        return f"<{type_name(type(value))}>"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return f"<{type(error).__name__} whose text cannot be made>"


def _notes(error: BaseException) -> list[str]:
    notes = getattr(error, "__notes__", None)
    return [clip(str(note)) for note in notes[:_MAX_NOTES]] if isinstance(notes, list) else []


def _code(error: BaseException) -> int | str | None:
    for name in ("code", "dbos_error_code", "errno"):
        code = getattr(error, name, None)
        if isinstance(code, int | str) and not isinstance(code, bool):
            return code
    return None
