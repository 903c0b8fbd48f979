"""Topics of messages and keys of events: which ones are legal, and how the place they name is written as one text."""

from __future__ import annotations

from json.encoder import encode_basestring

from dbos.error import DBOSException
from dbos.model.ids import MAX_ID_BYTES

NO_TOPIC = ""  # what is stored where there is none


def validate_topic(topic: object) -> str:
    """The topic as it is stored. Raises `DBOSException` for anything that a database cannot keep as it is."""
    return NO_TOPIC if topic is None else validate_key("topic of a message", topic)


def validate_key(what: str, key: object) -> str:
    """A key as plain text. Raises `DBOSException` if the database could not keep it as it is; `what` is its name."""
    if not isinstance(key, str):
        raise DBOSException(f"The {what} must be a str, not {type(key).__name__}")
    if "\0" in key:
        raise DBOSException(f"The {what} must not contain a NUL character: {key[:64]!r}")
    try:
        size_bytes = len(key.encode())
    except UnicodeEncodeError:
        raise DBOSException(f"The {what} must not contain a lone surrogate: {key[:64]!r}") from None
    if size_bytes > MAX_ID_BYTES:
        raise DBOSException(
            f"The {what} may have {MAX_ID_BYTES} bytes as UTF-8; this one has {size_bytes}: {key[:32]!r}..."
        )
    return str.__str__(key)


def place(workflow_id: str, name: str) -> str:
    """A topic or a key of a workflow, as one text that the databases can take apart: a JSON pair.

    Made for every message, event and value, so without the detour of `json.dumps`.
    """
    return f"[{encode_basestring(workflow_id)}, {encode_basestring(name)}]"
