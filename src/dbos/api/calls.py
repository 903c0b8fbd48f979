"""What a call of a decorated function does: run a workflow, a step or a transaction, under the role it requires."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar, cast

from dbos.api.launched import engine_of
from dbos.error import DBOSException
from dbos.runtime.context import current_attempt, refuse_in_transaction, workflow_body
from dbos.runtime.interpreters import run_async, run_blocking
from dbos.runtime.operations import starting
from dbos.runtime.registry import Function, StepSpec, TransactionSpec, split
from dbos.runtime.roles import authorized
from dbos.runtime.step import perform
from dbos.runtime.transaction import perform as perform_transaction

P = ParamSpec("P")
R = TypeVar("R")


def workflow_call(function: Function) -> Callable[..., Any]:
    """What a call of a workflow does."""
    if function.is_async:

        @wraps(function.body)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            engine = engine_of(function.registry)
            target, rest = split(function, args)
            return (await run_async(engine, starting.call(engine, target, rest, kwargs))).unwrap()

        return call_async

    @wraps(function.body)
    def call(*args: Any, **kwargs: Any) -> Any:
        engine = engine_of(function.registry)
        target, rest = split(function, args)
        return run_blocking(engine, starting.call(engine, target, rest, kwargs)).unwrap()

    return call


def step_call(function: Function, spec: StepSpec) -> Callable[..., Any]:
    """What a call of a step does."""
    body = function.body
    if function.is_async:

        async def call_async(*args: Any, **kwargs: Any) -> Any:
            attempt = workflow_body()
            if attempt is None:
                return await body(*args, **kwargs)
            operation = perform(attempt, spec, partial(body, *args, **kwargs), True)
            return (await run_async(attempt.engine, operation)).unwrap()

        return call_async

    def call(*args: Any, **kwargs: Any) -> Any:
        attempt = workflow_body()
        if attempt is None:
            return body(*args, **kwargs)
        operation = perform(attempt, spec, partial(body, *args, **kwargs), False)
        return run_blocking(attempt.engine, operation).unwrap()

    return call


def transaction_call(function: Function, spec: TransactionSpec) -> Callable[..., Any]:
    """What a call of a transaction does."""

    def call(*args: Any, **kwargs: Any) -> Any:
        refuse_in_transaction(function.name)
        attempt = workflow_body()
        if attempt is not None:
            operation = perform_transaction(attempt, spec, partial(function.body, *args, **kwargs))
            return run_blocking(attempt.engine, operation).unwrap()
        if current_attempt() is not None:
            raise DBOSException(
                f"Transaction {function.name} must be called from within a workflow, not from within a step: "
                "call it from the body of the workflow instead"
            )
        engine = engine_of(function.registry)
        target, rest = split(function, args)
        return run_blocking(engine, starting.call(engine, target, rest, kwargs)).unwrap()

    return call


def protected(function: Function, call: Callable[P, R]) -> Callable[P, R]:
    """A call that stands for the function, and is made under the role that it requires, if it requires one."""
    if function.is_async:

        @wraps(function.body)
        async def call_async(*args: P.args, **kwargs: P.kwargs) -> Any:
            if not function.required_roles:
                return await cast(Any, call(*args, **kwargs))
            with authorized(function):
                return await cast(Any, call(*args, **kwargs))

        return cast(Callable[P, R], call_async)

    @wraps(function.body)
    def call_here(*args: P.args, **kwargs: P.kwargs) -> R:
        if not function.required_roles:
            return call(*args, **kwargs)
        with authorized(function):
            return call(*args, **kwargs)

    return call_here
