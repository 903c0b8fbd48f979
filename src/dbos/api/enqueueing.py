"""The two faces of enqueueing a function, for everything of the api that does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from dbos.api import launched
from dbos.api.enqueue_options import EnqueueOptions, read_options
from dbos.api.handles import WorkflowHandle, WorkflowHandleAsync
from dbos.error import DBOSException
from dbos.runtime.admission import Started
from dbos.runtime.engine import Engine
from dbos.runtime.interpreters import run_async, run_blocking
from dbos.runtime.operation import Operation
from dbos.runtime.operations.enqueueing import Entry, enqueue, enqueue_many
from dbos.runtime.registry import resolve_call


def enqueue_function(
    queue_name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> WorkflowHandle[Any]:
    """Enqueue a decorated function."""
    engine, operation = _of_function(queue_name, func, args, kwargs)
    return WorkflowHandle.of(run_blocking(engine, operation))  # type: ignore[no-any-return]


async def enqueue_function_async(
    queue_name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> WorkflowHandleAsync[Any]:
    """Enqueue a decorated function."""
    engine, operation = _of_function(queue_name, func, args, kwargs)
    return WorkflowHandleAsync.of(await run_async(engine, operation))  # type: ignore[no-any-return]


def enqueue_named(
    engine: Engine, options: EnqueueOptions, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Operation[Started]:
    """Enqueue what some options name, whether it is known here or not."""
    queue_name, names, asked = read_options(options)
    return enqueue(engine, queue_name, names, args, kwargs, asked)


Call = tuple[EnqueueOptions, Sequence[Any]] | tuple[EnqueueOptions, Sequence[Any], Mapping[str, Any]]
"""Options, arguments and, if there are any, keyword arguments of one workflow of many."""


def enqueue_calls(engine: Engine, calls: Iterable[Call]) -> Operation[list[Started]]:
    """Enqueue what many options name, by one commit."""
    return enqueue_many(engine, [_entry(call) for call in calls])


def _entry(call: Call) -> Entry:
    parts: tuple[Any, ...] = call
    if not isinstance(call, tuple) or not 2 <= len(call) <= 3 or not isinstance(call[1], (tuple, list)):
        raise DBOSException(f"Each call must be (options, arguments) or (options, arguments, kwargs), not {call!r}")
    options, args, *rest = parts
    queue_name, names, asked = read_options(options)
    return Entry(queue_name, names, tuple(args), dict(rest[0]) if rest else {}, asked)


def _of_function(
    queue_name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Engine, Operation[Started]]:
    target, rest = resolve_call(func, args)
    engine = launched.engine_of(target.function.registry)
    return engine, enqueue(engine, queue_name, target, rest, kwargs)
