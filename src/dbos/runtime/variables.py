"""Context variables that hold for a block: they follow the user's code through `asyncio` tasks and `to_thread`."""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import Generic, TypeVar

V = TypeVar("V")


class holding(Generic[V]):  # called like a function; as a class it costs a third of one that yields
    """Within the block the variable has this value."""

    __slots__ = ("_token", "_value", "_variable")

    def __init__(self, variable: ContextVar[V], value: V) -> None:
        self._variable = variable
        self._value = value

    def __enter__(self) -> None:
        self._token = self._variable.set(self._value)

    def __exit__(self, *_: object) -> None:
        put_back(self._variable, self._token)


def put_back(variable: ContextVar[V], token: Token[V]) -> None:
    """Restore a variable, if this still is the context it was set in.

    A coroutine that was abandoned is closed by the garbage collector, in the context of whatever runs at that moment:
    that one's variables are none of our business.
    """
    try:
        variable.reset(token)
    except ValueError:
        pass
