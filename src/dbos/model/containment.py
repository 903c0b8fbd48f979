"""Does a JSON value contain another one? The same answers as those of Postgres (`@>` of jsonb)."""

from __future__ import annotations

from typing import Any


def contains(whole: Any, part: Any) -> bool:
    """Every key of the part is in the whole, and every element, at the same place in depth; scalars are equal."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and contains(whole[key], part[key]) for key in part)
    if isinstance(part, list):
        return isinstance(whole, list) and all(any(contains(each, wanted) for each in whole) for wanted in part)
    return isinstance(whole, bool) == isinstance(part, bool) and bool(whole == part)
