"""One operation, two faces: from a function that makes an operation, a blocking call and a coroutine function.

Both keep its name, its documentation and, but for the engine it takes first, its signature. Both also take the keyword
`shard_key`, which must be None: system databases are not sharded. Where an operation comes to the id of a workflow, or
to several, `gives` says what the caller gets for it: a handle of the face's own colour, on the same performer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from functools import wraps
from types import FunctionType, MethodType
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from dbos.api.launched import current_engine
from dbos.api.performers import APPLICATION, Performer
from dbos.api.scopes import refuse_shard_key
from dbos.lazy import inspect, running_loop
from dbos.runtime.engine import Engine
from dbos.runtime.executor import Executor
from dbos.runtime.interpreters import run_async, run_blocking
from dbos.runtime.operation import Operation

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")

Gives = Callable[[R, Performer], S]
"""Makes of a result what the caller gets."""

logger = logging.getLogger("dbos")
_warned: set[str] = set()


def _as_it_is(result: Any, _: Performer) -> Any:
    return result


@overload
def blocking(operation: Callable[Concatenate[Executor, P], Operation[R]], *, waits: bool = False) -> Callable[P, R]: ...
@overload
def blocking(
    operation: Callable[Concatenate[Executor, P], Operation[R]], gives: Gives[R, S], *, waits: bool = False
) -> Callable[P, S]: ...
def blocking(
    operation: Callable[Concatenate[Executor, P], Operation[Any]],
    gives: Gives[Any, Any] = _as_it_is,
    *,
    waits: bool = False,
) -> Callable[P, Any]:
    """The blocking face. One that `waits` for something is refused on a running event loop; others warn once."""
    name = operation.__name__

    @wraps(operation)
    def call(*args: P.args, **kwargs: P.kwargs) -> Any:
        refuse_on_loop(f"DBOS.{name}", waits)
        refuse_shard_key(kwargs.pop("shard_key", None))
        engine = current_engine()
        return gives(run_blocking(engine, operation(engine, *args, **kwargs)), APPLICATION)

    return _without_engine(call, operation)


@overload
def awaitable(
    operation: Callable[Concatenate[Executor, P], Operation[R]],
) -> Callable[P, Coroutine[Any, Any, R]]: ...
@overload
def awaitable(
    operation: Callable[Concatenate[Executor, P], Operation[R]], gives: Gives[R, S]
) -> Callable[P, Coroutine[Any, Any, S]]: ...
def awaitable(
    operation: Callable[Concatenate[Executor, P], Operation[Any]], gives: Gives[Any, Any] = _as_it_is
) -> Callable[P, Coroutine[Any, Any, Any]]:
    """The async face."""

    @wraps(operation)
    async def call(*args: P.args, **kwargs: P.kwargs) -> Any:
        refuse_shard_key(kwargs.pop("shard_key", None))
        engine = current_engine()
        return gives(await run_async(engine, operation(engine, *args, **kwargs)), APPLICATION)

    return _without_engine(_named_async(call, operation), operation)


def refuse_on_loop(name: str, waits: bool, instead: str | None = None) -> None:
    """Raises RuntimeError if a call that waits would block a running event loop; warns once if it merely reads.

    `instead` is what to write there, where that is not to await the twin.
    """
    if running_loop() is None:
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


@overload
def blocking_method(
    operation: Callable[Concatenate[Engine, P], Operation[R]], *, waits: bool = False
) -> Callable[Concatenate[Any, P], R]: ...
@overload
def blocking_method(
    operation: Callable[Concatenate[Engine, P], Operation[R]], gives: Gives[R, S], *, waits: bool = False
) -> Callable[Concatenate[Any, P], S]: ...
def blocking_method(
    operation: Callable[Concatenate[Engine, P], Operation[Any]],
    gives: Gives[Any, Any] = _as_it_is,
    *,
    waits: bool = False,
) -> Callable[Concatenate[Any, P], Any]:
    """The blocking face as a method of clients."""
    name = operation.__name__

    @wraps(operation)
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        refuse_on_loop(f"DBOSClient.{name}", waits)
        refuse_shard_key(kwargs.pop("shard_key", None))
        return gives(self._connection.perform(lambda engine: operation(engine, *args, **kwargs)), self._connection)

    return _as_method(call, operation)


@overload
def awaitable_method(
    operation: Callable[Concatenate[Engine, P], Operation[R]],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]: ...
@overload
def awaitable_method(
    operation: Callable[Concatenate[Engine, P], Operation[R]], gives: Gives[R, S]
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, S]]: ...
def awaitable_method(
    operation: Callable[Concatenate[Engine, P], Operation[Any]], gives: Gives[Any, Any] = _as_it_is
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, Any]]:
    """The async face as a method of clients."""

    @wraps(operation)
    async def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        refuse_shard_key(kwargs.pop("shard_key", None))
        result = await self._connection.perform_async(lambda engine: operation(engine, *args, **kwargs))
        return gives(result, self._connection)

    return _as_method(_named_async(call, operation), operation)


F = TypeVar("F", bound=Callable[..., Any])


def _named_async(face: F, operation: Callable[..., Any]) -> F:
    face.__name__ = f"{operation.__name__}_async"
    face.__qualname__ = f"{operation.__qualname__}_async"
    return face


def _without_engine(face: F, operation: Callable[..., Any]) -> F:
    """Show the signature users call, without the engine: that of the operation as if it were a method of one."""
    face.__wrapped__ = MethodType(operation, APPLICATION)  # type: ignore[attr-defined]
    return face


def _as_method(face: F, operation: Callable[..., Any]) -> F:
    """Show the signature users call, with `self` in the place of the engine."""
    _, *parameters = inspect.signature(operation).parameters.values()
    receiver = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    face.__signature__ = inspect.signature(operation).replace(  # type: ignore[attr-defined]
        parameters=[receiver, *parameters]
    )
    del face.__wrapped__  # type: ignore[attr-defined]
    return face


C = TypeVar("C", bound=type)


def as_one(whole: C) -> C:
    """Let what the parts of a class define go by the name of the whole: in errors, tracebacks and help."""
    for part in whole.__mro__[:-1]:
        for name, member in vars(part).items():
            function = getattr(member, "__func__", member)
            if isinstance(function, FunctionType) and not name.startswith("_"):
                function.__qualname__ = f"{whole.__qualname__}.{name}"
    return whole
