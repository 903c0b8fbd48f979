"""Names to functions, classes and instances: what this process can run.

Decorators write here, before or after launch; recovery and dispatch look here. One registry serves one application;
`DBOS.destroy(destroy_registry=True)` starts a new one, and functions of the old one stop working.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from enum import Enum
from typing import Any, Literal

from dbos.error import DBOSConflictingRegistrationError, DBOSException, DBOSWorkflowFunctionNotFoundError
from dbos.fields import NamedTuple, dataclass, field
from dbos.lazy import inspect
from dbos.model.cron import Cron
from dbos.model.kafka import Subscription
from dbos.model.queue import QueueSpec
from dbos.model.retry import RetryPolicy
from dbos.model.serialization import WorkflowSerializationFormat
from dbos.runtime import callables
from dbos.runtime.fingerprint import fingerprint

logger = logging.getLogger("dbos")

MARK = "__dbos_function__"
TEMPORARY = "<temp>."
"""Prefix of the one-step workflow that carries a bare step which was started or enqueued on its own."""


class Binding(Enum):
    """How a function receives its first argument."""

    FUNCTION = "function"
    INSTANCE = "instance"
    CLASS = "class"


Arguments = tuple[tuple[Any, ...], dict[str, Any]]
ValidateArgs = Callable[[tuple[Any, ...], dict[str, Any]], Arguments]


class StepSpec(NamedTuple):
    """How a step runs."""

    name: str
    retry: RetryPolicy | None = None
    should_retry: Callable[[BaseException], Any] | None = None
    preemptible: bool = False
    timeout_seconds: float | None = None


class TransactionSpec(NamedTuple):
    """How a transaction runs."""

    name: str
    isolation_level: str = "SERIALIZABLE"


class WorkflowSpec(NamedTuple):
    """How a workflow runs."""

    max_recovery_attempts: int | None = 100
    serialization_type: WorkflowSerializationFormat = WorkflowSerializationFormat.DEFAULT
    validate_args: ValidateArgs | None = None


@dataclass(slots=True, eq=False)
class Function:
    """A decorated function."""

    name: str
    body: Callable[..., Any]
    registry: Registry
    is_async: bool
    workflow: WorkflowSpec | None = None
    step: StepSpec | None = None
    transaction: TransactionSpec | None = None
    class_name: str | None = None
    binding: Binding = Binding.FUNCTION
    required_roles: tuple[str, ...] | None = None  # one of them; (): none, whatever the class says; None: nothing said

    in_class: bool = False  # defined in the body of a class, going by its qualified name
    _signature: inspect.Signature | Literal["unread"] | None = "unread"

    @property
    def workflow_name(self) -> str:
        """The name a workflow of this function is stored under."""
        return self.name if self.workflow is not None else TEMPORARY + self.name

    @property
    def serialization_type(self) -> WorkflowSerializationFormat:
        """How the arguments of a workflow of this function are stored, and its outcome."""
        return WorkflowSerializationFormat.DEFAULT if self.workflow is None else self.workflow.serialization_type

    @property
    def signature(self) -> inspect.Signature | None:
        """Which arguments it takes, if it tells. Read once: it takes long."""
        if self._signature == "unread":
            self._signature = callables.signature(self.body)
        return self._signature


class Names(NamedTuple):
    """A workflow function by what it is called, whether or not it is known here."""

    workflow: str
    class_name: str | None = None
    config_name: str | None = None
    application: str | None = None  # whose executors run it; None: the one that asks
    serialization_type: WorkflowSerializationFormat = WorkflowSerializationFormat.DEFAULT


class Target(NamedTuple):
    """A function together with the class or instance it is called on."""

    function: Function
    receiver: Any = None
    config_name: str | None = None

    @property
    def class_name(self) -> str | None:
        return self.function.class_name

    @property
    def names(self) -> Names:
        """What is stored of it, and how its arguments are."""
        function = self.function
        return Names(function.workflow_name, self.class_name, self.config_name, None, function.serialization_type)

    def bind(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments as the plain function takes them."""
        return args if self.receiver is None else (self.receiver, *args)

    def check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raises TypeError, as the call itself would, for arguments that do not fit the function."""
        bound = self.bind(args)
        if callables.takes(self.function.body, bound, kwargs):
            return
        signature = self.function.signature
        if signature is not None:
            try:
                signature.bind(*bound, **kwargs)
            except TypeError as error:
                raise TypeError(f"{self.function.name}(): {error}") from None

    def validated(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        """The arguments as the function shall see them. Raises what its validator raises."""
        workflow = self.function.workflow
        if workflow is None or workflow.validate_args is None:
            return args, kwargs
        answer: Any = workflow.validate_args(args, kwargs)
        try:
            valid_args, valid_kwargs = answer
            return tuple(valid_args), dict(valid_kwargs)
        except (TypeError, ValueError):
            raise DBOSException(
                f"The validate_args of {self.function.name} must return (args, kwargs), not {answer!r}"
            ) from None

    def validated_at_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        """The same where it is called, before anything is written; for portable workflows only.

        The arguments of others are validated when they come from the database: a caller in Python is trusted.
        """
        portable = self.function.serialization_type is WorkflowSerializationFormat.PORTABLE
        return self.validated(args, kwargs) if portable else (args, kwargs)


Runnable = tuple[str, str, str]


@dataclass(slots=True, eq=False)
class Registry:
    """All that is decorated."""

    workflows: dict[str, Function] = field(default_factory=dict)
    steps: dict[str, Function] = field(default_factory=dict)  # and transactions
    classes: dict[str, type] = field(default_factory=dict)
    instances: dict[tuple[str, str], Any] = field(default_factory=dict)
    queues: dict[str, QueueSpec] = field(default_factory=dict)  # declared in this process
    listened_queues: tuple[str, ...] | None = None  # None: all
    scheduled: dict[str, tuple[Function, tuple[Cron, ...]]] = field(default_factory=dict)  # by name of the workflow
    kafka_consumers: list[tuple[Function, Subscription]] = field(default_factory=list)
    alert_handler: Callable[[str, str, dict[str, str]], None] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)  # guards all of the above and _runnable
    _runnable: list[Runnable] | None = None

    def add(self, function: Function) -> None:
        """Register a function. The last one of a name wins; another body under a name is worth a warning.

        Raises DBOSConflictingRegistrationError if a step and a transaction share a name.
        """
        shelf = self.workflows if function.workflow is not None else self.steps
        with self._lock:
            before = shelf.get(function.name)
            if before is not None and (before.transaction is None) != (function.transaction is None):
                raise DBOSConflictingRegistrationError(function.name)
            shelf[function.name] = function
            self._runnable = None
        if before is not None and getattr(before.body, "__code__", None) != getattr(function.body, "__code__", None):
            logger.warning("Duplicate registration of function '%s'", function.name)

    def add_class(self, cls: type, class_name: str | None) -> None:
        """Register a class: its decorated methods learn how they are called.

        Raises an Exception if another class has that name already.
        """
        name = class_name or cls.__qualname__
        with self._lock:
            if name in self.classes:
                raise DBOSException(f"Duplicate type registration for class '{name}'")
            self.classes[name] = cls
            for member in vars(cls).values():
                wrapped = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
                function = vars(wrapped).get(MARK) if callable(wrapped) and hasattr(wrapped, "__dict__") else None
                if not isinstance(function, Function) or isinstance(member, staticmethod):
                    continue
                function.class_name = name
                function.binding = Binding.CLASS if isinstance(member, classmethod) else Binding.INSTANCE
            self._runnable = None

    def add_instance(self, instance: Any, config_name: str) -> None:
        """Register a configured instance under every registered class it belongs to.

        Raises an Exception if the class has an instance of that name already.
        """
        with self._lock:
            names = [name for name, cls in self.classes.items() if isinstance(instance, cls)]
            for name in names:
                if (name, config_name) in self.instances:
                    raise DBOSException(f"Duplicate instance registration for class '{name}' instance '{config_name}'")
            for name in names:
                self.instances[name, config_name] = instance
            self._runnable = None

    def add_queue(self, queue: QueueSpec) -> None:
        """Declare a queue. Raises an Exception for a second one of its name."""
        with self._lock:
            if queue.name in self.queues:
                raise DBOSException(f"Queue {queue.name} has already been declared")
            self.queues[queue.name] = queue

    def add_schedule(self, function: Function, cron: Cron) -> None:
        """Run a function by the clock, beside what it was scheduled for before."""
        with self._lock:
            before, crons = self.scheduled.get(function.workflow_name, (function, ()))
            self.scheduled[function.workflow_name] = function, (*(crons if before is function else ()), cron)

    def add_kafka_consumer(self, function: Function, subscription: Subscription) -> None:
        """Run a function for every message of a subscription."""
        with self._lock:
            self.kafka_consumers.append((function, subscription))

    def scheduled_functions(self) -> list[tuple[Function, Cron]]:
        """Every decorated function with every time table of it."""
        with self._lock:
            return [(function, cron) for function, crons in self.scheduled.values() for cron in crons]

    def find(self, name: str, class_name: str | None, config_name: str | None) -> Target:
        """The target of a stored workflow. Raises DBOSWorkflowFunctionNotFoundError."""
        function = self.workflows.get(name)
        if function is None and name.startswith(TEMPORARY):
            function = self.steps.get(name.removeprefix(TEMPORARY))
        if function is None:
            raise DBOSWorkflowFunctionNotFoundError("<NONE>", f"Workflow function '{name}' is not registered")
        if function.binding is Binding.FUNCTION:
            return Target(function)
        if function.binding is Binding.CLASS:
            return Target(function, self.classes[function.class_name or ""])
        instance = self.instances.get((class_name or "", config_name or ""))
        if instance is None:
            raise DBOSWorkflowFunctionNotFoundError(
                "<NONE>",
                f"Workflow function '{name}' needs the instance '{config_name}' of class '{class_name}'",
            )
        return Target(function, instance, config_name)

    def runnable(self) -> list[Runnable]:
        """Everything that can be run here, as (name, class name, config name); "" stands for none."""
        with self._lock:
            if self._runnable is None:
                self._runnable = [
                    each
                    for function in (*self.workflows.values(), *self.steps.values())
                    for each in self._identities(function)
                ]
            return self._runnable

    def _identities(self, function: Function) -> list[Runnable]:
        name = function.workflow_name
        if function.binding is Binding.FUNCTION:
            return [(name, "", "")]
        if function.binding is Binding.CLASS:
            return [(name, function.class_name or "", "")]
        return [(name, cls, config) for cls, config in self.instances if cls == function.class_name]

    def fingerprint(self) -> str:
        """A hash over the source of all workflows: the same code, the same version, in every process."""
        return fingerprint({name: function.body for name, function in self.workflows.items()})


def registered(func: Callable[..., Any]) -> Function | None:
    """What was decorated, if `func` (or the function of a bound method) was."""
    function = getattr(func, MARK, None)
    return function if isinstance(function, Function) else None


def resolve(func: Callable[..., Any]) -> Target:
    """The target of a function or bound method that a user hands over. Raises DBOSWorkflowFunctionNotFoundError."""
    function = registered(func)
    if function is None:
        raise DBOSWorkflowFunctionNotFoundError(
            "<NONE>",
            f"{getattr(func, '__qualname__', func)!r} is not a DBOS function: "
            "decorate it with @DBOS.workflow() or @DBOS.step()",
        )
    receiver = getattr(func, "__self__", None)
    return aim(function, receiver) if receiver is not None else Target(function)


def resolve_call(func: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Target, tuple[Any, ...]]:
    """The same for arguments that may begin with the receiver, and those without it."""
    target = resolve(func)
    is_bound = target.receiver is not None or target.function.binding is Binding.FUNCTION
    return (target, args) if is_bound else split(target.function, args)


def aim(function: Function, receiver: Any) -> Target:
    """The target of a call on a class or an instance. Raises DBOSException if that is not registered."""
    if function.binding is Binding.CLASS:
        return Target(function, receiver)
    if function.binding is Binding.INSTANCE:
        config_name = getattr(receiver, "config_name", None)
        if not isinstance(config_name, str):
            raise DBOSException(
                f"Function target appears to be a class instance, but is not properly registered: "
                f"{function.name} needs an instance of a DBOSConfiguredInstance"
            )
        return Target(function, receiver, config_name)
    kind = "a class" if isinstance(receiver, type) else "a class instance"
    raise DBOSException(
        f"Function target appears to be {kind}, but is not properly registered: "
        f"decorate the class of {function.name} with @DBOS.dbos_class()"
    )


def split(function: Function, args: tuple[Any, ...]) -> tuple[Target, tuple[Any, ...]]:
    """The target of a call on the function itself, and the arguments without the receiver."""
    if function.binding is not Binding.FUNCTION:
        if not args:
            raise TypeError(f"{function.name}() needs what it is called on as its first argument")
        return aim(function, args[0]), args[1:]
    if args and function.in_class and _is_method_of(function, args[0]):
        aim(function, args[0])
    return Target(function), args


def _is_method_of(function: Function, receiver: Any) -> bool:
    cls = receiver if isinstance(receiver, type) else type(receiver)
    member = inspect.getattr_static(cls, function.body.__name__, None)
    wrapped = getattr(member, "__func__", member)
    return not isinstance(member, staticmethod) and registered(wrapped) is function if callable(wrapped) else False
