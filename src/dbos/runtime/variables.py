"""Context variables that hold for a block: they follow the user's code through `asyncio` tasks and `to_thread`."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import TypeVar

V = TypeVar("V")


@contextmanager
def holding(variable: ContextVar[V], value: V) -> Generator[None]:
    """Within the block the variable has this value."""
    token = variable.set(value)
    try:
        yield
    finally:
        put_back(variable, token)


def put_back(variable: ContextVar[V], token: Token[V]) -> None:
    """Restore a variable, if this still is the context it was set in.

    A coroutine that was abandoned is closed by the garbage collector, in the context of whatever runs at that moment:
    that one's variables are none of our business.
    """
    try:
        variable.reset(token)
    except ValueError:
        pass
