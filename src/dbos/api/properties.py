"""Properties of a class: readable on the class itself and on its instances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class class_property(Generic[T]):
    """Decorates a function without arguments; its result is what reading the attribute gives."""

    def __init__(self, read: Callable[[], T]) -> None:
        self._read = read
        self.__doc__ = read.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> T:
        return self._read()
