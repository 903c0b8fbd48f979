"""What is told of a function by its code is what `inspect` tells."""

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from dbos.runtime import callables


def plain(a: int, b: int = 2) -> int:
    return a + b


def many(a: int, *rest: int, **more: int) -> None: ...


def named(a: int, *, b: int, c: int = 3) -> None: ...


def positional(a: int, /, b: int = 2) -> None: ...


def generator() -> Iterator[int]:
    yield 1


async def coroutine(a: int = 1) -> int:
    return a


async def async_generator() -> AsyncIterator[int]:
    yield 1


@functools.wraps(plain)
def wrapper(*args: Any) -> int:
    return plain(*args)


@functools.wraps(coroutine)
def blocking_wrapper(*args: Any) -> Any:
    return coroutine(*args)


class Callables:
    def method(self, a: int) -> None: ...

    async def async_method(self) -> None: ...

    @classmethod
    def of_class(cls, a: int) -> None: ...

    async def __call__(self) -> None: ...


EVERY: list[Callable[..., Any]] = [
    *(plain, many, named, positional, generator, coroutine, async_generator, wrapper, blocking_wrapper),
    *(lambda: 1, print, len, dict, Callables, Callables(), Callables.method, Callables().method, Callables.of_class),
    *(
        Callables().async_method,
        functools.partial(plain, 1),
        functools.partial(coroutine, 1),
        functools.partial(named, b=1),
    ),
]

ARGUMENTS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    *(((1,) * count, {}) for count in range(4)),
    ((), {"a": 1}),
    ((1,), {"a": 1}),
    ((1,), {"b": 1}),
    ((1,), {"z": 1}),
]


@pytest.mark.parametrize("func", EVERY)
def test_kinds(func: Callable[..., Any]) -> None:
    assert callables.is_coroutine_function(func) == inspect.iscoroutinefunction(func)
    generates = inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func)
    assert callables.is_generator_function(func) == generates
    assert callables.unwrapped(func) == inspect.unwrap(func)


@pytest.mark.parametrize("func", EVERY)
def test_whoever_is_certain_is_right(func: Callable[..., Any]) -> None:
    for args, kwargs in ARGUMENTS:
        if callables.takes(func, args, kwargs):
            inspect.signature(func).bind(*args, **kwargs)


def test_most_calls_are_certain() -> None:
    assert callables.takes(plain, (1,), {})
    assert callables.takes(plain, (1, 2), {})
    assert not callables.takes(plain, (), {})
    assert not callables.takes(plain, (1, 2, 3), {})
    assert callables.takes(coroutine, (), {})


def test_who_says_more_about_itself_is_asked() -> None:
    def marked() -> None: ...

    marked.__signature__ = inspect.signature(plain)  # type: ignore[attr-defined]
    assert not callables.takes(marked, (), {})
    assert callables.signature(marked) == inspect.signature(plain)
    assert callables.signature(wrapper) == inspect.signature(wrapper, follow_wrapped=False)
    assert callables.signature(dict) is None
