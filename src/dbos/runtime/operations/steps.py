"""Steps made on the spot: `run_step` for any function, and reservations that draw the number first and run later."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypedDict

from dbos.error import DBOSException
from dbos.model.retry import RetryPolicy
from dbos.runtime.callables import is_coroutine_function
from dbos.runtime.context import Attempt, workflow_body
from dbos.runtime.interpreters import run_async, run_blocking
from dbos.runtime.registry import StepSpec, registered
from dbos.runtime.roles import admitted
from dbos.runtime.step import perform_numbered


class StepOptions(TypedDict, total=False):
    """How a step runs; every key is optional, with the defaults of `@DBOS.step()`."""

    name: str | None
    retries_allowed: bool
    interval_seconds: float
    max_attempts: int
    backoff_rate: float
    should_retry: Callable[[BaseException], Any] | None
    preemptible: bool
    timeout_seconds: float | None


def step_spec(
    default_name: str,
    is_async: bool,
    *,
    name: str | None = None,
    retries_allowed: bool = False,
    interval_seconds: float = 1.0,
    max_attempts: int = 3,
    backoff_rate: float = 2.0,
    should_retry: Callable[[BaseException], Any] | None = None,
    preemptible: bool = False,
    timeout_seconds: float | None = None,
) -> StepSpec:
    """The checked options of a step. Raises DBOSException for what cannot work."""
    name = default_name if name is None else name
    if "\0" in name or not _is_text(name):
        raise DBOSException(
            f"The name of step {name!r} holds a NUL character or a lone surrogate, which is never stored"
        )
    if preemptible and not is_async:
        raise DBOSException(f"Step {name} is not async: only an async step can be preempted")
    if timeout_seconds is not None and not is_async:
        raise DBOSException(f"Step {name} is not async: only an async step can have a timeout")
    if timeout_seconds is not None and not timeout_seconds > 0:
        raise DBOSException(f"The timeout of step {name} must be a positive number of seconds, not {timeout_seconds!r}")
    if should_retry is not None and is_coroutine_function(should_retry) and not is_async:
        raise DBOSException(f"Step {name} is not async: its should_retry cannot be async either")
    try:
        retry = RetryPolicy(max_attempts, interval_seconds, backoff_rate) if retries_allowed else None
    except ValueError as refusal:
        raise DBOSException(f"Step {name} cannot be retried like that: {refusal}") from None
    return StepSpec(name, retry, should_retry, preemptible, timeout_seconds)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def plain_body(func: Callable[..., Any]) -> Callable[..., Any]:
    """The function to run as one step: of a decorated step, the undecorated one."""
    function = registered(func)
    if function is None or function.step is None:
        return func
    receiver = getattr(func, "__self__", None)
    return function.body if receiver is None else partial(function.body, receiver)


def spec_for(options: StepOptions | None, func: Callable[..., Any]) -> StepSpec:
    """The step that a function and its options make."""
    unknown = set(options or ()) - set(StepOptions.__annotations__)
    if unknown:
        raise DBOSException(f"Unknown step options {sorted(unknown)}; there are {sorted(StepOptions.__annotations__)}")
    name = getattr(func, "__qualname__", None) or type(func).__qualname__
    return step_spec(name, is_coroutine_function(func), **(options or {}))


def run_step(options: StepOptions | None, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run any function as a step of this workflow; outside a workflow, and inside a step, it is a plain call."""
    return _run(workflow_body(), None, options, func, args, kwargs)


async def run_step_async(options: StepOptions | None, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The same for coroutine functions; plain functions may be given, too, and run on the event loop."""
    return await _run_async(workflow_body(), None, options, func, args, kwargs)


def _run(
    attempt: Attempt | None,
    step_id: int | None,
    options: StepOptions | None,
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    if is_coroutine_function(func):
        raise RuntimeError(f"{_title(func)} is a coroutine function: use await DBOS.run_step_async(...) instead")
    spec = spec_for(options, func)
    if attempt is None:
        return func(*args, **kwargs)
    with admitted(registered(func)):
        if step_id is None:
            step_id = attempt.next_step_id()
        call = partial(plain_body(func), *args, **kwargs)
        return run_blocking(attempt.engine, perform_numbered(attempt, step_id, spec, call, False)).unwrap()


async def _run_async(
    attempt: Attempt | None,
    step_id: int | None,
    options: StepOptions | None,
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    spec = spec_for(options, func)
    awaited = is_coroutine_function(func)
    if attempt is None:
        return await func(*args, **kwargs) if awaited else func(*args, **kwargs)
    with admitted(registered(func)):
        if step_id is None:
            step_id = attempt.next_step_id()
        call = partial(plain_body(func), *args, **kwargs)
        return (await run_async(attempt.engine, perform_numbered(attempt, step_id, spec, call, awaited))).unwrap()


def _title(func: Callable[..., Any]) -> str:
    return getattr(func, "__qualname__", repr(func))


class StepReservation:
    """A step number drawn now for a step that runs later, once, in the same workflow.

    It keeps numbers deterministic when tasks run side by side. A reservation that never runs leaves a gap.
    """

    __slots__ = ("_attempt", "_used", "step_id")

    def __init__(self, attempt: Attempt) -> None:
        self.step_id = attempt.next_step_id()
        self._attempt = attempt
        self._used = False

    def run(self, options: StepOptions | None, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a function as this step. Raises DBOSException if it has run, or in another workflow or a step."""
        return _run(self._use(), self.step_id, options, func, args, kwargs)

    async def run_async(self, options: StepOptions | None, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The same for coroutine functions."""
        return await _run_async(self._use(), self.step_id, options, func, args, kwargs)

    def _use(self) -> Attempt:
        if workflow_body() is not self._attempt:
            raise DBOSException("A step reservation can only be run in the body of the workflow that made it")
        if self._used:
            raise DBOSException("A step reservation can only be run once")
        self._used = True
        return self._attempt
