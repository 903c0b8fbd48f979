"""What users hand to operations on workflows, checked and as it is stored."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from dbos.error import DBOSException
from dbos.telemetry import carrier

MAX_PAGE = 2**63 - 1  # what both databases take as a number of rows
RESERVED_ATTRIBUTES = carrier.ASKED, carrier.FOLLOWED


def require_ids(workflow_ids: Sequence[str]) -> list[str]:
    """The ids as a list. Raises DBOSException for anything but a sequence of strings."""
    ids = None if isinstance(workflow_ids, (str, bytes)) or not isinstance(workflow_ids, Iterable) else [*workflow_ids]
    if ids is None or not all(isinstance(each, str) for each in ids):
        raise DBOSException(f"Workflow IDs must be given as a list of strings, not {workflow_ids!r}")
    return require_storable(ids)


def require_page(limit: int | None, offset: int | None) -> None:
    """Raises DBOSException for numbers that no database takes, or that mean something else to each."""
    for what, number in (("limit", limit), ("offset", offset)):
        if number is not None and (not _is_int(number) or not 0 <= number <= MAX_PAGE):
            raise DBOSException(f"{what} must be an integer of at least 0 that fits into 64 bits, not {number!r}")


def require_storable(texts: Sequence[str]) -> list[str]:
    """The texts as a list. Raises DBOSException for one that no database can hold, so that nothing can match it."""
    for text in texts:
        if "\0" in text or (not text.isascii() and _has_lone_surrogate(text)):
            raise DBOSException(f"{text!r} holds a NUL character or a lone surrogate, which is never stored")
    return list(texts)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def encode_attributes(attributes: Any) -> str:
    """Attributes as JSON text. Raises DBOSException for anything JSON or the database cannot hold."""
    if not isinstance(attributes, dict) or not all(isinstance(key, str) for key in attributes):
        raise DBOSException(f"Workflow attributes must be a dict with str keys, not {attributes!r}")
    for name in RESERVED_ATTRIBUTES:
        if name in attributes:
            raise DBOSException(f"The workflow attribute {name!r} is reserved")
    try:
        text = json.dumps(attributes, allow_nan=False)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DBOSException(f"Workflow attributes must be JSON values: {error}") from error
    if "\\u0000" in text or ("\\ud" in text.lower() and _has_lone_surrogate(attributes)):
        raise DBOSException("Workflow attributes must not contain NUL characters or lone surrogates")
    return text


def _has_lone_surrogate(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False
