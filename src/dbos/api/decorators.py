"""The decorators: they register a function and replace it by one of the same signature and colour.

Decorated functions stay plain callables. A step called outside a workflow is an ordinary call.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from dbos.api.calls import protected, step_call, transaction_call, workflow_call
from dbos.api.launched import current_registry
from dbos.api.roles import unguarded
from dbos.api.validation import chosen
from dbos.error import DBOSConflictingRegistrationError, DBOSException
from dbos.model.serialization import WorkflowSerializationFormat, require_format
from dbos.runtime.arguments import require_storable
from dbos.runtime.callables import is_coroutine_function, is_generator_function
from dbos.runtime.operations.steps import step_spec
from dbos.runtime.registry import MARK, Function, TransactionSpec, ValidateArgs, WorkflowSpec, registered
from dbos.runtime.transaction import check_isolation_level, require_sqlalchemy

logger = logging.getLogger("dbos")

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)


def workflow(
    *misplaced: object,
    name: str | None = None,
    max_recovery_attempts: int | None = 100,
    serialization_type: WorkflowSerializationFormat | None = None,
    validate_args: ValidateArgs | None = None,
    auto_upgrade: bool | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function a durable workflow.

    Args:
        name: The name it is stored under; by default its qualified name.
        max_recovery_attempts: After how many recoveries a workflow that keeps killing its process is put aside, with
            the status MAX_RECOVERY_ATTEMPTS_EXCEEDED; None never does.
        serialization_type: How its arguments are stored, by default as the configuration says. PORTABLE also holds for
            its result or error, and for the events and streams that it writes.
        validate_args: Given `(args, kwargs)` as they were stored, returns them as the function shall see them; what it
            raises fails the workflow. Applied when a workflow is recovered or dequeued; for a portable one also when it
            is called, where it raises at the call. `pydantic_args_validator` validates by the annotations.
        auto_upgrade: Accepted, and without effect: a workflow stays with the version that started it.

    The function may be sync or async, and a plain function or a method of a `@DBOS.dbos_class()`. Calling it runs the
    workflow and returns its result; a workflow that was interrupted by a crash goes on from its last completed step.
    Raises DBOSException at decoration for what cannot be a workflow.
    """
    _require_parentheses("workflow", misplaced)
    if auto_upgrade:
        logger.warning("@DBOS.workflow(auto_upgrade=True) has no effect: a workflow stays with its version")
    if max_recovery_attempts is not None and (
        not isinstance(max_recovery_attempts, int)
        or isinstance(max_recovery_attempts, bool)
        or max_recovery_attempts < 0
    ):
        raise DBOSException(
            f"max_recovery_attempts must be None or an integer of at least 0, not {max_recovery_attempts!r}"
        )
    format = require_format(serialization_type)

    def decorate(func: Callable[P, R]) -> Callable[P, R]:
        function = _function(func, name, "workflow")
        function.workflow = WorkflowSpec(max_recovery_attempts, format, chosen(validate_args, function.body))
        return _publish(function, workflow_call(function))

    return decorate


def step(
    *misplaced: object,
    name: str | None = None,
    retries_allowed: bool = False,
    interval_seconds: float = 1.0,
    max_attempts: int = 3,
    backoff_rate: float = 2.0,
    should_retry: Callable[[BaseException], Any] | None = None,
    preemptible: bool = False,
    timeout_seconds: float | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function a step: within a workflow its outcome is recorded, and it never runs again once it is.

    Args:
        name: The name it is recorded under; by default its qualified name.
        retries_allowed: Try again when it raises.
        interval_seconds: Seconds before the first retry.
        max_attempts: Attempts in all, the first included.
        backoff_rate: Factor by which the interval grows with each retry; at most an hour is waited.
        should_retry: Told the exception; if it answers False, that exception is the outcome at once.
        preemptible: (async steps) Cancel the running step when its workflow is cancelled.
        timeout_seconds: (async steps) Bound of each attempt; one that takes longer fails with DBOSStepTimeoutError.

    A step that fails for good raises its own error, or DBOSMaxStepRetriesExceeded if it was retried. A crash before the
    outcome is recorded runs the step again, so steps should be idempotent. Raises DBOSException at decoration for
    options that cannot work.
    """
    _require_parentheses("step", misplaced)

    def decorate(func: Callable[P, R]) -> Callable[P, R]:
        function = _function(func, name, "step")
        function.step = spec = step_spec(
            function.name,
            function.is_async,
            retries_allowed=retries_allowed,
            interval_seconds=interval_seconds,
            max_attempts=max_attempts,
            backoff_rate=backoff_rate,
            should_retry=should_retry,
            preemptible=preemptible,
            timeout_seconds=timeout_seconds,
        )
        return _publish(function, protected(function, step_call(function, spec)))

    return decorate


def transaction(
    isolation_level: str = "SERIALIZABLE", *, name: str | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function a transaction: a step that commits together with what it writes to the application's database.

    Args:
        isolation_level: `"SERIALIZABLE"`, `"REPEATABLE READ"` or `"READ COMMITTED"`. SQLite knows the first one only.
        name: The name it is recorded under; by default its qualified name.

    The function uses `DBOS.sql_session`, a SQLAlchemy session. What it writes is committed when it returns, and taken
    back when it raises. It takes effect once, whatever crashes; it is run again after a serialization failure or a
    deadlock. Called outside a workflow it is a workflow of that one step. Raises DBOSException at decoration for an
    async function, an isolation level that does not exist, or without SQLAlchemy.
    """
    if callable(isolation_level):
        _require_parentheses("transaction", (isolation_level,))
    check_isolation_level(isolation_level)

    def decorate(func: Callable[P, R]) -> Callable[P, R]:
        function = _function(func, name, "transaction")
        if function.is_async:
            raise DBOSException(
                f"@DBOS.transaction() cannot decorate {function.name}: it is a coroutine function. Write a plain "
                "function, and call it by `await asyncio.to_thread(...)` from coroutines; or use an "
                "AsyncSQLAlchemyDatasource"
            )
        require_sqlalchemy("@DBOS.transaction()")
        function.transaction = spec = TransactionSpec(function.name, isolation_level)
        return _publish(function, protected(function, transaction_call(function, spec)))

    return decorate


def dbos_class(class_name: str | type | None = None) -> Callable[[C], C]:
    """Register a class whose methods are workflows; `@DBOS.dbos_class()`, with or without a name of its own.

    Raises an Exception if another class is registered under the name.
    """
    if isinstance(class_name, type):
        return dbos_class()(class_name)  # without parentheses: it was the class
    require_storable([class_name or ""])

    def decorate(cls: C) -> C:
        current_registry().add_class(cls, class_name)
        return cls

    return decorate


class DBOSConfiguredInstance:
    """Base of classes whose instances have workflows: the name finds the instance again after a crash.

    Args:
        config_name: Unique among the instances of the class.

    Instances must exist before `DBOS.launch()` for their workflows to be recovered by it. Raises an Exception for a
    name that is taken.
    """

    def __init__(self, config_name: str) -> None:
        if not isinstance(config_name, str) or not config_name:
            raise DBOSException(f"The config_name of an instance must be a non-empty string, not {config_name!r}")
        require_storable([config_name])
        self.config_name = config_name
        current_registry().add_instance(self, config_name)


def _require_parentheses(kind: str, misplaced: tuple[object, ...]) -> None:
    """Raises DBOSException for `@DBOS.step` without parentheses, which hands the function over as an option."""
    if misplaced:
        raise DBOSException(f"Write @DBOS.{kind}() with parentheses; its options are keywords, not {misplaced[0]!r}")


def _function(func: Callable[..., Any], name: str | None, kind: str) -> Function:
    """Check what is decorated. Raises DBOSException."""
    if isinstance(func, (classmethod, staticmethod)):
        raise DBOSException(f"Put @DBOS.{kind}() below @{type(func).__name__}, next to the function")
    if not callable(func) or isinstance(func, type):
        raise DBOSException(f"@DBOS.{kind}() decorates functions, not {func!r}")
    if is_generator_function(func):
        raise DBOSException(f"@DBOS.{kind}() cannot decorate the generator function {func.__qualname__}")
    if name is not None and (not isinstance(name, str) or not name):
        raise DBOSException(f"The name of a {kind} must be a non-empty string, not {name!r}")
    require_storable([name or ""])
    func, required_roles = unguarded(func)
    beneath = registered(func)
    if beneath is not None and kind in ("step", "transaction") and kind != _kind_of(beneath) != "workflow":
        raise DBOSConflictingRegistrationError(beneath.name)
    qualified_name: str = getattr(func, "__qualname__", "")
    if not (name or qualified_name):
        raise DBOSException(f"{func!r} has no name of its own: give it one, as in @DBOS.{kind}(name='...')")
    return Function(
        name=name or qualified_name,
        body=func,
        registry=current_registry(),
        is_async=is_coroutine_function(func),
        required_roles=required_roles,
        in_class=qualified_name.rpartition(".")[0].rpartition(".")[2] not in ("", "<locals>"),
    )


def _kind_of(function: Function) -> str:
    if function.workflow is not None:
        return "workflow"
    return "step" if function.transaction is None else "transaction"


def _publish(function: Function, wrapper: Callable[P, R]) -> Callable[P, R]:
    function.registry.add(function)
    setattr(wrapper, MARK, function)
    return wrapper
