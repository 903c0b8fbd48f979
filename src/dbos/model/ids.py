"""Workflow identifiers: how new ones are made, how a child's follows from its parent's, which ones are legal.

New IDs are version 7 UUIDs (RFC 9562): they begin with the time, so that rows made together lie together in the
index. The clock, the randomness and the lock are arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from dbos.error import DBOSException

MAX_ID_BYTES = 512  # index entries stay far below a third of a database page
RANDOM_BITS = 74  # what a version 7 UUID leaves free beside time, version and variant

_RAND_B_BITS = 62
_RAND_B_MASK = (1 << _RAND_B_BITS) - 1
_VERSION_4 = 4 << 76
_VERSION_7 = 7 << 76
_VARIANT = 2 << 62
_STAMP = 15 << 76 | 3 << 62  # where version and variant stand
_STEP_BITS = 32


def uuid7(now_ms: int, random_bits: int) -> str:
    """The version 7 UUID of a millisecond since the epoch and 74 random bits, as text."""
    rand_a = random_bits >> _RAND_B_BITS
    return _text(now_ms << 80 | _VERSION_7 | rand_a << 64 | _VARIANT | random_bits & _RAND_B_MASK)


def uuid4(random_bytes: bytes) -> str:
    """The version 4 UUID of 16 random bytes, as text."""
    return _text(int.from_bytes(random_bytes) & ~_STAMP | _VERSION_4 | _VARIANT)


def _text(uuid: int) -> str:
    value = f"{uuid:032x}"
    return f"{value[:8]}-{value[8:12]}-{value[12:16]}-{value[16:20]}-{value[20:]}"


class Uuid7Sequence:
    """Makes version 7 UUIDs that only grow, also within a millisecond and when the clock is set back."""

    __slots__ = ("_last_ms", "_last_random", "_lock", "_now_ms", "_random_bits")

    def __init__(
        self, now_ms: Callable[[], int], random_bits: Callable[[int], int], lock: AbstractContextManager[object]
    ) -> None:
        """`now_ms()` gives the time, `random_bits(n)` an integer of n random bits that no other process can repeat.

        `lock` is a fresh lock for this sequence alone; it guards the last ID made.
        """
        self._now_ms = now_ms
        self._random_bits = random_bits
        self._last_ms = 0
        self._last_random = 0
        self._lock = lock  # guards _last_ms and _last_random

    def next(self) -> str:
        """A new ID, greater as text than all before it."""
        now_ms = self._now_ms()
        with self._lock:
            if now_ms > self._last_ms:
                self._last_ms = now_ms
                # The top bit stays free, as room for the steps within one millisecond.
                self._last_random = self._random_bits(RANDOM_BITS - 1)
            else:
                # A random step, not one of 1: IDs must not be guessable from their neighbours, and two processes
                # that were forked within this millisecond must part.
                self._last_random += 1 + self._random_bits(_STEP_BITS)
                if self._last_random >> RANDOM_BITS:
                    self._last_ms += 1
                    self._last_random = self._random_bits(RANDOM_BITS - 1)
            return uuid7(self._last_ms, self._last_random)


def child_id(parent_id: str, step_id: int) -> str:
    """The ID of the child workflow that a parent starts as this step, when it was given none."""
    return f"{parent_id}-{step_id}"


def validate_workflow_id(workflow_id: object) -> str:
    """The ID as plain text, or `DBOSException` if the database could not keep it as it is."""
    if not isinstance(workflow_id, str):
        raise DBOSException(f"A workflow ID must be a str, not {type(workflow_id).__name__}")
    if not workflow_id or workflow_id.isspace():
        raise DBOSException("A workflow ID must not be empty or whitespace")
    if "\0" in workflow_id:
        raise DBOSException(f"A workflow ID must not contain a NUL character: {workflow_id!r}")
    if len(workflow_id) * 4 > MAX_ID_BYTES or not workflow_id.isascii():
        _check_encoded(workflow_id)
    return str.__str__(workflow_id)


def _check_encoded(workflow_id: str) -> None:
    try:
        size_bytes = len(workflow_id.encode())
    except UnicodeEncodeError:
        raise DBOSException(f"A workflow ID must not contain a lone surrogate: {workflow_id[:64]!r}") from None
    if size_bytes > MAX_ID_BYTES:
        raise DBOSException(
            f"A workflow ID may have {MAX_ID_BYTES} bytes as UTF-8; this one has {size_bytes}: {workflow_id[:32]!r}..."
        )
