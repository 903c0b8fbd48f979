"""What can be told of a function by its code, without `inspect`, which most programs need not import then.

A plain function has no attributes: nothing says that it stands for another one, or is something else than it seems.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any, TypeGuard

from dbos.lazy import inspect

COROUTINE, GENERATORS = 0x80, 0x20 | 0x200  # flags of code: inspect.CO_COROUTINE and so on


def is_plain(func: object) -> TypeGuard[FunctionType]:
    """Does its code tell everything?"""
    return type(func) is FunctionType and not func.__dict__


def is_coroutine_function(func: object) -> bool:
    """Does a call of it make a coroutine? As `inspect.iscoroutinefunction` has it."""
    return bool(func.__code__.co_flags & COROUTINE) if is_plain(func) else inspect.iscoroutinefunction(func)


def is_generator_function(func: object) -> bool:
    """Does a call of it make a generator, async or not?"""
    if is_plain(func):
        return bool(func.__code__.co_flags & GENERATORS)
    return inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func)


def unwrapped(func: Callable[..., Any]) -> Callable[..., Any]:
    """The function that it stands for in the end."""
    return func if is_plain(func) else inspect.unwrap(func)


def takes(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Is it certain that it takes these arguments? Most calls are of the kind that is told at a glance."""
    if kwargs or not is_plain(func) or func.__code__.co_kwonlyargcount:
        return False
    most = func.__code__.co_argcount
    return most - len(func.__defaults__ or ()) <= len(args) <= most


def signature(func: Callable[..., Any]) -> inspect.Signature | None:
    """Which arguments it takes itself, if it tells: those of what it wraps may be others."""
    try:
        return inspect.signature(func, follow_wrapped=False)
    except (TypeError, ValueError):
        return None
