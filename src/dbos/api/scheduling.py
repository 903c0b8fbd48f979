"""Schedules as users write them: a workflow function, or its name, and a cron expression."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ParamSpec, TypedDict, TypeVar

from dbos.api.launched import launched_engine
from dbos.api.listing import OneOrMany, many
from dbos.error import DBOSException
from dbos.model.cron import parse
from dbos.model.schedule import WorkflowSchedule, require_schedule_name
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Operation
from dbos.runtime.operations.schedules import list_schedules as search
from dbos.runtime.operations.scheduling import Definition
from dbos.runtime.operations.scheduling import apply_schedules as apply
from dbos.runtime.operations.scheduling import create_schedule as create
from dbos.runtime.registry import Binding, Target, registered, resolve

P = ParamSpec("P")
R = TypeVar("R")

_REQUIRED = ("schedule_name", "workflow_fn", "workflow_name", "schedule")


class _Options(TypedDict, total=False):
    context: Any
    automatic_backfill: bool
    cron_timezone: str | None
    queue_name: str | None


class ScheduleInput(_Options):
    """A schedule for `DBOS.apply_schedules`; the keys are the arguments of `DBOS.create_schedule`."""

    schedule_name: str
    workflow_fn: Callable[..., Any]
    schedule: str


class _ClientOptions(_Options, total=False):
    workflow_class_name: str | None
    application_name: str | None


class ClientScheduleInput(_ClientOptions):
    """The same for a client, which goes by the names of workflows."""

    schedule_name: str
    workflow_name: str
    schedule: str


def scheduled(cron: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Run a workflow (or a step) by the clock, while some process of this application is launched.

    Args:
        cron: A cron expression of five fields, or of six with seconds first, in UTC.

    Stands above `@DBOS.workflow()`. The function takes the time it is run for and the time at which it was enqueued,
    both aware and in UTC. However many processes there are, each tick runs once; ticks that nobody was there for do not
    run. Raises DBOSException at decoration for an expression or a function that cannot work.
    """
    try:
        parsed = parse(cron)
    except ValueError as refusal:
        raise DBOSException(f"{refusal}; write it as in @DBOS.scheduled('0 0 * * *')") from None

    def decorate(func: Callable[P, R]) -> Callable[P, R]:
        function = registered(func)
        if function is None:
            raise DBOSException(f"Put @DBOS.scheduled() above @DBOS.workflow() or @DBOS.step(), not on {func!r}")
        try:
            Target(function).check((None, None), {})
            require_schedule_name(function.workflow_name)
        except (TypeError, ValueError) as refusal:
            raise DBOSException(
                f"@DBOS.scheduled() takes a function or static method of two times, scheduled and actual: {refusal}"
            ) from None
        function.registry.add_schedule(function, parsed)
        engine = launched_engine()
        if engine is not None:
            engine.waiters.wake("service", "scheduler")
        return func

    return decorate


def create_schedule(
    engine: Engine,
    *,
    schedule_name: str,
    workflow_fn: Callable[..., Any],
    schedule: str,
    context: Any = None,
    automatic_backfill: bool = False,
    cron_timezone: str | None = None,
    queue_name: str | None = None,
) -> Operation[None]:
    """Run a workflow by the clock, from now on, until the schedule is paused or deleted.

    Args:
        schedule_name: Its name, which no other schedule has.
        workflow_fn: A workflow (or step) that takes the time it is run for and the context. No method of an instance.
        schedule: A cron expression of five fields, or of six with seconds first.
        context: Handed to every run, as it is stored now.
        automatic_backfill: Make up for ticks that were missed while nothing ran, or while the schedule was paused.
        cron_timezone: The zone of the IANA database whose wall clock the expression goes by; by default UTC.
        queue_name: The queue of its runs; by default the internal one.

    Raises DBOSException if the name is taken, and for an expression, a zone or a queue that cannot work.
    """
    return create(
        engine,
        _definition(
            schedule_name=schedule_name,
            workflow_fn=workflow_fn,
            schedule=schedule,
            context=context,
            automatic_backfill=automatic_backfill,
            cron_timezone=cron_timezone,
            queue_name=queue_name,
        ),
    )


def apply_schedules(engine: Engine, schedules: Sequence[ScheduleInput]) -> Operation[None]:
    """Create schedules, or define anew those that exist and keep their status; all of them or none.

    Args:
        schedules: Dicts with the arguments of `create_schedule`. What is left out is reset to its default. Of two of
            one name the last one wins.

    Raises DBOSException as `create_schedule` does, for an entry without a required key, and in a workflow.
    """
    return apply(engine, [_definition(**entry) for entry in entries(schedules, ScheduleInput)])


def list_schedules(
    engine: Engine,
    *,
    status: OneOrMany = None,
    workflow_name: OneOrMany = None,
    schedule_name_prefix: OneOrMany = None,
    application_name: OneOrMany = None,
) -> Operation[list[WorkflowSchedule]]:
    """List schedules by name.

    Args:
        status: Only those that are "ACTIVE", or "PAUSED".
        workflow_name: Only those of these workflows.
        schedule_name_prefix: Only those whose name begins so.
        application_name: Only those of these applications; by default of this one, and those that nobody owns.

    Every filter takes one value or a list.
    """
    return search(
        engine,
        status=many(status),
        workflow_name=many(workflow_name),
        schedule_name_prefix=many(schedule_name_prefix),
        application_name=many(application_name),
    )


def entries(entries: object, kind: type) -> list[dict[str, Any]]:
    """The entries as keyword arguments. Raises DBOSException."""
    if isinstance(entries, (str, bytes, Mapping)) or not isinstance(entries, Iterable):
        raise DBOSException(f"Schedules must be given as a list of dicts, not {entries!r}")
    checked = []
    for index, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            raise DBOSException(f"Schedule entry {index} must be a dict, not {entry!r}")
        missing = [key for key in kind.__annotations__ if key in _REQUIRED and key not in entry]
        if missing:
            raise DBOSException(f"Schedule entry {index} is missing required field '{missing[0]}'")
        unknown = [key for key in entry if key not in kind.__annotations__]
        if unknown:
            raise DBOSException(f"Schedule entry {index} has the unknown field {unknown[0]!r}")
        checked.append(dict(entry))
    return checked


def _definition(*, workflow_fn: Callable[..., Any], **options: Any) -> Definition:
    """The definition for a function. Raises DBOSException, or DBOSWorkflowFunctionNotFoundError."""
    target = resolve(workflow_fn)
    function = target.function
    if function.binding is Binding.INSTANCE:
        raise DBOSException(
            f"{function.name} is a method of an instance, which a schedule cannot find again: "
            "schedule a function, a static method or a class method"
        )
    name = options["schedule_name"]
    if any(scheduled.workflow_name == name for scheduled, _ in function.registry.scheduled_functions()):
        raise DBOSException(
            f"Schedule '{name}' already exists: it is a function that is decorated with @DBOS.scheduled()"
        )
    try:
        target.check((None, None), {})
    except TypeError as error:
        raise DBOSException(f"A scheduled workflow takes the scheduled time and the context: {error}") from None
    return Definition(workflow_name=function.workflow_name, workflow_class_name=target.class_name, **options)
