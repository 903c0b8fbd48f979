"""One operation, two faces: from a function that makes an operation, a blocking call and a coroutine function.

Both keep its name, its documentation and, but for the engine it takes first, its signature. Both also take the keyword
`shard_key`, which must be None: system databases are not sharded.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from dbos.api.launched import current_engine
from dbos.api.performers import Performer
from dbos.api.scopes import refuse_shard_key
from dbos.runtime.engine import Engine
from dbos.runtime.executor import Executor
from dbos.runtime.interpreters import run_async, run_blocking
from dbos.runtime.operation import Operation

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger("dbos")
_warned: set[str] = set()


def blocking(operation: Callable[Concatenate[Executor, P], Operation[R]], *, waits: bool = False) -> Callable[P, R]:
    """The blocking face. One that `waits` for something is refused on a running event loop; others warn once."""
    name = operation.__name__

    @wraps(operation)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        refuse_on_loop(f"DBOS.{name}", waits)
        refuse_shard_key(kwargs.pop("shard_key", None))
        engine = current_engine()
        return run_blocking(engine, operation(engine, *args, **kwargs))

    return _without_engine(call, operation)


def awaitable(
    operation: Callable[Concatenate[Executor, P], Operation[R]],
) -> Callable[P, Coroutine[Any, Any, R]]:
    """The async face."""

    @wraps(operation)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        refuse_shard_key(kwargs.pop("shard_key", None))
        engine = current_engine()
        return await run_async(engine, operation(engine, *args, **kwargs))

    call.__name__ = f"{operation.__name__}_async"
    call.__qualname__ = f"{operation.__qualname__}_async"
    return _without_engine(call, operation)


def refuse_on_loop(name: str, waits: bool, instead: str | None = None) -> None:
    """Raises RuntimeError if a call that waits would block a running event loop; warns once if it merely reads.

    `instead` is what to write there, where that is not to await the twin.
    """
    if asyncio._get_running_loop() is None:
        return
    advice = instead or f"await {name}_async(...)"
    if waits:
        raise RuntimeError(f"{name}() was called while an event loop is running. Use {advice} instead.")
    if name not in _warned:
        _warned.add(name)
        logger.warning("%s() blocks the running event loop for a moment; use %s instead", name, advice)


class Client(Protocol):
    """What has methods that are operations."""

    _connection: Performer


def blocking_method(
    operation: Callable[Concatenate[Engine, P], Operation[R]], *, waits: bool = False
) -> Callable[Concatenate[Any, P], R]:
    """The blocking face as a method of clients."""
    name = operation.__name__

    @wraps(operation)
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> R:
        refuse_on_loop(f"DBOSClient.{name}", waits)
        refuse_shard_key(kwargs.pop("shard_key", None))
        return self._connection.perform(lambda engine: operation(engine, *args, **kwargs))

    return _as_method(call, operation)


def awaitable_method(
    operation: Callable[Concatenate[Engine, P], Operation[R]],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """The async face as a method of clients."""

    @wraps(operation)
    async def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> R:
        refuse_shard_key(kwargs.pop("shard_key", None))
        return await self._connection.perform_async(lambda engine: operation(engine, *args, **kwargs))

    call.__name__ = f"{operation.__name__}_async"
    call.__qualname__ = f"{operation.__qualname__}_async"
    return _as_method(call, operation)


F = TypeVar("F", bound=Callable[..., Any])


def _without_engine(face: F, operation: Callable[..., Any]) -> F:
    """Show the signature users call, without the engine."""
    return _shown(face, operation, [])


def _as_method(face: F, operation: Callable[..., Any]) -> F:
    """Show the signature users call, with `self` in the place of the engine."""
    return _shown(face, operation, [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)])


def _shown(face: F, operation: Callable[..., Any], receiver: list[inspect.Parameter]) -> F:
    signature = inspect.signature(operation)
    face.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*receiver, *list(signature.parameters.values())[1:]]
    )
    del face.__wrapped__  # type: ignore[attr-defined]
    return face
