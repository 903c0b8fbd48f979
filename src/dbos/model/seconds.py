"""Lengths of time as users give them."""

from __future__ import annotations

from typing import TypeGuard

LONGEST_SECONDS = 100 * 366 * 86_400  # a century: what is beyond was meant otherwise, and fits into no column


def is_seconds(value: object, least: float = 0, most: float = LONGEST_SECONDS) -> TypeGuard[float]:
    """Is it a number of seconds between the two? NaN and infinity are not, and neither is an endless integer."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most
