"""Plain data as JSON text: only values that come back exactly as they were.

Plain are None, bool, int, finite float, str, and lists and dicts with str keys of plain data, of exactly these types.
A tuple, a subclass or an object that occurs twice would come back changed, so they are left to another codec.
"""

from __future__ import annotations

from json import JSONDecoder, JSONEncoder
from typing import Any

MAX_DEPTH = 100  # the JSON reader recurses, and must not run out of stack wherever the value is read
# Lists and dicts where sharing is allowed: a hundred that each hold the next one twice would unfold to 2**100.
MAX_UNFOLDED = 100_000

_SCALARS = frozenset({type(None), bool, int, float, str})
_PLAIN = _SCALARS | {list, dict}
_KEYS = frozenset({str})

_encode = JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")).encode
_encode_ascii = JSONEncoder(ensure_ascii=True, allow_nan=False, check_circular=False, separators=(",", ":")).encode
from_json = JSONDecoder().decode


def to_json(value: Any, *, sharing: bool = False) -> str | None:
    """The JSON text of plain data, or None if the value is not plain.

    With `sharing`, a list or dict may occur more than once; it comes back as separate, equal ones.
    """
    kind = type(value)
    if kind is bool:
        return "true" if value else "false"
    if kind not in _SCALARS and not _is_plain(value, sharing):
        return None
    try:
        text = str(value) if kind is int else _encode(value)
    except (ValueError, RecursionError):  # nan and infinity; integers with more digits than Python reads back
        return None
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return _escaped(value)
    return text


def _escaped(value: Any) -> str | None:
    """JSON for strings with lone surrogates, which no database stores; None if two of them would fuse on reading."""
    text = _encode_ascii(value)
    return text if from_json(text) == value else None


def _is_plain(root: Any, sharing: bool) -> bool:
    """Looks level by level, a whole container at a time: a list of a million numbers costs one pass in C."""
    if type(root) is not list and type(root) is not dict:
        return False
    level: list[Any] = [root]
    seen = {id(root)}
    count = 1
    shared = False
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for container in level:
            if type(container) is dict:
                if not _KEYS.issuperset(map(type, container)):
                    return False
                items = container.values()
            else:
                items = container
            kinds = set(map(type, items))
            if kinds <= _SCALARS:
                continue
            if not kinds <= _PLAIN:
                return False
            inner += [item for item in items if type(item) is list or type(item) is dict]
        if not inner:
            return True
        found = set(map(id, inner))
        shared = shared or len(found) != len(inner) or not seen.isdisjoint(found)
        seen |= found
        count += len(inner)
        if shared and (not sharing or count > MAX_UNFOLDED):
            return False
        level = inner
    return False
